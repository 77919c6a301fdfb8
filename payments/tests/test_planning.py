"""Planning: everyone is paid or told why not, and a plan's hash names exactly what it pays."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.addresses import encode_address
from payments.planning import Candidate, Line, Plan, Reason, compute_content_hash, plan_payouts

ADDRESS = encode_address(bytes([7] * 32))
BASE = Candidate(
    partner_id=1, slug="cb", name="Creative Builds", is_active=True, address=ADDRESS, payable_rao=1_000_000
)


def reason_of(candidate: Candidate) -> Reason | None:
    plan = plan_payouts([candidate])
    assert len(plan.lines) + len(plan.skipped) == 1
    return plan.skipped[0].reason if plan.skipped else None


def test_py1_all_that_is_payable_is_paid() -> None:
    plan = plan_payouts([BASE])
    assert plan == Plan((Line(1, "cb", "Creative Builds", ADDRESS, 1_000_000),), ())
    assert plan.total_rao == 1_000_000


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"payable_rao": 0}, Reason.NOTHING_DUE),
        ({"is_active": False}, Reason.PAUSED),
        ({"has_open_payout": True}, Reason.OPEN_PAYOUT),
        ({"address": ""}, Reason.NO_ADDRESS),
        ({"address": ADDRESS + "\n"}, Reason.BAD_ADDRESS),
        ({"address": encode_address(bytes([7] * 32), prefix=0)}, Reason.BAD_ADDRESS),
        ({"minimum_rao": 1_000_001}, Reason.BELOW_MINIMUM),
        ({"minimum_rao": 1_000_000}, None),
        ({"payable_rao": 499}, Reason.BELOW_MINIMUM),
        ({"payable_rao": 500}, None),
    ],
)
def test_py1_each_reason_for_skipping(change: dict[str, object], reason: Reason | None) -> None:
    assert reason_of(replace(BASE, **change)) == reason  # type: ignore[arg-type]


def test_f27_a_partner_who_owes_us_is_shown_with_the_debt() -> None:
    plan = plan_payouts([replace(BASE, payable_rao=-5), replace(BASE, partner_id=2, payable_rao=700)])
    assert [(skip.payable_rao, skip.reason) for skip in plan.skipped] == [(-5, Reason.NOTHING_DUE)]
    assert "Owes 0.000000005 TAO" in plan.skipped[0].text
    assert plan.total_rao == 700


def test_f5_the_same_partner_twice_is_refused_instead_of_summed() -> None:
    with pytest.raises(ValueError, match="once only"):
        plan_payouts([BASE, replace(BASE, payable_rao=9)])


candidates = st.lists(
    st.builds(
        Candidate,
        partner_id=st.integers(1, 10**6),
        slug=st.from_regex(r"[a-z]{1,8}", fullmatch=True),
        name=st.text(max_size=8),
        is_active=st.booleans(),
        address=st.sampled_from(["", ADDRESS, encode_address(bytes([9] * 32)), "5bad"]),
        payable_rao=st.integers(-(10**12), 10**17),
        minimum_rao=st.integers(0, 10**10),
        has_open_payout=st.booleans(),
    ),
    unique_by=lambda candidate: candidate.partner_id,
    max_size=12,
)


@given(candidates, st.randoms())
@settings(max_examples=150, deadline=None)
def test_py1_nobody_vanishes_and_order_does_not_matter(some: list[Candidate], random: object) -> None:
    plan = plan_payouts(some)
    told = [line.partner_id for line in plan.lines] + [skip.partner_id for skip in plan.skipped]
    assert sorted(told) == sorted(candidate.partner_id for candidate in some)
    shuffled = list(some)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan_payouts(shuffled) == plan
    assert all(line.amount_rao >= 500 for line in plan.lines)
    payable = {candidate.partner_id: candidate.payable_rao for candidate in some}
    assert plan.total_rao == sum(payable[line.partner_id] for line in plan.lines)


LINES = [
    Line(2, "talisman", "Talisman", encode_address(bytes([2] * 32)), 20),
    Line(1, "cb", "Creative Builds", ADDRESS, 10),
]


def hash_of(lines: list[Line], **change: str) -> str:
    arguments = {"genesis_hash": "0x01", "period_key": "2026-01-02", "manifest_hash": "ab"} | change
    return compute_content_hash(lines=lines, **arguments)


def test_py1_hash_is_the_sha256_of_the_written_down_text() -> None:
    text = (
        '{"format":1,"genesis_hash":"0x01","payouts":[{"address":"' + ADDRESS + '","amount_rao":10,'
        '"partner_id":1,"slug":"cb"},{"address":"' + LINES[0].address + '","amount_rao":20,"partner_id":2,'
        '"slug":"talisman"}],"through":{"key":"2026-01-02","manifest_hash":"ab"}}'
    )
    assert hash_of(LINES) == hashlib.sha256(text.encode()).hexdigest()
    assert hash_of(LINES[::-1]) == hash_of(LINES)


def test_py1_hash_changes_with_everything_that_is_paid() -> None:
    variants = [
        hash_of(LINES, genesis_hash="0x02"),
        hash_of(LINES, period_key="2026-01-03"),
        hash_of(LINES, manifest_hash="ac"),
        hash_of(LINES[:1]),
        *(
            hash_of([replace(LINES[0], **change), LINES[1]])
            for change in ({"amount_rao": 21}, {"address": ADDRESS}, {"partner_id": 3}, {"slug": "t"})
        ),
    ]
    assert len({hash_of(LINES), *variants}) == len(variants) + 1
    assert hash_of([replace(LINES[0], name="Renamed"), LINES[1]]) == hash_of(LINES)
