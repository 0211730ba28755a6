"""The table of bad input, by the browser's verifier: refused as by the ledger."""

import re

import pytest

from tests.fuzz.bad_input import ONLY_HERE, PYTHON, Bad, as_given, cases
from tests.node.web.js.in_node import in_node, needs_node

pytestmark = needs_node


@pytest.mark.parametrize("kind", sorted(PYTHON.keys() - ONLY_HERE))
def test_each_case(kind: str) -> None:
    mine = [case for case in cases() if case.kind == kind]
    told = in_node(kind, cases=[as_given(case) for case in mine])
    for case, one in zip(mine, told, strict=True):
        held, reason = verdict(case, one)
        assert held == (case.says is None), (str(case), reason)
        assert held or re.search(case.says or "", reason), (str(case), reason)
        assert held or reason


def verdict(case: Bad, one: dict) -> tuple[bool, str]:
    """Whether it held, and why not: of a bundle the step."""
    if case.kind == "bundles":
        return one["valid"], one["steps"][-1]["name"]
    return one["held"], str(one["value"])
