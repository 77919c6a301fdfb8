"""Roll-ups of periods that closed before they were stored by pool: nothing of them is lost, and the way back is open."""

from __future__ import annotations

import pytest
from django.core.management import call_command

from ledger.audit import check_ledger
from ledger.models import RollUp
from ledger.tests.test_worked_example import close_two_days
from tests.guards import sql

ROWS = (
    "SELECT period_id, hotkey, netuid, side, coldkey, partner_id, take_rao FROM ledger_delegatortake"
    " ORDER BY 1, 2, 3, 4, 5, 6"
)


@pytest.mark.django_db(transaction=True)
def test_le3_rows_become_roll_ups_and_rows_again() -> None:
    close_two_days()
    rows, functions = sql(ROWS), checks()
    assert rows
    rolled = list(RollUp.objects.values_list("period", "netuid", "side", "partner", "takes_rao", "take_rao"))
    try:
        call_command("migrate", "ledger", "0013", verbosity=0)
        assert sql(ROWS) == rows
        before = checks()
    finally:
        call_command("migrate", "ledger", verbosity=0)
    assert sql(ROWS) == rows
    assert (
        list(RollUp.objects.values_list("period", "netuid", "side", "partner", "takes_rao", "take_rao"))
        == rolled
    )
    assert checks() == functions
    assert "ledger_check_roll_ups" not in before
    assert check_ledger().ok


def checks() -> dict[str, str]:
    """The functions that check sums, by name."""
    found = sql("SELECT proname::text, prosrc FROM pg_proc WHERE proname LIKE 'ledger\\_%'")
    return {str(name): str(source) for name, source in found}
