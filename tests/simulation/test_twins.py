"""One of four platforms runs twice with the same keys: no split of the network makes a fork."""

from itertools import combinations

import pytest

from consensus.config import Timing
from consensus.quorum import quorum
from tests.simulation.checkers import Violation
from tests.simulation.cluster import Cluster, quick_bounds
from tests.simulation.twins import TWIN, Twins

HASTY = Timing(view_timeout_ms=60, view_timeout_max_ms=240)


def splits(number: int) -> list[set[int]]:
    """Every way to cut the five into two sides with a copy on each, or none at all."""
    others = [each for each in (1, 2, 3, 4) if each != number]
    sides = [set(chosen) for size in range(4) for chosen in combinations(others, size)]
    return [{number, *side} for side in sides] + [{number, TWIN, *others}]


def schedule(number: int, first: int, *, forks_only: bool = False) -> Cluster:
    """Start in one split, then go through all the others; at last there is none."""
    cluster = Cluster(4, first, bounds=quick_bounds(6), timing=HASTY)
    cluster.checker.forks_only = forks_only
    twins = Twins(cluster, number)
    ways = splits(number)
    twins.side = ways[-1]
    twins.start()
    cluster.run_ms(50)
    for at in range(len(ways)):
        twins.side = ways[(first + at) % len(ways)]
        for each in range(1, 5):
            if each != number:
                cluster.submit(each, 1)
        twins.submit()
        cluster.run_ms(120 + 40 * at)
    twins.side = set()
    twins.relink()
    for each in cluster.honest():
        cluster.submit(each.number, 1)
    return cluster


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_twins_of_one_platform_fork_nothing(number: int) -> None:
    """The platform that is two leads another view in each case; each case begins elsewhere."""
    accused = set()
    for first in range(len(splits(number))):
        cluster = schedule(number, first)
        cluster.settle()
        for node in cluster.honest():
            accused |= {each.number for each in node.state.evidence.values()}
    assert accused == {number}


def test_twins_fork_a_quorum_less_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consensus.certificate.quorum", lambda n: quorum(n) - 1)
    found = []
    for first in range(9):
        try:
            schedule(4, first, forks_only=True)
        except Violation as violation:
            found.append(str(violation))
    assert found
    assert all("fork" in each or "two " in each for each in found), found
