"""Networks without faults: everything becomes final, then all is silent."""

import pytest

from consensus.effects import Execute
from tests.simulation.cluster import Cluster, quick_bounds


@pytest.mark.parametrize("n", [1, 2, 4, 7])
def test_a_lone_batch_is_final_and_then_all_is_silent(n: int) -> None:
    cluster = Cluster(n).start()
    cluster.run_ms(100)
    cluster.submit(1)
    assert cluster.settle() < 1_000
    assert cluster.checker.certified[1] >= 1


@pytest.mark.parametrize("n", [1, 4])
def test_epochs_follow_each_other(n: int) -> None:
    cluster = Cluster(n, 3, bounds=quick_bounds(4)).start()
    for round_ in range(60):
        cluster.submit(1 + round_ % n)
        cluster.run_ms(250)
    cluster.settle()
    assert {node.state.epoch for node in cluster.nodes.values()} <= {14, 15, 16, 17}
    assert cluster.checker.certified[1] > 50


def test_real_signatures_hold() -> None:
    cluster = Cluster(4, 5, bounds=quick_bounds(3), real_signatures=True).start()
    for round_ in range(12):
        cluster.submit(1 + round_ % 4)
        cluster.run_ms(120)
    cluster.settle()
    assert not cluster.refusals


def test_equal_seeds_give_equal_traces() -> None:
    def trace(seed: int) -> str:
        cluster = Cluster(4, seed).start()
        for number in (1, 2, 3, 4, 1):
            cluster.submit(number)
            cluster.run_ms(150)
        cluster.settle()
        return cluster.trace.hexdigest()

    assert trace(7) == trace(7)
    assert trace(7) != trace(8)


def test_all_restart_from_their_disks() -> None:
    cluster = Cluster(4, 9, bounds=quick_bounds(4)).start()
    for round_ in range(20):
        cluster.submit(1 + round_ % 4)
        cluster.run_ms(130)
        if round_ % 5 == 4:
            for number in cluster.nodes:
                cluster.crash(number)
            for number in cluster.nodes:
                cluster.restart(number)
    cluster.settle()
    assert cluster.checker.certified[1] >= 5


def test_who_was_away_executes_what_it_is_told_without_waiting_for_its_disk() -> None:
    """Its own finalizations, made from votes here, wait for their rows."""
    cluster = Cluster(4, 2, bounds=quick_bounds(1_000)).start()
    told: list[tuple[int, bool]] = []
    for node in cluster.nodes.values():
        execute = node._execute

        def noting(effect: Execute, number: int = node.number, execute=execute) -> None:  # type: ignore[no-untyped-def]
            told.append((number, effect.is_told))
            execute(effect)

        node._execute = noting  # type: ignore[method-assign]
    cluster.crash(4)
    for round_ in range(5):
        cluster.submit(1 + round_ % 3)
        cluster.run_ms(600)
    assert not any(is_told for _, is_told in told), "q votes were counted here"
    told.clear()
    cluster.restart(4)
    cluster.settle()
    assert [is_told for number, is_told in told if number == 4][:3] == [True] * 3
