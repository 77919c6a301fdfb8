"""Stacked bars as whole numbers for a template to draw. Pure; the picture rounds, the table beside it does not.

The plot is WIDTH_OF_BAR units wide per day and HEIGHT high, stretched by the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chain.units import format_rao

HEIGHT = 1_000
WIDTH_OF_BAR = 100
_MARGIN = 14


@dataclass(frozen=True, slots=True)
class Part:
    """One series of one bar; `colour` is the number of its CSS class."""

    y: int
    height: int
    colour: int


@dataclass(frozen=True, slots=True)
class Bar:
    """One day. Unknown days have no parts, and are not a day of zero."""

    x: int
    label: str
    readout: str
    parts: tuple[Part, ...]
    is_unknown: bool
    is_labelled: bool

    @property
    def inner_x(self) -> int:
        """Where the bar itself begins."""
        return self.x + _MARGIN


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars, and the scale from the top down."""

    bars: tuple[Bar, ...]
    ticks: tuple[str, ...]
    grid: tuple[int, ...]

    width_of_bar = WIDTH_OF_BAR
    inner_width = WIDTH_OF_BAR - 2 * _MARGIN
    height = HEIGHT

    @property
    def width(self) -> int:
        """Units across."""
        return WIDTH_OF_BAR * len(self.bars)


@dataclass(frozen=True, slots=True)
class Day:
    """What a bar shows: rao per series, or None for a day of which nothing is known."""

    label: str
    readout: str
    values: Sequence[int] | None


def draw(days: Sequence[Day], colours: Sequence[int], label_count_max: int = 7) -> Chart:
    """Place the bars under a scale of one to four round steps."""
    step, count = scale(max((sum(day.values) for day in days if day.values), default=0))
    top = step * count
    every = -(-len(days) // label_count_max) or 1
    bars = []
    for place, day in enumerate(days):
        parts, reached = [], 0
        for colour, value in zip(colours, day.values or (), strict=day.values is not None):
            below, reached = reached, reached + value
            # From the rounded ends of the stack, so that parts touch.
            low, high = HEIGHT * below // top, HEIGHT * reached // top
            if high > low:
                parts.append(Part(HEIGHT - high, high - low, colour))
        # Counted from the newest day, which always has its label.
        labelled = (len(days) - 1 - place) % every == 0
        bars.append(
            Bar(place * WIDTH_OF_BAR, day.label, day.readout, tuple(parts), day.values is None, labelled)
        )
    return Chart(
        bars=tuple(bars),
        ticks=tuple(tick_text(step * number) for number in range(count, -1, -1)),
        grid=tuple(HEIGHT - HEIGHT * number // count for number in range(1, count + 1)),
    )


def scale(highest_rao: int) -> tuple[int, int]:
    """The smallest round step (1, 2 or 5 times a power of ten) that reaches the top in at most four, and how many."""
    power = 1
    while True:
        for base in (1, 2, 5):
            step = base * power
            if step * 4 >= highest_rao:
                return step, max(1, -(-highest_rao // step))
        power *= 10


def tick_text(rao: int) -> str:
    """A round amount of TAO without the zeros after it."""
    text = format_rao(rao)
    return text.rstrip("0").rstrip(".") if "." in text else text
