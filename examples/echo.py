#!/usr/bin/env python3
"""Serves an echo to the members of a cluster, and dials those of others, with asyncio.

    python examples/echo.py p1 --key-file tribe.key --bind 127.0.0.1:6000 \\
        --serve echo/python --tribe echoes

--tribe joins a tribe, and creates it if there is none. Commands on stdin, one a line:

    dial tribe echoes echo/c 64     sends 64 MiB to any member of a tribe that offers the service,
    dial node c1 echo/c 64          or to a node, and compares what comes back
    quit                            so does the end of stdin

What comes of it is printed, one JSON object a line.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import sys

import tribe
import tribe.aio

BLOCK = 64 * 1024


def say(kind: str, subject: str, **body: object) -> None:
    print(json.dumps({"kind": kind, "subject": subject, "body": body}), flush=True)


async def echo(stream: tribe.aio.Stream) -> None:
    """Sends back what comes, while it comes."""
    reader, writer, _ = stream
    try:
        while data := await reader.read(BLOCK):
            writer.write(data)
            await writer.drain()
    except ConnectionError as error:
        print(f"{stream.peer.name}: {error}", file=sys.stderr)
    finally:
        writer.close()


async def serve(service: tribe.aio.Service) -> None:
    tasks = set()
    async for stream in service:
        task = asyncio.create_task(echo(stream))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def dial(node: tribe.aio.Node, by: str, target: str, service: str, mib: int) -> None:
    where = {"tribe": target} if by == "tribe" else {"node": target}
    try:
        reader, writer, peer = await node.dial(service, timeout=30, **where)
    except tribe.TribeError as error:
        say("failed", service, code=type(error).__name__, error=str(error))
        return
    sent, heard = hashlib.sha256(), hashlib.sha256()
    blocks, count = mib * 1024 * 1024 // BLOCK, 0

    async def send() -> None:
        block = bytearray(random.Random(1).randbytes(BLOCK))
        for number in range(blocks):
            # No block is like another.
            block[:8] = number.to_bytes(8, "little")
            sent.update(block)
            writer.write(bytes(block))
            await writer.drain()
        writer.write_eof()

    lost = None
    sender = asyncio.create_task(send())
    try:
        while data := await reader.read(BLOCK):
            heard.update(data)
            count += len(data)
        await sender
    except ConnectionError as error:
        lost = str(error)
        sender.cancel()
        await asyncio.wait([sender])
    same = sent.digest() == heard.digest() and count == blocks * BLOCK
    say("dialled", service, peer=peer.name, bytes=count, same=same, error=lost)
    writer.close()


async def main(given: argparse.Namespace) -> None:
    async with await tribe.aio.open(
        given.name,
        bind=given.bind,
        seeds=given.seed,
        key_file=given.key_file,
        collect_facts=False,
    ) as node:
        if given.tribe:
            try:
                await node.create_tribe(given.tribe)
            except tribe.AlreadyExistsError:
                pass  # Others are in it.
            await node.join(given.tribe)
        serving = None
        if given.serve:
            serving = asyncio.create_task(serve(await node.serve(given.serve)))
        say("started", node.name, address=node.address)
        while words := (await asyncio.to_thread(sys.stdin.readline)).split():
            if words[0] == "quit":
                break
            if words[0] == "dial":
                by, target, service, mib = words[1:]
                await dial(node, by, target, service, int(mib))
        if serving:
            serving.cancel()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Serve an echo, and dial those of others.")
    parser.add_argument("name", help="name of this node")
    parser.add_argument("--bind", default="0.0.0.0:6000", metavar="IP:PORT")
    parser.add_argument("--seed", action="append", default=[], metavar="HOST:PORT")
    parser.add_argument("--key-file", required=True, metavar="FILE")
    parser.add_argument("--serve", metavar="SERVICE")
    parser.add_argument("--tribe")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main(arguments()))
