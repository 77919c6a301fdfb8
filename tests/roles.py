"""Who may do what: one row per page of the site, per model in the admin and per action. `test_roles.py` tries every cell.

A page, model or action without a row here fails that test, which says what to add. `get` is who is shown the page; `post` is
for whom sending it does what it is for. Everybody else is refused, and nothing is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ANONYMOUS = frozenset({"anonymous"})
# Signed in as staff, but in no group.
STRANGER = frozenset({"stranger"})
VIEWER = frozenset({"viewer"})
OPERATOR = frozenset({"operator"})
APPROVER = frozenset({"approver"})
AUDITOR = frozenset({"auditor"})
ADMINISTRATOR = frozenset({"administrator"})
SUPERUSER = frozenset({"superuser"})
# Programs with a key of the API: one that sees all partners, and one bound to a partner.
KEY = frozenset({"key"})
PARTNERS_KEY = frozenset({"partner's key"})

NOBODY: frozenset[str] = frozenset()
READERS = VIEWER | OPERATOR | APPROVER | AUDITOR | ADMINISTRATOR | SUPERUSER
STAFF = STRANGER | READERS
KEYS = KEY | PARTNERS_KEY
OUTSIDE = ANONYMOUS | KEYS
ANYBODY = OUTSIDE | STAFF

EDITORS = OPERATOR | ADMINISTRATOR | SUPERUSER
PROPOSERS = OPERATOR | SUPERUSER
APPROVERS = APPROVER | SUPERUSER
CHECKERS = READERS - VIEWER
EXPORTERS = EDITORS | AUDITOR
KEY_KEEPERS = ADMINISTRATOR | SUPERUSER


@dataclass(frozen=True)
class Page:
    """An address. `writes` tells whether a post that is let through changes rows of the business."""

    get: frozenset[str]
    post: frozenset[str] = NOBODY
    writes: bool = True


@dataclass(frozen=True)
class Model:
    """A model in the admin: its list, history and rows; adding, changing and deleting; its bulk actions by name."""

    see: frozenset[str] = READERS
    add: frozenset[str] = NOBODY
    change: frozenset[str] = NOBODY
    delete: frozenset[str] = NOBODY
    actions: dict[str, Page] = field(default_factory=dict)


def action(who: frozenset[str], *, writes: bool = True) -> Page:
    """A bulk action."""
    return Page(get=NOBODY, post=who, writes=writes)


MODELS = {
    # What the chain said, and how it was read.
    "chain.Block": Model(),
    "chain.Yield": Model(),
    "chain.StakeEvent": Model(),
    "chain.Position": Model(),
    "chain.Conversion": Model(),
    "chain.Remark": Model(),
    "chain.Hotkey": Model(change=EDITORS),
    "chain.PoolPrice": Model(),
    "chain.FiatPrice": Model(),
    "chain.Gap": Model(),
    "chain.Endpoint": Model(),
    "chain.IngestRun": Model(),
    "chain.Backfill": Model(),
    "chain.Runtime": Model(),
    "chain.ImportRun": Model(),
    # Whose it is.
    "partners.Partner": Model(
        add=EDITORS, change=EDITORS, actions={"pause": action(EDITORS), "activate": action(EDITORS)}
    ),
    "partners.Agreement": Model(add=EDITORS, change=EDITORS),
    "partners.Rule": Model(
        add=EDITORS,
        change=EDITORS,
        actions={
            "deactivate": action(EDITORS),
            "reactivate": action(EDITORS),
            "try_deactivate": action(EDITORS),
            "try_reactivate": action(EDITORS),
        },
    ),
    "partners.AgreementTemplate": Model(add=EDITORS, change=EDITORS, delete=EDITORS),
    "partners.Wallet": Model(
        add=EDITORS,
        change=EDITORS,
        actions={
            "deactivate": action(EDITORS),
            "reactivate": action(EDITORS),
            "reassign": action(EDITORS),
        },
    ),
    "partners.WhatIf": Model(),
    "partners.PayoutAddress": Model(),
    "partners.Change": Model(),
    "partners.ApiKey": Model(
        see=KEY_KEEPERS | AUDITOR,
        add=KEY_KEEPERS,
        change=KEY_KEEPERS,
        actions={"revoke": action(KEY_KEEPERS)},
    ),
    # What is owed, and what is paid.
    "ledger.Attribution": Model(),
    "ledger.CommissionLine": Model(),
    "ledger.DelegationWinner": Model(),
    "ledger.Entry": Model(),
    "ledger.Account": Model(),
    "ledger.Period": Model(),
    "payments.Batch": Model(actions={"approve_selected": action(APPROVERS, writes=False)}),
    "payments.Payout": Model(),
    # The system's own: who may edit accounts could take any role, so only a superuser may.
    "auth.User": Model(see=SUPERUSER | AUDITOR, add=SUPERUSER, change=SUPERUSER, delete=SUPERUSER),
    "auth.Group": Model(see=SUPERUSER | AUDITOR, add=SUPERUSER, change=SUPERUSER, delete=SUPERUSER),
    "django_celery_beat.PeriodicTask": Model(
        see=SUPERUSER,
        add=SUPERUSER,
        change=SUPERUSER,
        delete=SUPERUSER,
        actions={
            "enable_tasks": action(SUPERUSER),
            "disable_tasks": action(SUPERUSER),
            "toggle_tasks": action(SUPERUSER),
            "run_tasks": action(SUPERUSER, writes=False),
        },
    ),
    "django_celery_beat.IntervalSchedule": Model(
        see=SUPERUSER, add=SUPERUSER, change=SUPERUSER, delete=SUPERUSER
    ),
    "django_celery_beat.CrontabSchedule": Model(
        see=SUPERUSER, add=SUPERUSER, change=SUPERUSER, delete=SUPERUSER
    ),
}

PAGES = {
    "home": Page(ANYBODY),
    "health-live": Page(ANYBODY),
    "health-ready": Page(ANYBODY),
    # The admin's frame. Whoever is not signed in is led from signing out to the front page.
    "admin:index": Page(STAFF),
    "admin:login": Page(ANYBODY, post=ANYBODY),
    "admin:logout": Page(OUTSIDE, post=ANYBODY, writes=False),
    "admin:password_change": Page(STAFF, post=STAFF),
    "admin:password_change_done": Page(STAFF),
    "admin:jsi18n": Page(STAFF),
    "admin:search": Page(STAFF),
    "admin:autocomplete": Page(READERS),
    "admin:app_list": Page(READERS),
    # Nothing here has a page outside of the admin; and what is nowhere is nobody's.
    "admin:view_on_site": Page(NOBODY),
    "admin:catch-all": Page(NOBODY),
    "admin:auth_user_password_change": Page(SUPERUSER, post=SUPERUSER),
    "take-csv": Page(READERS),
    # Chain and reading.
    "admin:chain_block_payload": Page(READERS),
    "admin:chain_poolprice_csv": Page(READERS),
    "admin:chain_fiatprice_csv": Page(READERS),
    "admin:chain_fiatprice_fetch": Page(NOBODY, post=EDITORS, writes=False),
    "admin:chain_endpoint_open_try_page": Page(EDITORS),
    "admin:chain_endpoint_try": Page(EDITORS),
    "admin:chain_endpoint_try_confirm": Page(NOBODY, post=EDITORS),
    "admin:chain_gap_open_retry_page": Page(EDITORS),
    "admin:chain_gap_retry": Page(EDITORS),
    "admin:chain_gap_retry_confirm": Page(NOBODY, post=EDITORS),
    "admin:chain_gap_give_up": Page(APPROVERS),
    "admin:chain_gap_give_up_confirm": Page(NOBODY, post=APPROVERS),
    "admin:chain_backfill_now": Page(READERS),
    "admin:chain_backfill_meter": Page(READERS),
    "admin:chain_backfill_steer": Page(EDITORS),
    "admin:chain_backfill_steer_confirm": Page(NOBODY, post=EDITORS),
    "admin:chain_importrun_open_import_page": Page(EDITORS),
    "admin:chain_importrun_import": Page(EDITORS, post=EDITORS, writes=False),
    "admin:chain_importrun_import_confirm": Page(NOBODY, post=EDITORS),
    # Partners.
    "admin:partners_wallet_import": Page(EDITORS, post=EDITORS, writes=False),
    "admin:partners_wallet_process_import": Page(NOBODY, post=EDITORS),
    "admin:partners_wallet_refused": Page(EDITORS),
    "admin:partners_payoutaddress_request": Page(EDITORS),
    "admin:partners_payoutaddress_request_confirm": Page(NOBODY, post=EDITORS),
    "admin:partners_payoutaddress_approve": Page(APPROVERS),
    "admin:partners_payoutaddress_approve_confirm": Page(NOBODY, post=APPROVERS),
    "admin:partners_payoutaddress_tell": Page(APPROVERS),
    "admin:partners_payoutaddress_tell_confirm": Page(NOBODY, post=APPROVERS),
    "admin:partners_payoutaddress_cancel": Page(EDITORS | APPROVERS),
    "admin:partners_payoutaddress_cancel_confirm": Page(NOBODY, post=EDITORS | APPROVERS),
    "admin:partners_payoutaddress_send_confirm": Page(NOBODY, post=EDITORS | APPROVERS),
    "admin:partners_whatif_page": Page(READERS),
    "admin:partners_whatif_now": Page(READERS),
    "admin:partners_whatif_csv": Page(READERS),
    "admin:partners_whatif_again": Page(NOBODY, post=EDITORS),
    "admin:partners_whatif_cancel": Page(NOBODY, post=EDITORS),
    "admin:partners_wallet_export": Page(EXPORTERS, post=EXPORTERS, writes=False),
    # Ledger.
    "admin:ledger_block": Page(READERS),
    "admin:ledger_statement": Page(READERS),
    "admin:ledger_statement_file": Page(READERS),
    "admin:ledger_year": Page(READERS),
    "admin:ledger_year_file": Page(READERS),
    "admin:ledger_period_open_close_page": Page(EDITORS),
    "admin:ledger_close": Page(EDITORS),
    "admin:ledger_close_confirm": Page(NOBODY, post=EDITORS),
    "admin:ledger_period_open_checks_page": Page(CHECKERS),
    "admin:ledger_checks": Page(CHECKERS),
    "admin:ledger_checks_run": Page(NOBODY, post=CHECKERS),
    # Payments.
    "admin:payments_batch_open_propose_page": Page(PROPOSERS),
    "admin:payments_batch_propose": Page(PROPOSERS),
    "admin:payments_batch_propose_confirm": Page(NOBODY, post=PROPOSERS),
    "admin:payments_batch_approve": Page(APPROVERS),
    "admin:payments_batch_approve_confirm": Page(NOBODY, post=APPROVERS),
    "admin:payments_batch_cancel": Page(PROPOSERS | APPROVERS),
    "admin:payments_batch_cancel_confirm": Page(NOBODY, post=PROPOSERS | APPROVERS),
    "admin:payments_batch_call_data": Page(PROPOSERS | APPROVERS),
    # The API wants a key, and is read only. Its description is for staff, too.
    "api-v1:partner-list": Page(KEYS),
    "api-v1:partner-detail": Page(KEYS),
    "api-v1:wallet-list": Page(KEYS),
    "api-v1:wallet-detail": Page(KEYS),
    "api-v1:period-list": Page(KEYS),
    "api-v1:period-detail": Page(KEYS),
    "api-v1:attribution-list": Page(KEYS),
    "api-v1:rakeback-list": Page(KEYS),
    "api-v1:statement-list": Page(KEYS),
    "api-v1:statement-detail": Page(KEYS),
    "api-v1:conversion-list": Page(KEY),
    "api-v1:tao-dividends": Page(KEYS),
    "api-v1:health": Page(KEYS),
    "api-v1:schema": Page(STAFF | KEYS),
    "api-v1:none": Page(NOBODY),
}
