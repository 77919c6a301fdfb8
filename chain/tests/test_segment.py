"""Segments are whole or refused (CH10)."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from chain.segment import BadSegment, SegmentSource, write_segment
from chain.services import record_segment
from chain.source import MissingRead, NodeSource
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
