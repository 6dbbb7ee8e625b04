"""Services between real nodes on the loopback, for threads."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

import tribe
from conftest import StartNode

Pair = tuple[tribe.Node, tribe.Node]


@pytest.fixture
def pair(start: StartNode) -> Pair:
    """Two nodes that have met; the first is in the tribe `core`."""
    first = start("p1")
    second = start("p2", seeds=[first.address])
    second.wait_synced(30)
    events = second.events(timeout=30)
    first.create_tribe("core")
    first.join_tribe("core")
    while second.member("p1").tribes != ("core",):
        next(events)
    return first, second


def until_offered(node: tribe.Node, service: str, holder: str) -> None:
    events = node.events(timeout=30)
    while not node.offers(node=holder, service=service):
        next(events)


@pytest.fixture
def echo() -> Iterator[Callable[[tribe.Node, str], tribe.Service]]:
    """Services that answer each stream with what it is sent, while it comes."""
    services: list[tribe.Service] = []
    threads: list[threading.Thread] = []

    def answer(service: tribe.Service) -> None:
        for stream in service:
            with stream:
                while data := stream.recv(65536):
                    stream.sendall(data)

    def serve(node: tribe.Node, name: str) -> tribe.Service:
        services.append(node.serve(name))
        threads.append(threading.Thread(target=answer, args=(services[-1],)))
        threads[-1].start()
        return services[-1]

    yield serve
    for service in services:
        service.close()
    for thread in threads:
        thread.join()


def say(stream: tribe.Stream, words: bytes) -> bytes:
    with stream:
        stream.sendall(words)
        stream.shutdown(socket.SHUT_WR)
        with stream.makefile("rb") as heard:
            return heard.read()


def test_a_service_is_dialled_by_tribe_and_by_node(
    pair: Pair, echo: Callable[[tribe.Node, str], tribe.Service]
) -> None:
    first, second = pair
    assert echo(first, "echo/1").name == "echo/1"
    until_offered(second, "echo/*", "p1")
    for node in pair:
        stream = node.dial("echo/1", tribe="core", timeout=30)
        assert isinstance(stream, socket.socket)
        assert stream.peer == tribe.Caller("p1", first.id, first.address)
        assert "p1" in repr(stream)
        with stream.dup() as other:
            assert other.peer == stream.peer
        assert say(stream, b"by tribe") == b"by tribe"
        assert say(node.dial("echo/1", node="p1"), b"by node") == b"by node"


def test_much_goes_both_ways_at_the_same_time(
    pair: Pair, echo: Callable[[tribe.Node, str], tribe.Service]
) -> None:
    first, second = pair
    echo(first, "echo")
    out = random.Random(1).randbytes(16 * 1024 * 1024)
    stream = second.dial("echo", node="p1")

    def send() -> None:
        stream.sendall(out)
        stream.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    heard = hashlib.sha256()
    while data := stream.recv(1 << 20):
        heard.update(data)
    sender.join()
    stream.close()
    assert heard.digest() == hashlib.sha256(out).digest()


def test_a_peer_that_stops_is_an_error_after_what_it_sent(pair: Pair) -> None:
    first, second = pair
    service = first.serve("half")
    stream = second.dial("half", node="p1")
    accepted = service.accept(timeout=30)
    assert accepted.peer.name == "p2"
    accepted.sendall(b"half")
    assert stream.recv(4, socket.MSG_WAITALL) == b"half"
    first.stop()
    with pytest.raises(ConnectionResetError):
        stream.recv(1)
    with pytest.raises(BrokenPipeError):
        stream.sendall(b"more")
    with pytest.raises(ConnectionResetError):
        accepted.recv(1)
    with pytest.raises(tribe.ClosedError):
        service.accept()
    assert list(service) == []
    stream.close()
    accepted.close()


def test_closing_a_service_wakes_who_accepts(start: StartNode) -> None:
    node = start("p1")
    service = node.serve("echo")
    with pytest.raises(TimeoutError):
        service.accept(timeout=0.01)
    accepted: list[tribe.Stream] = []
    waiting = threading.Thread(target=lambda: accepted.extend(service))
    waiting.start()
    with service:
        pass
    waiting.join()
    assert accepted == []
    # Its name is free again.
    with node.serve("echo") as again:
        assert "echo" in repr(again)


def test_what_is_wrong_says_why(pair: Pair) -> None:
    first, second = pair
    service = first.serve("few", tribes=["core"], most=1, hidden=True)
    with pytest.raises(tribe.AlreadyExistsError, match="`few`"):
        first.serve("few")
    with pytest.raises(tribe.ConfigError, match="`no name`"):
        first.serve("no name")
    with pytest.raises(TypeError, match="tribes"):
        first.serve("other", tribes="core")
    kept = first.dial("few", node="p1")
    with pytest.raises(tribe.BusyError, match="try again later"):
        first.dial("few", node="p1")
    kept.close()
    with pytest.raises(PermissionError, match="none of the tribes"):
        second.dial("few", node="p1")
    for node in ("p9", "p2"):
        with pytest.raises(LookupError):
            second.dial("few", node=node)
    for group in ("corr", "core"):
        with pytest.raises(LookupError):
            second.dial("few", tribe=group)
    with pytest.raises(ValueError, match="tribe or a node"):
        second.dial("few")
    with pytest.raises(ValueError, match="tribe or a node"):
        second.dial("few", tribe="core", node="p1")
    service.close()


def test_offers_are_found_by_what_they_are(pair: Pair) -> None:
    first, second = pair
    services = [first.serve(name) for name in ("publisher/influxdb/25", "echo")]
    services.append(second.serve("publisher/influxdb/19"))
    until_offered(second, "echo", "p1")
    found = second.offers(plugin="publisher:influxdb:>=20,<30")
    plugin = tribe.OfferedPlugin("publisher", "influxdb", 25)
    assert found == [tribe.Offer("p1", first.id, ("core",), "publisher/influxdb/25", plugin)]
    assert {offer.node for offer in second.offers(plugin="publisher")} == {"p1", "p2"}
    assert [offer.service for offer in second.offers(tribe="core", service="e*")] == ["echo"]
    with pytest.raises(LookupError, match="corr"):
        second.offers(tribe="corr")
    with pytest.raises(tribe.ConfigError, match="no versions"):
        second.offers(plugin="publisher:influxdb:new")
    for service in services:
        service.close()
