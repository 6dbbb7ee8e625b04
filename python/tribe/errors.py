"""What can go wrong.

Every error is a `TribeError`. Those that have a like among Python's own are that, too: a
`NotFoundError` is a `LookupError`, a `TimeoutError` a `builtins.TimeoutError`. After an error
nothing has changed, unless its class says otherwise.
"""

from __future__ import annotations

import builtins

__all__ = [
    "AlreadyExistsError",
    "ClosedError",
    "ConfigError",
    "ForkError",
    "InternalError",
    "KeyringError",
    "NotFoundError",
    "PolicyError",
    "TimeoutError",
    "TribeError",
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
    """There is no tribe, policy or node of this name."""


class AlreadyExistsError(TribeError):
    """The tribe or the policy exists, or the node's own name is held by another live node."""


class ClosedError(TribeError):
    """This node has left the cluster, or was stopped."""


class TimeoutError(TribeError, builtins.TimeoutError):
    """Something did not come in time. If a command was sent, it may still be carried out."""


class KeyringError(TribeError):
    """A text or a file is not a key, or others than its owner may read the file."""


class ForkError(TribeError):
    """The node was started before `os.fork()`.

    Its threads do not exist in the child. Start a new node there, under a name of its own, or use
    the `spawn` or `forkserver` start method of `multiprocessing`.
    """


class InternalError(TribeError):
    """A mistake inside tribe itself. Please report it."""
