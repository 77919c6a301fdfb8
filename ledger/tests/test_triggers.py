"""What the database refuses whoever asks: every trigger and constraint of the ledger, tried with raw SQL.

Tests run inside one transaction, so rows added after a close still belong to it: that is how a broken close is
simulated, and `check_constraints` is its commit. What must fail in a later transaction is tried in real ones.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import DatabaseError, IntegrityError, NotSupportedError, connection, transaction

from ledger.models import Account, CommissionLine, Delegator, Entry, PartnerTake, Period, Posting
from ledger.queries import payable_by_partner
from ledger.services import (
    InsufficientPayable,
    UnknownReservation,
    attribute_yields,
    close_due_days,
    release_payout,
    reserve_payout,
)
from ledger.services.posting import account
from ledger.tests.factories import (
    HOTKEY,
    NOW,
    key,
    make_blocks,
    make_conversion,
    make_partner,
    make_positions,
    make_yield,
    roll_up,
)
from ledger.tests.test_worked_example import ANN, build_two_days, close_two_days
from partners.models import Agreement, Partner
from tests.guards import refused, sql, tamper

LEDGER_TABLES = [
    "ledger_attribution",
    "ledger_period",
    "ledger_partnertake",
    "ledger_delegator",
    "ledger_rollup",
    "ledger_delegationwinner",
    "ledger_conversionallocation",
    "ledger_commissionline",
    "ledger_account",
    "ledger_entry",
    "ledger_posting",
]
PERIOD_COLUMNS = "key, kind, start_at, end_at, blocks, manifest, manifest_hash, closed_at"
DAY_THREE = "'2025-01-03', 'DAY', '2025-01-03', '2025-01-04', '[2881,2882)', '{}', '', now()"


@pytest.fixture
def closed(db: None) -> tuple[Period, Period]:
    one, two = close_two_days()
    connection.check_constraints()
    return one, two


# --- Append-only ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["UPDATE {0} SET id = id", "DELETE FROM {0}", "TRUNCATE {0} CASCADE"])
def test_l3_no_row_is_changed_deleted_or_truncated(closed: tuple[Period, Period], change: str) -> None:
    for table in [*LEDGER_TABLES, "chain_yield", "chain_conversion"]:
        before = sql(f"SELECT count(*) FROM {table}")
        assert before != [(0,)]
        with refused("append_only"):
            sql(change.format(table))
        assert sql(f"SELECT count(*) FROM {table}") == before


def test_l3_truncating_what_the_ledger_rests_on_is_refused_too(closed: tuple[Period, Period]) -> None:
    with refused("gap_ends_once"):
        sql("TRUNCATE auth_user CASCADE")
    with refused("append_only"):
        sql("TRUNCATE chain_block CASCADE")


def test_l3_moving_or_editing_a_leg_is_refused(closed: tuple[Period, Period]) -> None:
    one, two = Entry.objects.order_by("id")
    with refused("append_only"):
        sql("UPDATE ledger_posting SET entry_id = %s WHERE entry_id = %s", two.pk, one.pk)
    with refused("append_only"):
        sql("UPDATE ledger_posting SET amount_rao = NULL")


# --- Entries -------------------------------------------------------------------------------------------


def new_entry(name: str = "test", **columns: object) -> int:
    values = {"key": name, "kind": "RESERVE", "memo": "", "posted_at": NOW, **columns}
    names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
    ((pk,),) = sql(f"INSERT INTO ledger_entry ({names}) VALUES ({marks}) RETURNING id", *values.values())
    return int(str(pk))


def add_leg(entry: int, kind: str, amount: int, partner: Partner | None = None) -> None:
    to = account(kind, partner.pk if partner else None)
    sql(
        "INSERT INTO ledger_posting (entry_id, account_id, amount_rao) VALUES (%s, %s, %s)",
        entry,
        to.pk,
        amount,
    )


@pytest.mark.django_db
def test_l1_an_entry_needs_two_legs_that_add_up_to_zero() -> None:
    with refused("entry_balanced"):
        new_entry()
    with refused("entry_balanced"):
        add_leg(new_entry(), "TAKE", 5)
    with refused("entry_balanced"):
        entry = new_entry()
        add_leg(entry, "TAKE", 5)
        add_leg(entry, "OWN_SHARE", -4)
    entry = new_entry()
    add_leg(entry, "TAKE", 5)
    add_leg(entry, "OWN_SHARE", -5)
    connection.check_constraints()
    assert Posting.objects.filter(entry_id=entry).count() == 2


@pytest.mark.django_db
def test_l1_a_leg_after_an_early_check_is_checked_again() -> None:
    entry = new_entry()
    add_leg(entry, "TAKE", 5)
    add_leg(entry, "OWN_SHARE", -5)
    connection.check_constraints()
    partner = make_partner("A", 0).partner
    with refused("entry_balanced"):
        add_leg(entry, "PAYABLE", -1, partner)
    with refused("due_check_by_triggers"):
        add_leg(entry, "PAYABLE", -1, partner)
        sql("DELETE FROM ledger_due_check")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "tampering",
    [
        "INSERT INTO ledger_due_check VALUES ('entry', 9002)",
        "UPDATE ledger_due_check SET key = key + 1",
        "DELETE FROM ledger_due_check",
        "TRUNCATE ledger_due_check",
    ],
)
def test_l1_notes_of_what_to_check_are_not_written_by_hand(tampering: str) -> None:
    """A note left for an entry to come would stand for a check that never runs."""
    with refused("due_check_by_triggers"):
        sql(tampering)


def test_l2_a_temporary_table_does_not_stand_in_for_the_ledger(closed: tuple[Period, Period]) -> None:
    """A rival's table of the same name is found first by names alone, so the triggers name where they look."""
    old = Entry.objects.order_by("id").first()
    assert old is not None
    with refused("entry_balanced"):
        sql("CREATE TEMP TABLE ledger_due_check (LIKE public.ledger_due_check INCLUDING INDEXES)")
        sql("CREATE TEMP TABLE ledger_entry AS SELECT * FROM public.ledger_entry")
        sql("UPDATE pg_temp.ledger_entry SET written_in = pg_current_xact_id()")
        sql(
            "INSERT INTO public.ledger_posting (entry_id, account_id, amount_rao) VALUES (%s, %s, -5)",
            old.pk,
            account("IN_FLIGHT", make_partner("T", 0).partner.pk).pk,
        )


@pytest.mark.django_db
def test_l1_zero_null_and_double_legs_are_refused() -> None:
    entry = new_entry()
    with refused("posting_not_zero"):
        add_leg(entry, "TAKE", 0)
    with refused(""):
        sql("INSERT INTO ledger_posting (entry_id, account_id) VALUES (%s, %s)", entry, account("TAKE").pk)
    with refused("posting_once_per_account"):
        add_leg(entry, "TAKE", 5)
        add_leg(entry, "TAKE", -5)
    with refused("account_once"):
        account("TAKE")
        sql("INSERT INTO ledger_account (kind, currency) VALUES ('TAKE', 'TAO')")
    with refused("account_partner_fits_kind"):
        sql("INSERT INTO ledger_account (kind, currency) VALUES ('PAYABLE', 'TAO')")
    add_leg(entry, "TAKE", 5)
    add_leg(entry, "OWN_SHARE", -5)


def test_l4_the_same_key_is_posted_once(closed: tuple[Period, Period]) -> None:
    with pytest.raises(IntegrityError, match="ledger_entry_key"), transaction.atomic():
        new_entry(name="close:2025-01-01")
    with refused("entry_closes_a_period_once"):
        new_entry(kind="CLOSE", period_id=closed[0].pk)
    with refused("entry_period_fits_kind"):
        new_entry(kind="CLOSE")
    with refused("entry_period_fits_kind"):
        new_entry(period_id=closed[0].pk)


def test_l6_a_reversal_points_backwards_and_takes_back_exactly(closed: tuple[Period, Period]) -> None:
    partner = Partner.objects.get(slug="talisman")
    reserved = reserve_payout(payout_id=1, partner=partner, amount_rao=40, actor=None, now=NOW)
    with refused("entry_reverses_exactly"):
        entry = new_entry(kind="RELEASE", reverses_id=reserved.pk)
        add_leg(entry, "IN_FLIGHT", 39, partner)
        add_leg(entry, "PAYABLE", -39, partner)
    with refused("entry_reverses_exactly"):
        entry = new_entry(kind="RELEASE", reverses_id=reserved.pk)
        add_leg(entry, "TAKE", 39)
        add_leg(entry, "OWN_SHARE", -39)
    with refused("entry_reverses_an_older_one"):
        new_entry(id=reserved.pk + 1_000, reverses_id=reserved.pk + 1_000)
    release_payout(payout_id=1, actor=None, now=NOW, reason="wrong")
    connection.check_constraints()
    with pytest.raises(IntegrityError, match="reverses_id"), transaction.atomic():
        new_entry(kind="RELEASE", reverses_id=reserved.pk)


@pytest.mark.django_db(transaction=True)
def test_l2_an_entry_and_a_period_are_sealed_when_they_commit() -> None:
    one, _ = close_two_days()
    entry = one.entries.get()
    partner, agreement = Partner.objects.all()[0], Agreement.objects.all()[0]
    with refused("entry_sealed"):
        add_leg(entry.pk, "IN_FLIGHT", -5, partner)
    with refused("entry_sealed"):
        # Before its entry exists: another transaction could commit one under this number.
        sql(
            "INSERT INTO ledger_posting (entry_id, account_id, amount_rao) VALUES (9999, %s, 5)",
            account("TAKE").pk,
        )
    late = {
        "ledger_partnertake (period_id, source_id, rate_bps, delegator_count, take_rao)": "%s, 1, 0, 0, 0",
        "ledger_rollup (period_id, hotkey, netuid, side, delegators, takes_rao, take_rao)": "%s, 'h', 9, 'ALPHA', '{1}',"
        " '{1}', 1",
        "ledger_conversionallocation (period_id, conversion_id, source_id, alpha_rao, tao_rao)": "%s, 2, 1, 1, 0",
        "ledger_commissionline (period_id, partner_id, agreement_id, hotkey, netuid, side, base_rao, rate_bps,"
        " commission_rao)": f"%s, {partner.pk}, {agreement.pk}, 'h', 9, 'ALPHA', 0, 0, 0",
    }
    for target, values in late.items():
        with refused("period_sealed"):
            sql(f"INSERT INTO {target} VALUES ({values})", one.pk)
    with refused("period_sealed"):
        make_yield(10, 5, netuid=3)
    with refused("period_sealed"):
        make_conversion(10, 5, 5)


@pytest.mark.django_db(transaction=True)
def test_l2_the_writer_cannot_claim_another_transaction() -> None:
    with transaction.atomic():
        entry = new_entry(written_in=sql("SELECT '9999999'::xid8")[0][0])
        add_leg(entry, "TAKE", 5)
        add_leg(entry, "OWN_SHARE", -5)
    assert sql("SELECT written_in = '9999999' FROM ledger_entry") == [(False,)]


# --- Attributions and periods --------------------------------------------------------------------------


def test_le1_an_attribution_equals_the_take_and_is_there_once(closed: tuple[Period, Period]) -> None:
    source = make_yield(2_881, 77)
    insert = (
        "INSERT INTO ledger_attribution (source_id, take_rao, delegator_count, digest) VALUES (%s, %s, 1, '')"
    )
    for wrong in (76, 78, 0):
        with refused("attribution_equals_take"):
            sql(insert, source.pk, wrong)
    sql(insert, source.pk, 77)
    with pytest.raises(IntegrityError, match="source_id"), transaction.atomic():
        sql(insert, source.pk, 77)


def partner_take(period: Period, block: int, take: int, partner: int | None, agreement: int | None) -> None:
    sql(
        "INSERT INTO ledger_partnertake (period_id, source_id, partner_id, agreement_id, rate_bps, delegator_count,"
        " take_rao) SELECT %s, id, %s, %s, 0, 1, %s FROM chain_yield WHERE block_id = %s",
        period.pk,
        partner,
        agreement,
        take,
        block,
    )


def test_a1_partner_takes_add_up_to_each_yield(closed: tuple[Period, Period]) -> None:
    one, two = closed
    other = make_partner("Other", 100)
    with refused("partner_take_conserves"):
        partner_take(one, 10, 1, other.partner_id, other.pk)
    with refused("partner_take_fits"):
        partner_take(two, 10, 0, other.partner_id, other.pk)
    with refused("partner_take_not_negative"):
        partner_take(one, 10, -1, other.partner_id, other.pk)
    with refused("partner_take_has_both_or_neither"):
        partner_take(one, 10, 0, None, other.pk)
    with refused("partner_take_fits"):
        partner_take(one, 10, 0, PartnerTake.objects.exclude(partner=None)[0].partner_id, other.pk)
    with refused("partner_take_once_per_agreement"):
        partner_take(one, 10, 0, None, None)


def test_a1_a_period_without_rows_for_its_yields_is_refused(closed: tuple[Period, Period]) -> None:
    make_yield(2_881, 77, side="ROOT")
    insert = f"INSERT INTO ledger_period ({PERIOD_COLUMNS}) VALUES ({DAY_THREE})"
    with refused("partner_take_conserves"):
        sql(insert)
    with refused("delegator_take_conserves"):
        sql(insert)
        partner_take(Period.objects.get(key="2025-01-03"), 2_881, 77, None, None)
    with refused("realised_take_is_posted"):
        sql(insert)
        period = Period.objects.get(key="2025-01-03")
        partner_take(period, 2_881, 77, None, None)
        roll_up(period, {ANN: 77}, side="ROOT")
    with refused("period_no_overlap"):
        sql(insert.replace("[2881,2882)", "[2880,2882)"))


def test_le3_delegator_takes_add_up_per_pool_and_side(closed: tuple[Period, Period]) -> None:
    with refused("delegator_take_conserves"):
        roll_up(closed[0], {key("new"): 1}, netuid=99)
    with refused("roll_up_once"):
        roll_up(closed[0], {key("new"): 1})
    with refused("delegator_take_conserves"):
        roll_up(closed[0], {key("new"): 1}, partner=make_partner("else", 100).partner)


@pytest.mark.parametrize(
    ("delegators", "takes", "take", "rule"),
    [
        ([1], [5, 6], 11, "roll_up_names_whose_each_take_is"),
        ([], [], 0, "roll_up_names_whose_each_take_is"),
        ([1], [0], 0, "roll_up_names_whose_each_take_is"),
        ([1, 2], [5, 6], 12, "roll_up_adds_up"),
        ([1, 2], [12, -1], 11, "roll_up_adds_up"),
        ([1, 2], [11, 0], 11, "roll_up_adds_up"),
        ([1, 2], [11, None], 11, "roll_up_adds_up"),
        ([1, None], [5, 6], 11, "roll_up_adds_up"),
        ([1, 1], [5, 6], 11, "roll_up_adds_up"),
        ([1, 999_999], [5, 6], 11, "roll_up_names_delegators"),
    ],
)
def test_le3_a_roll_up_says_what_each_of_different_delegators_earned(
    closed: tuple[Period, Period],
    delegators: list[int | None],
    takes: list[int | None],
    take: int,
    rule: str,
) -> None:
    first, second, *_ = Delegator.objects.values_list("pk", flat=True)
    real = {1: first, 2: second, 999_999: 999_999}
    named = [real.get(one, one) if isinstance(one, int) else one for one in delegators]
    with refused(rule):
        sql(
            "INSERT INTO ledger_rollup (period_id, hotkey, netuid, side, delegators, takes_rao, take_rao)"
            " VALUES (%s, %s, 99, 'ALPHA', %s, %s, %s)",
            closed[0].pk,
            HOTKEY,
            named,
            takes,
            take,
        )


def allocation(period: Period, sold_in: int, earned_in: int, alpha: int, tao: int) -> None:
    sql(
        "INSERT INTO ledger_conversionallocation (period_id, conversion_id, source_id, alpha_rao, tao_rao)"
        " SELECT %s, c.id, y.id, %s, %s FROM chain_conversion c, chain_yield y"
        " WHERE c.block_id = %s AND y.block_id = %s",
        period.pk,
        alpha,
        tao,
        sold_in,
        earned_in,
    )


def test_le4_allocations_stay_within_take_conversion_time_and_pool(closed: tuple[Period, Period]) -> None:
    one, two = closed
    with refused("allocation_fits"):
        allocation(one, 30, 1_500, 1, 0)
    with refused("allocation_fits"):
        allocation(two, 1_600, 20, 1, 0)
    with refused("allocation_fits"):
        allocation(two, 30, 1_500, 1, 0)
    with refused("allocation_once"):
        allocation(one, 30, 10, 1, 0)
    with refused("allocation_valid"):
        allocation(one, 30, 1_500, 0, 0)


@pytest.mark.django_db
def test_le4_no_yield_is_sold_twice_and_no_conversion_sells_more_than_it_did() -> None:
    make_blocks(1, 10)
    make_positions({ANN: 1}, netuid=2)
    make_yield(2, 50)
    make_yield(3, 50)
    make_conversion(4, 60, 30)
    make_conversion(5, 60, 30)
    day_one = "'2025-01-01', 'DAY', '2025-01-01', '2025-01-02', '[1,11)', '{}', '', now()"
    for expected, rows in {
        "allocation_within_take": [(4, 2, 50, 0), (5, 2, 1, 0)],
        "allocation_within_conversion": [(4, 2, 50, 0), (4, 3, 11, 0)],
        "realised_take_is_posted": [(4, 2, 50, 25)],
    }.items():
        with refused(expected):
            sql(f"INSERT INTO ledger_period ({PERIOD_COLUMNS}) VALUES ({day_one})")
            period = Period.objects.get()
            for block in (2, 3):
                partner_take(period, block, 50, None, None)
            roll_up(period, {ANN: 100})
            for row in rows:
                allocation(period, *row)
    with refused("allocation_within_conversion"):
        sql(f"INSERT INTO ledger_period ({PERIOD_COLUMNS}) VALUES ({day_one})")
        period = Period.objects.get()
        for block in (2, 3):
            partner_take(period, block, 50, None, None)
        roll_up(period, {ANN: 100})
        allocation(period, 4, 2, 50, 31)


def test_f26_lines_are_the_rate_of_their_base_and_what_was_posted(closed: tuple[Period, Period]) -> None:
    one = closed[0]
    line = CommissionLine.objects.filter(period=one).order_by("pk")[0]
    insert = (
        "INSERT INTO ledger_commissionline (period_id, partner_id, agreement_id, hotkey, netuid, side, base_rao,"
        " rate_bps, commission_rao) VALUES (%s, %s, %s, %s, 7, 'ALPHA', %s, %s, %s)"
    )
    where = (one.pk, line.partner_id, line.agreement_id, HOTKEY)
    for base, rate, amount in ((3, 5_000, 2), (3, 5_000, 0), (100, 10_000, 99), (2**62, 5_000, 2**61 + 1)):
        with refused("commission_is_rate_of_base"):
            sql(insert, *where, base, rate, amount)
    with refused("commission_rate_at_most_whole"):
        sql(insert, *where, 1, 20_000, 2)
    with refused("commission_base_not_negative"):
        sql(insert, *where, -10_000, 1, -1)
    with refused("commission_lines_are_posted"):
        sql(insert, *where, 3, 5_000, 1)
    other = make_partner("Other", 100)
    with refused("commission_line_fits"):
        sql(insert, one.pk, line.partner_id, other.pk, HOTKEY, 0, 0, 0)
    with refused(""):
        sql(insert, one.pk, None, line.agreement_id, HOTKEY, 0, 0, 0)
    with refused("commission_lines_are_posted"):
        # A product beyond 64 bits is compared exactly: the line itself is accepted.
        sql(insert, one.pk, line.partner_id, line.agreement_id, HOTKEY, 2**62, 1, 2**62 // 10_000)


def test_a1_a_close_owes_partners_no_more_than_the_take(closed: tuple[Period, Period]) -> None:
    entry = Entry.objects.get(key=f"close:{closed[0].key}")
    of_kind = "FROM ledger_account a WHERE a.id = account_id AND entry_id = %s AND a.kind = %s"
    own = -entry.postings.get(account__kind="OWN_SHARE").amount_rao
    tamper(
        f"UPDATE ledger_posting SET amount_rao = amount_rao + %s {of_kind}", own + 1, entry.pk, "OWN_SHARE"
    )
    tamper(f"UPDATE ledger_posting SET amount_rao = amount_rao - %s {of_kind}", own + 1, entry.pk, "TAKE")
    with refused("paid_within_take"):
        sql("SELECT ledger_check_entry(%s)", entry.pk)


# --- Payables ------------------------------------------------------------------------------------------


def owe(amount: int) -> Partner:
    """Owe a partner an amount, outside of any period."""
    partner = make_partner(f"Partner {Partner.objects.count()}", 1_000).partner
    entry = new_entry(name=f"owe:{partner.pk}")
    add_leg(entry, "TAKE", amount)
    add_leg(entry, "PAYABLE", -amount, partner)
    return partner


@pytest.mark.django_db
def test_l5_reserving_and_releasing_move_the_debt_and_nothing_more() -> None:
    partner = owe(60)
    entry = reserve_payout(payout_id=7, partner=partner, amount_rao=40, actor=None, now=NOW)
    assert entry.key == "reserve:7"
    assert payable_by_partner() == {partner.pk: 20}
    again = reserve_payout(payout_id=7, partner=partner, amount_rao=40, actor=None, now=NOW)
    assert again == entry
    assert payable_by_partner() == {partner.pk: 20}
    with pytest.raises(ValueError, match="already reserved"):
        reserve_payout(payout_id=7, partner=partner, amount_rao=41, actor=None, now=NOW)
    with pytest.raises(ValueError, match="positive"):
        reserve_payout(payout_id=8, partner=partner, amount_rao=0, actor=None, now=NOW)
    with pytest.raises(InsufficientPayable, match=r"0\.000000020 TAO"):
        reserve_payout(payout_id=8, partner=partner, amount_rao=21, actor=None, now=NOW)
    released = release_payout(payout_id=7, actor=None, now=NOW, reason="address was wrong")
    assert (released.key, released.memo, released.reverses) == ("release:7", "address was wrong", entry)
    assert payable_by_partner() == {partner.pk: 60}
    for payout_id in (7, 99):
        with pytest.raises(UnknownReservation):
            release_payout(payout_id=payout_id, actor=None, now=NOW, reason="again")
    connection.check_constraints()


@pytest.mark.django_db
def test_l5_neither_payable_nor_in_flight_is_ever_overdrawn() -> None:
    partner = owe(60)
    for kind, other in (("PAYABLE", "IN_FLIGHT"), ("IN_FLIGHT", "PAYABLE")):
        with refused("debt_not_negative"):
            entry = new_entry()
            add_leg(entry, other, -61, partner)
            add_leg(entry, kind, 61, partner)


@pytest.mark.django_db(transaction=True)
def test_l5_an_old_snapshot_may_not_debit_a_payable() -> None:
    with transaction.atomic():
        partner = owe(60)
    with pytest.raises(NotSupportedError), transaction.atomic():  # noqa: PT012
        sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        add_leg(new_entry(), "PAYABLE", 1, partner)


def race(count: int, work: Callable[[int], None]) -> list[Exception | None]:
    """Run the work in threads that start together; give what each raised."""
    results: list[Exception | None] = [None] * count
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            barrier.wait()
            work(number)
        except Exception as error:  # noqa: BLE001
            results[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db(transaction=True)
def test_l5_of_eight_racing_reservations_exactly_one_commits() -> None:
    with transaction.atomic():
        partner = owe(60)

    def work(number: int) -> None:
        reserve_payout(payout_id=number, partner=partner, amount_rao=40, actor=None, now=NOW)

    results = race(8, work)
    assert results.count(None) == 1
    assert all(isinstance(error, InsufficientPayable) for error in results if error)
    assert payable_by_partner() == {partner.pk: 20}
    assert Entry.objects.filter(key__startswith="reserve:").count() == 1


@pytest.mark.django_db(transaction=True)
def test_l5_the_race_is_refused_below_the_service_too() -> None:
    with transaction.atomic():
        partner = owe(60)
        account("IN_FLIGHT", partner.pk)

    def work(number: int) -> None:
        with transaction.atomic():
            entry = new_entry(name=f"raw:{number}")
            add_leg(entry, "IN_FLIGHT", -40, partner)
            add_leg(entry, "PAYABLE", 40, partner)

    results = race(8, work)
    assert results.count(None) == 1
    assert all(isinstance(error, DatabaseError) for error in results if error)
    assert payable_by_partner() == {partner.pk: 20}


@pytest.mark.django_db(transaction=True)
def test_l4_the_same_payout_raced_is_reserved_once() -> None:
    with transaction.atomic():
        partner = owe(100)

    def work(number: int) -> None:
        reserve_payout(payout_id=5, partner=partner, amount_rao=40, actor=None, now=NOW)

    assert race(8, work) == [None] * 8
    assert payable_by_partner() == {partner.pk: 60}


@pytest.mark.django_db(transaction=True)
def test_f1_two_rivals_close_a_day_once() -> None:
    def attribute(number: int) -> None:
        attribute_yields(now=NOW)

    def close(number: int) -> None:
        close_due_days(actor=None, now=NOW)

    build_two_days()
    results = race(3, attribute)
    assert results == [None] * 3
    race(3, close)
    assert Period.objects.count() == 2
    assert sorted(Entry.objects.values_list("key", flat=True)) == ["close:2025-01-01", "close:2025-01-02"]
    assert Account.objects.count() == 4
