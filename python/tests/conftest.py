"""What the tests share: a key, and ways to start nodes and scripts."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tribe

StartNode = Callable[..., tribe.Node]
RunScript = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def key() -> tribe.Key:
    return tribe.generate_key()


@pytest.fixture
def key_file(tmp_path: Path, key: tribe.Key) -> Path:
    path = tmp_path / "tribe.key"
    path.write_text(key.to_base64() + "\n")
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    return path


@pytest.fixture
def start(key: tribe.Key) -> Iterator[StartNode]:
    """Starts nodes on the loopback, all with one key, and stops those still running at the end."""
    nodes: list[tribe.Node] = []

    def start(name: str, **options: object) -> tribe.Node:
        given = {"bind": "127.0.0.1:0", "key": key, "collect_facts": False, **options}
        node = tribe.Node(name, **given)  # type: ignore[arg-type]
        nodes.append(node)
        return node

    yield start
    for node in nodes:
        node.stop()


@pytest.fixture
def run_script() -> RunScript:
    """Runs a script in a Python of its own, for what must not happen in this one."""

    def run(script: str) -> subprocess.CompletedProcess[str]:
        prelude = """
            import os, sys, threading
            import tribe

            def start(name):
                return tribe.Node(name, bind="127.0.0.1:0", plaintext=True, collect_facts=False)
        """
        text = textwrap.dedent(prelude) + textwrap.dedent(script)
        return subprocess.run(
            [sys.executable, "-c", text],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env={**os.environ, "RUST_BACKTRACE": "0"},
        )

    return run
