"""Policies without a node, and the facts they are judged by."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import tribe


def test_a_policy_is_true_false_or_unknown() -> None:
    policy = tribe.Policy("{{os_dist}} == Ubuntu")
    assert policy.evaluate({"os_dist": "Ubuntu"}) is True
    assert policy.evaluate({"os_dist": "Debian"}) is False
    assert policy.evaluate({}) is None


def test_an_explanation_says_why() -> None:
    policy = tribe.Policy("{{os_dist}} == Ubuntu")
    explanation = policy.explain({"os_dist": "Debian"})
    assert explanation.verdict is False
    assert not explanation.satisfied
    assert explanation.text
    assert explanation.tree
    assert (explanation.policy, explanation.tribe, explanation.node) == (None, None, None)


def test_equal_policies_are_written_alike() -> None:
    one, other = tribe.Policy("{{ a }} == b"), tribe.Policy.parse("{{a}}==b")
    assert one == other
    assert hash(one) == hash(other)
    assert one != tribe.Policy("{{a}} == c")
    assert one != "{{a}} == b"
    assert str(one) == one.text == "{{a}} == b"
    assert repr(one) == "tribe.Policy('{{a}} == b')"
    assert pickle.loads(pickle.dumps(one)) == one


def test_what_is_no_policy_is_shown_with_its_mistake() -> None:
    with pytest.raises(tribe.PolicyError) as caught:
        tribe.Policy("{{os_dist}} = ")
    assert "\n" not in str(caught.value)
    assert "^" in caught.value.rendered


def test_a_python_type_is_the_type_of_a_fact() -> None:
    true, text = tribe.Policy("{{a}} == True"), tribe.Policy('{{a}} == "True"')
    assert true.evaluate({"a": True}) is True
    assert text.evaluate({"a": True}) is True
    assert text.evaluate({"a": "True"}) is True
    assert tribe.Policy("{{a}} == 7").evaluate({"a": 7}) is True


@pytest.mark.parametrize("value", [[1, "a", [True]], ("a",), {"b": {"c": 1.5}}, -(2**63), ""])
def test_facts_may_be_nested(value: Any) -> None:
    assert tribe.Policy("{{a}} == b").evaluate({"a": value}) is not True


def circle() -> list[Any]:
    values: list[Any] = []
    values.append(values)
    return values


@pytest.mark.parametrize(
    "value", [2**63, float("nan"), float("inf"), None, [None], circle(), "x" * 5000]
)
def test_a_value_no_fact_can_have_is_refused(value: Any) -> None:
    with pytest.raises(tribe.ConfigError, match="fact `a`"):
        tribe.Policy("{{a}} == b").evaluate({"a": value})


@pytest.mark.parametrize("value", [{1}, b"x", object(), {1: 2}, 1j])
def test_a_type_no_fact_can_have_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="fact"):
        tribe.Policy("{{a}} == b").evaluate({"a": value})


def test_a_policy_is_checked_against_the_nodes_there_are() -> None:
    policy = tribe.Policy("{{os_dist}} == ubuntu")
    (warning,) = policy.check([{"os_dist": "Ubuntu"}, {"os_dist": "Ubuntu"}])
    assert "2 members report `Ubuntu`" in warning
    assert tribe.Policy("{{os_dist}} == Ubuntu").check() == []
    assert policy.level == 1
    assert tribe.Policy("{{a}} like b*").level == 2
