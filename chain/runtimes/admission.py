"""By which era's rules a runtime may be read: those known, those a self-test admitted, and no others. Pure.

Where a runtime's metadata is at hand, it must also lay out everything as its era does; every difference is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from chain.nodes.source import SourceError
from chain.runtimes.decoding import ChangedLayout, Decoder, RuntimeDecoder, Undecodable, UnknownRuntime
from chain.runtimes.eras import ERAS, Era, era_of
from chain.runtimes.layouts import layout_differences

NEWEST = ERAS[-1]


def admitted_era(
    spec_version: int, block: int, admitted: Mapping[int, Era], decoder: Callable[[], Decoder]
) -> Era:
    """The era whose rules a block's runtime is read by.

    :param admitted: eras of runtimes that passed their self-test or that somebody told us to assume.
    :param decoder: gives the runtime's decoder; only one that has real metadata is checked, once per process.
    :raises UnknownRuntime: naming what must be checked and by which command.
    :raises SourceError: the metadata of a runtime that may be read could not be had.
    :raises ChangedLayout: for a runtime that does not keep things where its era does, naming each difference.
    """
    era = era_of(spec_version) or admitted.get(spec_version)
    if era is None:
        raise UnknownRuntime(spec_version, block, _what_to_prove(spec_version, decoder))
    given = decoder()
    if isinstance(given, RuntimeDecoder) and (differences := _differences(given, era)):
        raise ChangedLayout(spec_version, block, era.name, differences)
    return era


@lru_cache(maxsize=64)
def _differences(decoder: RuntimeDecoder, era: Era) -> tuple[str, ...]:
    return tuple(layout_differences(decoder, era))


def _what_to_prove(spec_version: int, decoder: Callable[[], Decoder]) -> str:
    try:
        given = decoder()
    except (SourceError, Undecodable) as error:
        return f"Nor could its metadata be read: {error}."
    if not isinstance(given, RuntimeDecoder):
        return ""
    if differences := _differences(given, NEWEST):
        return (
            f"Its metadata differs from era {NEWEST.name} in: {'; '.join(differences)}. What each of them means for "
            "dividends, take and stake must be read in the chain's source and modelled in a new version."
        )
    return (
        f"Its storage, events and calls are laid out as in era {NEWEST.name}, but that its rules are the same is not "
        f"proved. Prove it with manage.py check_runtime --url ws://… --spec {spec_version} --era {NEWEST.name}, or go on "
        f"unproved with manage.py ingest --assume-era {NEWEST.name}, which marks the facts."
    )
