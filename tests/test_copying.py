"""Rows written with COPY are those that were given, and what is refused is refused as by any other statement."""

from __future__ import annotations

import numpy as np
import pytest
from django.db import DataError, IntegrityError, connection, transaction
from django.db.backends.postgresql.psycopg_any import NumericRange
from django.test.utils import CaptureQueriesContext

from chain.copying import copy_rows, copy_rows_with_arrays
from chain.models import Position
from ledger.models import RollUp
from ledger.tests.test_worked_example import close_two_days

COLUMNS = ("hotkey", "netuid", "coldkey", "blocks", "share", "share_exponent")
ROLL_UP = (
    ("period_id", "int8"),
    ("hotkey", "text"),
    ("netuid", "int4"),
    ("side", "text"),
    ("partner_id", "int8"),
    ("delegators", "int4[]"),
    ("takes_rao", "int8[]"),
    ("take_rao", "int8"),
)


@pytest.mark.django_db
def test_rows_are_those_that_were_given() -> None:
    rows = [
        ("hot", 1, 'a\ttab, a "quote", a \\ and \\N', NumericRange(5, None), 2**128 - 1, None),
        ("hot", 2, "line\nbreak ü 𝄞", NumericRange(5, 9), 1, -21),
    ]
    copy_rows(Position, COLUMNS, iter(rows))
    assert list(Position.objects.order_by("netuid").values_list(*COLUMNS)) == rows


@pytest.mark.django_db
def test_without_rows_nothing_is_asked() -> None:
    with CaptureQueriesContext(connection) as asked:
        copy_rows(Position, COLUMNS, [])
    assert len(asked) == 0


@pytest.mark.django_db
def test_refusals_are_those_of_django_and_leave_nothing() -> None:
    good = ("hot", 1, "cold", NumericRange(5, None), 7, None)
    for bad, error in [
        (("hot", 1, "cold", NumericRange(6, None), 7, None), IntegrityError),
        (("hot", 1, "other", NumericRange(6, None), 0, None), IntegrityError),
        (("hot", 1, "o" * 60, NumericRange(6, None), 7, None), DataError),
        (("hot", 1, "nul\0", NumericRange(6, None), 7, None), DataError),
    ]:
        with pytest.raises(error), transaction.atomic():
            copy_rows(Position, COLUMNS, [good, bad])
        assert not Position.objects.exists()


@pytest.mark.django_db
def test_arrays_are_those_that_were_given() -> None:
    period, _ = close_two_days()
    who = np.array([1, 2**31 - 1, 7], np.int64)
    takes = np.array([2**63 - 1 - 5, 0, 5], np.int64)
    with transaction.atomic():
        copy_rows_with_arrays(RollUp, ROLL_UP, [(period.pk, "hot", 9, "ALPHA", None, who, takes, 2**63 - 1)])
        stored = RollUp.objects.get(netuid=9)
        # Nobody was ever numbered so, which is not what this is about.
        transaction.set_rollback(True)
    assert (stored.delegators, stored.takes_rao, stored.take_rao) == (who.tolist(), takes.tolist(), 2**63 - 1)
    assert (stored.hotkey, stored.side, stored.partner) == ("hot", "ALPHA", None)


@pytest.mark.django_db
def test_arrays_that_do_not_fit_are_refused_and_not_cut_off() -> None:
    period, _ = close_two_days()
    one = np.array([1], np.int64)
    with pytest.raises(OverflowError), transaction.atomic():
        copy_rows_with_arrays(
            RollUp, ROLL_UP, [(period.pk, "hot", 9, "ALPHA", None, np.array([2**31]), one, 1)]
        )
    assert not RollUp.objects.filter(netuid=9).exists()
