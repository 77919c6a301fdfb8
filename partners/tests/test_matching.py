"""Whose a delegation is: the boundaries of every condition, and properties over random books."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partners.matching import (
    AgreementTerms,
    Delegation,
    History,
    Reason,
    RuleBook,
    RuleTerms,
    TaggedAt,
    WalletTerms,
)

START = datetime(2025, 8, 1, tzinfo=UTC)
ALICE, BOB = "5Alice", "5Bob"


NINE_DAYS = timedelta(days=9)


def delegation(coldkey: str = ALICE, block: int = 1000, at: datetime = START + NINE_DAYS) -> Delegation:
    return Delegation(coldkey, "5Hotkey", 2, "ALPHA", block, at)


def agreement(
    pk: int = 1, partner: int = 1, ends_at: datetime | None = None, rate: int = 3300
) -> AgreementTerms:
    return AgreementTerms(pk, partner, f"Partner {partner}", START, ends_at, rate)


def wallet(pk: int = 1, partner: int = 1, address: str = ALICE, **values: object) -> WalletTerms:
    return WalletTerms(pk, partner, address, values.pop("introduced", date(2025, 8, 5)), **values)  # type: ignore[arg-type]


def reasons(book: RuleBook, what: Delegation) -> list[Reason]:
    return [verdict.reason for verdict in book.why(what).verdicts]


def test_pa1_a_listed_wallet_under_an_agreement_in_force_is_the_partners() -> None:
    book = RuleBook([agreement()], [RuleTerms(7, 1)], [wallet(9)])
    found = book.winner(delegation())
    assert found is not None
    assert (found.partner_id, found.agreement_id, found.rule_id, found.wallet_id) == (1, 1, 7, 9)
    assert found.rate_bps == 3300
    assert book.winner(delegation(BOB)) is None


@pytest.mark.parametrize(
    ("book", "what", "reason"),
    [
        (
            RuleBook([agreement()], [RuleTerms(1, 1)], [wallet()]),
            delegation(at=datetime(2025, 8, 4, 23, 59, 59, 999999, tzinfo=UTC)),
            Reason.WALLET_INTRODUCED_LATER,
        ),
        (
            RuleBook([agreement()], [RuleTerms(1, 1)], [wallet(ended_date=date(2025, 8, 7))]),
            delegation(at=datetime(2025, 8, 7, tzinfo=UTC)),
            Reason.WALLET_ENDED,
        ),
        (
            RuleBook([agreement()], [RuleTerms(1, 1, applies_from_block=1001)], [wallet()]),
            delegation(),
            Reason.BEFORE_FIRST_BLOCK,
        ),
        (
            RuleBook([agreement(ends_at=START + timedelta(days=9))], [RuleTerms(1, 1)], [wallet()]),
            delegation(),
            Reason.AGREEMENT_NOT_IN_FORCE,
        ),
        (
            RuleBook([agreement()], [RuleTerms(1, 1)], [wallet(introduced=date(2025, 7, 1))]),
            delegation(at=START - timedelta(microseconds=1)),
            Reason.AGREEMENT_NOT_IN_FORCE,
        ),
        (
            RuleBook([agreement()], [RuleTerms(1, 1, is_active=False)], [wallet()]),
            delegation(),
            Reason.RULE_INACTIVE,
        ),
        (
            RuleBook([agreement()], [RuleTerms(1, 1)], [wallet(is_active=False)]),
            delegation(),
            Reason.WALLET_INACTIVE,
        ),
        (RuleBook([agreement()], [RuleTerms(1, 1)], [wallet()]), delegation(BOB), Reason.ADDRESS_NOT_LISTED),
        (RuleBook([agreement()], [], [wallet()]), delegation(), Reason.NO_RULE),
    ],
)
def test_pa1_a_delegation_no_rule_claims_says_why(book: RuleBook, what: Delegation, reason: Reason) -> None:
    assert book.winner(what) is None
    assert reasons(book, what) == [reason]
    assert book.why(what).verdicts[0].text


@pytest.mark.parametrize(
    ("book", "what"),
    [
        (
            RuleBook([agreement()], [RuleTerms(1, 1)], [wallet()]),
            delegation(at=datetime(2025, 8, 5, tzinfo=UTC)),
        ),
        (RuleBook([agreement()], [RuleTerms(1, 1, applies_from_block=1000)], [wallet()]), delegation()),
        (
            RuleBook([agreement()], [RuleTerms(1, 1)], [wallet(introduced=date(2025, 7, 1))]),
            delegation(at=START),
        ),
        (
            RuleBook([agreement(ends_at=START + timedelta(days=9))], [RuleTerms(1, 1)], [wallet()]),
            delegation(at=START + timedelta(days=9, microseconds=-1)),
        ),
    ],
)
def test_pa2_spans_are_half_open_at_the_exact_block_and_moment(book: RuleBook, what: Delegation) -> None:
    assert book.winner(what) is not None


def test_pa2_a_new_rate_wins_from_the_moment_it_takes_over() -> None:
    turn = START + timedelta(days=9)
    later = AgreementTerms(2, 1, "Partner 1", turn, None, 5000)
    book = RuleBook([later, agreement(ends_at=turn)], [RuleTerms(2, 2), RuleTerms(1, 1)], [wallet()])
    before, after = book.winner(delegation(at=turn - timedelta(seconds=12))), book.winner(delegation(at=turn))
    assert before is not None
    assert after is not None
    assert (before.rate_bps, after.rate_bps) == (3300, 5000)


def test_pa1_the_lower_priority_wins_then_the_older_rule_and_the_loser_is_named() -> None:
    agreements = [agreement(1, 1), agreement(2, 2)]
    wallets = [wallet(1, 1), wallet(2, 2)]
    book = RuleBook(agreements, [RuleTerms(1, 1, 100), RuleTerms(2, 2, 50)], wallets)
    found = book.winner(delegation())
    assert found is not None
    assert found.partner_id == 2
    assert reasons(book, delegation()) == [Reason.WON, Reason.OUTRANKED]
    tied = RuleBook(agreements, [RuleTerms(2, 2), RuleTerms(1, 1)], wallets).winner(delegation())
    assert tied is not None
    assert tied.partner_id == 1


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        delegation(at=datetime(2025, 8, 9))  # noqa: DTZ001


def test_the_day_of_introduction_is_a_utc_day_whatever_zone_the_time_is_in() -> None:
    book = RuleBook([agreement()], [RuleTerms(1, 1)], [wallet()])
    tokyo = datetime.fromisoformat("2025-08-05T08:59:59+09:00")
    assert book.winner(delegation(at=tokyo)) is None
    assert book.winner(delegation(at=tokyo + timedelta(seconds=1))) is not None


def test_a_wallet_counts_until_the_utc_day_that_it_ended() -> None:
    book = RuleBook([agreement()], [RuleTerms(1, 1)], [wallet(ended_date=date(2025, 8, 7))])
    tokyo = datetime.fromisoformat("2025-08-07T08:59:59+09:00")
    assert book.winner(delegation(at=tokyo)) is not None
    assert book.winner(delegation(at=tokyo + timedelta(seconds=1))) is None


moments = st.integers(-3, 20).map(lambda days: START + timedelta(days=days, hours=days))
addresses = st.sampled_from(["5A", "5B", "5C", "5D"])


@st.composite
def books(draw: st.DrawFn) -> tuple[list[AgreementTerms], list[RuleTerms], list[WalletTerms]]:
    agreements = []
    for pk in range(1, draw(st.integers(0, 5)) + 1):
        partner, starts_at = draw(st.integers(1, 3)), draw(moments)
        ends_at = draw(st.none() | st.just(starts_at + timedelta(days=draw(st.integers(1, 9)))))
        rate = draw(st.integers(0, 10_000))
        scope = (
            draw(st.frozensets(st.integers(1, 3), max_size=1)),
            draw(st.frozensets(st.sampled_from(["5Hotkey", "5Other"]), max_size=1)),
            draw(st.frozensets(st.sampled_from(["ALPHA", "ROOT"]), max_size=1)),
            draw(st.booleans()),
        )
        agreements.append(
            AgreementTerms(pk, partner, f"Partner {partner}", starts_at, ends_at, rate, "TAKE", *scope)
        )
    rules = [
        RuleTerms(
            pk,
            draw(st.integers(1, len(agreements))),
            draw(st.integers(1, 3)),
            draw(st.integers(0, 9)),
            on,
            applies_until_block=draw(st.none() | st.integers(10, 13)),
            **draw(st.sampled_from(LOOKS_AT)),
        )
        for pk, on in enumerate(draw(st.lists(st.booleans(), max_size=6 if agreements else 0)), 1)
    ]
    wallets = [
        WalletTerms(
            pk,
            draw(st.integers(1, 3)),
            address,
            draw(moments).date(),
            draw(st.booleans()),
            ended_date=draw(st.none() | moments.map(datetime.date)),
        )
        for pk, address in enumerate(draw(st.lists(addresses, max_size=6)), 1)
    ]
    return agreements, rules, wallets


LOOKS_AT: list[dict[str, Any]] = [
    {"kind": "WALLET"},
    {"kind": "WALLET"},
    {"kind": "MEMO", "memo_match": "EQUALS", "memo": "talisman"},
    {"kind": "MEMO", "memo_match": "STARTS", "memo": "nova"},
    {"kind": "MEMO", "memo_match": "REGEX", "memo": "^(talisman|nova)"},
    {"kind": "MEMO", "memo_match": "EQUALS", "memo": "talisman", "on_restake": True},
    {"kind": "MEMO", "memo_match": "STARTS", "memo": "nova", "on_stake": False, "on_restake": True},
    {"kind": "SUBNET", "netuid": 2},
    {"kind": "SIDE", "side": "ROOT"},
    {"kind": "ALL"},
]
texts = st.sampled_from([b"", b"talisman", b"nova:1", b"other"])
histories = st.none() | st.builds(
    lambda first, at, tagged: History(
        first, 0, at, tuple(TaggedAt(first + gap, gap, text) for gap, text in enumerate(tagged))
    ),
    st.integers(0, 12),
    moments,
    st.lists(texts, max_size=3),
)
delegations = st.builds(
    Delegation,
    addresses,
    st.sampled_from(["5Hotkey", "5Other"]),
    st.integers(1, 3),
    st.sampled_from(["ALPHA", "ROOT"]),
    st.integers(0, 12),
    moments,
    texts,
    texts,
    histories,
)


@settings(max_examples=200, deadline=None)
@given(books(), st.lists(delegations, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_f26_one_winner_at_most_whatever_order_the_rows_come_in(
    rows: tuple[list[AgreementTerms], list[RuleTerms], list[WalletTerms]],
    whats: list[Delegation],
    chance: random.Random,
) -> None:
    book = RuleBook(*rows)
    shuffled = RuleBook(*[chance.sample(part, len(part)) for part in rows])  # type: ignore[arg-type]
    assert shuffled.fingerprint() == book.fingerprint()
    json.dumps(book.fingerprint())
    for what in whats:
        why = book.why(what)
        assert shuffled.winner(what) == book.winner(what) == why.winner
        won = [verdict for verdict in why.verdicts if verdict.reason is Reason.WON]
        assert len(won) == (why.winner is not None)
        if why.winner is not None:
            assert (won[0].rule_id, won[0].wallet_id) == (why.winner.rule_id, why.winner.wallet_id)


@settings(max_examples=200, deadline=None)
@given(books(), st.dictionaries(addresses, st.integers(0, 2**64), min_size=1), moments, st.integers(0, 12))
def test_f26_what_partners_are_given_never_exceeds_the_whole(
    rows: tuple[list[AgreementTerms], list[RuleTerms], list[WalletTerms]],
    take_rao: dict[str, int],
    at: datetime,
    block: int,
) -> None:
    book, given_rao = RuleBook(*rows), 0
    for address, rao in take_rao.items():
        won = book.winner(delegation(address, block, at))
        given_rao += rao * won.rate_bps // 10_000 if won else 0
    assert 0 <= given_rao <= sum(take_rao.values())


@settings(max_examples=300, deadline=None)
@given(books(), delegations)
def test_pa1_named_comes_before_tagged_and_tagged_before_all_whatever_the_priority(
    rows: tuple[list[AgreementTerms], list[RuleTerms], list[WalletTerms]], what: Delegation
) -> None:
    agreements, rules, wallets = rows
    ranks = {"WALLET": 0, "MEMO": 1}
    alone = {rule.id: RuleBook(agreements, [rule], wallets).winner(what) for rule in rules}
    claims = [rule for rule in rules if alone[rule.id] is not None]
    claims.sort(key=lambda rule: (ranks.get(rule.kind, 2), rule.priority, rule.id))
    winner = RuleBook(*rows).winner(what)
    assert (winner is None) == (not claims)
    if winner is not None:
        first, *others = [rule.id for rule in claims]
        assert winner.outranked == tuple(others)
        assert replace(winner, outranked=()) == alone[first]


@pytest.mark.parametrize(
    ("rule", "tag", "reason"),
    [
        ({"kind": "MEMO", "memo_match": "EQUALS", "memo": "talisman"}, b"nova", Reason.OTHER_MEMO),
        ({"kind": "MEMO", "memo_match": "EQUALS", "memo": "talisman"}, b"", Reason.OTHER_MEMO),
        ({"kind": "SUBNET", "netuid": 3}, b"", Reason.OTHER_SUBNET),
        ({"kind": "SIDE", "side": "ROOT"}, b"", Reason.OTHER_SIDE),
        ({"kind": "SIDE", "side": "CHILD"}, b"", Reason.OTHER_SIDE),
    ],
)
def test_pa3_what_a_rule_does_not_look_at_says_why(rule: dict[str, Any], tag: bytes, reason: Reason) -> None:
    book = RuleBook([agreement()], [RuleTerms(1, 1, **rule)], [wallet()])
    assert book.winner(replace(delegation(), tag=tag)) is None
    assert reasons(book, replace(delegation(), tag=tag)) == [reason]


@pytest.mark.parametrize("side", ["ALPHA", "ROOT"])
def test_pa2_stake_on_a_child_key_is_of_its_side_and_of_the_child(side: str) -> None:
    on_child = replace(delegation(), side=side, is_child=True)
    for sides in ({"CHILD"}, {side}, {"CHILD", side}):
        book = RuleBook([replace(agreement(), sides=frozenset(sides))], [RuleTerms(1, 1)], [wallet()])
        assert reasons(book, on_child) == [Reason.WON]
        assert book.asks_children is ("CHILD" in sides)
    only = RuleBook([replace(agreement(), sides=frozenset({"CHILD"}))], [RuleTerms(1, 1)], [wallet()])
    assert reasons(only, replace(on_child, is_child=False)) == [Reason.OUT_OF_SCOPE]
    by_rule = RuleBook([agreement()], [RuleTerms(1, 1, kind="SIDE", side="CHILD")], [wallet()])
    assert reasons(by_rule, on_child) == [Reason.WON]
    assert by_rule.asks_children
    assert not RuleBook(
        [agreement()], [RuleTerms(1, 1, is_active=False, kind="SIDE", side="CHILD")], []
    ).asks_children


MEMO = {"kind": "MEMO", "memo_match": "EQUALS", "memo": "talisman"}
FIRST_TAG = TaggedAt(10, 4, b"talisman")


@pytest.mark.parametrize(
    ("rule", "history", "reason"),
    [
        (MEMO, History(10, 4, START, (FIRST_TAG,)), Reason.WON),
        (MEMO, History(10, 3, START, (FIRST_TAG,)), Reason.NOT_NEW),
        (MEMO, History(9, 9, START, (FIRST_TAG,)), Reason.NOT_NEW),
        (MEMO, History(9, 9, START, (TaggedAt(9, 9, b"nova"), FIRST_TAG)), Reason.NOT_NEW),
        (MEMO, None, Reason.HISTORY_UNKNOWN),
        ({"kind": "WALLET"}, History(9, 9, datetime(2025, 8, 5, tzinfo=UTC)), Reason.WON),
        ({"kind": "WALLET"}, History(9, 9, datetime(2025, 8, 4, 23, 59, tzinfo=UTC)), Reason.NOT_NEW),
        ({"kind": "ALL"}, History(9, 9, START), Reason.WON),
        ({"kind": "ALL"}, History(9, 9, START - timedelta(seconds=1)), Reason.NOT_NEW),
    ],
)
def test_pa8_new_delegators_only_by_what_finds_them(
    rule: dict[str, Any], history: History | None, reason: Reason
) -> None:
    book = RuleBook([replace(agreement(), new_delegators_only=True)], [RuleTerms(1, 1, **rule)], [wallet()])
    what = replace(delegation(), tag=b"talisman", history=history)
    assert reasons(book, what) == [reason]
    assert (book.winner(what) is not None) == (reason is Reason.WON)


@settings(max_examples=100, deadline=None)
@given(books(), st.lists(delegations, min_size=1, max_size=8))
def test_rows_left_out_of_the_fingerprint_never_win(
    rows: tuple[list[AgreementTerms], list[RuleTerms], list[WalletTerms]], whats: list[Delegation]
) -> None:
    agreements, rules, wallets = rows
    print_ = RuleBook(*rows).fingerprint()
    kept = [{row["id"] for row in print_[name]} for name in ("agreements", "rules", "wallets")]
    smaller = RuleBook(
        [row for row in agreements if row.id in kept[0]],
        [row for row in rules if row.id in kept[1]],
        [row for row in wallets if row.id in kept[2]],
    )
    for what in whats:
        assert smaller.winner(what) == RuleBook(*rows).winner(what)


def test_pa2_the_fingerprint_changes_with_every_value_that_decides() -> None:
    base = RuleBook([agreement()], [RuleTerms(1, 1)], [wallet()]).fingerprint()
    others = [
        RuleBook([agreement(rate=3301)], [RuleTerms(1, 1)], [wallet()]),
        RuleBook([agreement(ends_at=START + timedelta(days=1))], [RuleTerms(1, 1)], [wallet()]),
        RuleBook([agreement()], [RuleTerms(1, 1, priority=1)], [wallet()]),
        RuleBook([agreement()], [RuleTerms(1, 1, applies_from_block=1)], [wallet()]),
        RuleBook([agreement()], [RuleTerms(1, 1)], [wallet(introduced=date(2025, 8, 6))]),
        RuleBook([agreement()], [RuleTerms(1, 1)], [wallet(address=BOB)]),
        RuleBook([agreement()], [RuleTerms(1, 1)], [wallet(is_active=False)]),
        RuleBook([agreement()], [RuleTerms(1, 1, is_active=False)], [wallet()]),
        *(RuleBook([agreement()], [RuleTerms(1, 1, **looks)], [wallet()]) for looks in LOOKS_AT[2:]),
        *(
            RuleBook([replace(agreement(), **scope)], [RuleTerms(1, 1)], [wallet()])
            for scope in (
                {"netuids": frozenset({2})},
                {"hotkeys": frozenset({"5Hotkey"})},
                {"sides": frozenset({"ROOT"})},
                {"new_delegators_only": True},
            )
        ),
    ]
    assert all(book.fingerprint() != base for book in others)
