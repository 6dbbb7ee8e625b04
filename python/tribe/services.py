"""Services: what a member offers to others, and streams to it.

A stream is a connected socket, so everything that works on sockets works on it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from datetime import timedelta
from types import TracebackType

from tribe import _tribe
from tribe.errors import ClosedError
from tribe.types import Caller

__all__ = ["Service", "Stream"]


class Stream(socket.socket):
    """A stream to a service, or from one who dialled it: a connected, blocking socket.

    `shutdown(SHUT_WR)` ends this direction, and so does `close` once all that came was read; closed
    with bytes unread it is an error to the peer. An empty `recv` is the end of the peer's
    direction. When the stream is lost instead, `recv` gives what had come and then raises
    `ConnectionResetError`, and `send` raises `BrokenPipeError`. Who does not read makes the other
    side wait.
    """

    __slots__ = ("peer",)

    peer: Caller
    """The node at the other end."""

    def __init__(self, fd: int, peer: tuple[str, str, str]) -> None:
        super().__init__(fileno=fd)
        # Whatever `socket.setdefaulttimeout` says.
        self.settimeout(None)
        self.peer = Caller(*peer)

    def dup(self) -> Stream:
        """The same stream by another descriptor."""
        peer = self.peer
        return Stream(os.dup(self.fileno()), (peer.name, peer.id, peer.address))

    def __repr__(self) -> str:
        state = "closed" if self.fileno() < 0 else f"fd={self.fileno()}"
        return f"<tribe.Stream to {self.peer.name} {state}>"


class Service:
    """A service that this node serves, as made by `Node.serve`.

    Iterate over it to accept one stream after the other, until it is closed::

        with node.serve("echo/1") as service:
            for stream in service:
                with stream:
                    while data := stream.recv(65536):
                        stream.sendall(data)

    Threads may share it; each stream goes to one of them.
    """

    __slots__ = ("_name", "_service")

    def __init__(self, name: str, service: _tribe.Service) -> None:
        self._name = name
        self._service = service

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    def accept(self, timeout: float | timedelta | None = None) -> Stream:
        """The next stream; waits for it.

        `TimeoutError` if nobody dials in time; `ClosedError` once the service is closed or the node
        has stopped.
        """
        if isinstance(timeout, timedelta):
            timeout = timeout.total_seconds()
        return Stream(*self._service.accept(timeout))

    def close(self) -> None:
        """Withdraws it, and wakes those who wait for callers. Accepted streams go on."""
        self._service.close()

    def __iter__(self) -> Iterator[Stream]:
        while True:
            try:
                stream = self.accept()
            except ClosedError:
                return
            yield stream

    def __enter__(self) -> Service:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<tribe.Service {self._name}>"
