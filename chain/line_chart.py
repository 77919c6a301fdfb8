"""A line of values over time as whole numbers for a template to draw. Pure; the picture rounds, the table does not.

The plot is WIDTH_OF_POINT units wide per point and HEIGHT high, stretched by the page. It need not begin at zero, which
suits prices; a point that is unknown breaks the line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

HEIGHT = 1_000
WIDTH_OF_POINT = 100
STEPS_MAX = 4


@dataclass(frozen=True, slots=True)
class Point:
    """A moment: its label on the axis, what is read out when it is pointed at, and its value, None where unknown."""

    label: str
    readout: str
    value: int | None


@dataclass(frozen=True, slots=True)
class Place:
    """A point in the picture, from its left edge."""

    x: int
    label: str
    readout: str
    is_unknown: bool


@dataclass(frozen=True, slots=True)
class LineChart:
    """Unbroken lines as SVG points, and the scale from the top down."""

    places: tuple[Place, ...]
    lines: tuple[str, ...]
    ticks: tuple[str, ...]
    grid: tuple[int, ...]

    width_of_point = WIDTH_OF_POINT
    height = HEIGHT

    @property
    def width(self) -> int:
        """Units across."""
        return WIDTH_OF_POINT * len(self.places)


def draw_line(
    points: Sequence[Point], tick_text: Callable[[int], str], label_count_max: int = 5
) -> LineChart | None:
    """Place the points between round values; None where nothing is known."""
    known = [point.value for point in points if point.value is not None]
    if not known:
        return None
    step, lowest, count = _scale(min(known), max(known))
    every = -(-len(points) // label_count_max)
    places: list[Place] = []
    lines: list[list[tuple[int, int]]] = []
    run: list[tuple[int, int]] = []
    for index, point in enumerate(points):
        x = index * WIDTH_OF_POINT
        labelled = index % every == every // 2
        places.append(Place(x, point.label if labelled else "", point.readout, point.value is None))
        if point.value is None:
            lines.append(run)
            run = []
        else:
            run.append((x, HEIGHT - HEIGHT * (point.value - lowest) // (step * count)))
    lines.append(run)
    return LineChart(
        places=tuple(places),
        lines=tuple(_svg_points(line) for line in lines if line),
        ticks=tuple(tick_text(lowest + step * number) for number in range(count, -1, -1)),
        grid=tuple(HEIGHT - HEIGHT * number // count for number in range(1, count + 1)),
    )


def _svg_points(line: Sequence[tuple[int, int]]) -> str:
    half = WIDTH_OF_POINT // 2
    if len(line) == 1:
        # Between two unknown ones it would be a dot without extent.
        (x, y) = line[0]
        return f"{x + half // 2},{y} {x + half + half // 2},{y}"
    return " ".join(f"{x + half},{y}" for x, y in line)


def _scale(low: int, high: int) -> tuple[int, int, int]:
    """The smallest round step (1, 2 or 5 times a power of ten) with at most four up to the top; where it begins."""
    power = 1
    while True:
        for base in (1, 2, 5):
            step = base * power
            lowest = low // step * step
            count = max(1, -(-(high - lowest) // step))
            if count <= STEPS_MAX:
                return step, lowest, count
        power *= 10
