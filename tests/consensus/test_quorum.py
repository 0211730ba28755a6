"""Thresholds, and the rotation of leaders."""

import pytest

from consensus.quorum import faults, quorum, witnesses


@pytest.mark.parametrize(
    ("n", "f", "q"),
    [(1, 0, 1), (2, 0, 2), (3, 0, 3), (4, 1, 3), (7, 2, 5), (31, 10, 21), (100, 33, 67)],
)
def test_table(n: int, f: int, q: int) -> None:
    assert (faults(n), quorum(n), witnesses(n)) == (f, q, f + 1)


@pytest.mark.parametrize("n", range(1, 101))
def test_two_quorums_share_an_honest_validator(n: int) -> None:
    assert 2 * quorum(n) - n >= faults(n) + 1
    assert quorum(n) <= n - faults(n), "a quorum can be had without the faulty ones"
