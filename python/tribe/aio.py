"""The same for asyncio: nodes, events and services for a program with an event loop.

::

    import tribe.aio

    async with await tribe.aio.open("p1", seeds=["10.0.0.1:6000"], key_file="tribe.key") as node:
        await node.wait_synced(timeout=30)
        await node.join("core")
        reader, writer, peer = await node.dial("echo/1", tribe="core")
        writer.write(b"hello")
        writer.write_eof()
        assert await reader.read() == b"hello"

What a node knows it tells at once (`facts`, `members`, `offers`, ...); what it must wait for is
awaited, and ends when it is cancelled. No thread is held by what waits for others: the event loop
watches a descriptor.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import tribe
from tribe import _tribe
from tribe.errors import ClosedError, TimeoutError
from tribe.services import Stream as _Socket
from tribe.types import (
    Caller,
    Event,
    EventKind,
    FactValue,
    Member,
    Offer,
    PolicyCreated,
    PolicyInfo,
    Tribe,
)

__all__ = ["Events", "Node", "Service", "Stream", "open"]

_Result = TypeVar("_Result")


class Stream(NamedTuple):
    """A stream to a service, or from one who dialled it.

    `writer.write_eof()` ends this direction; `writer.close()` ends it too, once all that came was
    read. The end of what the reader gives is the end of the peer's direction; a stream that is lost
    instead raises `ConnectionResetError`. `await writer.drain()` waits for a slow peer.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    peer: Caller
    """The node at the other end."""


async def open(name: str, **options: Any) -> Node:
    """Starts a node; the options are those of `tribe.Node`."""
    return Node(await asyncio.to_thread(tribe.Node, name, **options))


class Node:
    """A running node of a cluster, as made by `open`. As a context manager it leaves at the end."""

    __slots__ = ("__weakref__", "_node")

    def __init__(self, node: tribe.Node) -> None:
        """Takes over a node that runs."""
        self._node = node

    # What it is and knows. Never waits.

    @property
    def blocking(self) -> tribe.Node:
        """The same node, with all that it can do, for code without an event loop."""
        return self._node

    @property
    def name(self) -> str:
        """This node's name."""
        return self._node.name

    @property
    def id(self) -> str:
        """This node's id: 16 hexadecimal digits."""
        return self._node.id

    @property
    def address(self) -> str:
        """Where others reach this node, as `IP:PORT`."""
        return self._node.address

    @property
    def synced(self) -> bool:
        """One full sync is done since start, or this node is the first of its cluster."""
        return self._node.synced

    def facts(self, node: str | None = None) -> dict[str, FactValue]:
        """The facts of this node, or of another."""
        return self._node.facts(node)

    def members(self, tribe: str | None = None) -> list[Member]:
        """All known nodes, dead ones too, or those in a tribe."""
        return self._node.members(tribe)

    def tribes(self, node: str | None = None) -> list[Tribe]:
        """All tribes, or those a node is in."""
        return self._node.tribes(node)

    def policies(self) -> list[PolicyInfo]:
        """All policies."""
        return self._node.policies()

    def offers(
        self,
        *,
        tribe: str | None = None,
        node: str | None = None,
        service: str | None = None,
        plugin: str | None = None,
    ) -> list[Offer]:
        """What live nodes offer; see `tribe.Node.offers`."""
        return self._node.offers(tribe=tribe, node=node, service=service, plugin=plugin)

    # What it is told to do.

    async def set_facts(
        self,
        facts: Mapping[str, FactValue] | None = None,
        *,
        unset: Iterable[str] = (),
        node: str | None = None,
    ) -> _tribe.Written:
        """Sets and unsets run-time facts of this node, or of another one that is alive."""
        return await asyncio.to_thread(self._node.set_facts, facts, unset=unset, node=node)

    async def create_tribe(self, tribe: str, description: str = "") -> _tribe.Written:
        """Creates a tribe."""
        return await asyncio.to_thread(self._node.create_tribe, tribe, description)

    async def describe_tribe(self, tribe: str, description: str) -> _tribe.Written:
        """Says anew what a tribe is for."""
        return await asyncio.to_thread(self._node.describe_tribe, tribe, description)

    async def join(self, tribe: str, node: str | None = None) -> _tribe.Written:
        """Places a node in a tribe by hand: this one, or any other, even one yet to exist."""
        return await asyncio.to_thread(self._node.join_tribe, tribe, node)

    async def leave(self, tribe: str, node: str | None = None) -> _tribe.Written:
        """Places a node out of a tribe by hand, whatever the policies say."""
        return await asyncio.to_thread(self._node.leave_tribe, tribe, node)

    async def create_policy(
        self,
        policy: str,
        text: str,
        tribe: str,
        *,
        replace: bool = False,
        enabled: bool | None = None,
    ) -> PolicyCreated:
        """Creates a policy for a tribe; see `tribe.Node.create_policy`."""
        create = self._node.create_policy
        return await asyncio.to_thread(
            create, policy, text, tribe, replace=replace, enabled=enabled
        )

    async def delete_policy(self, policy: str) -> _tribe.Written:
        """Deletes a policy."""
        return await asyncio.to_thread(self._node.delete_policy, policy)

    async def enable_policy(self, policy: str, enabled: bool = True) -> _tribe.Written:
        """Switches a policy on or off."""
        return await asyncio.to_thread(self._node.enable_policy, policy, enabled)

    # What it waits for.

    async def wait(
        self, written: _tribe.Written | PolicyCreated, timeout: float | timedelta = 10.0
    ) -> list[str]:
        """The names of live members that did not say in time that they hold what was written."""
        return await asyncio.to_thread(self._node.wait, written, timeout)

    async def wait_synced(self, timeout: float | timedelta | None = None) -> None:
        """Waits for the first full sync. `TimeoutError` if it does not come in time."""
        await _done(self._node._node.start_wait_synced(_seconds(timeout)))

    def events(self, kinds: Iterable[EventKind] | None = None) -> Events:
        """What happens from now on; only these kinds, and `missed`, if any are named."""
        if isinstance(kinds, str):
            raise TypeError("kinds must be a list of str, not one str")
        return Events(self._node._node.event_feed([] if kinds is None else list(kinds)))

    async def serve(
        self,
        name: str,
        *,
        tribes: Iterable[str] | None = None,
        most: int = 256,
        hidden: bool = False,
    ) -> Service:
        """Serves a service to the members of the cluster; see `tribe.Node.serve`."""
        if isinstance(tribes, str):
            raise TypeError("tribes must be a list of str, not one str")
        chosen = None if tribes is None else list(tribes)
        serve = self._node._node.serve
        return Service(name, await asyncio.to_thread(serve, name, chosen, most, hidden))

    async def dial(
        self,
        service: str,
        *,
        tribe: str | None = None,
        node: str | None = None,
        timeout: float | timedelta | None = None,
    ) -> Stream:
        """Dials a service of a node, or of any member of a tribe; see `tribe.Node.dial`."""
        pending = self._node._node.start_dial(service, tribe, node, _seconds(timeout))
        dialled = await _done(pending)
        assert dialled is not None
        return await _streams(dialled)

    # How it ends.

    async def close(self) -> None:
        """Says good-bye and stops. Does nothing the second time."""
        await asyncio.to_thread(_close, self._node)

    async def __aenter__(self) -> Node:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<tribe.aio.Node {self.name} {self.address}>"


class Events(AsyncIterator[Event]):
    """Events of a node, from the moment `Node.events` was called. Ends when the node has stopped.

    `asyncio.timeout` bounds the wait for one; none is lost by that.
    """

    __slots__ = ("_feed",)

    def __init__(self, feed: _tribe.EventFeed) -> None:
        self._feed = feed

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Event:
        def take() -> tuple[int, str, str, str] | None:
            found, more = self._feed.try_next()
            if not more:
                raise StopAsyncIteration
            return found

        rev, kind, subject, body = await _taken(self._feed.fd(), take)
        return Event(rev, kind, subject, json.loads(body))


class Service(AsyncIterator[Stream]):
    """A service that this node serves, as made by `Node.serve`.

    Iterate over it to accept one stream after the other, until it is closed::

        async for reader, writer, peer in await node.serve("echo/1"):
            tasks.create_task(answer(reader, writer))
    """

    __slots__ = ("_name", "_service")

    def __init__(self, name: str, service: _tribe.Service) -> None:
        self._name = name
        self._service = service

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    async def accept(self, timeout: float | timedelta | None = None) -> Stream:
        """The next stream; waits for it. `ClosedError` once it is closed, or the node stopped."""
        waiting = _taken(self._service.fd(), self._service.try_accept)
        try:
            accepted = await asyncio.wait_for(waiting, _seconds(timeout))
        except asyncio.TimeoutError:
            raise TimeoutError("nobody dialled in time") from None
        return await _streams(accepted)

    def close(self) -> None:
        """Withdraws it, and wakes those who wait for callers. Accepted streams go on."""
        self._service.close()

    def __aiter__(self) -> Service:
        return self

    async def __anext__(self) -> Stream:
        try:
            return await self.accept()
        except ClosedError:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Service:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<tribe.aio.Service {self._name}>"


async def _readable(fd: int) -> None:
    """Waits for a descriptor, and resets it."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    # Several may wait for one descriptor, but a loop watches each number once.
    own = os.dup(fd)
    loop.add_reader(own, _set, ready)
    try:
        await ready
        with contextlib.suppress(BlockingIOError):
            os.read(own, 8)
    finally:
        loop.remove_reader(own)
        os.close(own)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def _taken(fd: int, take: Callable[[], _Result | None]) -> _Result:
    """What `take` gives, once it gives something."""
    while (taken := take()) is None:
        await _readable(fd)
    return taken


async def _done(pending: _tribe.Pending) -> tuple[int, tuple[str, str, str]] | None:
    await _readable(pending.fd())
    return pending.result()


async def _streams(stream: tuple[int, tuple[str, str, str]]) -> Stream:
    socket = _Socket(*stream)
    reader, writer = await asyncio.open_unix_connection(sock=socket)
    return Stream(reader, writer, socket.peer)


def _close(node: tribe.Node) -> None:
    try:
        node.leave()
    except ClosedError:
        pass  # It has left already.
    finally:
        node.stop()


def _seconds(span: float | timedelta | None) -> float | None:
    return span.total_seconds() if isinstance(span, timedelta) else span
