"""Write what happened on the local chain into one file, complete enough to answer any later read without a node.

Per block: header, extrinsics (decoded and raw), events, the storage that matters decoded, and `state_delta`, every raw key
that changed since the block before (block 1: the whole state without the runtime's code). Integers above 2**53 are decimal
strings; U64F64 shares are their raw bits; every other amount is rao.
"""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable, Iterator
from typing import Any

from substrateinterface.utils.hasher import xxh128
from substrateinterface.utils.ss58 import ss58_encode

from chain.localnet.node import SS58_FORMAT, LocalNode

CODE_KEY = "0x3a636f6465"
PAGE = 1000
JSON_SAFE = 2**53


def storage_prefix(module: str, item: str) -> str:
    """Return the hex prefix of a storage item."""
    return "0x" + (bytes(xxh128(module.encode())) + bytes(xxh128(item.encode()))).hex()


def _int(value: str) -> int:
    return int.from_bytes(bytes.fromhex(value), "little")


def _account(value: str) -> str:
    return str(ss58_encode(bytes.fromhex(value), SS58_FORMAT))


# Item -> (key layout, decoder of the value). Layout: h = blake2_128concat(account), n = identity(u16).
SUBTENSOR_MAPS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "Alpha": ("hhn", _int),
    "AlphaDividendsPerSubnet": ("nh", _int),
    "BlocksSinceLastStep": ("n", _int),
    "Delegates": ("h", _int),
    "FirstEmissionBlockNumber": ("n", _int),
    "LastMechansimStepBlock": ("n", _int),
    "Owner": ("h", _account),
    "PendingAlphaSwapped": ("n", _int),
    "PendingEmission": ("n", _int),
    "PendingOwnerCut": ("n", _int),
    "PendingRootDivs": ("n", _int),
    "SubnetAlphaIn": ("n", _int),
    "SubnetAlphaInEmission": ("n", _int),
    "SubnetAlphaOut": ("n", _int),
    "SubnetAlphaOutEmission": ("n", _int),
    "SubnetMovingPrice": ("n", _int),
    "SubnetOwner": ("n", _account),
    "SubnetOwnerHotkey": ("n", _account),
    "SubnetTAO": ("n", _int),
    "SubnetTaoInEmission": ("n", _int),
    "SubnetVolume": ("n", _int),
    "TaoDividendsPerSubnet": ("nh", _int),
    "Tempo": ("n", _int),
    "TotalHotkeyAlpha": ("hn", _int),
    "TotalHotkeyAlphaLastEpoch": ("hn", _int),
    "TotalHotkeyShares": ("hn", _int),
}
SUBTENSOR_PLAIN = ("BlockEmission", "TaoWeight", "TotalIssuance", "TotalStake")
SWAP_MAPS = ("AlphaSqrtPrice", "CurrentLiquidity", "CurrentTick", "FeeGlobalAlpha", "FeeGlobalTao", "FeeRate")


def _read_key(rest: str, layout: str) -> list[Any]:
    parts: list[Any] = []
    at = 0
    for kind in layout:
        if kind == "h":
            parts.append(_account(rest[at + 32 : at + 96]))
            at += 96
        else:
            parts.append(_int(rest[at : at + 4]))
            at += 4
    return parts


def _json_safe(value: Any) -> Any:
    return str(value) if isinstance(value, int) and value > JSON_SAFE else value


def decode_storage(state: dict[str, str]) -> dict[str, Any]:
    """Return the items named above out of a whole raw state: `Pallet.Item` -> value, or rows of keys and value."""
    prefixes = {storage_prefix("SubtensorModule", item): item for item in SUBTENSOR_MAPS}
    swaps = {storage_prefix("Swap", item): item for item in SWAP_MAPS}
    accounts = storage_prefix("System", "Account")
    plain = {storage_prefix("SubtensorModule", item): item for item in SUBTENSOR_PLAIN}
    out: dict[str, Any] = {}
    for key in sorted(state):
        value = state[key].removeprefix("0x")
        prefix, rest = key[:66], key[66:]
        if key in plain:
            out[f"SubtensorModule.{plain[key]}"] = _json_safe(_int(value))
        elif prefix in prefixes:
            layout, decode = SUBTENSOR_MAPS[prefixes[prefix]]
            row = [*_read_key(rest, layout), _json_safe(decode(value))]
            out.setdefault(f"SubtensorModule.{prefixes[prefix]}", []).append(row)
        elif prefix in swaps:
            out.setdefault(f"Swap.{swaps[prefix]}", []).append([_int(rest[-4:]), _json_safe(_int(value))])
        elif prefix == accounts:
            nonce, _consumers, _providers, _sufficients, free, reserved, frozen = struct.unpack_from(
                "<IIIIQQQ", bytes.fromhex(value)
            )
            entry = {"nonce": nonce, "free": free, "reserved": reserved, "frozen": frozen}
            out.setdefault("System.Account", {})[_account(rest[32:])] = entry
    return out


def read_state(node: LocalNode, block_hash: str) -> dict[str, str]:
    """Return every raw storage key and value at a block, but for the runtime's code."""
    keys: list[str] = []
    page = node.rpc("state_getKeysPaged", "0x", PAGE, "0x", block_hash)
    while page:
        keys += page
        page = node.rpc("state_getKeysPaged", "0x", PAGE, page[-1], block_hash) if len(page) == PAGE else []
    keys = [key for key in keys if key != CODE_KEY]
    return {
        key: value
        for at in range(0, len(keys), PAGE)
        for key, value in node.rpc("state_queryStorageAt", keys[at : at + PAGE], block_hash)[0]["changes"]
        if value is not None
    }


def plain(value: Any) -> Any:
    """Return a decoded value with bytes as hex, fit for JSON."""

    def other(item: Any) -> str:
        return "0x" + bytes(item).hex() if isinstance(item, (bytes, bytearray)) else str(item)

    return json.loads(json.dumps(value, default=other))


def _error(node: LocalNode, attributes: Any) -> Any:
    error = attributes["dispatch_error"]
    if not isinstance(error, dict) or "Module" not in error:
        return error
    index, code = error["Module"]["index"], error["Module"]["error"]
    code = bytes.fromhex(code[2:])[0] if isinstance(code, str) else code
    found = node.substrate.metadata.get_module_error(index, code)
    pallet = next(item.name for item in node.substrate.metadata.pallets if item.value["index"] == index)
    return {**error, "name": f"{pallet}.{found.name}", "docs": " ".join(found.docs)}


def _events(node: LocalNode, block_hash: str) -> tuple[list[dict[str, Any]], dict[int, dict[str, Any]]]:
    events, outcomes = [], {}
    for index, record in enumerate(node.substrate.get_events(block_hash=block_hash)):
        value = record.value
        module, event = value["event"]["module_id"], value["event"]["event_id"]
        attributes = plain(value["event"]["attributes"])
        extrinsic = value.get("extrinsic_idx")
        events.append(
            {
                "index": index,
                "phase": value["phase"],
                "extrinsic_index": extrinsic,
                "module": module,
                "event": event,
                "attributes": attributes,
                "topics": value["topics"],
            }
        )
        if module == "System" and event in ("ExtrinsicSuccess", "ExtrinsicFailed"):
            failed = event == "ExtrinsicFailed"
            outcomes[extrinsic] = {
                "success": not failed,
                "error": _error(node, attributes) if failed else None,
            }
    return events, outcomes


def read_block(node: LocalNode, block_hash: str) -> dict[str, Any]:
    """Return one block in the form of the dump, still without its state."""
    raw = node.rpc("chain_getBlock", block_hash)["block"]
    events, outcomes = _events(node, block_hash)
    extrinsics = []
    timestamp = None
    for index, extrinsic in enumerate(node.substrate.get_block(block_hash=block_hash)["extrinsics"]):
        value = plain(extrinsic.value)
        if value["call"]["call_module"] == "Timestamp":
            timestamp = value["call"]["call_args"][0]["value"]
        extrinsics.append(
            {
                "index": index,
                "hash": value.get("extrinsic_hash"),
                "signer": value.get("address"),
                "nonce": value.get("nonce"),
                "tip": value.get("tip"),
                "era": value.get("era"),
                "call": value["call"],
                "raw": raw["extrinsics"][index],
                **outcomes.get(index, {}),
            }
        )
    header = raw["header"]
    return {
        "number": int(header["number"], 16),
        "hash": block_hash,
        "parent_hash": header["parentHash"],
        "state_root": header["stateRoot"],
        "extrinsics_root": header["extrinsicsRoot"],
        "header": header,
        "digest": header["digest"]["logs"],
        "spec_version": node.rpc("state_getRuntimeVersion", block_hash)["specVersion"],
        "timestamp": timestamp,
        "extrinsics": extrinsics,
        "events": events,
    }


def _blocks(node: LocalNode, labels: dict[str, tuple[str, list[Any]]]) -> Iterator[dict[str, Any]]:
    before: dict[str, str] = {}
    for block_hash, (label, rejected) in labels.items():
        state = read_state(node, block_hash)
        delta: dict[str, str | None] = {
            key: value for key, value in state.items() if before.get(key) != value
        }
        delta.update(dict.fromkeys(before.keys() - state.keys()))
        yield {
            **read_block(node, block_hash),
            "label": label,
            "rejected": rejected,
            "storage": decode_storage(state),
            "state_delta": delta,
        }
        before = state


def _write_gzip(path: str, text: str) -> None:
    # Neither time nor name goes into the archive: the same play has to give the same bytes.
    with open(path, "wb") as file, gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as out:
        out.write(text.encode())


def write_dump(
    node: LocalNode,
    path: str,
    *,
    labels: dict[str, tuple[str, list[Any]]],
    accounts: dict[str, dict[str, str]],
) -> str:
    """Write the blocks named by `labels` (hash -> label, refused extrinsics) and the metadata beside them.

    :param path: ends in .json.gz; the metadata goes to the same name ending in -metadata.hex.gz
        (line 1 the metadata V14, line 2 an Option of V15).
    :returns: the hash of the last block.
    """
    blocks = list(_blocks(node, labels))
    document = {
        "chain": node.rpc("system_chain"),
        "genesis_hash": node.rpc("chain_getBlockHash", 0),
        "runtime": node.rpc("state_getRuntimeVersion"),
        "slot_ms": node.slot_ms,
        "properties": node.rpc("system_properties"),
        "accounts": accounts,
        "notes": __doc__,
        "blocks": blocks,
    }
    _write_gzip(path, json.dumps(document, separators=(",", ":"), sort_keys=True))
    metadata = (
        node.rpc("state_getMetadata"),
        node.rpc("state_call", "Metadata_metadata_at_version", "0x0f000000"),
    )
    _write_gzip(path.removesuffix(".json.gz") + "-metadata.hex.gz", "".join(line + "\n" for line in metadata))
    return str(blocks[-1]["hash"])
