"""Counting votes."""

from consensus.votes import Counted, Tally


def test_each_validator_counts_once() -> None:
    tally = Tally()
    assert tally.add(1, b"a", b"s1") is Counted.ADDED
    assert tally.add(1, b"a", b"s1") is Counted.KNOWN
    assert tally.count(b"a") == 1


def test_a_second_block_is_a_conflict_and_does_not_count() -> None:
    tally = Tally()
    tally.add(1, b"a", b"s1")
    assert tally.look(1, b"b") is Counted.CONFLICT
    assert tally.add(1, b"b", b"s2") is Counted.CONFLICT
    assert tally.count(b"b") == 0
    assert tally.vote_of(1) == (b"a", b"s1")


def test_signatures_are_ascending_and_exactly_as_many_as_asked() -> None:
    tally = Tally()
    for number in (9, 2, 5, 7):
        tally.add(number, b"a" if number != 5 else b"b", bytes([number]))
    assert [each.number for each in tally.signatures(b"a", 2)] == [2, 7]
