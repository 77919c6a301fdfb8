"""Segments are whole or refused (CH10)."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from chain import keys
from chain.models import IngestRun, Runtime
from chain.nodes.segment import BadSegment, SegmentSource, write_segment
from chain.nodes.source import MissingRead, NodeSource
from chain.services import record_segment
from chain.tests.replay_node import Play, PlaySource, serving


def test_ch10_recording_over_a_socket_gives_the_bytes_of_reading_in_process(
    play: Play, hotkeys: list[str], segment: Path, tmp_path: Path
) -> None:
    out = tmp_path / "socket.segment.gz"
    with serving(play) as url:
        source = NodeSource(url)
        record_segment(source, first=2, last=play.last, hotkeys=hotkeys, path=out)
        source.close()
    assert out.read_bytes() == segment.read_bytes()


def test_ch10_the_header_says_what_the_file_holds(play: Play, hotkeys: list[str], segment: Path) -> None:
    header = SegmentSource(segment).header
    assert (header.first_block, header.last_block, header.spec_versions) == (2, play.last, [293])
    assert header.hotkeys == sorted(hotkeys)
    assert header.genesis_hash == play.recording["genesis_hash"]


def test_ch10_a_read_that_is_not_in_the_file_raises(segment: Path) -> None:
    with pytest.raises(MissingRead, match="does not hold the read"):
        SegmentSource(segment).call_many([("chain_getBlockHash", [10_000])])


@pytest.mark.parametrize("cut", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_ch10_a_truncated_file_is_refused(segment: Path, tmp_path: Path, cut: float) -> None:
    data = segment.read_bytes()
    path = tmp_path / "cut.segment.gz"
    path.write_bytes(data[: int(len(data) * cut)])
    with pytest.raises(BadSegment, match=r"cut\.segment\.gz"):
        SegmentSource(path)


@pytest.mark.parametrize("where", [20, 500, -100])
def test_ch10_a_flipped_byte_is_noticed(segment: Path, tmp_path: Path, where: int) -> None:
    data = bytearray(segment.read_bytes())
    data[where] ^= 0x40
    path = tmp_path / "flipped.segment.gz"
    path.write_bytes(data)
    with pytest.raises(BadSegment, match=r"damaged|changed|not a Rakeback|no content|end is missing"):
        SegmentSource(path)


def test_ch10_an_edited_answer_is_noticed(segment: Path, tmp_path: Path) -> None:
    text = gzip.decompress(segment.read_bytes()).replace(b'"specVersion":293', b'"specVersion":294', 1)
    path = tmp_path / "edited.segment.gz"
    path.write_bytes(gzip.compress(text))
    with pytest.raises(BadSegment, match="checksum"):
        SegmentSource(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no content"),
        (b'{"format":"other"}\n{}\n', "not a Rakeback segment"),
        (b'{"format":"rakeback-segment","version":9}\n{}\n', "version is 9"),
        (b"\x00\x01\x02\n{}\n", "damaged"),
    ],
)
def test_ch10_a_foreign_file_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "foreign.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(BadSegment, match=reason):
        SegmentSource(path)


def test_ch10_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSegment, match="there is no such file"):
        SegmentSource(tmp_path / "none.gz")


def test_ch10_a_failed_recording_leaves_no_file(play: Play, hotkeys: list[str], tmp_path: Path) -> None:
    out = tmp_path / "failed.segment.gz"
    with pytest.raises(Exception, match="not final"):
        record_segment(PlaySource(play), first=2, last=play.last + 1, hotkeys=hotkeys, path=out)
    assert list(tmp_path.iterdir()) == []


def test_ch10_equal_exchanges_give_equal_bytes(segment: Path, tmp_path: Path) -> None:
    source = SegmentSource(segment)
    copy = tmp_path / "copy.gz"
    write_segment(copy, source.header, source._answers)
    assert copy.read_bytes() == segment.read_bytes()


# --- what is whole, and cannot be true -----------------------------------------------------------------

DATA = Path(__file__).parent / "data"
SWAP = DATA / "swap.segment.gz"
DEEP = b"[" * 100_000


def sealed(path: Path, *lines: bytes) -> Path:
    """A file whose end fits its lines."""
    body = b"".join(line.rstrip(b"\n") + b"\n" for line in lines)
    footer = {"exchanges": len(lines) - 1, "sha256": hashlib.sha256(body).hexdigest()}
    path.write_bytes(gzip.compress(body + json.dumps(footer).encode() + b"\n", 1))
    return path


def lines_of(path: Path) -> list[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines()[:-1]


def with_header(path: Path, **changes: Any) -> Path:
    """The recorded swap under another header; a field that is to be None is left out."""
    header = json.loads(lines_of(SWAP)[0]) | changes
    header = {name: value for name, value in header.items() if value is not None}
    return sealed(path, json.dumps(header).encode(), *lines_of(SWAP)[1:])


HEADERS: list[tuple[str, Any, str]] = [
    ("hotkeys", [1], "hotkeys 1, which is not a list of addresses"),
    ("hotkeys", [["5"]], "which is not a list of addresses"),
    ("hotkeys", "5abc", "which is not a list of at least one"),
    ("hotkeys", {}, "which is not a list of at least one"),
    ("hotkeys", [], "which is not a list of at least one"),
    ("hotkeys", ["5" * 100_000], "names the hotkey"),
    ("chain", 5, "chain 5, which is not the name of a chain"),
    ("chain", "", "which is not the name of a chain"),
    ("chain", "a\x00b", "which is not the name of a chain"),
    ("chain", "x" * 81, "which is not the name of a chain"),
    ("genesis_hash", 7, "which is not a hash"),
    ("genesis_hash", "0x12", "which is not a hash"),
    ("genesis_hash", ["0x" + "11" * 32], "which is not a hash"),
    ("ss58_prefix", True, "a number that is not whole: ss58_prefix True"),
    ("ss58_prefix", "42", "a number that is not whole"),
    ("ss58_prefix", -1, "ss58_prefix -1, which is not from 0 to 16383"),
    ("ss58_prefix", 16_384, "which is not from 0 to 16383"),
    ("first_block", True, "a number that is not whole"),
    ("first_block", 0, "which is not from 1 to"),
    ("first_block", 10**30, "which is not from 1 to"),
    ("last_block", 10**30, "which is not from 1 to"),
    ("last_block", 1, "blocks 2 to 1, which are none"),
    ("spec_versions", 293, "which is not a list of at least one"),
    ("spec_versions", [], "which is not a list of at least one"),
    ("spec_versions", {"293": 1}, "which is not a list of at least one"),
    ("spec_versions", [True], "a number that is not whole"),
    ("spec_versions", [10**30], "which is not from 1 to"),
    ("spec_versions", [[293]], "a number that is not whole"),
    ("colour", "blue", "the field 'colour', which this program does not know"),
    ("version", "1", "its format version is '1'"),
]


@pytest.mark.parametrize(("field", "value", "reason"), HEADERS)
def test_ch10_a_header_field_that_cannot_be_is_named(
    tmp_path: Path, field: str, value: Any, reason: str
) -> None:
    changes = {"first_block": 2} if reason.startswith("blocks 2") else {}
    with pytest.raises(BadSegment) as refused:
        SegmentSource(with_header(tmp_path / "odd.gz", **{**changes, field: value}))
    assert str(refused.value).startswith(f"{tmp_path / 'odd.gz'}: ")
    assert reason in str(refused.value)
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize("field", ["chain", "genesis_hash", "ss58_prefix", "first_block", "hotkeys"])
def test_ch10_a_header_field_that_is_lacking_is_named(tmp_path: Path, field: str) -> None:
    with pytest.raises(BadSegment, match=f"its header does not say {field}"):
        SegmentSource(with_header(tmp_path / "short.gz", **{field: None}))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (DEEP, "nested too deeply"),
        (b"[", "truncated or damaged"),
        (b"5", "is not a method, a list of parameters and a result"),
        (b'{"a":1,"b":2,"c":3}', "is not a method, a list of parameters and a result"),
        (b'["system_chain",[]]', "is not a method, a list of parameters and a result"),
        (b'["system_chain",{},"x"]', "is not a method, a list of parameters and a result"),
        (b'["system_chain",null,"x"]', "is not a method, a list of parameters and a result"),
        (b'[["system_chain"],[],"x"]', "is not a method, a list of parameters and a result"),
        (b'["system_chain",[],"another"]', "answers what an earlier line answers"),
        (b'["state_getRuntimeVersion",["0x1"],{"specVersion":' + b"9" * 5_000 + b"}]", "digits"),
        *(
            (b'["state_getRuntimeVersion",["0x1"],%b]' % result, "which names none")
            for result in (
                b"{}", b"[]", b'"293"', b"null", b'{"specVersion":"293"}', b'{"specVersion":true}',
                b'{"specVersion":0}', b'{"specVersion":4294967296}',
            )
        ),
        *(
            (b'["state_queryStorageAt",[["0x1"],"0x2"],%b]' % result, "damaged")
            for result in (b"5", b'{"changes":[]}', b"[5]", b"[{}]", b'[{"changes":5}]', b'[{"changes":[[1]]}]')
        ),
        (b'["state_queryStorageAt",[["0x1"]],[]]', "damaged"),
        (b'["state_queryStorageAt",[5,"0x2"],[{"changes":[]}]]', "damaged"),
        (b'["state_queryStorageAt",[["0x1"],[]],[{"changes":[]}]]', "damaged"),
    ],
)  # fmt: skip
def test_ch10_a_line_that_is_no_exchange_is_refused_with_the_file(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    path = sealed(tmp_path / "odd.gz", *lines_of(SWAP), line)
    with pytest.raises(BadSegment) as refused:
        SegmentSource(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert reason in str(refused.value)
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize("footer", [b"{}", b"[]", b"5", b"null", b'{"exchanges":0}', b'{"sha256":[]}', DEEP])
def test_ch10_an_odd_end_is_refused(tmp_path: Path, footer: bytes) -> None:
    path = tmp_path / "odd.gz"
    path.write_bytes(gzip.compress(lines_of(SWAP)[0] + b"\n" + footer + b"\n"))
    with pytest.raises(BadSegment, match=r"odd\.gz: .*(end is missing|checksum|nested)"):
        SegmentSource(path)


def test_ch10_a_segment_that_does_not_say_its_chain_is_refused(tmp_path: Path) -> None:
    lines = [line for line in lines_of(SWAP) if not line.startswith(b'["system_chain"')]
    with pytest.raises(BadSegment, match="does not say of which chain it is"):
        SegmentSource(sealed(tmp_path / "nameless.gz", *lines))


def test_ch10_a_path_that_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSegment, match="it cannot be read: Is a directory"):
        SegmentSource(tmp_path)
    with pytest.raises(BadSegment, match="it cannot be read: File name too long"):
        SegmentSource(tmp_path / ("x" * 300))


CONTRADICTIONS: list[tuple[str, Any, str]] = [
    ("chain", "another", "says chain 'another' in its header"),
    ("ss58_prefix", 7, "says ss58_prefix 7 in its header"),
    ("genesis_hash", "0x" + "11" * 32, "says genesis_hash '0x1111"),
    ("spec_versions", [999], "recorded on runtime 999 in its header"),
]


@pytest.mark.django_db
@pytest.mark.parametrize("command", ["ingest", "check_runtime", "check_positions"])
@pytest.mark.parametrize(
    ("field", "value", "reason"), [*CONTRADICTIONS, ("hotkeys", [1], "which is not a list of addresses")]
)
def test_ch10_every_command_refuses_a_header_that_contradicts_the_recording(
    tmp_path: Path, command: str, field: str, value: Any, reason: str
) -> None:
    path = with_header(tmp_path / "forged.gz", **{field: value})
    with pytest.raises(CommandError, match=rf"forged\.gz: .*{reason}"):
        call_command(command, "--segment", str(path))
    assert not Runtime.objects.exists()
    assert not IngestRun.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("name", [b"x" * 240 + b".gz", b"a\xff\xfe.gz", "ä" * 60 + "\n.gz"])
def test_ch10_a_segment_may_have_any_name(tmp_path: Path, name: bytes | str) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + os.fsencode(name)))
    path.write_bytes(SWAP.read_bytes())
    header = SegmentSource(path).header
    call_command("ingest", "--segment", str(path), "--to", str(header.first_block))
    assert IngestRun.objects.get().status == "DONE"


@pytest.mark.django_db
def test_ch10_a_segment_names_its_hotkeys_itself(hotkeys: list[str]) -> None:
    for words in (["--hotkey", hotkeys[0]], ["--url", "ws://x"]):
        with pytest.raises(CommandError, match="leave out --url and --hotkey"):
            call_command("ingest", "--segment", str(SWAP), *words)
    assert not IngestRun.objects.exists()


@pytest.mark.parametrize("place", ["", "missing/", "/"])
def test_ch10_where_nothing_can_be_written_is_said_before_reading(
    play: Play, hotkeys: list[str], tmp_path: Path, place: str
) -> None:
    out = Path(place) if place == "/" else tmp_path / place / ("" if not place else "out.gz")
    source = PlaySource(play)
    with pytest.raises(OSError, match=r"directory"):
        record_segment(source, first=2, last=9, hotkeys=hotkeys, path=out)
    assert source.batches == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.django_db
@pytest.mark.parametrize("listed", [[None], [[]], [5], 5, {}, "0x", ["0x12"]])
def test_ch10_a_list_of_holders_that_is_none_is_refused(tmp_path: Path, listed: Any) -> None:
    """The list after the last block is what check_positions and check_runtime compare with."""
    header = SegmentSource(SWAP).header
    block_hash = SegmentSource(SWAP).call_many([("chain_getBlockHash", [header.last_block])])[0]
    odd, changed = [], 0
    for line in lines_of(SWAP)[1:]:
        method, params, result = json.loads(line)
        if method == "state_getKeysPaged" and params[3] == block_hash and params[0] != keys.NETWORKS_ADDED:
            changed += result != listed
            odd.append(json.dumps([method, params, listed]).encode())
        else:
            odd.append(line)
    assert changed
    path = sealed(tmp_path / "odd.gz", lines_of(SWAP)[0], *odd)
    call_command("ingest", "--segment", str(SWAP))
    for command in ("check_positions", "check_runtime"):
        with pytest.raises(CommandError, match=r"segment odd\.gz|positions differ|block 89"):
            call_command(command, "--segment", str(path))
    assert not Runtime.objects.exclude(admitted_at=None).exists()
