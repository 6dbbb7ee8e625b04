"""Real nodes on the loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tribe
from conftest import StartNode

MEMBER = Path(__file__).parents[2] / "examples" / "member.py"


def until(node: tribe.Node, holds: Callable[[], bool]) -> None:
    """Looks again after each event, until something holds."""
    events = node.events(timeout=30)
    while not holds():
        next(events)


def names(node: tribe.Node, tribe: str | None = None) -> set[str]:
    return {member.name for member in node.members(tribe) if member.state == "alive"}


@pytest.fixture
def pair(start: StartNode) -> tuple[tribe.Node, tribe.Node]:
    """Two nodes that have met."""
    first = start("p1", bind="127.0.0.1:0", facts={"tier": "gold"})
    second = start("p2", bind="127.0.0.2:0", seeds=[first.address], facts={"tier": "iron"})
    for node in (first, second):
        node.wait_synced(30)
        until(node, lambda node=node: names(node) == {"p1", "p2"})  # type: ignore[misc]
    return first, second


def test_two_nodes_meet_through_a_seed(pair: tuple[tribe.Node, tribe.Node]) -> None:
    first, second = pair
    until(first, lambda: first.facts("p2").get("tier") == "iron")
    seen = first.member("p2")
    assert (seen.id, seen.address, seen.state) == (second.id, second.address, "alive")
    assert seen.version == f"tribe/{tribe.__version__}"
    assert first.synced
    assert second.synced
    assert "p1" in repr(first)
    assert all(isinstance(count, int) for count in first.counters().values())


def test_metrics_have_kinds_help_and_labels(pair: tuple[tribe.Node, tribe.Node]) -> None:
    first, _ = pair
    told = first.metrics()
    members = {metric.labels["state"]: metric for metric in told if metric.name == "tribe_members"}
    assert members.keys() == {"alive", "down", "left"}
    assert 1 <= members["alive"].value <= 2
    metrics = {metric.name: metric for metric in told}
    assert metrics["tribe_members"].kind == "gauge"
    assert metrics["tribe_syncs_total"].kind == "counter"
    assert metrics["tribe_syncs_total"].help
    assert first.counters().keys() == {
        name for name, metric in metrics.items() if metric.kind == "counter"
    }


def test_a_policy_places_nodes_by_their_facts(pair: tuple[tribe.Node, tribe.Node]) -> None:
    first, second = pair
    created = first.create_policy("gold", "{{tier}} == gold", "core")
    assert created.tribe_created
    assert first.wait(created, timeout=30) == []
    until(second, lambda: names(second, "core") == {"p1"})
    member = second.tribe("core").members[0]
    assert (member.name, member.reasons) == ("p1", (tribe.Reason("policy", "gold"),))
    assert [info.name for info in second.policies()] == ["gold"]
    assert second.policies()[0].understood

    assert second.explain_policy("gold", "p1").satisfied
    assert not second.explain_policy("gold", "p2").satisfied
    assert second.explain_policy("gold", "p2").tribe == "core"

    first.set_facts({"tier": "gold"}, node="p2")
    until(first, lambda: names(first, "core") == {"p1", "p2"})
    first.set_facts(unset=["tier"], node="p2")
    until(first, lambda: names(first, "core") == {"p1"})
    assert [found.name for found in first.tribes("p1")] == ["core"]

    first.enable_policy("gold", False)
    until(second, lambda: names(second, "core") == set())
    first.delete_policy("gold")
    until(second, lambda: second.policies() == [])


def test_a_policy_is_off_from_the_start(start: StartNode) -> None:
    node = start("p1")

    def check(text: str, on: bool, replace: bool = False, enabled: bool | None = None) -> None:
        node.create_policy("here", text, "vault", replace=replace, enabled=enabled)
        assert [info.enabled for info in node.policies()] == [on]
        assert names(node, "vault") == ({"p1"} if on else set())

    check("{{node_name}} == p1", False, enabled=False)
    check("{{node_name}} == p1", False)
    check("{{node_name}} == p1", True, enabled=True)
    check("true", True, replace=True)
    check("{{node_name}} == p1", False, replace=True, enabled=False)


def test_people_place_nodes_by_hand(pair: tuple[tribe.Node, tribe.Node]) -> None:
    first, second = pair
    first.create_tribe("core", "everything")
    first.describe_tribe("core", "everything that matters")
    first.join_tribe("core", "p2")
    first.join_tribe("core", "p9")
    until(second, lambda: second.acting() == [tribe.Acting("core", None)])
    assert second.member("p2").tribes == ("core",)
    until(second, lambda: second.tribe("core").description == "everything that matters")
    until(second, lambda: second.tribe("core").placements == {"p2": "joined", "p9": "joined"})

    second.leave_tribe("core")
    until(first, lambda: names(first, "core") == set())
    second.auto_tribe("core")
    until(first, lambda: "p2" not in first.tribe("core").placements)
    first.delete_tribe("core")
    until(second, lambda: second.tribes() == [])


def test_facts_keep_their_types(start: StartNode) -> None:
    facts: dict[str, tribe.FactValue] = {
        "bool": True,
        "int": 7,
        "float": 0.5,
        "text": "True",
        "list": [1, "a"],
        "map": {"a": {"b": False}},
    }
    node = start("p1", facts=facts)
    assert node.facts().items() >= facts.items()
    assert node.facts("p1")["text"] == "True"
    with pytest.raises(tribe.errors.NotFoundError, match="`nothing` is not set"):
        node.set_facts({"int": 9}, unset=["nothing"])
    node.set_facts({"int": 8})
    until(node, lambda: node.facts()["int"] == 8)
    assert node.facts()["bool"] is True


def test_events_are_chosen_by_kind(start: StartNode) -> None:
    node = start("p1")
    events = node.events(kinds=["tribe-created", "tribe-deleted"], timeout=30)
    node.create_tribe("core", "here")
    node.join_tribe("core")
    node.delete_tribe("core")
    first, second = next(events), next(events)
    assert (first.kind, first.subject) == ("tribe-created", "core")
    assert first.body["description"] == "here"
    assert (second.kind, second.subject) == ("tribe-deleted", "core")
    assert second.rev >= first.rev


def test_an_event_that_does_not_come_times_out(start: StartNode) -> None:
    node = start("p1")
    events = node.events(kinds=["tribe-created"], timeout=0.05)
    with pytest.raises(TimeoutError):
        next(events)
    node.create_tribe("core")
    assert next(events).subject == "core"


def test_a_kind_that_does_not_exist_is_refused(start: StartNode) -> None:
    node = start("p1")
    with pytest.raises(tribe.ConfigError, match="`member-join`"):
        node.events(kinds=["member-join"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="kinds"):
        node.events(kinds="synced")  # type: ignore[arg-type]
    node.events(kinds=tribe.EventKind.__args__)  # type: ignore[attr-defined]


def test_a_slow_reader_is_told_what_it_missed(start: StartNode) -> None:
    node = start("p1")
    events = node.events(kinds=["tribe-deleted"], timeout=30)
    node.create_policy("gold", "{{tier}} == gold", "core")
    for number in range(6000):
        node.enable_policy("gold", number % 2 == 1)
    missed = next(events)
    assert missed.kind == "missed"
    assert missed.body["count"] > 0


def test_what_does_not_exist_is_not_found(start: StartNode) -> None:
    node = start("p1")
    for ask in (
        lambda: node.member("p9"),
        lambda: node.facts("p9"),
        lambda: node.tribe("core"),
        lambda: node.members("core"),
        lambda: node.tribes("p9"),
        lambda: node.join_tribe("core"),
        lambda: node.delete_tribe("core"),
        lambda: node.forget_member("p9"),
        lambda: node.delete_policy("gold"),
        lambda: node.explain_policy("gold", "p1"),
    ):
        with pytest.raises(LookupError, match="there is no"):
            ask()


def test_who_is_alive_is_not_forgotten(start: StartNode) -> None:
    node = start("p1")
    with pytest.raises(tribe.TribeError, match="node `p1` is alive"):
        node.forget_member("p1")


def test_the_key_is_exchanged_while_nodes_run(start: StartNode) -> None:
    old = tribe.generate_key()
    node = start("p1", key=old)
    status = node.keys()
    assert status.keys == (tribe.KeyInfo(old.fingerprint, "in-use", True),)
    new = tribe.generate_key()
    node.install_key(new)
    with pytest.raises(tribe.TribeError, match="seals"):
        node.remove_key(old.fingerprint)
    with pytest.raises(LookupError, match="there is no key"):
        node.use_key("01020304")
    with pytest.raises(tribe.ConfigError, match="not the fingerprint"):
        node.use_key("new")
    assert node.rotate_key() == new.fingerprint
    phases = {key.id: key.phase for key in node.keys().keys}
    assert phases == {old.fingerprint: "removed", new.fingerprint: "in-use"}
    assert node.keys().members["p1"].keys == (new.fingerprint,)


def test_a_cluster_in_plaintext_has_no_keys(start: StartNode) -> None:
    with pytest.raises(tribe.TribeError, match="not encrypted"):
        start("p1", key=None, plaintext=True).keys()


def test_what_exists_is_not_created_again(start: StartNode) -> None:
    node = start("p1")
    node.create_tribe("core")
    with pytest.raises(tribe.AlreadyExistsError, match="`core`"):
        node.create_tribe("core")
    node.create_policy("gold", "{{tier}} == gold", "core")
    with pytest.raises(tribe.AlreadyExistsError, match="`gold`"):
        node.create_policy("gold", "{{tier}} == iron", "core")


def test_what_is_wrong_is_refused(start: StartNode) -> None:
    node = start("p1")
    with pytest.raises(tribe.ConfigError, match="tribe name"):
        node.create_tribe("a b")
    with pytest.raises(tribe.PolicyError) as caught:
        node.create_policy("gold", "{{tier}} = ", "core")
    assert "^" in caught.value.rendered
    with pytest.raises(tribe.ConfigError, match="os_dist"):
        node.set_facts({"os_dist": "Plan9"})
    assert node.tribes() == []


def test_a_node_leaves_at_the_end_of_with(pair: tuple[tribe.Node, tribe.Node]) -> None:
    first, second = pair
    with second as node:
        events = node.events()
    until(first, lambda: first.member("p2").state == "left")
    assert all(event.kind for event in events)
    with pytest.raises(tribe.ClosedError):
        second.create_tribe("core")
    second.stop()


def test_with_leaves_after_an_error_and_after_leave(start: StartNode) -> None:
    node = start("p1")
    with pytest.raises(ZeroDivisionError), node:
        raise ZeroDivisionError
    with pytest.raises(tribe.ClosedError):
        node.leave()
    with start("p2") as other:
        other.leave()


@pytest.fixture
def member(start: StartNode, key_file: Path) -> Iterator[tuple[tribe.Node, subprocess.Popen[str]]]:
    """A node here that has met one in a process of its own."""
    node = start("p1")
    command = [sys.executable, str(MEMBER), "p2", "--bind", "127.0.0.2:0"]
    command += ["--seed", node.address, "--key-file", str(key_file), "--fact", "tier=gold"]
    command += ["--policy", "gold", "{{tier}} == gold", "core"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        try:
            until(node, lambda: names(node) == {"p1", "p2"})
            yield node, process
        finally:
            process.kill()


def test_a_killed_node_is_down(member: tuple[tribe.Node, subprocess.Popen[str]]) -> None:
    node, process = member
    process.kill()
    until(node, lambda: node.member("p2").state == "down")


def test_the_example_prints_events_and_leaves_when_told(
    member: tuple[tribe.Node, subprocess.Popen[str]],
) -> None:
    node, process = member
    until(node, lambda: [found.name for found in node.tribes("p2")] == ["core"])
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(json.loads(line))
        if lines[-1]["kind"] == "policy-changed":
            break
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
    until(node, lambda: node.member("p2").state == "left")
    assert process.returncode == 0, err
    lines += [json.loads(line) for line in out.splitlines()]
    known = [line["subject"] for line in lines if line["kind"] == "known"]
    events = [line for line in lines if line["kind"] != "known"]
    assert "p2" in known
    assert all(set(event) == {"rev", "kind", "subject", "body"} for event in events)
