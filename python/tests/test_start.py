"""What a node can be started with."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import tribe


def start(**options: Any) -> tribe.Node:
    given = {"bind": "127.0.0.1:0", "plaintext": True, "collect_facts": False, **options}
    return tribe.Node("p1", **given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"plaintext": False}, "key_file"),
        ({"key": "x"}, "one of"),
        ({"bind": "nowhere"}, "`nowhere`"),
        ({"advertise": "127.0.0.1"}, "`127.0.0.1`"),
        ({"cluster": "a b"}, "cluster name"),
        ({"facts": {"os_dist": "Plan9"}}, "`os_dist`"),
        ({"facts": {"a b": 1}}, "fact name"),
        ({"hold_down": -1}, "time span"),
        ({"hold_down": float("nan")}, "time span"),
        ({"bind": "192.0.2.1:0"}, "cannot listen"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(tribe.ConfigError, match=message):
        start(**options)


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(tribe.ConfigError, match="node name"):
        tribe.Node("a b", plaintext=True)


def test_one_text_is_not_a_list_of_seeds() -> None:
    with pytest.raises(TypeError, match="seeds"):
        start(seeds="127.0.0.1:6000")


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(tribe.KeyringError):
        start(plaintext=False, key="not a key")
    with pytest.raises(tribe.KeyringError):
        start(plaintext=False, key_file=tmp_path / "missing")


def test_a_key_file_that_others_can_read_is_refused(key_file: Path) -> None:
    key_file.chmod(0o644)
    with pytest.raises(tribe.KeyringError):
        start(plaintext=False, key_file=key_file)


def test_a_key_may_be_given_in_three_ways(key: tribe.Key, key_file: Path) -> None:
    for given in ({"key": key}, {"key": key.to_base64()}, {"key_file": key_file}):
        with start(plaintext=False, **given) as node:
            assert node.name == "p1"


def test_a_key_does_not_show_itself(key: tribe.Key) -> None:
    assert key.to_base64() not in repr(key) + str(key)
    assert key.fingerprint in repr(key)
    assert tribe.generate_key().to_base64() != key.to_base64()


def test_a_time_may_be_a_timedelta() -> None:
    with start(hold_down=timedelta(seconds=1)) as node:
        node.wait_synced(timedelta(seconds=20))


def test_a_data_directory_keeps_the_id(tmp_path: Path) -> None:
    with start(data_dir=tmp_path / "data") as node:
        first = node.id
    with start(data_dir=str(tmp_path / "data")) as node:
        assert node.id == first
