"""Arguments and progress that the chain's commands share."""

from __future__ import annotations

from argparse import ArgumentTypeError

from django.core.management.base import CommandParser, OutputWrapper

from chain.addresses import InvalidAddress, decode_address
from chain.services import Progress


def hotkey_argument(text: str) -> str:
    """Accept one SS58 address."""
    try:
        decode_address(text)
    except InvalidAddress as error:
        raise ArgumentTypeError(f"{text!r} {error}") from error
    return text


def add_node_arguments(parser: CommandParser, *, required: bool) -> None:
    """Add --url, --from, --to and --hotkey."""
    parser.add_argument("--url", required=required, help="address of a node, ws(s):// or http(s)://")
    parser.add_argument("--from", type=int, required=required, metavar="A", help="first block")
    parser.add_argument("--to", type=int, required=required, metavar="B", help="last block, included")
    parser.add_argument(
        "--hotkey",
        action="append",
        type=hotkey_argument,
        required=required,
        metavar="SS58",
        help="one of your hotkeys; repeat for more",
    )


def show_progress(stream: OutputWrapper, verbosity: int) -> Progress | None:
    """A one-line progress counter on a terminal, nothing elsewhere."""
    if not verbosity or not stream.isatty():
        return None

    def show(done: int, total: int) -> None:
        if done == total or done % 10 == 0:
            stream.write(f"\r  {done:,} of {total:,} blocks", ending="\n" if done == total else "")

    return show
