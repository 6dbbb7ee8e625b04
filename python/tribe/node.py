"""A node: this process as a member of the cluster."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from os import PathLike
from types import TracebackType

from tribe import _tribe
from tribe._tribe import Key, Written
from tribe.errors import ClosedError
from tribe.services import Service, Stream
from tribe.types import (
    Acting,
    Event,
    EventKind,
    Explanation,
    FactValue,
    KeyHolder,
    KeyInfo,
    KeyStatus,
    Member,
    Metric,
    Offer,
    PolicyCreated,
    PolicyInfo,
    Tribe,
)

__all__ = ["Events", "Node"]


class Node:
    """A running node of a cluster.

    It starts when it is made, and does not wait for its seeds: `wait_synced` does. As a context
    manager it leaves and stops at the end::

        with tribe.Node("p1", seeds=["10.0.0.1:6000"], key_file="/etc/snap/tribe.key") as node:
            node.wait_synced(timeout=30)
            node.join_tribe("core")

    Methods that write return once the write is on disk here, if there is a data directory, and on
    its way to the others. On a node with seeds that has never met its cluster, what concerns all
    waits up to 10 s for that, and then is a `TimeoutError`.

    All methods may be called from any thread. A wait lets other threads run and heeds Ctrl-C. A
    node that is dropped without `leave` is down to the others, as if it had crashed.
    """

    __slots__ = ("__weakref__", "_node")

    def __init__(
        self,
        name: str,
        *,
        bind: str = "0.0.0.0:6000",
        seeds: Iterable[str] = (),
        key_file: str | PathLike[str] | None = None,
        key: Key | str | None = None,
        plaintext: bool = False,
        data_dir: str | PathLike[str] | None = None,
        facts: Mapping[str, FactValue] | None = None,
        cluster: str = "default",
        advertise: str | None = None,
        collect_facts: bool = True,
        hold_down: float | timedelta = 10.0,
        version: str | None = None,
    ) -> None:
        """Starts a node.

        Args:
            name: The node's name, unique in the cluster.
            bind: Where to listen, UDP and TCP alike, as `IP:PORT`. Port 0 takes any free one.
            seeds: `HOST:PORT` of nodes to meet the cluster through, tried for ever.
            key_file: A file with one base64 key a line, that only its owner may read.
            key: A key, or the text of a key file.
            plaintext: No encryption, for tests. One of `key_file`, `key` and this must be given.
            data_dir: Where id, keys, records and known members are kept. Without one the node is
                ephemeral: a new id at each start.
            facts: Facts given at start, beside those collected from the host.
            cluster: The cluster. Nodes of different clusters never mix, even with one key.
            advertise: Where others reach this node. Default: the bound address, or the address of
                the default route if all are bound.
            collect_facts: Collect the facts of this host.
            hold_down: How long this node goes on acting for a tribe it fell out of by policy.
            version: Name and version of the embedding software, shown to others.
        """
        self._node = _tribe.Node.start(
            {
                "name": name,
                "bind": bind,
                "seeds": _texts("seeds", seeds),
                "key_file": key_file,
                "key": key,
                "plaintext": plaintext,
                "data_dir": data_dir,
                "facts": dict(facts or {}),
                "cluster": cluster,
                "advertise": advertise,
                "collect_facts": collect_facts,
                "hold_down": _seconds(hold_down),
                "version": version,
            }
        )

    # What it is.

    @property
    def name(self) -> str:
        """This node's name."""
        return self._node.name()

    @property
    def id(self) -> str:
        """This node's id: 16 hexadecimal digits."""
        return self._node.id()

    @property
    def address(self) -> str:
        """Where others reach this node, as `IP:PORT`."""
        return self._node.address()

    # What it knows. Never waits.

    @property
    def rev(self) -> int:
        """Revision of what this node knows. Grows with every change."""
        return self._node.rev()

    @property
    def synced(self) -> bool:
        """One full sync is done since start, or this node is the first of its cluster."""
        return self._node.synced()

    def members(self, tribe: str | None = None) -> list[Member]:
        """All known nodes, dead ones too, or those in a tribe."""
        return self._node.members(tribe)

    def member(self, name: str) -> Member:
        """One node. Of several that claimed the name the live one counts."""
        return self._node.member(name)

    def tribes(self, node: str | None = None) -> list[Tribe]:
        """All tribes, or those a node is in."""
        return self._node.tribes(node)

    def tribe(self, name: str) -> Tribe:
        """One tribe, with its members and why they are in."""
        return self._node.tribe(name)

    def policies(self) -> list[PolicyInfo]:
        """All policies."""
        return self._node.policies()

    def explain_policy(self, policy: str, node: str) -> Explanation:
        """Says what a policy makes of a node's facts, and why."""
        tribe, explained = self._node.explain_policy(policy, node)
        if explained is None:
            text = f"policy `{policy}` is not understood on this node"
            return Explanation(None, text, None, policy, tribe, node)
        verdict, text, tree = explained
        return Explanation(verdict, text, json.loads(tree), policy, tribe, node)

    def facts(self, node: str | None = None) -> dict[str, FactValue]:
        """The facts of this node, or of another."""
        return self._node.facts(node)

    def acting(self) -> list[Acting]:
        """The tribes this node acts for: its own, and those it fell out of within the hold-down."""
        return self._node.acting()

    def offers(
        self,
        *,
        tribe: str | None = None,
        node: str | None = None,
        service: str | None = None,
        plugin: str | None = None,
    ) -> list[Offer]:
        """What live nodes offer, by service and node.

        Args:
            tribe: Only what members of this tribe offer.
            node: Only what this node offers.
            service: Only services of such names; `*` is any text, as in `echo/*`.
            plugin: Only such plugins of snapd, as `TYPE:NAME:VERSIONS`, as in
                `publisher:influxdb:>=20,<30`. Parts may be `*`, or left out at the end.
        """
        return self._node.offers(tribe, node, service, plugin)

    def counters(self) -> dict[str, int]:
        """The counters among the metrics, by name: what was received, dropped, and why."""
        return self._node.counters()

    def metrics(self) -> list[Metric]:
        """What this node counts and measures, at most a second old."""
        return self._node.metrics()

    # What it is told to do.

    def forget_member(self, node: str) -> Written:
        """Has all nodes drop what a node said that is down or has left. It may come back."""
        return self._node.forget_member(node)

    def keys(self) -> KeyStatus:
        """How far the keys of the cluster are, and which members hold them, by fingerprints."""
        keys, members = self._node.keys()
        return KeyStatus(
            tuple(KeyInfo(id, phase, held) for id, phase, held in keys),
            {
                name: KeyHolder(alive, None if held is None else tuple(held))
                for name, alive, held in members
            },
        )

    def install_key(self, key: Key | str) -> Written:
        """Has all members hold a key: they open what is sealed with it, and seal as before."""
        return self._node.install_key(key)

    def use_key(self, key: str, *, force: bool = False) -> Written:
        """Has all members seal with an installed key, named by its fingerprint. All must hold it,
        unless it is forced."""
        return self._node.use_key(key, force)

    def remove_key(self, key: str, *, force: bool = False) -> Written:
        """Has no member open what is sealed with a key. Who was away and has only this one is
        handed the others for 7 days."""
        return self._node.remove_key(key, force)

    def rotate_key(self, *, force: bool = False) -> str:
        """Exchanges the key of the cluster for a new one, and returns the fingerprint of that.

        It is used once all members hold it, and the old one removed once all seal with it. If this
        was broken off, here or elsewhere, it goes on from there. With `force` it does so without
        members that are down: they are handed the key when they come back.
        """
        return self._node.rotate_key(force)

    def create_tribe(self, tribe: str, description: str = "") -> Written:
        """Creates a tribe."""
        return self._node.create_tribe(tribe, description)

    def describe_tribe(self, tribe: str, description: str) -> Written:
        """Says anew what a tribe is for."""
        return self._node.describe_tribe(tribe, description)

    def delete_tribe(self, tribe: str) -> Written:
        """Deletes a tribe with its placements, policies and items."""
        return self._node.delete_tribe(tribe)

    def join_tribe(self, tribe: str, node: str | None = None) -> Written:
        """Places a node in a tribe by hand: this one, or any other, even one yet to exist."""
        return self._node.join_tribe(tribe, node)

    def leave_tribe(self, tribe: str, node: str | None = None) -> Written:
        """Places a node out of a tribe by hand, whatever the policies say."""
        return self._node.leave_tribe(tribe, node)

    def auto_tribe(self, tribe: str, node: str | None = None) -> Written:
        """Gives a node back to the policies of a tribe."""
        return self._node.auto_tribe(tribe, node)

    def create_policy(
        self,
        policy: str,
        text: str,
        tribe: str,
        *,
        replace: bool = False,
        enabled: bool | None = None,
    ) -> PolicyCreated:
        """Creates a policy for a tribe, and the tribe if there is none of that name.

        There must be no other of its name, unless it may `replace` that: in one step, so that nodes
        that match before and after stay where they are. Whether it is `enabled` is written in the
        same step: no node enters for a moment by a policy that should be off. `None`: one that is
        there stays as it is, a new one is enabled.
        """
        written, tribe_created, warnings = self._node.create_policy(
            policy, text, tribe, replace, enabled
        )
        return PolicyCreated(written, tribe_created, tuple(warnings))

    def delete_policy(self, policy: str) -> Written:
        """Deletes a policy."""
        return self._node.delete_policy(policy)

    def enable_policy(self, policy: str, enabled: bool = True) -> Written:
        """Switches a policy on or off."""
        return self._node.enable_policy(policy, enabled)

    def set_facts(
        self,
        facts: Mapping[str, FactValue] | None = None,
        *,
        unset: Iterable[str] = (),
        node: str | None = None,
    ) -> Written:
        """Sets and unsets run-time facts of this node, or of another one that is alive.

        They outlive a restart and cover facts given at start. Where one is unset, what it covered
        shows again.
        """
        return self._node.set_facts(dict(facts or {}), _texts("unset", unset), node)

    def refresh_facts(self) -> None:
        """Collects the facts of the host again, now."""
        self._node.refresh_facts()

    # What it waits for.

    def wait(
        self, written: Written | PolicyCreated, timeout: float | timedelta = 10.0
    ) -> list[str]:
        """Asks the live members whether they hold what was written.

        Returns the names of those that did not say so in time. Empty: all of them hold it.
        """
        if isinstance(written, PolicyCreated):
            written = written.written
        return self._node.wait(written, _seconds(timeout))

    def wait_synced(self, timeout: float | timedelta | None = None) -> None:
        """Waits for the first full sync. `TimeoutError` if it does not come in time."""
        self._node.wait_synced(_seconds_or_none(timeout))

    def events(
        self,
        kinds: Iterable[EventKind] | None = None,
        timeout: float | timedelta | None = None,
    ) -> Events:
        """What happens from now on, one event after the other.

        Args:
            kinds: Only these, and `missed`: a slow reader is told how many events it missed, and
                should ask the node for what it needs again.
            timeout: How long to wait for each event. Then `TimeoutError`; the iterator stays good.
        """
        chosen = [] if kinds is None else _texts("kinds", kinds)
        return Events(self._node.events(chosen), _seconds_or_none(timeout))

    # What it serves, and what others serve.

    def serve(
        self,
        name: str,
        *,
        tribes: Iterable[str] | None = None,
        most: int = 256,
        hidden: bool = False,
    ) -> Service:
        """Serves a service to the members of the cluster, over its own encrypted streams.

        Nothing new listens on the network, and others see it among the offers of this node.

        Args:
            name: What it is called, as in `echo/1`.
            tribes: Who dials must be in one of these. Default: any node of the cluster may.
            most: Most streams at a time; who dials beyond gets a `BusyError`.
            hidden: Not among the offers: only who knows of it dials it, by node.
        """
        chosen = None if tribes is None else _texts("tribes", tribes)
        return Service(name, self._node.serve(name, chosen, most, hidden))

    def dial(
        self,
        service: str,
        *,
        tribe: str | None = None,
        node: str | None = None,
        timeout: float | timedelta | None = None,
    ) -> Stream:
        """Dials a service of a node, or of any member of a tribe that offers it.

        Of a tribe's members it is one with little to do; if one fails, the next is tried. Raises
        `NotFoundError` if there is no such service, `NotAllowedError` if this node may not dial it,
        `BusyError` and `UnreachableError` if it may be worth another try.
        """
        return Stream(*self._node.dial(service, tribe, node, _seconds_or_none(timeout)))

    # How it ends.

    def leave(self) -> None:
        """Says good-bye and stops. Later commands raise `ClosedError`."""
        self._node.leave()

    def stop(self) -> None:
        """Stops without a good-bye: to the others it is down. Does nothing the second time."""
        self._node.stop()

    def __enter__(self) -> Node:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.leave()
        except ClosedError:
            pass  # It has left already.
        finally:
            self.stop()

    def __repr__(self) -> str:
        return f"<tribe.Node {self.name} {self.address}>"


class Events(Iterator[Event]):
    """Events of a node, from the moment `Node.events` was called. Ends when the node has stopped.

    Threads may share it; each event goes to one of them.
    """

    __slots__ = ("_events", "_timeout")

    def __init__(self, events: _tribe.Events, timeout: float | None) -> None:
        self._events = events
        self._timeout = timeout

    def __iter__(self) -> Events:
        return self

    def __next__(self) -> Event:
        found = self._events.next(self._timeout)
        if found is None:
            raise StopIteration
        rev, kind, subject, body = found
        return Event(rev, kind, subject, json.loads(body))


def _seconds(span: float | timedelta) -> float:
    return span.total_seconds() if isinstance(span, timedelta) else float(span)


def _seconds_or_none(span: float | timedelta | None) -> float | None:
    return None if span is None else _seconds(span)


def _texts(what: str, texts: Iterable[str]) -> list[str]:
    # A text is an iterable of texts, but never the one that was meant.
    if isinstance(texts, str):
        raise TypeError(f"{what} must be a list of str, not one str")
    return list(texts)
