"""Reads of what is missing: blocks accepted as lost, ranges that can be read, holes between stored blocks (CH6)."""

from __future__ import annotations

from django.db import connection
from django.db.models import Max, Min, QuerySet

from chain.models import Block, Gap

# First and last block, both included.
Range = tuple[int, int]


def lost_gaps(first: int, last: int) -> QuerySet[Gap]:
    """Gaps accepted as unrecoverable that touch blocks first..last, both included, lowest first."""
    found = Gap.objects.filter(state=Gap.State.UNRECOVERABLE, blocks__overlap=(first, last + 1))
    # An amount accepted as open is no block that is lost.
    return found.exclude(kind=Gap.Kind.UNACCOUNTED).order_by("blocks")


def accepted_doubts(first: int, last: int) -> QuerySet[Gap]:
    """Amounts in the stored blocks first..last that the chain leaves open, accepted as they are, in chain order."""
    found = Gap.objects.filter(state=Gap.State.UNRECOVERABLE, blocks__overlap=(first, last + 1))
    return found.filter(kind=Gap.Kind.UNACCOUNTED).order_by("blocks", "reason")


def lost_beside(first: int, last: int) -> QuerySet[Gap]:
    """Lost blocks among first..last or next to them: nobody knows to which side, a day say, those belong."""
    return lost_gaps(first - 1, last + 1)


def lost_ranges(first: int, last: int) -> list[Range]:
    """The lost blocks among first..last, lowest first; adjacent ones are one range."""
    ranges: list[Range] = []
    for blocks in lost_gaps(first, last).values_list("blocks", flat=True):
        begin, end = max(first, blocks.lower), min(last, blocks.upper - 1)
        if ranges and ranges[-1][1] == begin - 1:
            begin = ranges.pop()[0]
        ranges.append((begin, end))
    return ranges


def readable_ranges(first: int, last: int) -> list[Range]:
    """Blocks first..last without the lost ones. Each range after the first rests on positions listed anew."""
    ranges, begin = [], first
    for lost_first, lost_last in lost_ranges(first, last):
        if begin < lost_first:
            ranges.append((begin, lost_first - 1))
        begin = lost_last + 1
    return [*ranges, (begin, last)] if begin <= last else ranges


def lost_count(first: int, last: int) -> int:
    """How many of blocks first..last are lost."""
    return sum(end - begin + 1 for begin, end in lost_ranges(first, last))


def holes(first: int | None = None, last: int | None = None) -> list[Range]:
    """Blocks between stored ones that are neither stored nor lost; by default everywhere."""
    ends = Block.objects.aggregate(low=Min("number"), high=Max("number"))
    first, last = first or ends["low"], last or ends["high"]
    if first is None or last is None:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT before + 1, number - 1 FROM (
                SELECT number, lag(number) OVER (ORDER BY number) AS before FROM (
                    SELECT number FROM chain_block WHERE number BETWEEN %(first)s AND %(last)s
                    UNION ALL VALUES (%(first)s::bigint - 1), (%(last)s::bigint + 1)
                ) AS stored
            ) AS pairs
            WHERE number > before + 1 ORDER BY number
            """,
            {"first": first, "last": last},
        )
        missing = cursor.fetchall()
    return [part for begin, end in missing for part in readable_ranges(begin, end)]


def next_readable(number: int) -> int:
    """The first block from `number` on that is not lost."""
    while (gap := lost_gaps(number, number).first()) is not None:
        number = gap.blocks.upper
    return number
