"""The data classes, the exported names, and the stub of the compiled module."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import tribe
from tribe import _tribe, types

MEMBER = tribe.Member("p1", "00", "127.0.0.1:1", "alive", "tribe/1", 1, ("core",), True)


def test_values_are_equal_by_content_and_pickle() -> None:
    reasons = (tribe.Reason("joined"), tribe.Reason("policy", "gold"))
    member = tribe.TribeMember("p1", "00", "alive", reasons)
    group = tribe.Tribe("core", "", (member,), {"p2": "left"}, ("gold",))
    for value in (MEMBER, group, tribe.Event(1, "synced", "p1", {"a": [1]})):
        copy = pickle.loads(pickle.dumps(value))
        assert copy == value
        assert copy is not value


def test_values_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        MEMBER.name = "p2"  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        MEMBER.other = 1  # type: ignore[attr-defined]


def test_an_explanation_is_satisfied_by_true_alone() -> None:
    for verdict in (True, False, None):
        explanation = tribe.Explanation(verdict, "because", {})
        assert explanation.satisfied is (verdict is True)
        assert str(explanation) == "because"


def test_everything_exported_exists() -> None:
    assert all(hasattr(tribe, name) for name in tribe.__all__)
    assert set(types.__all__) <= set(tribe.__all__)


def test_the_version_is_that_of_the_library() -> None:
    assert tribe.__version__ == _tribe.__version__
    assert tribe.__version__.count(".") == 2


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("storage_tier=True", "storage_tier", True),
        ("rack=7", "rack", 7),
        ("rack=007", "rack", "007"),
        ("version=20.04", "version", "20.04"),
        ("flag", "flag", True),
        ("empty=", "empty", ""),
    ],
)
def test_a_fact_has_the_type_it_is_spelled_as(text: str, name: str, value: object) -> None:
    found = tribe.fact(text)
    assert found == (name, value)
    assert type(found[1]) is type(value)


@pytest.mark.parametrize("text", ["=x", "os_dist=Plan9", "a b=c", "k=" + "x" * 5000])
def test_what_is_no_fact_says_why(text: str) -> None:
    with pytest.raises(tribe.ConfigError, match=r"fact|collected"):
        tribe.fact(text)


def test_the_stub_says_what_the_compiled_module_has() -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "mypy.stubtest", "tribe._tribe"]
    command += ["--mypy-config-file", str(root / "pyproject.toml")]
    done = subprocess.run(command, cwd=root / "python", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_event_kinds_are_strings_with_dashes() -> None:
    kinds = typing.get_args(tribe.EventKind)
    assert len(set(kinds)) == len(kinds) == 21
    assert all(kind == kind.lower().replace("_", "-") for kind in kinds)
