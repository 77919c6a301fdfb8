# `make` lists what there is to do. PYTHON= names an interpreter, ARGS= is handed on.
.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench localnet serve lock clean FORCE

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
UV := $(shell command -v uv 2>/dev/null)
# The newest interpreter that exists and is new enough; empty if none is.
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3 python; do \
	command -v $$name >/dev/null 2>&1 && $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	>/dev/null 2>&1 && { echo $$name; break; }; done)
# A .venv that was copied, moved or half deleted is made anew.
ifneq ($(shell $(BIN)/python -c 'print(1)' 2>/dev/null),1)
ifneq ($(wildcard $(VENV)/ok),)
BROKEN := FORCE
endif
endif
ifdef PORT
export PORT
endif

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/ok ## install what Rakeback needs to run into .venv

demo: $(VENV)/ok ## replay recorded chain data and serve the admin, with nothing else installed
	@$(BIN)/python manage.py demo $(ARGS)

serve: $(VENV)/ok ## run the web server, a worker and the scheduler (PORT=8000)
	@$(BIN)/python manage.py serve $(ARGS)

test: $(VENV)/ok-dev ## run the tests (ARGS="-k name")
	@$(BIN)/python -m pytest $(or $(ARGS),-n 2)

localnet: $(VENV)/ok-dev ## play a real Subtensor runtime here and serve it (needs Node and CHAIN_SPEC)
	@if [ -z "$$CHOPSTICKS_DIR" ] && [ ! -d chain/localnet/node_modules ] && command -v npm >/dev/null 2>&1; then \
		echo "Installing chopsticks …"; \
		npm install --silent --no-fund --no-audit --no-package-lock --ignore-scripts --omit=optional \
			--prefix chain/localnet; fi
	@$(BIN)/python -m chain.localnet.scenario $(or $(ARGS),--keep-alive)

bench: $(VENV)/ok-dev ## measure the hot paths
	@$(BIN)/python -m tests.bench $(ARGS)

# Its own home, so that a check never touches the developer's data.
CHECK_ENV := RAKEBACK_HOME=$(CURDIR)/.cache/check RAKEBACK_EMBEDDED_UNSAFE_FAST=1
DEPLOY_ENV := RAKEBACK_ENV=production ALLOWED_HOSTS=rakeback.example.com \
	SECRET_KEY=not-a-key-0123456789-only-for-the-checks-of-deployment-abcdef \
	DATABASE_URL=postgres://rakeback@db.internal/rakeback REDIS_URL=redis://cache.internal/0

check: $(VENV)/ok-dev ## lint, types, imports, migrations, deployment settings, API description
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(CHECK_ENV) $(BIN)/mypy .
	$(BIN)/lint-imports
	$(CHECK_ENV) $(BIN)/python manage.py makemigrations --check --dry-run
	$(DEPLOY_ENV) $(BIN)/python manage.py check --deploy --fail-level WARNING
	$(CHECK_ENV) $(BIN)/python manage.py spectacular --validate --fail-on-warn --file /dev/null

lock: ## resolve requirements*.in again (needs uv)
	@for name in requirements requirements-dev requirements-uv; do \
		uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate \
			--no-header $$name.in -o $$name.txt || exit 1; done

clean: ## remove .venv and caches; data in RAKEBACK_HOME stays
	@rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis staticfiles
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/ok: requirements.txt $(BROKEN)
	@$(call install,requirements.txt)
	@touch $@

$(VENV)/ok-dev: requirements.txt requirements-dev.txt $(BROKEN)
	@$(call install,requirements-dev.txt)
	@touch $(VENV)/ok $@

# $(1) is the locked file. A .venv without its stamp was left by a set-up that did not finish.
define install
set -e; \
if [ -z "$(PYTHON)" ]; then \
	echo "Rakeback needs Python 3.11 or newer, and none was found. Install one, or name it:" >&2; \
	echo "  make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3.12" >&2; exit 1; fi; \
if ! "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	echo "Rakeback needs Python 3.11 or newer; $(PYTHON) is" \
		"$$("$(PYTHON)" -V 2>/dev/null || echo missing). Name another one: make PYTHON=/path/to/python3.12" >&2; \
	exit 1; fi; \
if [ ! -e $(VENV)/ok ] || ! $(BIN)/python -c '' 2>/dev/null; then \
	rm -rf $(VENV); \
	if [ -n "$(UV)" ]; then uv venv -q --python "$$(command -v "$(PYTHON)")" $(VENV); \
	else \
		if ! "$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null; then \
			echo "$(PYTHON) comes without venv and pip. On Debian and Ubuntu: apt install python3-venv" >&2; \
			echo "Or install uv, which needs neither." >&2; exit 1; fi; \
		"$(PYTHON)" -m venv $(VENV); fi; fi; \
rm -f $(VENV)/ok $(VENV)/ok-dev; \
echo "Installing $(1) into $(VENV) …"; \
uv="$(UV)"; \
if [ -z "$$uv" ] && $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes \
	-r requirements-uv.txt; then uv="$(BIN)/uv"; fi; \
if [ -n "$$uv" ]; then \
	"$$uv" pip install -q --compile-bytecode --python $(BIN)/python --require-hashes -r $(1); \
else \
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r $(1); fi
endef
