"""The face for asyncio, with real nodes on the loopback."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

import tribe
import tribe.aio

Test = Callable[[tribe.aio.Node, tribe.aio.Node], Awaitable[None]]


def run(test: Test) -> None:
    """Runs a test with two nodes that have met; the first is in the tribe `core`."""

    async def inside() -> None:
        key = tribe.generate_key()

        async def start(name: str, *seeds: str) -> tribe.aio.Node:
            return await tribe.aio.open(
                name, bind="127.0.0.1:0", seeds=seeds, key=key, collect_facts=False
            )

        async with await start("p1") as first, await start("p2", first.address) as second:
            await second.wait_synced(30)
            events = second.events()
            await first.create_tribe("core")
            assert await first.wait(await first.join("core"), 30) == []
            while [found.name for found in second.tribes("p1")] != ["core"]:
                await anext(events)
            await test(first, second)

    asyncio.run(asyncio.wait_for(inside(), 50))


async def echo(service: tribe.aio.Service) -> None:
    async def answer(stream: tribe.aio.Stream) -> None:
        reader, writer, _ = stream
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    tasks = set()
    async for stream in service:
        tasks.add(asyncio.create_task(answer(stream)))
    await asyncio.gather(*tasks)


def test_a_service_is_dialled_by_tribe_and_by_node() -> None:
    async def test(first: tribe.aio.Node, second: tribe.aio.Node) -> None:
        service = await first.serve("echo/1")
        serving = asyncio.create_task(echo(service))
        events = second.events(kinds=["offers-changed"])
        while not second.offers(tribe="core", service="echo/*"):
            await anext(events)
        for where in ({"tribe": "core"}, {"node": "p1"}):
            reader, writer, peer = await second.dial("echo/1", timeout=30, **where)
            assert peer == tribe.Caller("p1", first.id, first.address)
            writer.write(b"hello")
            writer.write_eof()
            assert await reader.read() == b"hello"
            writer.close()
            await writer.wait_closed()
        service.close()
        await serving

    run(test)


def test_many_talk_at_the_same_time_and_much() -> None:
    async def test(first: tribe.aio.Node, second: tribe.aio.Node) -> None:
        service = await first.serve("echo")
        serving = asyncio.create_task(echo(service))

        async def talk(number: int) -> None:
            out = random.Random(number).randbytes(512 * 1024)
            reader, writer, _ = await second.dial("echo", node="p1")

            async def send() -> None:
                writer.write(out)
                await writer.drain()
                writer.write_eof()

            _, heard = await asyncio.gather(send(), reader.read())
            assert heard == out
            writer.close()
            await writer.wait_closed()

        await asyncio.gather(*(talk(number) for number in range(16)))
        service.close()
        await serving

    run(test)


def test_a_peer_that_stops_is_an_error() -> None:
    async def test(first: tribe.aio.Node, second: tribe.aio.Node) -> None:
        service = await first.serve("half")
        stream = await second.dial("half", node="p1")
        accepted = await service.accept(timeout=30)
        assert accepted.peer.name == "p2"
        accepted.writer.write(b"half")
        assert await stream.reader.readexactly(4) == b"half"
        first.blocking.stop()
        with pytest.raises(ConnectionResetError):
            await stream.reader.read()
        with pytest.raises(ConnectionResetError):
            await accepted.reader.read()
        with pytest.raises(tribe.ClosedError):
            await service.accept()
        for writer in (stream.writer, accepted.writer):
            writer.close()

    run(test)


def test_a_wait_that_is_cancelled_ends_at_once_and_loses_nothing() -> None:
    async def test(first: tribe.aio.Node, second: tribe.aio.Node) -> None:
        service = await first.serve("late")
        events = first.events(kinds=["tribe-created"])
        for waiting in (service.accept(), anext(events)):
            task = asyncio.ensure_future(waiting)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        with pytest.raises(TimeoutError):
            await service.accept(timeout=0.01)
        await first.create_tribe("new")
        assert (await anext(events)).subject == "new"
        await first.describe_tribe("new", "said anew")
        assert (await anext(events)).body == {"description": "said anew"}
        dialled, accepted = await asyncio.gather(second.dial("late", node="p1"), service.accept())
        for stream in (dialled, accepted):
            stream.writer.close()
        waiters = [asyncio.create_task(service.accept()) for _ in range(3)]
        await asyncio.sleep(0)
        service.close()
        for ended in await asyncio.gather(*waiters, return_exceptions=True):
            assert isinstance(ended, tribe.ClosedError)

    run(test)


def test_facts_and_errors_are_as_elsewhere() -> None:
    async def test(first: tribe.aio.Node, second: tribe.aio.Node) -> None:
        await first.set_facts({"rack": 7})
        assert first.facts()["rack"] == 7
        assert {member.name for member in second.members()} == {"p1", "p2"}
        with pytest.raises(LookupError):
            await second.dial("nothing", node="p1")
        with pytest.raises(LookupError):
            await second.join("corr")
        with pytest.raises(ValueError, match="tribe or a node"):
            await second.dial("nothing")
        with pytest.raises(TypeError, match="kinds"):
            second.events(kinds="synced")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="tribes"):
            await second.serve("x", tribes="core")
        events = first.events()
        await first.close()
        await first.close()
        assert all([event.kind async for event in events])
        with pytest.raises(tribe.ClosedError):
            await first.create_tribe("late")

    run(test)


def test_a_policy_is_off_from_the_start() -> None:
    async def test(first: tribe.aio.Node, second: tribe.aio.Node) -> None:
        created = await first.create_policy("here", "true", "vault", enabled=False)
        assert created.tribe_created
        assert await first.wait(created, 30) == []
        assert [info.enabled for info in second.policies()] == [False]
        assert [found.name for found in second.tribes("p1")] == ["core"]
        text = "{{node_name}} == p1"
        await first.create_policy("here", text, "vault", replace=True, enabled=True)
        assert [member.name for member in first.members("vault")] == ["p1"]
        await first.enable_policy("here", False)
        assert first.members("vault") == []
        await first.delete_policy("here")
        assert first.policies() == []

    run(test)
