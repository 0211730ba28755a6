"""Files against their heads: every row that tells of a leaf counts."""

import pytest
from msgspec.structs import replace

from ledger.encoding import encode
from ledger.errors import StoreDamaged
from ledger.files import file_row_key
from ledger.heads import check_heads
from ledger.rows import LeafRow, SubjectRow, leaf_key, need_row
from ledger.store import FILE, SUBJECT, MemoryStore, after
from tests.ledger.eraser import key, linked, market
from tests.ledger.world import World


def check(store: MemoryStore) -> None:
    for _ in check_heads(store):
        pass


@pytest.mark.parametrize("seed", range(4))
def test_every_ledger_has_its_heads_with_erasures_and_links_too(seed: int) -> None:
    node, _ = market(seed)
    store = node.world.store
    assert any(len(value) == 24 for _, value in store.scan(FILE, after(FILE)))
    check(store)


def test_nothing_and_no_leaves() -> None:
    check(MemoryStore())
    check(World().store)


@pytest.fixture
def store() -> MemoryStore:
    return linked().store


def test_every_changed_or_missing_row_is_found(store: MemoryStore) -> None:
    check(store)
    rows = [*store.scan(FILE, after(FILE)), *store.scan(SUBJECT, after(SUBJECT))]
    assert len(rows) >= 9
    for row_key, _ in rows:
        other = store.copy()
        other.write({row_key: None})
        with pytest.raises(StoreDamaged):
            check(other)
    for row_key, value in store.scan(FILE, after(FILE)):
        for wrong in (b"", value[:-1], value + bytes(16), bytes(8), b"\xff" * 8, (0).to_bytes(8)):
            other = store.copy()
            other.write({row_key: wrong})
            with pytest.raises(StoreDamaged):
                check(other)


def test_what_a_leaf_is_made_of_counts_and_else_nothing(store: MemoryStore) -> None:
    seen = 0
    for log_index in range(1, 8):
        at = leaf_key(log_index)
        try:
            row = need_row(store, LeafRow, at)
        except StoreDamaged:
            continue  # a seal
        seen += 1
        for change in (
            {"time": row.time + 1},
            {"type": row.type + 1},
            {"commitment": bytes(32)},
            {"target": 0 if row.target is None else None},
            {"annotation_hash": bytes(32)},
        ):
            other = store.copy()
            other.write({at: encode(replace(row, **change))})
            with pytest.raises(StoreDamaged, match="another head"):
                check(other)
        other = store.copy()
        other.write({at: encode(replace(row, erasure=9, height=9))})
        check(other)
    assert seen >= 5


def test_heads_and_strays(store: MemoryStore) -> None:
    at = SUBJECT + key("w")
    row = need_row(store, SubjectRow, at)
    wrong = [
        {at: encode(replace(row, length=row.length + 1))},
        {at: encode(replace(row, length=0, frontier=b""))},
        {at: encode(replace(row, frontier=bytes(len(row.frontier))))},
        {file_row_key(key("w"), row.length): bytes(8)},
        {file_row_key(key("w"), row.length) + b"\0": (1).to_bytes(8)},
        {file_row_key(bytes(36), 0): (1).to_bytes(8)},
        {file_row_key(b"\xff" * 36, 0): (1).to_bytes(8)},
        {FILE + b"x": (1).to_bytes(8)},
        {at[:-1]: encode(replace(row, length=0, frontier=b""))},
        {at: b"no row"},
    ]
    for rows in wrong:
        other = store.copy()
        other.write(rows)
        with pytest.raises(StoreDamaged):
            check(other)
