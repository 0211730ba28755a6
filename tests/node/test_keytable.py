"""Keys that are destroyed one by one: against a literal list of all keys that were."""

import os
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.storage.keytable import TABLE_SLOTS, KeyTable

SEEDS = os.urandom(TABLE_SLOTS // 16 * 32)
slots = st.one_of(
    st.integers(0, TABLE_SLOTS - 1),
    st.integers(0, 40),  # neighbours, some with one seed
    st.integers(0, 40).map(lambda low: TABLE_SLOTS - 1 - low),
)


def table() -> KeyTable:
    return KeyTable.new(lambda count: SEEDS[:count])


def literal(slot: int) -> bytes:
    """A slot's key, as the specification has it."""
    seed = SEEDS[slot // 16 * 32 : slot // 16 * 32 + 32]
    return sha256(seed + bytes([slot % 16])).digest()


@given(st.sets(slots, max_size=24), st.sets(slots, max_size=12))
@settings(max_examples=60, deadline=None)
def test_a_destroyed_key_is_gone_and_no_other(destroyed: set[int], others: set[int]) -> None:
    keys = table()
    assert keys.destroy(sorted(destroyed)) == bool(destroyed)
    assert not keys.destroy(destroyed)
    kept = keys.encode()
    for each in (keys, KeyTable.decode(kept)):
        for slot in destroyed | others:
            assert each.key(slot) == (None if slot in destroyed else literal(slot))
    assert KeyTable.decode(kept).encode() == kept
    assert len(kept) <= len(SEEDS) + 4 + 484 * len(destroyed)


def test_nothing_that_leads_to_a_destroyed_key_is_kept() -> None:
    keys, slot = table(), 0x5_4321
    seed = SEEDS[32 * (slot >> 4) : 32 * (slot >> 4) + 32]
    assert seed in keys.encode()
    keys.destroy([slot])
    kept = keys.encode()
    assert seed not in kept
    assert literal(slot) not in kept
    assert len(kept) - len(SEEDS) - 4 == 4 + 15 * 32
    keys.destroy(range(slot & ~15, (slot & ~15) + 16))
    assert len(keys.encode()) - len(SEEDS) - 4 == 4, "neighbours cost nothing more, but less"


def test_keys_are_given_seed_by_seed() -> None:
    keys = table()
    assert keys.keys_from(32) == [literal(slot) for slot in range(32, 48)]
    keys.destroy([32, 33])
    assert keys.keys_from(34) == [literal(slot) for slot in range(34, 48)]


def test_another_form_is_refused() -> None:
    keys = table()
    keys.destroy([5, 77])
    data = keys.encode()
    for wrong in (b"", data[:100], data[:-1], data + b"\x00", data[:-40], data + data[-484:]):
        with pytest.raises(ValueError, match="another length"):
            KeyTable.decode(wrong)
    with pytest.raises(ValueError, match="keeps the seed"):
        KeyTable.decode(bytes([1]) + data[1:])
