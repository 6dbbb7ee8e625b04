#!/usr/bin/env python3
"""Joins a cluster and prints what happens there, one event as JSON a line.

It leaves when it gets SIGTERM or SIGINT, or after the given time:

    python examples/member.py p1 --bind 127.0.0.1:0 --plaintext --fact tier=gold \\
        --policy gold '{{tier}} == gold' core --seconds 5
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys

import tribe


class Stop(BaseException):
    """It is time to leave."""


def stop(*_: object) -> None:
    # Once is enough: nothing shall interrupt the good-bye.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    raise Stop


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Join a cluster and print its events.")
    parser.add_argument("name", help="name of this node")
    parser.add_argument("--bind", default="0.0.0.0:6000", metavar="IP:PORT")
    parser.add_argument("--seed", action="append", default=[], metavar="HOST:PORT")
    parser.add_argument("--key-file", metavar="FILE")
    parser.add_argument("--plaintext", action="store_true", help="no encryption, for tests")
    parser.add_argument("--fact", action="append", default=[], type=tribe.fact, metavar="K=V")
    parser.add_argument(
        "--policy", action="append", default=[], nargs=3, metavar=("NAME", "TEXT", "TRIBE")
    )
    parser.add_argument("--seconds", type=float, default=0, help="leave after this time")
    return parser.parse_args()


def watch(given: argparse.Namespace) -> None:
    with tribe.Node(
        given.name,
        bind=given.bind,
        seeds=given.seed,
        key_file=given.key_file,
        plaintext=given.plaintext,
        facts=dict(given.fact),
    ) as node:
        events = node.events()
        print(f"{node.name} at {node.address}", file=sys.stderr, flush=True)
        # Who was met before there was anyone to hear of it.
        for member in node.members():
            known = {"kind": "known", "subject": member.name, "body": {"tribes": member.tribes}}
            print(json.dumps(known), flush=True)
        for name, text, group in given.policy:
            for warning in node.create_policy(name, text, group).warnings:
                print(f"policy {name}: {warning}", file=sys.stderr)
        for event in events:
            print(json.dumps(dataclasses.asdict(event)), flush=True)


def main() -> int:
    given = arguments()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, stop)
    signal.setitimer(signal.ITIMER_REAL, given.seconds)
    try:
        watch(given)
    except Stop:
        return 0
    except tribe.PolicyError as error:
        print(error.rendered, file=sys.stderr)
        return 2
    except tribe.TribeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
