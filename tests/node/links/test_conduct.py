"""Blame, pace, and being cut off, on a clock of the test's."""

from dataclasses import dataclass, replace

from node.bounds import BOUNDS
from node.links.conduct import FORGET_S, Conduct

SMALL = replace(
    BOUNDS,
    blame_max=10,
    blame_fades_per_s=1.0,
    messages_per_s=10.0,
    messages_burst=20,
    peer_bytes_per_s=100.0,
    peer_bytes_burst=1_000,
    held_back_max_s=5.0,
    cut_first_s=4.0,
    cut_longest_s=10.0,
)


@dataclass
class Hands:
    """A clock that stands until it is moved."""

    now_s: float = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_blame_fades_and_cuts_only_at_the_bound() -> None:
    clock = Hands()
    conduct = Conduct(SMALL, clock)
    for _ in range(100):  # as fast as it fades
        assert not conduct.blame(2, 1)
        clock.now_s += 1.0
    assert not conduct.blame(2, 8)
    assert conduct.blame(2, 2)
    assert conduct.cut_s(2) == 4.0
    assert conduct.cut_s(3) == 0.0


def test_each_cut_lasts_longer_within_a_bound_and_is_forgotten_in_the_end() -> None:
    clock = Hands()
    conduct = Conduct(SMALL, clock)
    for expected in (4.0, 8.0, 10.0, 10.0):
        assert conduct.blame(2, 10)
        assert conduct.cut_s(2) == expected
        clock.now_s += expected
        assert conduct.cut_s(2) == 0.0
    clock.now_s += FORGET_S + 1
    assert conduct.blame(2, 10)
    assert conduct.cut_s(2) == 4.0


def test_pace_holds_back_and_a_burst_is_free() -> None:
    clock = Hands()
    conduct = Conduct(SMALL, clock)
    assert conduct.received(2, 20, 1_000) == (0.0, False)
    assert conduct.received(2, 5, 0) == (0.5, False)
    clock.now_s += 0.5
    assert conduct.received(2, 0, 0) == (0.0, False)
    clock.now_s += 100
    assert conduct.received(2, 1, 1_500) == (5.0, False)


def test_only_who_is_held_back_without_a_pause_is_cut_off() -> None:
    clock = Hands()
    conduct = Conduct(SMALL, clock)
    conduct.received(2, 20, 0)
    for _ in range(30):  # now and then too fast
        wait_s, is_cut = conduct.received(2, 10, 0)
        assert not is_cut
        clock.now_s += wait_s + 2.5
    waits = 0.0
    is_cut = False
    while not is_cut:
        wait_s, is_cut = conduct.received(2, 30, 0)
        clock.now_s += wait_s
        waits += wait_s
        assert waits < 20
    assert waits >= 5.0
    assert conduct.cut_s(2) > 0
