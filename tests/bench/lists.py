"""The lists of 100,000 wallets and 10,000 rules, a search in them and the choice of a partner, against the same
with few rows. Stops when anything takes another number of queries than it does with few."""

from __future__ import annotations

from datetime import date

from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from chain.addresses import encode_address
from partners.models import Agreement, Partner, Rule, Wallet
from partners.services import add_wallets, create_partner, recorded
from tests.bench.__main__ import median_seconds, report

WALLETS, RULES, PARTNERS = 100_000, 10_000, 500
# Fill more than one page of each list, so that few rows take the queries of a page that is not the only one.
FEW = 120
PER_PAGE = 50


def run() -> None:
    """Milliseconds of each page, in one database that grows."""
    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.get(username="olivia"))
    agreement = Agreement.objects.order_by("pk")[0]
    make_partners(0, FEW)
    make_wallets(agreement.partner, 0, FEW)
    make_rules(agreement, 0, FEW)
    few = measure(client, pages())
    make_partners(FEW, PARTNERS)
    make_wallets(agreement.partner, FEW, WALLETS)
    make_rules(agreement, FEW, RULES)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    for name, (value, queries) in measure(client, pages()).items():
        baseline, asked = few[name]
        if queries != asked:
            raise SystemExit(f"{name}: {queries} queries, with few rows {asked}")
        report(f"{name}, against that of few", value * 1_000, "ms", baseline * 1_000)


def pages() -> dict[str, str]:
    """Addresses by what is measured; the last pages are those of the rows that there are now."""
    wallets, rules = (reverse(f"admin:partners_{name}_changelist") for name in ("wallet", "rule"))
    choice = f"{reverse('admin:autocomplete')}?app_label=partners&model_name=wallet&field_name=partner&term="
    return {
        "first page of the wallets": wallets,
        "last page of the wallets": f"{wallets}?p={last_page(Wallet.objects.count())}",
        "a search for a wallet": f"{wallets}?q={address(FEW // 2)}",
        "a search for a word in the wallets": f"{wallets}?q=note",
        "first page of the rules": rules,
        "last page of the rules": f"{rules}?p={last_page(Rule.objects.count())}",
        "a search for a word in the rules": f"{rules}?q=app",
        "first page of the partners": reverse("admin:partners_partner_changelist"),
        "a search for a partner": f"{reverse('admin:partners_partner_changelist')}?q=maker",
        "the choice of a partner": choice,
        "the choice of a partner by name": f"{choice}maker",
    }


def last_page(count: int) -> int:
    """Number of the last page of so many rows."""
    return -(-count // PER_PAGE)


def measure(client: Client, addresses: dict[str, str]) -> dict[str, tuple[float, int]]:
    """Median seconds and the number of queries of each page."""
    measured = {}
    for name, page in addresses.items():
        with CaptureQueriesContext(connection) as asked:
            answer = client.get(page)
        if answer.status_code != 200:
            raise SystemExit(f"{page} does not answer")

        def get(page: str = page) -> object:
            return client.get(page)

        measured[name] = (median_seconds(get, runs=7), len(asked))
    return measured


def address(number: int) -> str:
    """An address that the other groups do not use."""
    return encode_address((9 * 10**9 + number).to_bytes(32, "big"))


def make_partners(first: int, end: int) -> None:
    """Add partners with these numbers."""
    for number in range(first, end):
        create_partner(actor=None, name=f"Wallet maker {number}", slug=f"wallet-maker-{number}")


def make_wallets(partner: Partner, first: int, end: int) -> None:
    """Add wallets with these numbers."""
    listed = [address(number) for number in range(first, end)]
    add_wallets(actor=None, partner=partner, addresses=listed, introduced_date=date(2025, 8, 1), notes="note")


def make_rules(agreement: Agreement, first: int, end: int) -> None:
    """Add rules by remark with these numbers."""
    made = [
        Rule(agreement=agreement, kind="MEMO", memo_match="EQUALS", memo=f"app {number}")
        for number in range(first, end)
    ]
    with recorded(actor=None, reason="bench"):
        Rule.objects.bulk_create(made)
