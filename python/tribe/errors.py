"""What can go wrong.

Every error is a `TribeError`. Those that have a like among Python's own are that, too: a
`NotFoundError` is a `LookupError`, a `TimeoutError` a `builtins.TimeoutError`. After an error
nothing has changed, unless its class says otherwise.
"""

from __future__ import annotations

import builtins

__all__ = [
    "AlreadyExistsError",
    "BusyError",
    "ClosedError",
    "ConfigError",
    "ForkError",
    "InternalError",
    "KeyringError",
    "NotAllowedError",
    "NotFoundError",
    "PolicyError",
    "TimeoutError",
    "TribeError",
    "UnreachableError",
]


class TribeError(Exception):
    """Something was not done.

    Raised itself only for what has no class below: another node refused, the cluster holds as many
    records as it can, or the data directory cannot be written.
    """


class ConfigError(TribeError, ValueError):
    """A value cannot be used: a name, an address, a fact, a directory, a time span."""


class PolicyError(TribeError, ValueError):
    """A text is not a policy.

    `rendered` shows the text with a caret under the mistake. `line` and `column` count from 1;
    they are `None` if the mistake has no place.
    """

    rendered: str
    line: int | None
    column: int | None

    def __init__(
        self,
        message: str,
        rendered: str = "",
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        super().__init__(message)
        self.rendered = rendered
        self.line = line
        self.column = column


class NotFoundError(TribeError, LookupError):
    """There is no tribe, policy, node or service of this name."""


class AlreadyExistsError(TribeError):
    """The tribe, policy or service exists, or the node's own name is held by another live node."""


class BusyError(TribeError):
    """The service has as many streams as it takes. Later there may be room."""


class ClosedError(TribeError):
    """This node has left the cluster, or was stopped; or the service was closed."""


class NotAllowedError(TribeError, PermissionError):
    """The node does not let this one dial the service: it is in none of the tribes that may."""


class UnreachableError(TribeError, ConnectionError):
    """The node that was dialled is down, or does not answer."""


class TimeoutError(TribeError, builtins.TimeoutError):
    """Something did not come in time. If a command was sent, it may still be carried out.

    One that waited for the node to meet its cluster is given up: it never will be.
    """


class KeyringError(TribeError):
    """A text or a file is not a key, or others than its owner may read the file."""


class ForkError(TribeError):
    """The node was started before `os.fork()`.

    Its threads do not exist in the child. Start a new node there, under a name of its own, or use
    the `spawn` or `forkserver` start method of `multiprocessing`.
    """


class InternalError(TribeError):
    """A mistake inside tribe itself. Please report it."""
