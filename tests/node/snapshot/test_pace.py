"""The pace of work that must not slow anything else."""

from dataclasses import dataclass, replace

import pytest

from node.bounds import BOUNDS
from node.snapshot.pace import LOOK_S, Pace

BOUND = replace(
    BOUNDS,
    snapshot_turn_s=0.002,
    snapshot_share_busy=0.1,
    snapshot_share_idle=0.5,
    snapshot_idle_below=0.25,
)


@dataclass
class Clocks:
    now_s: float = 5.0
    cpu_s: float = 1.0


@pytest.mark.parametrize(("others", "share"), [(0.0, 0.5), (0.2, 0.5), (0.3, 0.1), (1.5, 0.1)])
def test_the_share_follows_how_busy_the_process_is_otherwise(others: float, share: float) -> None:
    clocks = Clocks()
    pace = Pace(BOUND, lambda: clocks.now_s, lambda: clocks.cpu_s)
    worked, begun_s, turns = 0.0, 0.0, 0
    for turn in range(400):
        if clocks.now_s > 5.0 + LOOK_S and not begun_s:
            worked, begun_s, turns = 0.0, clocks.now_s, turn
        pace.begin()
        steps = 0
        while not pace.is_over():
            clocks.now_s += 0.0005
            clocks.cpu_s += 0.0005
            steps += 1
        assert steps in {4, 5}
        worked += steps * 0.0005
        pause_s = pace.pause_s()
        clocks.now_s += pause_s
        clocks.cpu_s += pause_s * others
    assert 0 < turns < 400
    assert worked / (clocks.now_s - begun_s) == pytest.approx(share, rel=0.1)


def test_it_begins_as_if_the_process_were_busy() -> None:
    clocks = Clocks()
    pace = Pace(BOUND, lambda: clocks.now_s, lambda: clocks.cpu_s)
    pace.begin()
    clocks.now_s += 0.004
    assert pace.is_over()
    assert pace.pause_s() == pytest.approx(0.036)
