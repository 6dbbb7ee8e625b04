"""What a node knows, as plain values: frozen, comparable, picklable.

Nothing here is live. Ask the node again to see what has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from tribe._tribe import Written

__all__ = [
    "Acting",
    "Caller",
    "Event",
    "EventKind",
    "Explanation",
    "FactValue",
    "KeyHolder",
    "KeyInfo",
    "KeyPhase",
    "KeyStatus",
    "Member",
    "MemberState",
    "Metric",
    "MetricKind",
    "Offer",
    "OfferedPlugin",
    "Placement",
    "PolicyCreated",
    "PolicyInfo",
    "Reason",
    "Tribe",
    "TribeMember",
]

FactValue: TypeAlias = "bool | int | float | str | list[FactValue] | dict[str, FactValue]"
"""The value of a fact. Its Python type is its type: `"7"` is text, `7` a number."""

MemberState = Literal["alive", "left", "down"]
"""Does it answer, has it said good-bye, or neither?"""

Placement = Literal["joined", "left", "automatic"]
"""What people said of a node and a tribe: in, out, or as the policies say."""

EventKind = Literal[
    "member-joined",
    "member-left",
    "fact-changed",
    "membership-changed",
    "tribe-created",
    "tribe-deleted",
    "placement-changed",
    "policy-changed",
    "policy-deleted",
    "item-changed",
    "item-removed",
    "offers-changed",
    "tribe-entered",
    "tribe-exited",
    "conflict",
    "name-conflict",
    "key-installed",
    "key-used",
    "key-removed",
    "synced",
    "missed",
]
"""What happened. A later version may know more kinds: let those you don't know pass."""


MetricKind = Literal["counter", "gauge"]
"""A counter only grows while the node lives; a gauge goes up and down."""

KeyPhase = Literal["installed", "in-use", "removed"]
"""A key opens, seals as well, or opens nothing any more."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key of the cluster."""

    id: str
    """Its fingerprint."""
    phase: KeyPhase
    held: bool
    """This node holds it."""


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """The keys of a member."""

    alive: bool
    keys: tuple[str, ...] | None
    """Fingerprints, the sealing one first; None if it has not said."""


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """The keys of the cluster, and who holds them."""

    keys: tuple[KeyInfo, ...]
    members: Mapping[str, KeyHolder]
    """By name."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that a node tells about itself, by the conventions of Prometheus."""

    name: str
    """As `tribe_syncs_total`. Several may have one name, and differ in labels; they stand side by
    side."""
    kind: MetricKind
    help: str
    """What it counts or measures."""
    labels: Mapping[str, str]
    value: int


@dataclass(frozen=True, slots=True)
class Member:
    """One node of the cluster."""

    name: str
    id: str
    """16 hexadecimal digits."""
    address: str
    """Where it is reached, as `IP:PORT`."""
    state: MemberState
    version: str
    """Software and version it runs, as it says itself."""
    policy_level: int
    """Highest level of the policy language it understands."""
    tribes: tuple[str, ...]
    """The tribes it is in."""
    agrees: bool
    """It computes the same memberships for itself as this node does for it."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a node is in a tribe: it was placed by hand, or a policy is true for its facts."""

    kind: Literal["joined", "policy"]
    policy: str | None = None


@dataclass(frozen=True, slots=True)
class TribeMember:
    """A member of a tribe."""

    name: str
    id: str
    state: MemberState
    reasons: tuple[Reason, ...]
    """Never empty."""


@dataclass(frozen=True, slots=True)
class Tribe:
    """One tribe."""

    name: str
    description: str
    members: tuple[TribeMember, ...]
    """Dead ones too."""
    placements: Mapping[str, Placement]
    """Nodes placed by hand, whether they exist or not."""
    policies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PolicyInfo:
    """One policy of the cluster. `tribe.Policy` parses and judges its text."""

    name: str
    tribe: str
    text: str
    enabled: bool
    understood: bool
    """False if this node is too old for it: then it matches nothing here."""


@dataclass(frozen=True, slots=True)
class PolicyCreated:
    """A policy that was written."""

    written: Written
    tribe_created: bool
    """Its tribe did not exist and was created with it."""
    warnings: tuple[str, ...]
    """What may be a mistake in its text."""


@dataclass(frozen=True, slots=True)
class Acting:
    """A tribe this node acts for."""

    tribe: str
    leaves_in: float | None
    """`None` while this node is a member; else for how many seconds it goes on."""


@dataclass(frozen=True, slots=True)
class OfferedPlugin:
    """A plugin of snapd that is a service, as in `publisher/influxdb/25`."""

    type: str
    """`collector`, `processor`, `publisher` or `streaming-collector`."""
    name: str
    version: int


@dataclass(frozen=True, slots=True)
class Offer:
    """A service that a live node offers."""

    node: str
    id: str
    """16 hexadecimal digits."""
    tribes: tuple[str, ...]
    """The tribes the node is in."""
    service: str
    plugin: OfferedPlugin | None
    """`None` if the service is no plugin."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The node at the other end of a stream."""

    name: str
    id: str
    """16 hexadecimal digits."""
    address: str
    """Where it is reached, as `IP:PORT`."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a policy makes of the facts of a node, and why. `str()` of it is its text."""

    verdict: bool | None
    """`None` is unknown: a fact is missing, or cannot be compared. Unknown is no match."""
    text: str
    """A tree for people."""
    tree: Any
    """The same for machines."""
    policy: str | None = None
    tribe: str | None = None
    node: str | None = None

    @property
    def satisfied(self) -> bool:
        """The policy is true for these facts."""
        return self.verdict is True

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened in the cluster, as this node sees it."""

    rev: int
    """Revision of the view that first shows it."""
    kind: EventKind | str
    subject: str
    """The name of the node, tribe or policy it happened to."""
    body: dict[str, Any]
    """Details, by the kind."""
