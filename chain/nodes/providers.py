"""Several nodes asked as one: in the order given, each with its health, none trusted further than what can be checked.

A node that fails rests for a growing while and the next is asked; one that serves another chain is not asked again; one
whose finalized head lags or stands still is not followed. Where agreement of two is wanted, every read is asked of
two and must be equal. What no node gave, or two gave differently, is an error and never a value.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from chain.earnings.yields import MethodsDisagree
from chain.nodes.answers import Known, same
from chain.nodes.health import Condition, Health
from chain.nodes.source import BadNodes, Call, MissingRead, NodeSource, SourceError, WrongChain, call_one
from chain.nodes.wire import Limits
from chain.quoting import quoted
from chain.runtimes.decoding import UnknownRuntime
from chain.state import BrokenChain, PositionsDisagree, UnsupportedEvent

T = TypeVar("T")

_FINALIZED_HEAD = "chain_getFinalizedHead"
_PEER_ID = "system_localPeerId"
# One refusal may be a hiccup.
_PEER_TRIES = 3


class NoAnswer(SourceError):
    """No node gave an answer, after waiting and asking again. A later run may have more luck."""


class NobodyHasIt(MissingRead):
    """Every node says that it does not have the block or state."""


class NodesDisagree(SourceError):
    """Two nodes gave different answers to one read. Which of them is right, a person must find out."""


class StaleHead(SourceError):
    """No node's finalized head moves, or all lag: there is nothing that may be followed."""


_SETTLED = (NoAnswer, NobodyHasIt, NodesDisagree, StaleHead)
_DOUBTS = (SourceError, BrokenChain, MethodsDisagree, PositionsDisagree, UnknownRuntime, UnsupportedEvent)


@dataclass(frozen=True)
class Policy:
    """When to ask again, whom, and how far heads may be apart."""

    tries: int = 4
    rest_seconds: float = 0.5
    rest_seconds_max: float = 300
    wait_seconds_max: float = 15
    lack_seconds: float = 30
    doubt_seconds: float = 600
    lag_blocks_max: int = 20
    head_seconds_max: float = 300


@dataclass(frozen=True)
class Timing:
    """The clocks and the chance that waiting needs; tests bring their own."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))


@dataclass(frozen=True, order=True)
class Head:
    """A finalized head."""

    number: int
    hash: str


class _Endpoint:
    """One node and its health."""

    def __init__(self, node: NodeSource, health: Health, policy: Policy, timing: Timing) -> None:
        self.node = node
        self.health = health
        self.rests_until = 0.0
        self.lacks_until = 0.0
        self.left_out = False
        self._peer_id = ""
        self._peer_tries = 0
        self._policy = policy
        self._timing = timing

    def ask(self, calls: Sequence[Call]) -> list[Any] | SourceError:
        """Answer the calls, or say why not; either way the health is kept."""
        return self._tried(lambda: self._ask(calls))

    def ask_head(self) -> Head | SourceError:
        """Read the finalized head; a head that has moved says so in the health."""
        return self._tried(self._read_head)

    def ask_genesis(self) -> str | SourceError:
        """Read the hash of block 0."""
        return self._tried(self.node.genesis_hash)

    def try_out(self, read: Callable[[NodeSource, Head], T]) -> T | SourceError:
        """Read the finalized head, and what is asked for on top of it."""
        return self._tried(lambda: read(self.node, self._read_head()))

    def is_the_same_as(self, other: _Endpoint) -> bool:
        """Whether both lead to one node by what they call themselves; a node that does not say is its own."""
        return bool(self._peer()) and self._peer() == other._peer()

    def _peer(self) -> str:
        if not self._peer_id and self._peer_tries < _PEER_TRIES:
            self._peer_tries += 1
            # Many public nodes do not answer it.
            with suppress(SourceError):
                self._peer_id = str(call_one(self.node, _PEER_ID) or "")
        return self._peer_id

    def _ask(self, calls: Sequence[Call]) -> list[Any]:
        # A node that has not finalized a block yet could name one that will never be final.
        highest = max((params[0] for method, params in calls if method == "chain_getBlockHash"), default=0)
        if highest > (self.health.head_block or 0) and highest > self._read_head().number:
            raise MissingRead(
                f"{self.health.name}: has no final block {highest}; its finalized head is {self.health.head_block}"
            )
        return self.node.call_many(calls)

    def _read_head(self) -> Head:
        block_hash = call_one(self.node, _FINALIZED_HEAD)
        number = int(call_one(self.node, "chain_getHeader", block_hash)["number"], 16)
        if (
            self.health.head_block is None
            or self.health.head_since is None
            or number > self.health.head_block
        ):
            self.health.head_since = self._timing.now()
        self.health.head_block = number
        return Head(number, block_hash)

    def _tried(self, read: Callable[[], T]) -> T | SourceError:
        started, trips = self._timing.monotonic(), self.node.round_trips
        try:
            answer = read()
        except WrongChain as error:
            self.note(Condition.WRONG_CHAIN, str(error))
            return error
        except MissingRead as error:
            # It answered; others may hold more, and are asked first for a while.
            self.note(self.health.condition, str(error))
            self.lacks_until = self._timing.monotonic() + self._policy.lack_seconds
            return error
        except SourceError as error:
            self.health.failures += 1
            self.note(Condition.FAILING, str(error))
            rest = self._policy.rest_seconds * 2 ** min(self.health.failures - 1, 30)
            self._rest(min(rest, self._policy.rest_seconds_max) * (0.5 + self._timing.chance()))
            return error
        spent_ms = (self._timing.monotonic() - started) * 1000 / max(1, self.node.round_trips - trips)
        before = self.health.latency_ms
        self.health.latency_ms = round(spent_ms if before is None else (before * 7 + spent_ms) / 8)
        self.health.failures = 0
        self.health.last_ok_at = self._timing.now()
        if self.health.condition in {Condition.UNTRIED, Condition.FAILING, Condition.DOUBTED}:
            self.health.condition = Condition.HEALTHY
        return answer

    def note(self, condition: Condition, error: str) -> None:
        """Keep what went wrong."""
        self.health.condition = condition
        self.health.last_error, self.health.last_error_at = error, self._timing.now()

    def doubt(self, why: str) -> None:
        """Leave the node alone for a while, because what it said could not be true."""
        self.node.close()
        self.note(Condition.DOUBTED, why)
        self._rest(self._policy.doubt_seconds)

    def _rest(self, seconds: float) -> None:
        self.rests_until = self._timing.monotonic() + seconds


class Providers:
    """A `Source` over several nodes. See the module; not to be shared between threads."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        genesis_hash: str = "",
        agreement: int = 1,
        proofs: bool = False,
        following: bool = False,
        limits: Limits | None = None,
        policy: Policy | None = None,
        timing: Timing | None = None,
        heads: Mapping[str, tuple[int, datetime]] | None = None,
    ) -> None:
        """Take the nodes in the order in which they are to be asked.

        :param genesis_hash: the chain's; empty pins what the nodes say, which must then be the same.
        :param agreement: how many nodes must give the same answer to every read, 1 or 2.
        :param proofs: whether every value of storage must be proved by the header of its block.
        :param following: whether nodes with a stale head are left out.
        :param heads: finalized head and since when it stands, by node name, as an earlier process left them.
        :raises BadNodes: an address is none, or there are fewer nodes than must agree, or one of them twice.
        """
        if agreement not in {1, 2} or len(urls) < agreement:
            raise BadNodes(f"{len(urls)} nodes are named, and {agreement} must agree: name more nodes")
        self._policy, self._timing = policy or Policy(), timing or Timing()
        self._known = Known(genesis_hash)
        self._agreement, self._following = agreement, following
        self._endpoints: list[_Endpoint] = []
        for position, url in enumerate(urls, 1):
            node = NodeSource(url, limits=limits, known=self._known, proofs=proofs)
            for other in self._endpoints if agreement > 1 else []:
                if other.node.server == node.server:
                    raise BadNodes(
                        f"{other.node.name} and {node.name} are one server, and {agreement} must agree: name nodes of "
                        "two operators"
                    )
            if any(other.node.name == node.name for other in self._endpoints):
                node.name += f" (#{position})"
            health = Health(node.name, position)
            health.head_block, health.head_since = (heads or {}).get(node.name, (None, None))
            self._endpoints.append(_Endpoint(node, health, self._policy, self._timing))
        more = len(urls) - 1
        self.name = self._endpoints[0].node.name + (f" and {more} more" if more else "")
        self.answered_by = ""
        self._asked: set[int] = set()
        self._last_asked: set[int] = set()
        self._pool = ThreadPoolExecutor(len(urls), "nodes") if more else None

    @property
    def round_trips(self) -> int:
        """Round trips made so far, over all nodes."""
        return sum(endpoint.node.round_trips for endpoint in self._endpoints)

    def health(self) -> list[Health]:
        """How each node does, in order."""
        return [endpoint.health for endpoint in self._endpoints]

    def ask_each(self, read: Callable[[NodeSource, Head], T]) -> list[tuple[Health, T | SourceError]]:
        """Ask every node by itself, at once, also those that rest: `read` is given the node and its finalized head.

        What a node does not have is the error :class:`MissingRead`, with the head kept in the health.
        """
        return [
            (endpoint.health, outcome)
            for endpoint, outcome in self._at_once(self._endpoints, lambda endpoint: endpoint.try_out(read))
        ]

    def call_many(self, calls: Sequence[Call]) -> list[Any]:
        """Answer all calls from one node, or from two that say the same.

        :raises NoAnswer, NobodyHasIt, NodesDisagree, StaleHead: see there.
        """
        if not self._known.genesis_hash:
            self._pin()
        rest = [call for call in calls if call[0] != _FINALIZED_HEAD]
        answers = iter(self._ask(rest) if rest else [])
        return [self._head().hash if method == _FINALIZED_HEAD else next(answers) for method, _ in calls]

    # --- asking -----------------------------------------------------------------------------------------

    def _ask(self, calls: Sequence[Call]) -> list[Any]:
        given: list[tuple[_Endpoint, list[Any]]] = []
        refusals: dict[int, SourceError] = {}
        for candidates in self._passes():
            waiting = [endpoint for endpoint in candidates if endpoint not in [by for by, _ in given]]
            while waiting and len(given) < self._agreement:
                missing = self._agreement - len(given)
                asked, waiting = waiting[:missing], waiting[missing:]
                for endpoint, outcome in self._at_once(asked, lambda endpoint: endpoint.ask(calls)):
                    if isinstance(outcome, SourceError):
                        refusals[endpoint.health.position] = outcome
                    elif twin := self._twin(endpoint, [by for by, _ in given]):
                        refusals[endpoint.health.position] = twin
                    else:
                        given.append((endpoint, outcome))
            if len(given) == self._agreement:
                return self._agreed(calls, given)
            usable = [endpoint.health.position for endpoint in self._usable()]
            if usable and not given and all(isinstance(refusals.get(p), MissingRead) for p in usable):
                raise NobodyHasIt(_sentence("no node has what was asked", refusals))
        if given:
            what = f"two nodes must agree, and only {given[0][0].health.name} answered"
            raise NoAnswer(_sentence(what, refusals))
        raise NoAnswer(_sentence("no node gave an answer", refusals or self._last_errors()))

    def _agreed(self, calls: Sequence[Call], given: list[tuple[_Endpoint, list[Any]]]) -> list[Any]:
        (one, answers), *others = given
        for other, theirs in others:
            for (method, params), mine, its in zip(calls, answers, theirs, strict=True):
                if not same(method, mine, its):
                    raise NodesDisagree(
                        f"{one.health.name} and {other.health.name} disagree on {quoted([method, params])}: "
                        f"{quoted(mine)} against {quoted(its)}"
                    )
        self._last_asked = {endpoint.health.position for endpoint, _ in given}
        self._asked |= self._last_asked
        self.answered_by = " and ".join(endpoint.health.name for endpoint, _ in given)
        return answers

    def _twin(self, endpoint: _Endpoint, others: Sequence[_Endpoint]) -> SourceError | None:
        """Why an answer does not count beside those of others: where two must agree, one node is not asked twice."""
        for other in others if self._agreement > 1 else []:
            if endpoint.is_the_same_as(other):
                what = f"{endpoint.health.name}: is the same node as {other.health.name}"
                endpoint.note(Condition.SAME_NODE, what)
                return SourceError(what)
        return None

    def _usable(self) -> list[_Endpoint]:
        """Nodes that may be asked at all."""
        never = {Condition.WRONG_CHAIN, Condition.SAME_NODE}
        if self._following:
            never.add(Condition.STALE)
        return [e for e in self._endpoints if e.health.condition not in never and not e.left_out]

    def _passes(self) -> Iterator[list[_Endpoint]]:
        """Whom to ask, again and again: first those that do not rest; after a wait, everybody."""
        for attempt in range(self._policy.tries):
            usable = self._usable()
            if not usable:
                return
            now = self._timing.monotonic()
            ready = [endpoint for endpoint in usable if endpoint.rests_until <= now]
            ready.sort(key=lambda endpoint: endpoint.lacks_until > now)
            if attempt or len(ready) < self._agreement:
                self._wait(usable, now)
                ready = sorted(usable, key=lambda endpoint: endpoint.rests_until > self._timing.monotonic())
            yield ready

    def _wait(self, usable: list[_Endpoint], now: float) -> None:
        """Sleep until as many as must agree are rested; who has said that it lacks the read is not worth a wait."""
        ends = sorted(e.rests_until for e in usable if e.lacks_until <= now or e.rests_until > now)
        wait = ends[min(self._agreement, len(ends)) - 1] - now if ends else 0
        if wait > 0:
            self._timing.sleep(min(wait, self._policy.wait_seconds_max))

    def _at_once(
        self, endpoints: list[_Endpoint], ask: Callable[[_Endpoint], T | SourceError]
    ) -> list[tuple[_Endpoint, T | SourceError]]:
        if len(endpoints) == 1 or self._pool is None:
            return [(endpoint, ask(endpoint)) for endpoint in endpoints]
        return list(zip(endpoints, self._pool.map(ask, endpoints), strict=True))

    def _last_errors(self) -> dict[int, SourceError]:
        return {h.position: SourceError(h.last_error) for h in self.health() if h.last_error}

    def _pin(self) -> None:
        """Pin the chain that the nodes serve, where nobody said which it must be."""
        for candidates in self._passes():
            outcomes = self._at_once(candidates, _Endpoint.ask_genesis)
            found = {name: endpoint for endpoint, name in outcomes if isinstance(name, str)}
            if len(found) > 1:
                (one, first), (other, second), *_ = found.items()
                raise NodesDisagree(
                    f"{first.health.name} and {second.health.name} serve different chains, with genesis {one} and "
                    f"{other}. Name only nodes of the chain you mean."
                )
            if found:
                self._known.genesis_hash = next(iter(found))
                return
        raise NoAnswer(_sentence("no node gave an answer", self._last_errors()))

    # --- heads ------------------------------------------------------------------------------------------

    def _head(self) -> Head:
        """The finalized head to go by: of the first node that is not stale, or the one that two have reached."""
        heads: list[tuple[_Endpoint, Head]] = []
        for endpoint in self._endpoints:
            if endpoint.health.condition is Condition.STALE:
                # It may have caught up.
                endpoint.health.condition = Condition.HEALTHY
        for candidates in self._passes():
            outcomes = self._at_once(candidates, _Endpoint.ask_head)
            heads = []
            for endpoint, head in outcomes:
                if isinstance(head, Head) and not self._twin(endpoint, [by for by, _ in heads]):
                    heads.append((endpoint, head))
            if len(heads) >= self._agreement:
                break
        else:
            raise NoAnswer(_sentence("no node names its finalized head", self._last_errors()))
        fresh = self._without_stale(heads)
        if not fresh and self._following:
            raise StaleHead(_sentence("no node's finalized head moves", self._last_errors()))
        heads = fresh or sorted(heads, key=lambda pair: pair[1], reverse=True)
        if len(heads) < self._agreement:
            raise NoAnswer(_sentence("two nodes must agree, and only one is up to date", self._last_errors()))
        if self._agreement == 2:
            heads = sorted(heads, key=lambda pair: pair[1], reverse=True)[1:]
        self._asked.add(heads[0][0].health.position)
        return heads[0][1]

    def _without_stale(self, heads: list[tuple[_Endpoint, Head]]) -> list[tuple[_Endpoint, Head]]:
        leader, newest = max(heads, key=lambda pair: pair[1].number)
        fresh = []
        for endpoint, head in heads:
            lag, since = newest.number - head.number, endpoint.health.head_since
            stands = since and self._timing.now() - since > timedelta(seconds=self._policy.head_seconds_max)
            name = endpoint.health.name
            if lag > self._policy.lag_blocks_max:
                self._same_history(endpoint, head, leader)
                what = f"{name}: its finalized head {head.number} is {lag} blocks behind {leader.health.name}"
                endpoint.note(Condition.STALE, what)
            elif stands:
                endpoint.note(
                    Condition.STALE,
                    f"{name}: its finalized head {head.number} stands still since {since:%H:%M:%S} UTC",
                )
            else:
                fresh.append((endpoint, head))
        return fresh

    @staticmethod
    def _same_history(behind: _Endpoint, head: Head, leader: _Endpoint) -> None:
        """A node far ahead of another must at least be on the other's chain."""
        theirs = leader.ask([("chain_getBlockHash", [head.number])])
        if isinstance(theirs, list) and theirs[0] != head.hash:
            raise NodesDisagree(
                f"{behind.health.name} and {leader.health.name} disagree on block {head.number}: {head.hash} against "
                f"{theirs[0]}"
            )

    # --- doubts -----------------------------------------------------------------------------------------

    def second_opinion(self, read: Callable[[], T]) -> T:
        """Run `read`; where what was read cannot be true, run it again from the other nodes.

        If they give something sound, the first are left alone for a while; otherwise the first error stands, since
        then the chain itself may be what is odd. `read` must not change anything before it succeeds.
        """
        # What is judged now may have been read ahead by the last question before.
        self._asked = set(self._last_asked)
        try:
            return read()
        except _DOUBTS as error:
            if isinstance(error, _SETTLED):
                raise
            first = error
        try:
            while self._leave_out_asked():
                try:
                    result = read()
                except _DOUBTS:
                    continue
                for endpoint in self._endpoints:
                    if endpoint.left_out:
                        endpoint.doubt(f"{endpoint.health.name}: what it said cannot be true. {first}")
                return result
        finally:
            for endpoint in self._endpoints:
                endpoint.left_out = False
        raise first

    def _leave_out_asked(self) -> bool:
        """Leave out whoever took part in the failed reading; tell whether others are left to ask."""
        for endpoint in self._endpoints:
            endpoint.left_out |= endpoint.health.position in self._asked
        answered = bool(self._asked)
        self._asked.clear()
        return answered and len(self._usable()) >= self._agreement

    # --- ending -----------------------------------------------------------------------------------------

    def __enter__(self) -> Providers:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up everywhere."""
        for endpoint in self._endpoints:
            endpoint.node.close()
        if self._pool is not None:
            self._pool.shutdown()


open_source = Providers


def second_opinion(source: object, read: Callable[[], T]) -> T:
    """Run `read` with the second opinion of a source that has one; any other source is read once."""
    return source.second_opinion(read) if isinstance(source, Providers) else read()


def _sentence(what: str, refusals: Mapping[int, SourceError]) -> str:
    said = "; ".join(str(error) for _, error in sorted(refusals.items()))
    return f"{what}: {said}" if said else f"{what}: there is none that may be asked"
