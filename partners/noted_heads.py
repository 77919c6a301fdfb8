"""Ends of the sealed history, noted in a file outside the database that only grows (PA6).

What the database alone cannot tell, a history cut off whose rows were taken back too or a chain made wholly anew, is found
by comparing with an end from before. The nightly check notes one a line: time, number and hash. Every check compares with
all of them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from partners.sealing import BadHead, Checked, Head, check_history

_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Noted:
    """What the file holds, and what in it is no line of it."""

    path: Path
    heads: tuple[Head, ...] = ()
    newest_at: datetime | None = None
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.problems:
            return f"{self.path} is not as the nightly check wrote it."
        if self.newest_at is None:
            return f"No end is noted yet in {self.path}; the nightly check notes the first."
        count = f"{len(self.heads):,} end{'' if len(self.heads) == 1 else 's'}"
        return f"Compared with {count} noted in {self.path}, the last on {self.newest_at:%Y-%m-%d %H:%M} UTC."


def read() -> Noted:
    """Read all that was noted; what cannot be read or is no line becomes a problem, never an error."""
    path: Path = settings.RAKEBACK_HISTORY_HEADS
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return Noted(path)
    except OSError as error:
        return Noted(path, problems=(f"{path} cannot be read: {error.strerror or error}",))
    heads, times, problems = [], [], []
    if lines == [b""]:
        problems.append(f"{path} is empty: it was made with a line in it, which was taken out")
    # After the last line break there is nothing; what is there was cut short.
    for number, line in enumerate(lines if lines[-1] else lines[:-1], 1):
        try:
            if number == len(lines):
                raise ValueError("cut short")
            time, _, head = line.decode("ascii").partition(" ")
            times.append(datetime.strptime(time, _TIME).replace(tzinfo=UTC))
            heads.append(Head.parse(head))
        except (BadHead, ValueError):
            problems.append(
                f"line {number} of {path} is no time and head, as the nightly check writes them: "
                f"{line[:90].decode('ascii', 'backslashreplace')!r}"
            )
    return Noted(path, tuple(heads), max(times, default=None), tuple(problems))


def check_with_noted(heads: Sequence[Head] = ()) -> tuple[Checked, Noted]:
    """Recompute the chain, and compare it with the given ends and with all that were noted."""
    noted = read()
    checked = check_history([*heads, *noted.heads])
    checked.differences += noted.problems
    return checked, noted


def note(head: Head, *, path: Path, now: datetime) -> None:
    """Add one line, and return when it is on the disk.

    :raises OSError: nothing was noted.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    line = f"{now.astimezone(UTC).strftime(_TIME)} {head}\n".encode("ascii")
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(handle).st_size
        try:
            if os.write(handle, line) < len(line):
                raise OSError("the disk took a part of the line only")
            os.fsync(handle)
        except OSError:
            with suppress(OSError):
                os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
