"""Where chain reads come from: a node, a recorded segment, or a node that is being recorded.

Everything above asks a `Source`, so a segment is replayed through the very code that talks to a node (CH10).
A source answers or raises; it never turns an error into an empty value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from chain.nodes.answers import (
    HASH,
    Known,
    Nonsense,
    NotHeld,
    check_answer,
    check_controls,
    emptiness_controls,
    not_held,
    proved_storage,
)
from chain.nodes.block_hashes import NO_STATE
from chain.nodes.wire import (
    BadAddress,
    HungUp,
    Limits,
    NodeAddress,
    TooManyCalls,
    TooMuch,
    Wire,
    WireFault,
    connect,
)

Call = tuple[str, list[Any]]

SAID_MAX = 400
_GENESIS: Call = ("chain_getBlockHash", [0])
_STORAGE, _PROOF = "state_queryStorageAt", "state_getReadProof"
# What a node answers to a batch that is more than it takes, or whose answers are more than it gives.
_TOO_MUCH = frozenset({-32005, -32010, -32011})


class SourceError(Exception):
    """A read could not be had. The message says which and why; the same read may succeed later."""


class MissingRead(SourceError):
    """The read is not in the segment, or the node has pruned the state it asks for."""


class WrongChain(SourceError):
    """The node serves another chain than the one that is read. Asking again does not help."""


class BadNodes(SourceError):
    """The nodes cannot be asked as they are named. The same read never succeeds: name other nodes."""


class Source(Protocol):
    """Answers JSON-RPC reads, in the order asked."""

    name: str

    def call_many(self, calls: Sequence[Call]) -> list[Any]:
        """Answer all calls, or raise :class:`SourceError`."""
        ...


def call_one(source: Source, method: str, *params: Any) -> Any:
    """Answer a single call."""
    return source.call_many([(method, list(params))])[0]


def describe_url(url: str) -> str:
    """Name a node without the user, password, path or query of its URL, any of which may hold a key.

    :raises BadNodes: it is no address of a node.
    """
    return parse_address(url).name


def parse_address(url: str) -> NodeAddress:
    """Take a node's URL apart. :raises BadNodes: it is none; the message does not quote it."""
    try:
        return NodeAddress.parse(url)
    except BadAddress as error:
        raise BadNodes(f"this is not the address of a node: {error}") from None


class NodeSource:
    """One node, behind ws(s):// or http(s)://. Calls are sent together; what is no sound answer to them is refused.

    Connects at the first call and again after any fault, and then asks for the genesis hash where one is pinned. Large
    batches are split, and halved where a node says that they are too large. Not to be shared between threads.
    """

    def __init__(
        self,
        url: str,
        *,
        limits: Limits | None = None,
        known: Known | None = None,
        name: str = "",
        proofs: bool = False,
    ) -> None:
        """Take the node's URL.

        :param proofs: whether every value of storage must come with a proof against the state root of its header.
        :raises BadNodes: it is no address of a node.
        """
        self._address = parse_address(url)
        self.name = name or self._address.name
        self.known = known or Known()
        self.round_trips = 0
        self._limits = limits or Limits()
        self._proofs = proofs
        self._calls_max = self._limits.calls_max
        self._wire: Wire | None = None
        self._sent = 0

    @property
    def answered_by(self) -> str:
        """Who gave the last answer."""
        return self.name

    @property
    def server(self) -> tuple[str, int]:
        """Host and port, see :attr:`NodeAddress.server`."""
        return self._address.server

    def call_many(self, calls: Sequence[Call]) -> list[Any]:
        """Pipeline the calls; answers may come in any order.

        :raises MissingRead: the node does not have a block or state.
        :raises WrongChain: the node serves another chain than the one pinned.
        :raises SourceError: it refused, broke, was silent, said too much or something that is no answer.
        """
        if self._proofs:
            calls = self._asking_for_proofs(calls)
        results: list[Any] = []
        for batch in self._batches(calls):
            results += self._answers(batch)
        if controls := emptiness_controls(calls, results):
            try:
                check_controls(controls, self._answers(controls), self.known)
            except NotHeld as error:
                raise MissingRead(self._shown(str(error))) from None
        return results

    def _asking_for_proofs(self, calls: Sequence[Call]) -> list[Call]:
        """The same questions, those after storage for its proof, which needs the header first.

        :raises SourceError: a header seals no state, as only those of a local chain.
        """
        blocks = {params[1] for method, params in calls if method == _STORAGE}
        unknown = sorted(blocks - self.known.headers.keys())
        for batch in self._batches([("chain_getHeader", [block]) for block in unknown]):
            self._answers(batch)
        for block in blocks:
            if self.known.headers[block].state_root == NO_STATE:
                raise self._fault(
                    f"{self.known.describe(block)} seals no state, so nothing of it is proved. Only a local chain has "
                    "such blocks: read it with RAKEBACK_NODE_PROOFS=0"
                )
        return [(_PROOF if method == _STORAGE else method, params) for method, params in calls]

    def genesis_hash(self) -> str:
        """Ask for the hash of block 0."""
        return str(self._answers([_GENESIS])[0])

    def _batches(self, calls: Sequence[Call]) -> Iterator[list[Call]]:
        batch: list[Call] = []
        size = 0
        for call in calls:
            length = len(json.dumps(call))
            if batch and (len(batch) >= self._calls_max or size + length > self._limits.request_bytes_max):
                yield batch
                batch, size = [], 0
            batch.append(call)
            size += length
        if batch:
            yield batch

    def _answers(self, calls: list[Call]) -> list[Any]:
        try:
            answers = self._exchange(calls)
        except TooMuch as error:
            self.close()
            if len(calls) == 1:
                raise self._fault(f"{calls[0][0]}: {error}") from None
            half = len(calls) // 2
            if isinstance(error, TooManyCalls):
                self._calls_max = half
            return self._answers(calls[:half]) + self._answers(calls[half:])
        except WireFault as error:
            self.close()
            raise self._fault(f"{_methods(calls)}: {error}") from None
        return [self._judge(*call, answer) for call, answer in zip(calls, answers, strict=True)]

    def _exchange(self, calls: list[Call]) -> list[dict[str, Any]]:
        reused = self._wire is not None
        try:
            return self._trip(self._connected(), calls, self._limits.read_seconds)
        except HungUp:
            if not reused:
                raise
        # A node may hang up between two questions. Nothing was lost: reads can be asked again.
        self.close()
        return self._trip(self._connected(), calls, self._limits.read_seconds)

    def _connected(self) -> Wire:
        if self._wire is None:
            self._wire = connect(self._address, self._limits)
            if self.known.genesis_hash:
                self._pin(self._wire)
        return self._wire

    def _pin(self, wire: Wire) -> None:
        """Compare the genesis at every connection: behind one address may stand many nodes."""
        answer = self._trip(wire, [_GENESIS], self._limits.connect_seconds)[0]
        found = str(answer.get("result"))
        if HASH.fullmatch(found) and found != self.known.genesis_hash:
            self.close()
            raise WrongChain(
                self._shown(f"serves another chain: its genesis is {found}, ours {self.known.genesis_hash}")
            )
        self._judge(*_GENESIS, answer)

    def _trip(self, wire: Wire, calls: list[Call], seconds: float) -> list[dict[str, Any]]:
        """One round trip: the answers by their numbers, each exactly once."""
        numbers = range(self._sent, self._sent + len(calls))
        self._sent += len(calls)
        self.round_trips += 1
        requests = [
            json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()
            for number, (method, params) in zip(numbers, calls, strict=True)
        ]
        answers: dict[int, dict[str, Any]] = {}
        messages = wire.trip(requests, seconds)
        while len(answers) < len(calls):
            answer = next(messages)
            number = _number(answer)
            if number not in numbers or number in answers:
                raise WireFault(f"it answered number {number}, which was not asked or is answered already")
            answers[number] = answer
        return [answers[number] for number in numbers]

    def _judge(self, method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        if "error" in answer:
            said = str(answer["error"]["message"])
            if lack := not_held(method, params, said, self.known):
                raise MissingRead(self._shown(f"{lack} ({said})"))
            hint = (
                ". Name a node that gives proofs, or set RAKEBACK_NODE_PROOFS=0" if method == _PROOF else ""
            )
            raise self._fault(f"it refused {method}: {said}{hint}")
        try:
            if method == _PROOF:
                return proved_storage(params, answer["result"], self.known)
            check_answer(method, params, answer["result"], self.known)
        except NotHeld as error:
            raise MissingRead(self._shown(str(error))) from None
        except Nonsense as error:
            self.close()
            raise self._fault(f"its answer to {method} is none: {error}") from None
        return answer["result"]

    def _fault(self, what: str) -> SourceError:
        return SourceError(self._shown(what))

    def _shown(self, what: str) -> str:
        """Name the node and say what happened: on one line, not at length, without the secrets of its address."""
        text = " ".join(self._address.redact(what).split())
        text = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
        return (
            f"{self.name}: {text[:SAID_MAX]}" if len(text) <= SAID_MAX else f"{self.name}: {text[:SAID_MAX]}…"
        )

    def __enter__(self) -> NodeSource:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; the next call connects again."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None


def _methods(calls: Sequence[Call]) -> str:
    return ", ".join(sorted({method for method, _ in calls}))


def _number(answer: Any) -> int:
    """The number of the call that a message answers. :raises WireFault: it is no answer of JSON-RPC 2.0."""
    if not isinstance(answer, dict) or answer.get("jsonrpc") != "2.0":
        raise WireFault("it said something that is no answer of JSON-RPC 2.0")
    number, error = answer.get("id"), answer.get("error")
    if "error" in answer and not (isinstance(error, dict) and isinstance(error.get("message"), str)):
        raise WireFault("it refused without saying why")
    if isinstance(error, dict) and number is None:
        # The whole batch is refused.
        kind = TooManyCalls if error.get("code") in _TOO_MUCH else WireFault
        raise kind(f"it refused: {error['message']}")
    if type(number) is not int or ("result" in answer) == ("error" in answer):
        raise WireFault("it gave an answer without a number, or with both a result and a refusal or neither")
    return number


def exchange_key(method: str, params: Iterable[Any]) -> str:
    """Name a read by what was asked, so that the same question finds its recorded answer."""
    return json.dumps([method, list(params)], separators=(",", ":"))


class RecordingSource:
    """Passes calls on to a node and keeps each distinct exchange, in the order first asked."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self._source = source
        self.exchanges: dict[str, Any] = {}

    def call_many(self, calls: Sequence[Call]) -> list[Any]:
        """Answer from the node and remember."""
        results = self._source.call_many(calls)
        for (method, params), result in zip(calls, results, strict=True):
            self.exchanges.setdefault(exchange_key(method, params), result)
        return results
