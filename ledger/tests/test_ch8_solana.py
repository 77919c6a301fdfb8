"""A Solana installation from the file to the statement (CH8). The day was computed on paper first:

Epoch 700, all on 2025-01-02. Ann is Creative Builds' at 33 %, Bob is Talisman's at 50 %, Cem and Dan are nobody's.
  REWARDS    Ann 100,000,001  Bob 30,000,000  Cem 15,000,000  Dan 1    take 145,000,002
  EXEC_FEES  Ann  48,000,007  Bob 14,400,002  Cem  7,200,001           take  69,600,010
  MEV        Ann  20,000,001  Bob  6,000,000  Cem  3,000,000           take  29,000,001
  CB         33,000,000 + 15,840,002 + 6,600,000 = 55,440,002 (floors of 33,000,000.33, 15,840,002.31, 6,600,000.33)
  Talisman   15,000,000 +  7,200,001 + 3,000,000 = 25,200,001
  Entry      TAKE +243,600,013; CB -55,440,002; Talisman -25,200,001; own share -162,960,010
"""

from __future__ import annotations

import csv
import io
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse

from chain.gaps.services import Found, find_gaps
from chain.imports.services import ImportRefused, NotAllowed
from chain.models import Block, ImportRun, Network, StakerReward, Yield
from chain.queries import facts_sha256
from chain.tests.imports import (
    ANN,
    BOB,
    CEM,
    DAN,
    EPOCH_700,
    EPOCH_701,
    FIRST,
    GENESIS,
    NOW,
    VOTE,
    as_csv,
    event,
    pin_solana,
    reward,
    slot_cells,
)
from ledger.admin.certificate import certify
from ledger.attribution import digest
from ledger.audit import check_ledger
from ledger.facts import SharesDisagree, shares_of
from ledger.models import Account, Attribution, CommissionLine, Entry, Period
from ledger.queries import explain_block, statement
from ledger.readiness import check_day
from ledger.services import (
    CannotClose,
    attribute_yields,
    close_due_days,
    import_chain_file,
    preview_chain_file,
)
from ledger.shares import Shares
from partners.models import Partner, Wallet, WalletChain
from partners.payout_addresses import begin_with_address
from partners.services import Refused, add_agreement, add_rule, add_wallet, create_partner

pytestmark = pytest.mark.django_db
DAY = date(2025, 1, 2)
UPLOAD = "admin:chain_importrun_import"
CONFIRM = "admin:chain_importrun_import_confirm"


@pytest.fixture
def solana(db: None) -> Network:
    """A Solana installation with two partners."""
    network = pin_solana()
    start = datetime(2024, 12, 1, tzinfo=UTC)
    for name, slug, rate, wallet in (
        ("Creative Builds", "creative-builds", 3_300, ANN),
        ("Talisman", "talisman", 5_000, BOB),
    ):
        partner = create_partner(actor=None, name=name, slug=slug)
        agreement = add_agreement(actor=None, partner=partner, rate_bps=rate, starts_at=start)
        add_rule(actor=None, agreement=agreement)
        add_wallet(actor=None, partner=partner, address=wallet, introduced_date=start.date())
    return network


def load(content: bytes, actor: User | None = None, **options: Any) -> ImportRun | None:
    return import_chain_file(content=content, file_name="file.csv", actor=actor, now=NOW, **options)


def close_example() -> Period:
    """Import both epochs of the example and close what is over."""
    for path in (EPOCH_700, EPOCH_701):
        load(path.read_bytes())
    # The slots between those that a file names are no gaps.
    assert find_gaps(head=None, now=NOW) == Found(0, 0)
    attribute_yields(now=NOW)
    return close_due_days(actor=None, now=NOW)[0]


def problems(content: bytes) -> list[tuple[int, str, str]]:
    """Row, field and text of the problems; asserts that importing is refused with the same and writes nothing."""
    before = facts_sha256()
    found = preview_chain_file(content=content, file_name="file.csv", now=NOW).problems
    with pytest.raises(ImportRefused) as refused:
        load(content)
    assert refused.value.preview.problems == found
    assert facts_sha256() == before
    return [(problem.row, problem.field, problem.text) for problem in found]


def test_ch8_from_the_example_epoch_to_the_statement_to_the_lamport(solana: Network) -> None:
    period = close_example()
    connection.check_constraints()

    # What was attributed is what the file gives, read here by other means.
    given: dict[str, dict[str, int]] = {}
    for row in csv.DictReader(io.StringIO(EPOCH_700.read_text())):
        given.setdefault(row["component"], {})[row["staker"]] = int(row["validator_revenue_lamports"])
    for source in Yield.objects.filter(epoch=700):
        shares = {staker: amount for staker, amount in given[source.side].items() if amount}
        assert dict(shares_of(source).pairs()) == shares
        kept = Attribution.objects.get(source=source)
        assert (kept.take_rao, kept.delegator_count) == (sum(shares.values()), len(shares))
        assert kept.digest == digest(Shares.of(shares.items()))

    lines = CommissionLine.objects.filter(period=period).order_by("partner__slug", "side")
    assert list(lines.values_list("partner__slug", "side", "base_rao", "commission_rao")) == [
        ("creative-builds", "EXEC_FEES", 48_000_007, 15_840_002),
        ("creative-builds", "MEV", 20_000_001, 6_600_000),
        ("creative-builds", "REWARDS", 100_000_001, 33_000_000),
        ("talisman", "EXEC_FEES", 14_400_002, 7_200_001),
        ("talisman", "MEV", 6_000_000, 3_000_000),
        ("talisman", "REWARDS", 30_000_000, 15_000_000),
    ]
    legs = Entry.objects.get(key="close:2025-01-02").postings
    assert sorted(legs.values_list("amount_rao", flat=True)) == [
        -162_960_010,
        -55_440_002,
        -25_200_001,
        243_600_013,
    ]
    assert set(Account.objects.values_list("currency", flat=True)) == {"SOL"}
    assert certify(period).holds
    assert check_ledger().differences == []

    found = statement(Partner.objects.get(slug="creative-builds"), period)
    assert (found.currency, found.commission_rao, found.pending_alpha) == ("SOL", 55_440_002, ())
    assert found.to_dict()["currency"] == "SOL"
    assert {row["currency"] for row in csv.DictReader(io.StringIO(found.to_csv()))} == {"SOL"}


def test_ch8_the_pages_show_sol_and_never_tao(solana: Network) -> None:
    period = close_example()
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    source = Yield.objects.get(epoch=700, side="REWARDS")
    whole = {
        reverse("admin:ledger_statement", args=[period.key, "creative-builds"]): "0.055440002",
        reverse("admin:ledger_block", args=[source.block_id]): "0.100000001",
        reverse("admin:ledger_period_change", args=[period.pk]): "0.243600013",
        reverse("admin:ledger_account_changelist"): "-0.162960010",
        reverse("admin:chain_yield_change", args=[source.pk]): "0.145000002",
        reverse("admin:chain_yield_changelist"): "0.145000002",
        reverse("admin:chain_stakeevent_changelist"): "150.500000000",
        reverse("admin:chain_block_change", args=[source.block_id]): "0.145000002",
        reverse("admin:chain_importrun_change", args=[source.import_run_id]): "0.145000002",
        reverse("admin:partners_partner_changelist"): "Creative Builds",
        reverse("admin:index"): "0.470152645",
    }
    for url, amount in whole.items():
        text = client.get(url).content.decode()
        body = text[text.index('id="content"') :]
        assert amount in body, url
        # As the unit of an amount; the filter of sides has root TAO to choose all the same.
        assert '"rb-unit"> TAO' not in body, url
    assert "lamports" in client.get(reverse("admin:chain_yield_changelist")).content.decode()


def test_ch8_a_block_is_explained_by_what_was_given(solana: Network) -> None:
    close_example()
    (epoch,) = explain_block(302_832_005)["epochs"]
    assert (epoch["side"], epoch["asset"], epoch["take_rao"]) == ("REWARDS", "SOL", 145_000_002)
    assert [(share["coldkey"], share["take_rao"], share["partner"]) for share in epoch["shares"]] == [
        (ANN, 100_000_001, "creative-builds"),
        (BOB, 30_000_000, "talisman"),
        (CEM, 15_000_000, None),
        (DAN, 1, None),
    ]


def test_ch8_rewards_that_do_not_make_their_take_are_not_attributed(solana: Network) -> None:
    load(as_csv(reward(), reward(staker=BOB)))
    source = Yield.objects.get()
    source.take_rao += 1
    with pytest.raises(SharesDisagree, match="epoch 700, REWARDS"):
        shares_of(source)


def test_ch8_a_correction_of_what_is_attributed_is_refused_with_what_to_do(solana: Network) -> None:
    load(as_csv(reward()))
    wrong = as_csv(reward(validator_revenue_lamports=6))
    ((row, field, text),) = problems(wrong)
    assert (row, field) == (2, "validator_revenue")
    assert "restore the backup from before it" in text
    attribute_yields(now=NOW)
    ((_, _, text),) = problems(wrong)
    assert "attributed already" in text
    assert "settle the difference with the partners" in text


def test_ch8_a_closed_day_takes_no_more_facts(solana: Network) -> None:
    close_example()
    late = slot_cells(302_860_000, FIRST + timedelta(hours=3))
    other = {"vote_account": CEM, "staker": ANN}
    ((row, field, text),) = problems(as_csv(reward(**late, **other)))
    assert (row, field) == (2, "slot_time")
    assert "everything before 2025-01-04 00:00 UTC is closed" in text
    assert [found[:2] for found in problems(as_csv(event(**late)))] == [(2, "slot_time")]
    # The day's own rows again are no news.
    assert load(EPOCH_700.read_bytes()) is None
    # The database says the same to whoever asks it directly.
    run = ImportRun.objects.first()
    with pytest.raises(IntegrityError, match="closed period 2025-01-02"), transaction.atomic():
        Yield.objects.create(
            block=Block.objects.get(pk=302_850_000), netuid=0, hotkey=CEM, side="MEV", asset="SOL",
            pool_netuid=0, dividend_rao=0, take_rao=0, proof="", epoch=700, import_run=run,
        )  # fmt: skip


def test_ch8_a_missing_epoch_or_component_keeps_the_day_open(solana: Network) -> None:
    whole = [
        reward(epoch=number, component=kind) for number in (700, 701, 702) for kind in ("REWARDS", "MEV")
    ]
    load(
        as_csv(
            *(
                row
                for row in whole
                if (row["epoch"], row["component"]) not in {(701, "REWARDS"), (702, "MEV")}
            )
        )
    )
    attribute_yields(now=NOW)
    with pytest.raises(CannotClose, match=r"REWARDS of .* lacks 1 epochs \(701\)") as refused:
        close_due_days(actor=None, now=NOW)
    assert [period.key for period in refused.value.closed] == ["2025-01-02"]
    load(as_csv(*(row for row in whole if row["epoch"] == 701)))
    attribute_yields(now=NOW)
    assert [period.key for period in close_due_days(actor=None, now=NOW)] == ["2025-01-04"]
    load(as_csv(reward(epoch=703)))
    attribute_yields(now=NOW)
    ready = check_day(date(2025, 1, 6))
    assert [check.name for check in ready.checks if not check.ok] == ["Epochs are complete"]
    # Credited two days later than the rest of its epoch, and there.
    load(
        as_csv(
            reward(epoch=702, component="MEV", **slot_cells(304_200_000, FIRST + timedelta(days=6, hours=5)))
        )
    )
    attribute_yields(now=NOW)
    assert [period.key for period in close_due_days(actor=None, now=NOW)] == ["2025-01-06"]
    assert check_ledger().differences == []


def test_ch8_an_epoch_without_revenue_closes_like_any_other(solana: Network) -> None:
    nothing = {"staker_reward_lamports": 0, "validator_revenue_lamports": 0}
    load(as_csv(reward(**nothing), reward(epoch=701)))
    assert StakerReward.objects.filter(source__epoch=700).count() == 0
    attribute_yields(now=NOW)
    assert [period.key for period in close_due_days(actor=None, now=NOW)] == ["2025-01-02"]
    assert check_ledger().differences == []


# --- the command and the pages ------------------------------------------------------------------------


def test_ch8_the_command_previews_imports_and_repeats(solana: Network, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        out = io.StringIO()
        call_command("import_chain_file", *arguments, stdout=out, stderr=out)
        return out.getvalue()

    before = facts_sha256()
    said = run(str(EPOCH_700), "--dry-run")
    assert "12 rows, 4 stakers, 12 new, 0 stored already" in said
    assert "epoch 700 REWARDS" in said
    assert f"new vote account {VOTE}" in said
    assert facts_sha256() == before
    assert "Imported as import" in run(str(EPOCH_700))
    assert "nothing changed" in run(str(EPOCH_700))
    bad = tmp_path / "bad.csv"
    bad.write_bytes(as_csv(reward(staker="x")))
    with pytest.raises(CommandError, match="rewards row 2, staker"):
        run(str(bad))
    for content, text in ((b"", "empty"), (b"\xff\xff", "not UTF-8")):
        bad.write_bytes(content)
        with pytest.raises(CommandError, match=text):
            run(str(bad))
    with pytest.raises(CommandError, match="No such file"):
        run(str(tmp_path / "none.csv"))


def test_ch8_a_file_may_have_any_name(solana: Network, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff" + b"b" * 230))
    path.write_bytes(EPOCH_700.read_bytes())
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    call_command("import_chain_file", str(path), stdout=out)
    assert ImportRun.objects.get().file_name.endswith("b" * 190)


def test_ch8_pin_network_says_which_chain(db: None) -> None:
    out = io.StringIO()
    arguments = ["pin_network", "--family", "SOLANA", "--name", "Solana Mainnet Beta", "--genesis-hash"]
    call_command(*arguments, GENESIS, stdout=out)
    assert "holds Solana Mainnet Beta" in out.getvalue()
    with pytest.raises(CommandError, match="32 bytes"):
        call_command(*arguments, "abc")


def operator(*, may: bool = True) -> Client:
    user = User.objects.create_user("olivia" if may else "vera", is_staff=True)
    user.groups.add(Group.objects.get(name="operator" if may else "viewer"))
    client = Client()
    client.force_login(user)
    return client


def upload(client: Client, content: bytes) -> Any:
    return client.post(reverse(UPLOAD), {"file": SimpleUploadedFile("rewards.csv", content)})


def test_ch8_a_person_uploads_looks_and_confirms(solana: Network) -> None:
    client = operator()
    page = upload(client, EPOCH_700.read_bytes())
    text = page.content.decode()
    assert "0.145000002" in text
    assert "Import the file" in text
    assert not ImportRun.objects.exists()
    sha256 = page.context["preview"].sha256
    # Another file than the one shown is not imported.
    assert client.post(reverse(CONFIRM), {"sha256": "0" * 64}).status_code == 302
    assert not ImportRun.objects.exists()
    answer = client.post(reverse(CONFIRM), {"sha256": sha256}, follow=True)
    run = ImportRun.objects.get()
    assert "11 rewards" in answer.content.decode()
    assert (run.file_name, run.sha256, str(run.imported_by)) == ("rewards.csv", sha256, "olivia")
    again = client.post(reverse(CONFIRM), {"sha256": sha256}, follow=True).content.decode()
    assert "imported already or is too old" in again
    assert "stored already" in upload(client, EPOCH_700.read_bytes()).content.decode()


def test_ch8_a_refused_file_shows_its_problems_and_cannot_be_confirmed(solana: Network) -> None:
    client = operator()
    text = upload(client, as_csv(reward(staker="<b>x</b>"))).content.decode()
    assert "Nothing was imported" in text
    assert "<b>x</b>" not in text
    assert "Import the file" not in text
    assert "must name the columns" in upload(client, b"a,b\n1,2\n").content.decode()
    assert client.get(reverse(UPLOAD)).status_code == 200
    assert client.post(reverse(UPLOAD), {}).status_code == 200
    assert not ImportRun.objects.exists()


def test_ch8_who_may_not_import_sees_and_does_nothing(solana: Network) -> None:
    client = operator(may=False)
    assert client.get(reverse(UPLOAD)).status_code == 403
    assert upload(client, EPOCH_700.read_bytes()).status_code == 403
    assert client.post(reverse(CONFIRM), {"sha256": "x"}).status_code == 403
    with pytest.raises(NotAllowed):
        load(EPOCH_700.read_bytes(), User.objects.get(username="vera"))
    assert not ImportRun.objects.exists()
    assert Permission.objects.get(codename="add_importrun").group_set.filter(name="viewer").count() == 0


# --- partners of a Solana installation ----------------------------------------------------------------


def test_pa4_wallets_are_of_the_chain_that_is_held(solana: Network) -> None:
    partner = Partner.objects.get(slug="talisman")
    assert set(Wallet.objects.values_list("chain", flat=True)) == {WalletChain.SOLANA}
    ss58 = "5FAkUfKD67ZdaRD7LwPadqVNcCa1Vq7ypJqCAxT932opQSMf"
    with pytest.raises(Refused, match="looks like a Bittensor address"):
        add_wallet(actor=None, partner=partner, address=ss58, introduced_date=DAY)
    with pytest.raises(Refused, match="looks like a Bittensor address"):
        begin_with_address(actor=None, partner=partner, address=ss58, reason="Signed")
    with pytest.raises(Refused, match="already a wallet of Creative Builds"):
        add_wallet(actor=None, partner=partner, address=ANN, introduced_date=DAY)
    load(EPOCH_700.read_bytes())
    with pytest.raises(Refused, match="your own hotkey"):
        add_wallet(actor=None, partner=partner, address=VOTE, introduced_date=DAY)


def test_pa4_a_bittensor_installation_refuses_solana_wallets(db: None) -> None:
    partner = create_partner(actor=None, name="Talisman", slug="talisman")
    with pytest.raises(Refused, match="a Bittensor address has 48"):
        add_wallet(actor=None, partner=partner, address=ANN, introduced_date=DAY)
