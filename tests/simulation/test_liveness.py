"""What a missing leader costs under load, and how soon a network goes on after a pause."""

import itertools
from collections.abc import Callable

import pytest

from tests.simulation import actors
from tests.simulation.cluster import Cluster
from tests.simulation.test_scenarios import ready

STEP_MS = 50
SECONDS = 30


def heights_under_load(cluster: Cluster, numbers: tuple[int, ...]) -> list[int]:
    """Node 1's executed height every STEP_MS while these nodes have records, for SECONDS."""
    heights = []
    for at in range(SECONDS * 1_000 // STEP_MS):
        cluster.submit(numbers[at % len(numbers)], 1)
        cluster.run_ms(STEP_MS)
        heights.append(cluster.nodes[1].executed_height())
    return heights


def longest_pause_ms(heights: list[int]) -> int:
    """The longest time in which no block was executed."""
    longest = since = 0
    for before, after in itertools.pairwise(heights):
        since = 0 if after > before else since + STEP_MS
        longest = max(longest, since)
    return longest


def test_leader_dead_costs_no_whole_timeout() -> None:
    """Its link is down: its views are given `leader_away_ms` and no more."""
    healthy = heights_under_load(ready(), (1, 2, 3, 4))
    cluster = ready()
    cluster.crash(3)
    heights = heights_under_load(cluster, (1, 2, 4))
    timing = cluster.nodes[1].config.timing
    assert longest_pause_ms(heights) < timing.leader_away_ms + 2 * timing.block_interval_ms
    assert longest_pause_ms(heights) < timing.view_timeout_ms
    made, usual = heights[-1] - heights[0], healthy[-1] - healthy[0]
    assert made > 0.7 * usual
    cluster.restart(3)
    cluster.settle()


def test_leader_silent_costs_at_most_one_timeout() -> None:
    """Its link stands: nobody can know, and each of its views costs the shortest timeout."""
    cluster = ready()
    cluster.make_byzantine(3, actors.silent_leader)
    heights = heights_under_load(cluster, (1, 2, 4))
    timing = cluster.nodes[1].config.timing
    assert longest_pause_ms(heights) < timing.view_timeout_ms + 2 * timing.block_interval_ms
    cluster.settle()


@pytest.mark.parametrize("is_silent", [False, True])
def test_two_leaders_missing_in_a_row(*, is_silent: bool) -> None:
    """Two of seven, one after the other: dead, each costs `leader_away_ms`; silent on links that
    stand, one view time and its double. An epoch later both are passed over but for trials."""
    cluster = ready(7, epoch_blocks=16)
    for number in (3, 4):
        if is_silent:
            cluster.make_byzantine(number, actors.silent_leader)
        else:
            cluster.crash(number)
    heights = heights_under_load(cluster, (1, 2, 5, 6, 7))
    timing = cluster.nodes[1].config.timing
    missing_ms = 3 * timing.view_timeout_ms if is_silent else 2 * timing.leader_away_ms
    assert longest_pause_ms(heights) < missing_ms + 2 * timing.block_interval_ms
    assert cluster.nodes[1].state.passed == {3, 4}
    assert heights[-1] - heights[0] > SECONDS * (2 if is_silent else 3)
    for number in () if is_silent else (3, 4):
        cluster.restart(number)
    cluster.settle()


def test_leader_linked_with_a_quorum_only_is_followed_by_it() -> None:
    """One node has no link to a leader: it passes the view over, the others finalize in it."""
    cluster = ready()
    cluster.network.blocked |= {(1, 3), (3, 1)}
    cluster.unlink(1, 3)
    heights = heights_under_load(cluster, (1, 2, 3, 4))
    assert longest_pause_ms(heights) < cluster.nodes[1].config.timing.view_timeout_ms
    cluster.heal()
    cluster.settle()


def test_no_quorum_for_a_minute_and_on_within_two_seconds() -> None:
    """Two of four stand still and their links break; then they go on."""
    cluster = ready()
    cluster.submit(1)
    for number in (3, 4):
        cluster.nodes[number].paused_until_us = cluster.clock.now_us + 60_000_000
    cluster.run_ms(7_000)
    for number in (3, 4):
        for other in (1, 2):
            cluster.unlink(number, other)
    for _ in range(53):
        cluster.submit(1)
        cluster.run_ms(1_000)
    before = cluster.nodes[1].executed_height()
    cluster.link_all()
    cluster.run_until(
        lambda: cluster.checker.certified[1] > before, 2_000, "a checkpoint after the pause"
    )
    cluster.settle()


def test_a_network_cut_in_halves_finds_its_pace_again() -> None:
    """Views time out in both halves for long; once healed, no view is given long times any more."""
    cluster = ready()
    cluster.partition((1, 2), (3, 4))
    for _ in range(30):
        cluster.submit(1)
        cluster.submit(3)
        cluster.run_ms(1_000)
    before = cluster.nodes[1].executed_height()
    cluster.heal()
    took = cluster.run_until(
        lambda: cluster.checker.certified[1] > before, 2_000, "a checkpoint after healing"
    )
    assert took < 2_000
    cluster.settle()
    assert cluster.nodes[1].state.waits.view_timeout_ms <= 1_000


def until(cluster: Cluster, holds: Callable[[], bool], numbers: tuple[int, ...]) -> None:
    """Load these nodes until something holds, a few minutes at most."""
    for _ in range(8):
        if holds():
            return
        heights_under_load(cluster, numbers)
    pytest.fail("it never holds")


def long_pauses(heights: list[int], least_ms: int) -> int:
    """How often no block was executed for so long."""
    count = since = 0
    for before, after in itertools.pairwise(heights):
        since = 0 if after > before else since + STEP_MS
        count += since == least_ms
    return count


def test_leader_that_failed_is_passed_over_in_the_next_epoch() -> None:
    """A silent leader costs a timeout in its trials, and none in between; it is back in time."""
    cluster = ready(epoch_blocks=64)
    cluster.make_byzantine(3, actors.silent_leader)
    first = heights_under_load(cluster, (1, 2, 4))
    until(cluster, lambda: cluster.nodes[1].state.epoch >= 3, (1, 2, 4))
    states = [cluster.nodes[number].state for number in (1, 2, 4)]
    assert {state.passed for state in states if state.epoch == states[0].epoch} == {frozenset({3})}
    later = heights_under_load(cluster, (1, 2, 4))
    timeout_ms = cluster.nodes[1].config.timing.view_timeout_ms
    assert long_pauses(later, timeout_ms) < long_pauses(first, timeout_ms) / 2
    assert later[-1] - later[0] > first[-1] - first[0]
    cluster.settle()


def test_who_was_passed_over_and_works_again_leads_again() -> None:
    cluster = ready(epoch_blocks=16)
    cluster.crash(3)
    until(cluster, lambda: cluster.nodes[1].state.passed == {3}, (1, 2, 4))
    cluster.restart(3)
    cluster.link_all()
    epoch = cluster.nodes[1].state.epoch
    until(cluster, lambda: cluster.nodes[1].state.epoch >= epoch + 3, (1, 2, 3, 4))
    cluster.settle()
    assert {node.state.passed for node in cluster.nodes.values()} == {frozenset()}
    assert cluster.nodes[3].state.epoch == cluster.nodes[1].state.epoch
