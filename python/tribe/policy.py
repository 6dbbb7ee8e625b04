"""Policies, parsed and judged without a node."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from tribe import _tribe
from tribe.types import Explanation, FactValue

__all__ = ["Policy"]


class Policy:
    """A yes-or-no question about the facts of a node.

    >>> policy = Policy("{{os_dist}} == Ubuntu && {{memtotal}} > 16GiB")
    >>> policy.evaluate({"os_dist": "Ubuntu", "memtotal": 68719476736})
    True

    Two policies are equal if they are written alike, spaces and spelling aside.
    """

    __slots__ = ("_policy",)

    def __init__(self, text: str) -> None:
        """Parses a policy; `PolicyError` shows where it cannot be one."""
        self._policy = _tribe.Policy.parse(text)

    @classmethod
    def parse(cls, text: str) -> Policy:
        """Parses a policy: the same as `Policy(text)`."""
        return cls(text)

    @property
    def text(self) -> str:
        """The policy in its one canonical form."""
        return self._policy.text()

    @property
    def level(self) -> int:
        """The lowest level of the language that has all this policy uses."""
        return self._policy.level()

    def check(self, nodes: Iterable[Mapping[str, FactValue]] = ()) -> list[str]:
        """Says what may be a mistake, judged by itself and by the facts of the nodes there are.

        >>> print(Policy("{{os_dist}} == ubuntu").check([{"os_dist": "Ubuntu"}])[0])
        warning[P102]: `ubuntu`, but 1 member reports `Ubuntu`
          {{os_dist}} == ubuntu
                         ^^^^^^ did you mean `Ubuntu`?
        """
        return self._policy.check([dict(facts) for facts in nodes])

    def evaluate(self, facts: Mapping[str, FactValue]) -> bool | None:
        """Is it true for these facts? `None` is unknown, which is no match."""
        return self._policy.evaluate(dict(facts))

    def explain(self, facts: Mapping[str, FactValue]) -> Explanation:
        """Says why it is true, false or unknown for these facts."""
        verdict, text, tree = self._policy.explain(dict(facts))
        return Explanation(verdict, text, json.loads(tree))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Policy):
            return NotImplemented
        return self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"tribe.Policy({self.text!r})"

    def __reduce__(self) -> tuple[type[Policy], tuple[str]]:
        return type(self), (self.text,)
