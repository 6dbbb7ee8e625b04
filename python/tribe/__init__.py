"""One encrypted cluster without a server, sorted into tribes by policies over facts.

>>> import tribe
>>> with tribe.Node("p1", bind="127.0.0.1:0", plaintext=True, facts={"tier": "gold"}) as node:
...     created = node.create_policy("gold", "{{tier}} == gold", "core")
...     [member.name for member in node.members("core")]
['p1']
"""

from tribe._tribe import Key, Written, __version__, generate_key
from tribe._tribe import parse_fact as _parse_fact
from tribe.errors import (
    AlreadyExistsError,
    BusyError,
    ClosedError,
    ConfigError,
    ForkError,
    InternalError,
    KeyringError,
    NotAllowedError,
    NotFoundError,
    PolicyError,
    TimeoutError,
    TribeError,
    UnreachableError,
)
from tribe.node import Events, Node
from tribe.policy import Policy
from tribe.services import Service, Stream
from tribe.types import (
    Acting,
    Caller,
    Event,
    EventKind,
    Explanation,
    FactValue,
    KeyHolder,
    KeyInfo,
    KeyPhase,
    KeyStatus,
    Member,
    MemberState,
    Metric,
    MetricKind,
    Offer,
    OfferedPlugin,
    Placement,
    PolicyCreated,
    PolicyInfo,
    Reason,
    Tribe,
    TribeMember,
)

__all__ = [
    "Acting",
    "AlreadyExistsError",
    "BusyError",
    "Caller",
    "ClosedError",
    "ConfigError",
    "Event",
    "EventKind",
    "Events",
    "Explanation",
    "FactValue",
    "ForkError",
    "InternalError",
    "Key",
    "KeyHolder",
    "KeyInfo",
    "KeyPhase",
    "KeyStatus",
    "KeyringError",
    "Member",
    "MemberState",
    "Metric",
    "MetricKind",
    "Node",
    "NotAllowedError",
    "NotFoundError",
    "Offer",
    "OfferedPlugin",
    "Placement",
    "Policy",
    "PolicyCreated",
    "PolicyError",
    "PolicyInfo",
    "Reason",
    "Service",
    "Stream",
    "TimeoutError",
    "Tribe",
    "TribeError",
    "TribeMember",
    "UnreachableError",
    "Written",
    "__version__",
    "fact",
    "generate_key",
]


def fact(text: str) -> tuple[str, FactValue]:
    """Reads a fact given as `key=value`, as on a command line.

    `True` and `7` become a bool and an int, everything else stays text; a bare `key` is true.

    >>> import tribe
    >>> dict([tribe.fact("storage_tier=True"), tribe.fact("rack=007")])
    {'storage_tier': True, 'rack': '007'}
    """
    return _parse_fact(text)
