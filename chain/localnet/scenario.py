"""Play a scenario on the local chain: `python -m chain.localnet.scenario --help`."""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import sys
import time
from pathlib import Path

from chain.localnet import demo, edge, swap
from chain.localnet.dump import write_dump
from chain.localnet.node import LocalnetUnavailable, LocalNode, account
from chain.localnet.stage import Cast, Stage

VARIANTS = {"demo": demo, "edge": edge, "swap": swap}


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m chain.localnet.scenario", description=__doc__)
    parser.add_argument("--variant", choices=VARIANTS, default="demo", help="what to play (default: demo)")
    parser.add_argument(
        "--port", type=int, default=9960, help="port of the node on 127.0.0.1 (default: 9960)"
    )
    parser.add_argument(
        "--keep-alive", action="store_true", help="serve the chain after the play, until Ctrl-C"
    )
    parser.add_argument("--dump", metavar="FILE", help="write the play to FILE, which ends in .json.gz")
    parser.add_argument(
        "--accounts", action="store_true", help="list the accounts of the play and do nothing else"
    )
    parser.add_argument("--quiet", action="store_true", help="no line for each block")
    arguments = parser.parse_args()
    if arguments.dump and not arguments.dump.endswith(".json.gz"):
        parser.error("--dump needs a name that ends in .json.gz")
    return arguments


def _say(text: str) -> None:
    print(text, flush=True)


def list_accounts(cast: Cast) -> None:
    """Print name, address and role of every account; needs no node."""
    for name in cast.names():
        _say(f"{name:15} {account(name).ss58_address} {cast.role(name)}")


def run(arguments: argparse.Namespace) -> None:
    """Start the node, play, dump and serve as asked."""
    variant = VARIANTS[arguments.variant]
    with LocalNode(port=arguments.port) as node:
        started = time.monotonic()
        stage = Stage(node, variant.CAST, report=(lambda _: None) if arguments.quiet else _say)
        variant.play(stage)
        played = time.monotonic()
        summary = {
            "variant": arguments.variant,
            "blocks": len(stage.labels),
            "play_seconds": round(played - started),
        }
        if arguments.dump:
            summary["last_hash"] = write_dump(
                node, arguments.dump, labels=stage.labels, accounts=stage.accounts()
            )
            summary["dump_seconds"] = round(time.monotonic() - played)
            summary["sha256"] = hashlib.sha256(Path(arguments.dump).read_bytes()).hexdigest()
        _say(json.dumps(summary))
        if arguments.keep_alive:
            _say(f"Serving {node.url}, newest block {node.number()}; Ctrl-C stops it.")
            node.wait()


def main() -> int:
    """Run the command; a missing piece is reported in one sentence."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    arguments = parse_arguments()
    if arguments.accounts:
        list_accounts(VARIANTS[arguments.variant].CAST)
        return 0
    try:
        run(arguments)
    except LocalnetUnavailable as missing:
        print(missing, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
