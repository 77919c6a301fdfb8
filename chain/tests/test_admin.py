"""The chain's pages: nothing can be written, lists ask a fixed number of queries, filters and searches find."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from chain.admin import base
from chain.models import (
    Backfill,
    Block,
    Conversion,
    Endpoint,
    FollowedHotkey,
    Gap,
    Hotkey,
    IngestRun,
    Position,
    Remark,
    Runtime,
    StakeEvent,
    Yield,
)
from chain.tests.factories import (
    HOTKEY,
    OWNER,
    START,
    TAO,
    key,
    make_backfill,
    make_blocks,
    make_conversion,
    make_everything,
    make_gap,
    make_position,
    make_run,
    make_yield,
)

pytestmark = pytest.mark.django_db

MODELS: list[type[Model]] = [
    Block,
    Yield,
    StakeEvent,
    Conversion,
    Remark,
    Position,
    Hotkey,
    Gap,
    IngestRun,
    Backfill,
    Runtime,
    Endpoint,
]
# Beside the session, the user, and the open gaps in the sidebar: the count, the rows, the hotkeys to filter by, ...
QUERIES: dict[type[Model], int] = {
    Block: 2,
    Yield: 3,
    StakeEvent: 3,
    Conversion: 3,
    Remark: 3,
    Position: 5,
    Hotkey: 4,
    Gap: 2,
    IngestRun: 2,
    Backfill: 3,
    Runtime: 2,
    Endpoint: 2,
}
# Session, user, open gaps, payout addresses that wait, and which chain is held.
FRAME = 5


@pytest.fixture
def admin() -> Client:
    """A browser of a superuser, who may do most."""
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def list_url(model: type[Model]) -> str:
    return reverse(f"admin:chain_{model.__name__.lower()}_changelist")


def page_url(row: Any) -> str:
    return reverse(f"admin:chain_{type(row).__name__.lower()}_change", args=[row.pk])


def text_of(client: Client, url: str) -> str:
    """The page without tags, so that wording can be compared."""
    response = client.get(url)
    assert response.status_code == 200, url
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def rows_of(client: Client, url: str) -> list[Any]:
    """The rows a list shows."""
    return list(client.get(url).context["cl"].result_list)


@pytest.mark.parametrize("size", [2, 40])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_ui9_a_list_asks_as_many_queries_for_many_rows_as_for_few(
    admin: Client, model: type[Model], size: int
) -> None:
    make_everything(size)
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert admin.get(list_url(model)).status_code == 200
    assert len(asked) == FRAME + QUERIES[model], [query["sql"][:200] for query in asked]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_ui9_every_fact_has_its_page(admin: Client, model: type[Model]) -> None:
    make_everything(3)
    row: Any = model._default_manager.first()
    assert admin.get(page_url(row)).status_code == 200


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_ui9_nobody_adds_changes_or_deletes_a_fact(admin: Client, model: type[Model]) -> None:
    make_everything(2)
    row: Any = model._default_manager.first()
    before = list(model._default_manager.order_by("pk").values())
    name = model.__name__.lower()
    assert admin.post(reverse(f"admin:chain_{name}_add"), {"number": 9}).status_code == 403
    assert (
        admin.post(reverse(f"admin:chain_{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
    )
    if model is not Hotkey:
        assert admin.post(page_url(row), {"take_rao": 5, "reason": "x", "status": "DONE"}).status_code == 403
    selected = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    admin.post(list_url(model), selected)
    assert list(model._default_manager.order_by("pk").values()) == before


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_ui9_without_the_right_no_list_and_no_page_opens(model: type[Model]) -> None:
    make_everything(1)
    client = Client()
    client.force_login(User.objects.create_user("stranger", is_staff=True))
    assert client.get(list_url(model)).status_code == 403
    assert client.get(page_url(model._default_manager.first())).status_code == 403


def test_ui9_viewers_see_the_chain_and_only_operators_name_hotkeys(admin: Client) -> None:
    hotkey = Hotkey.objects.create(address=HOTKEY, first_block=1)
    wanted = {"label": "RT21", "address": OWNER, "first_block": 99}
    for name, changed in [("viewer", False), ("approver", False), ("operator", True)]:
        user = User.objects.create_user(name, is_staff=True)
        user.groups.add(Group.objects.get(name=name))
        client = Client()
        client.force_login(user)
        assert all(client.get(list_url(model)).status_code == 200 for model in MODELS), name
        assert client.post(page_url(hotkey), wanted).status_code == (302 if changed else 403), name
        hotkey.refresh_from_db()
        assert (hotkey.label == "RT21") is changed
    # The label and nothing else.
    assert (hotkey.address, hotkey.first_block) == (HOTKEY, 1)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_ui9_an_empty_list_says_what_to_do_or_that_all_is_well(admin: Client, model: type[Model]) -> None:
    said = text_of(admin, list_url(model))
    assert {Gap: "No gaps", Position: "No positions", IngestRun: "Nothing was ingested yet"}.get(
        model, "yet"
    ) in said
    if model is Gap:
        assert "Every block that was asked for was read and proved" in said
    elif model is Endpoint:
        assert "RAKEBACK_NODE_URL" in said
    elif model is Conversion:
        assert "sells earned alpha for TAO" in said
    elif model is Backfill:
        assert "manage.py backfill --from A --to B" in said
    else:
        assert "manage.py ingest --segment FILE" in said


def test_ui3_a_block_is_found_by_number_and_by_hash(admin: Client) -> None:
    make_blocks(1, 20)
    make_blocks(1_234, 1_234)
    hash_of_17 = Block.objects.get(pk=17).hash
    for wanted, numbers in [
        ("17", [17]),
        ("1,234", [1_234]),
        (hash_of_17, [17]),
        (hash_of_17[:-1].upper().replace("0X", "0x"), [17, 16]),
        ("0xff", []),
        ("no block", []),
        ("21", []),
    ]:
        found = [row.number for row in rows_of(admin, f"{list_url(Block)}?q={wanted}")]
        assert found == numbers or (len(numbers) > 1 and set(numbers) <= set(found)), wanted


@pytest.mark.parametrize("model", [Block, Yield, StakeEvent, Conversion], ids=lambda model: model.__name__)
def test_ui3_both_days_of_a_range_are_whole(admin: Client, model: type[Model]) -> None:
    # Four blocks a day: 1 to 4 on 1 January, 5 to 8 on the second, 9 to 12 on the third.
    make_everything(16)
    field = "timestamp" if model is Block else "block__timestamp"

    def numbers(query: str) -> set[int]:
        rows = rows_of(admin, f"{list_url(model)}?{query}")
        return {row.number if model is Block else row.block_id for row in rows}

    assert numbers(f"{field}_from=2025-01-02&{field}_to=2025-01-03") == set(range(5, 13))
    assert numbers(f"{field}_from=2025-01-04") == set(range(13, 17))
    assert numbers(f"{field}_to=2025-01-01") == set(range(1, 5))
    assert numbers(f"{field}_from=2026-01-01") == set()


def test_ui3_a_day_that_is_none_is_said_and_shows_nothing_instead_of_all(admin: Client) -> None:
    make_everything(2)
    url = f"{list_url(Yield)}?block__timestamp_from=yesterday"
    assert "&#x27;yesterday&#x27; is not a day" in text_of(admin, url)
    assert rows_of(admin, url) == []
    assert rows_of(admin, f"{list_url(Yield)}?netuid=two") == []


def test_ui3_yields_are_filtered_by_hotkey_subnet_and_side(admin: Client) -> None:
    make_blocks(1, 2)
    wanted = make_yield(1, netuid=3)
    make_yield(1, netuid=3, side="ROOT")
    make_yield(1, netuid=2)
    make_yield(2, netuid=3, hotkey=key("other"))
    url = f"{list_url(Yield)}?hotkey={HOTKEY}&netuid=3&side__exact=ALPHA"
    assert rows_of(admin, url) == [wanted]


def test_ui3_a_yield_shows_every_method(admin: Client) -> None:
    make_blocks(1, 1)
    row = make_yield(1, dividend_rao=5 * TAO, take_rao=7 * TAO, other_rao=TAO, pool_before_rao=40 * TAO)
    said = text_of(admin, page_url(row))
    assert "13.000000000 α2" in said, "growth of the pool: dividend, take and what is beside it"
    assert "40.000000000 α2" in said
    assert "Least take that gives the dividend 7.000000000 α2" in said
    assert "Confirmed by The whole pool was replayed" in said
    assert "✓ agree" in said


def test_ui3_a_block_shows_all_that_was_read_from_it_and_its_neighbours(admin: Client) -> None:
    make_everything(3)
    response = admin.get(page_url(Block.objects.get(pk=2)))
    tables = {table.title: len(table.rows) for table in response.context["tables"]}
    assert tables == {
        "Yields": 2,
        "Stake events": 1,
        "Conversions": 1,
        "Remarks": 1,
        "Pool prices after this block": 1,
    }
    assert [text for _, text in response.context["page_links"]] == ["← Block 1", "Block 3 →"]
    assert reverse("admin:ledger_block", args=[2]) in response.content.decode()


def test_ui4_a_conversion_shows_its_exact_rate_and_where_the_tao_went(admin: Client) -> None:
    make_blocks(1, 1)
    said = text_of(admin, page_url(make_conversion(1)))
    assert "0.666666666 TAO/α2" in said
    assert "2,000,000,000 rao / 3,000,000,000 rao of alpha" in said
    assert "Free balance" in said


def test_ui2_positions_are_those_held_now_unless_asked_otherwise(admin: Client) -> None:
    make_blocks(1, 9)
    now, ended = make_position(key("a")), make_position(key("b"), end=5)
    assert rows_of(admin, list_url(Position)) == [now]
    assert rows_of(admin, f"{list_url(Position)}?held=ended") == [ended]
    assert len(rows_of(admin, f"{list_url(Position)}?held=all")) == 2
    assert rows_of(admin, f"{list_url(Position)}?held=all&q={key('b')}") == [ended]


def test_ui2_a_position_is_worth_a_dash_until_an_epoch_shows_its_worth(admin: Client) -> None:
    make_blocks(1, 2)
    position = make_position(key("a"), share=100)
    assert "Worth now –" in text_of(admin, page_url(position))
    # 10,000 rao over 10,000 shares, 100 rao of take minted at that price, then 900 rao for all 10,100 shares.
    make_yield(2)
    assert f"Worth now 0.{100 * 11_000 // 10_100:09d} α2" in text_of(admin, page_url(position))


def test_ui6_a_gap_says_what_to_do_until_it_is_resolved(admin: Client) -> None:
    gap = make_gap(12, 21)
    assert "manage.py backfill --gaps --local 2" in text_of(admin, page_url(gap))
    assert rows_of(admin, f"{list_url(Gap)}?status=resolved") == []
    gap.state, gap.resolved_at, gap.resolved_by = "RESOLVED", gap.detected_at, gap.detected_by
    gap.save()
    assert "Nothing: the blocks are stored." in text_of(admin, page_url(gap))
    assert rows_of(admin, f"{list_url(Gap)}?status=open") == []


ADVISED = dict.fromkeys(Gap.Kind.values, "manage.py backfill --gaps --local 2") | {
    Gap.Kind.UNKNOWN_RUNTIME: "manage.py check_runtime",
    Gap.Kind.UNACCOUNTED: "reading them again changes nothing",
    Gap.Kind.MISSING_BLOCKS: "Restore them from a backup",
}


@pytest.mark.parametrize(("kind", "advice"), ADVISED.items())
def test_ui6_every_kind_of_gap_has_its_advice(admin: Client, kind: str, advice: str) -> None:
    gap = make_gap(1, 2, kind)
    assert advice in text_of(admin, page_url(gap))
    reads_again = reverse("admin:chain_gap_retry") in admin.get(page_url(gap)).content.decode()
    assert reads_again is (kind not in (Gap.Kind.UNACCOUNTED, Gap.Kind.MISSING_BLOCKS))


def make_runtime(spec: int, **other: Any) -> Runtime:
    return Runtime.objects.create(
        spec_version=spec, metadata=b"x", metadata_sha256="ab" * 32, first_block=1, era="423+", **other
    )


def test_ch4_a_runtime_says_whether_its_rules_are_known_admitted_or_assumed(admin: Client) -> None:
    make_blocks(1, 1)
    known = Runtime.objects.get(pk=293)
    said = text_of(admin, page_url(known))
    assert "Known: its rules were read" in said
    assert "Read as era 261–333" in said
    assert "Evidence" not in said
    evidence = {
        "blocks": [7_000, 7_800],
        "epochs": 12,
        "yields": {"ALPHA": 3},
        "proofs": {"POOL": 2, "DOUBT": 1},
    }
    admitted = make_runtime(426, admitted_at=START, admitted_by="ada", evidence=evidence)
    said = text_of(admin, page_url(admitted))
    assert "Admitted: it passed the self-test" in said
    assert "By ada" in said
    assert "Blocks of the runtime that were read 7,000 to 7,800" in said
    assert "Open by a rao: 1, Whole pool replayed: 2" in said
    assumed = make_runtime(427, admitted_at=START, admitted_by="bob", assumed=True)
    said = text_of(admin, page_url(assumed))
    assert "Assumed: no self-test proved these rules" in said
    assert "manage.py check_runtime --url wss://… --spec 427 --era 423+" in said
    assert "None: nobody ran the self-test" in said
    listed = text_of(admin, list_url(Runtime))
    assert [word in listed for word in ("Known", "Admitted", "Assumed", "ada", "bob")] == [True] * 5


def test_ch4_a_block_and_a_yield_of_an_assumed_runtime_say_so(admin: Client) -> None:
    assumed = make_runtime(427, admitted_at=START, admitted_by="bob", assumed=True)
    (known,), (block,) = make_blocks(1, 1), make_blocks(2, 2, runtime=assumed)
    for row in (known, make_yield(1)):
        assert "no self-test proved" not in text_of(admin, page_url(row))
    for row in (block, make_yield(2)):
        assert "spec 427 assumed no self-test proved the rules" in text_of(admin, page_url(row))


def test_ch2_a_yield_open_by_a_rao_shows_both_takes_and_does_not_claim_agreement(admin: Client) -> None:
    make_blocks(1, 1)
    row = make_yield(1, take_rao=7 * TAO, take_high_rao=7 * TAO + 1, proof="DOUBT")
    said = text_of(admin, page_url(row))
    assert "Least take that gives the dividend 7.000000000 α2" in said
    assert "Most 7.000000001 α2" in said
    assert "hides which of two takes it was" in said
    assert "open by a rao" in text_of(admin, list_url(Yield))
    assert "✓ agree" not in said


def test_ch4_a_hotkey_says_since_when_it_is_ours_where_and_what_it_replaced(admin: Client) -> None:
    make_blocks(1, 9)
    old = Hotkey.objects.create(address=HOTKEY, label="RT21", first_block=2)
    new = Hotkey.objects.create(address=key("new"), first_block=5, swapped_from=old)
    FollowedHotkey.objects.create(hotkey=old, netuid=None, blocks=(1, 40))
    FollowedHotkey.objects.create(hotkey=new, netuid=3, blocks=(5, None))
    table = admin.get(page_url(old)).context["tables"][0]
    assert [table.rows[0][0], table.rows[0][2]] == ["Every subnet", "40"]
    assert page_url(Block.objects.get(pk=2)) in table.rows[0][1]
    assert page_url(new) in admin.get(page_url(old)).content.decode()
    table = admin.get(page_url(new)).context["tables"][0]
    assert [table.rows[0][0], table.rows[0][2]] == ["3", "now"]
    assert page_url(Block.objects.get(pk=6)) in table.rows[0][1]
    assert f'href="{page_url(old)}">RT21' in admin.get(page_url(new)).content.decode()
    assert "No key: you named it yourself" in text_of(admin, page_url(old))
    FollowedHotkey.objects.create(hotkey=old, netuid=None, blocks=(40, None), abandoned_by=key("owner"))
    table = admin.get(page_url(old)).context["tables"][0]
    assert ["None: it has no owner since a swap" in row[0] for row in table.rows] == [False, True]
    assert key("owner") in table.rows[1][0]


def test_ui8_a_run_shows_progress_duration_and_error(admin: Client) -> None:
    make_run("FAILED", error="SourceError: the node closed the connection")
    said = text_of(admin, list_url(IngestRun))
    assert "40 of 100" in said
    assert "1 min 15 s" in said
    assert "the node closed the connection" in said


def test_ui8_a_run_leads_to_its_backfill_and_to_the_gaps_it_left(admin: Client) -> None:
    gap = make_gap(5, 9)
    said = admin.get(page_url(gap.detected_by)).content.decode()
    assert f'href="{page_url(gap)}">Gap of blocks 5 to 8' in said
    assert page_url(gap.detected_by) in admin.get(page_url(gap)).content.decode()
    backfill = make_backfill(1, 100)
    assert (
        f'href="{page_url(backfill)}">Backfill {backfill.pk}'
        in admin.get(page_url(backfill.run)).content.decode()
    )


def test_ui9_a_big_table_is_counted_to_a_limit(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    make_blocks(1, 60)
    monkeypatch.setattr(base, "COUNT_MAX", 55)
    assert "more than 55 blocks" in text_of(admin, list_url(Block))
    # What can be paged through still can.
    assert len(rows_of(admin, f"{list_url(Block)}?p=2")) == 5


def test_ui9_the_take_rate_is_shown_as_people_know_it(admin: Client) -> None:
    # 5,898 of 65,535 is 8.9998 %; cut it would read 8.99 %.
    make_blocks(1, 1)
    assert "Take rate 9 %" in text_of(admin, page_url(make_yield(1)))
