"""Nodes and what a Python process does: signals, threads, fork, garbage, exit."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import threading
import weakref

import pytest

import tribe
from conftest import RunScript, StartNode


def test_a_wait_heeds_ctrl_c(start: StartNode) -> None:
    # Started in the background, a shell has its programs ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    events = start("p1").events(kinds=["conflict"])
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        next(events)


def test_a_wait_lets_other_threads_run(start: StartNode) -> None:
    node = start("p1")
    events = node.events(kinds=["tribe-created"])
    # If the wait held the GIL the thread could not create what it waits for.
    thread = threading.Thread(target=node.create_tribe, args=("core",))
    thread.start()
    assert next(events).subject == "core"
    thread.join()


def test_threads_share_a_node(start: StartNode) -> None:
    node = start("p1")
    names = [f"t{number}" for number in range(20)]
    threads = [threading.Thread(target=node.create_tribe, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {found.name for found in node.tribes()} == set(names)


def test_stop_ends_a_wait_in_another_thread(start: StartNode) -> None:
    node = start("p1")
    events = node.events(kinds=["conflict"])
    seen: list[tribe.Event] = []
    thread = threading.Thread(target=lambda: seen.extend(events))
    thread.start()
    node.stop()
    thread.join()
    assert seen == []


def test_a_dropped_node_is_gone(start: StartNode, key: tribe.Key) -> None:
    node = tribe.Node("p1", bind="127.0.0.1:0", key=key, collect_facts=False)
    address, events, dropped = node.address, node.events(kinds=["conflict"]), weakref.ref(node)
    del node
    gc.collect()
    assert dropped() is None
    assert list(events) == []
    # Its address is free again.
    with tribe.Node("p1", bind=address, key=key, collect_facts=False) as again:
        assert again.address == address


def test_a_node_cannot_be_pickled(start: StartNode) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(start("p1"))


def test_a_node_does_not_survive_a_fork(run_script: RunScript) -> None:
    done = run_script("""
        node = start("p1")
        events = node.events()
        child = os.fork()
        if child == 0:
            for use in (node.members, node.leave, node.stop, lambda: next(events), node.events):
                try:
                    use()
                except tribe.ForkError as error:
                    assert "fork" in str(error)
                else:
                    os._exit(1)
            # The inherited ones are dropped without a wait, and a new one works.
            del node, events, use
            with start("p2") as node:
                node.create_tribe("core")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        node.create_tribe("core")
        node.leave()
        sys.exit(os.waitstatus_to_exitcode(status))
    """)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_process_may_end_with_a_node_open(run_script: RunScript) -> None:
    done = run_script("""
        node = start("p1")
        events = node.events()
        keep = [node, events]
        keep.append(keep)
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_process_may_end_while_a_daemon_thread_waits(run_script: RunScript) -> None:
    done = run_script("""
        node = start("p1")
        events = [node.events(kinds=["conflict"]) for _ in range(20)]
        for each in events:
            threading.Thread(target=next, args=(each,), daemon=True).start()
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_process_may_leave_at_exit(run_script: RunScript) -> None:
    done = run_script("""
        import atexit
        node = start("p1")
        atexit.register(print, "left")
        atexit.register(node.leave)
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "left\n", "")
