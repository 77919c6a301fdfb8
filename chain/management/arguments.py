"""Arguments and progress that the chain's commands share. What cannot be is refused before anything is opened."""

from __future__ import annotations

import getpass
import math
import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

from django.core.management.base import CommandError, CommandParser, OutputWrapper

from chain.addresses import InvalidAddress, decode_address
from chain.nodes.source import SourceError, describe_url
from chain.quoting import quoted
from chain.services import Progress
from chain.units import BLOCK_MAX, SPEC_MAX

# As long as a name of Django's users.
ACTOR_MAX = 150
SECONDS_MAX = 86_400.0


def number_argument(what: str, least: int, most: int) -> Callable[[str], int]:
    """Accept a whole number from `least` to `most`, both included, written in digits alone."""

    def number(text: str) -> int:
        if re.fullmatch(r"[0-9]{1,30}", text) and least <= int(text) <= most:
            return int(text)
        raise ArgumentTypeError(
            f"{quoted(text)} is no {what}: give a whole number from {least:,} to {most:,}"
        )

    return number


block_argument = number_argument("block", 1, BLOCK_MAX)
spec_argument = number_argument("runtime", 1, SPEC_MAX)


def seconds_argument(text: str) -> float:
    """Accept a number of seconds above 0, a day at most."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= SECONDS_MAX:
        raise ArgumentTypeError(
            f"{quoted(text)} is no time to wait: give a number of seconds above 0, {SECONDS_MAX:,.0f} at most"
        )
    return seconds


def hotkey_argument(text: str) -> str:
    """Accept one SS58 address."""
    try:
        decode_address(text)
    except InvalidAddress as error:
        raise ArgumentTypeError(f"{quoted(text)} {error}") from error
    return text


def nodes_argument(text: str) -> str:
    """Accept addresses of nodes, separated by commas. What is said of a bad one does not quote it: it may hold a key."""
    for place, url in enumerate(text.split(","), 1):
        try:
            describe_url(url)
        except SourceError as error:
            which = f"address {place}: " if "," in text else ""
            raise ArgumentTypeError(f"{which}{error}") from None
    return text


def file_argument(text: str) -> Path:
    """Accept the path of a file, which an empty text is not."""
    if not text.strip():
        raise ArgumentTypeError("it is empty: give the path of a file")
    if "\0" in text:
        raise ArgumentTypeError("no path has a zero byte: give the path of a file")
    return Path(text)


def name_argument(text: str) -> str:
    """Accept what something stored may be called."""
    if not text.strip() or not text.isprintable():
        raise ArgumentTypeError(f"{quoted(text)} is no name: give one that can be printed")
    return text


def readable_name(path: Path) -> str:
    """The name of a file as text that can be printed and stored: on disk it may have bytes that are none."""
    return path.name.encode(errors="replace").decode()


def why_not(error: OSError) -> str:
    """What the system says against a file, without its number."""
    return error.strerror or str(error)


def add_node_arguments(parser: CommandParser, *, required: bool) -> None:
    """Add --url, --from, --to and --hotkey."""
    parser.add_argument(
        "--url",
        type=nodes_argument,
        required=required,
        help="address of a node, ws(s):// or http(s)://; several with commas",
    )
    parser.add_argument("--from", type=block_argument, required=required, metavar="A", help="first block")
    parser.add_argument(
        "--to", type=block_argument, required=required, metavar="B", help="last block, included"
    )
    parser.add_argument(
        "--hotkey",
        action="append",
        type=hotkey_argument,
        required=required,
        metavar="SS58",
        help="one of your hotkeys; repeat for more",
    )


def actor_name(given: str | None, otherwise: str) -> str:
    """Who does it: the name given, or else the one of the login.

    :param otherwise: what to do where neither names anybody.
    :raises CommandError: nobody is named, or at more length than is kept.
    """
    try:
        name = (getpass.getuser() if given is None else given).strip()
    except (KeyError, OSError):
        # A container may run as a number that no name belongs to.
        name = ""
    if not 1 <= len(name) <= ACTOR_MAX or not name.isprintable():
        raise CommandError(otherwise)
    return name


def show_progress(stream: OutputWrapper, verbosity: int) -> Progress | None:
    """A one-line progress counter on a terminal, nothing elsewhere."""
    if not verbosity or not stream.isatty():
        return None

    def show(done: int, total: int) -> None:
        if done == total or done % 10 == 0:
            stream.write(f"\r  {done:,} of {total:,} blocks", ending="\n" if done == total else "")

    return show
