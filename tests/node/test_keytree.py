"""Keys that are destroyed one by one: against a literal dictionary of all keys that were."""

import os
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.storage.keytree import BUCKETS, LEVELS, SLOT_BITS, KeyTree

TABLE = os.urandom(BUCKETS * 32)
slots = st.one_of(
    st.integers(0, (1 << SLOT_BITS) - 1),
    st.integers(0, 300),  # neighbours, under one bucket
    st.integers(0, 300).map(lambda low: (1 << SLOT_BITS) - 1 - low),
)


def tree() -> KeyTree:
    return KeyTree.new(lambda count: TABLE[:count])


def literal(slot: int) -> bytes:
    """A slot's key, as the specification has it."""
    bucket = slot >> 5 * LEVELS
    key = TABLE[32 * bucket : 32 * bucket + 32]
    for level in reversed(range(LEVELS)):
        key = sha256(key + bytes([slot >> 5 * level & 31])).digest()
    return key


@given(st.sets(slots, max_size=12), st.sets(slots, max_size=12))
@settings(max_examples=60, deadline=None)
def test_a_destroyed_key_is_gone_and_no_other(destroyed: set[int], others: set[int]) -> None:
    keys = tree()
    assert keys.destroy(sorted(destroyed)) == bool(destroyed)
    assert not keys.destroy(destroyed)
    for kept in (keys, KeyTree.decode(keys.encode())):
        for slot in destroyed | others:
            assert kept.key(slot) == (None if slot in destroyed else literal(slot))


def test_nothing_that_leads_to_a_destroyed_key_is_kept() -> None:
    keys, slot = tree(), 0x123_4567_89A
    path = [TABLE[32 * (slot >> 25) : 32 * (slot >> 25) + 32]]
    for level in reversed(range(LEVELS)):
        path.append(sha256(path[-1] + bytes([slot >> 5 * level & 31])).digest())
    assert path[0] in keys.encode()
    keys.destroy([slot])
    kept = keys.encode()
    assert not any(key in kept for key in path)
    assert len(kept) - len(TABLE) - 4 == LEVELS * 31 * 39


@pytest.mark.parametrize("slot", [-1, 1 << SLOT_BITS])
def test_what_is_no_slot_is_refused(slot: int) -> None:
    with pytest.raises(ValueError, match="no slot"):
        tree().key(slot)


def test_another_length_is_refused() -> None:
    keys = tree()
    keys.destroy([5])
    data = keys.encode()
    for wrong in (b"", data[:100], data[:-1], data + b"\x00"):
        with pytest.raises(ValueError, match="another length"):
            KeyTree.decode(wrong)
