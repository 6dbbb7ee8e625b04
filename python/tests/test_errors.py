"""The tree of errors."""

from __future__ import annotations

import builtins
import pickle

import pytest

import tribe
from tribe import errors


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (tribe.ConfigError, ValueError),
        (tribe.PolicyError, ValueError),
        (tribe.NotFoundError, LookupError),
        (tribe.TimeoutError, builtins.TimeoutError),
        (tribe.AlreadyExistsError, Exception),
        (tribe.ClosedError, Exception),
        (tribe.KeyringError, Exception),
        (tribe.ForkError, Exception),
        (tribe.InternalError, Exception),
    ],
)
def test_every_error_is_a_tribe_error_and_the_like_of_pythons(
    error: type[Exception], base: type[Exception]
) -> None:
    assert issubclass(error, tribe.TribeError)
    assert issubclass(error, base)


def test_all_errors_are_exported() -> None:
    for name in errors.__all__:
        assert getattr(tribe, name) is getattr(errors, name)
        assert name in tribe.__all__


def test_a_policy_error_keeps_its_place_when_pickled() -> None:
    error = tribe.PolicyError("two words in a row", "{{a}} == b c\n           ^", 1, 12)
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == "two words in a row"
    assert (copy.rendered, copy.line, copy.column) == (error.rendered, 1, 12)
