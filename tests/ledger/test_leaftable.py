"""The table of leaves against a dictionary, with keys that meet in one slot, too."""

import random

import pytest

from ledger.leaftable import PARTS, LeafTable


class Meeting(bytes):
    """A key that falls into the first slot of the first part."""

    __slots__ = ()

    def __hash__(self) -> int:
        return 0


def filled(keys, expected=0):
    leaves = bytearray()
    table = LeafTable(leaves, expected)
    for number, key in enumerate(keys):
        leaves += key + bytes(32)
        table.add(key, 2 * number + 1)
    return table


@pytest.mark.parametrize("expected", [0, 1, 5_000, 20_000])
def test_every_key_is_found_and_no_other(expected):
    rng = random.Random(1)
    keys = [rng.randbytes(32) for _ in range(5_000)]
    table = filled(keys, expected)
    assert table.find(keys) == list(range(1, 10_001, 2))
    others = [rng.randbytes(32) for _ in range(5_000)]
    assert table.find(others) == [0] * 5_000
    assert table.find([others[0], keys[7], others[1]]) == [0, 15, 0]


def test_keys_that_meet_in_one_slot_are_told_apart():
    keys = [Meeting(bytes([n]) * 32) for n in range(5)]
    table = filled(keys)
    assert [len(part) for part in table.parts] == [8] * PARTS
    assert table.find(keys) == [1, 3, 5, 7, 9]
    assert table.find([Meeting(b"x" * 32)]) == [0]


def test_a_part_is_never_full():
    """A full part would let the search for a missing key go round for ever."""
    rng = random.Random(2)
    keys = [rng.randbytes(32) for _ in range(3_000)]
    leaves = bytearray()
    table = LeafTable(leaves)
    for number, key in enumerate(keys):
        leaves += key + bytes(32)
        table.add(key, 2 * number + 1)
        assert all(3 * sum(map(bool, part)) <= 2 * len(part) for part in table.parts[:4])
    assert sum(ref != 0 for part in table.parts for ref in part) == 3_000


def test_room_is_made_at_once():
    leaves = bytearray()
    table = LeafTable(leaves, 100_000)
    assert sum(map(len, table.parts)) == 262_144


@pytest.mark.parametrize("expected", [0, 1_000, 20_000])
def test_filling_is_adding_every_leaf(expected):
    rng = random.Random(3)
    keys = [rng.randbytes(32) for _ in range(1_000)]
    table = LeafTable(bytearray(b"".join(key + bytes(32) for key in keys)), expected)
    table.fill()
    assert table.find(keys) == list(range(1, 2_001, 2))
    assert table.find([rng.randbytes(32)]) == [0]
    assert all(3 * sum(map(bool, part)) <= 2 * len(part) for part in table.parts)
