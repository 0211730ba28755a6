"""Answers that are remembered: bounded, the newest stay, and none outlives an erasure."""

from types import SimpleNamespace

from ledger.store import ERASURE, MemoryStore
from node.api.remembered import ANSWER_BYTES_MAX, OVERHEAD_BYTES, Remembered


def _node() -> SimpleNamespace:
    return SimpleNamespace(reader=MemoryStore(), state=SimpleNamespace(height=1, erasing=False))


def _kept(kept: Remembered, node: SimpleNamespace, key: str, size: int = 100) -> bool:
    kept.find(node, key)
    kept.keep(node, key, bytes(size), kept.generation)
    return kept.find(node, key) == bytes(size)


def test_what_was_asked_last_stays() -> None:
    kept, node = Remembered(3 * (100 + OVERHEAD_BYTES)), _node()
    assert all(_kept(kept, node, key) for key in "abc")
    assert kept.find(node, "a")
    assert _kept(kept, node, "d")
    assert kept.find(node, "b") is None
    assert kept.find(node, "a")
    assert len(kept) == 3
    assert not _kept(Remembered(), node, "a", ANSWER_BYTES_MAX + 1)


def test_blocks_without_erasures_change_nothing() -> None:
    kept, node = Remembered(), _node()
    assert _kept(kept, node, "a")
    node.state.height += 1
    assert kept.find(node, "a")


def test_none_outlives_an_erasure() -> None:
    kept, node = Remembered(), _node()
    assert _kept(kept, node, "a")
    generation = kept.generation
    node.reader.write({ERASURE + (7).to_bytes(8): b"row"})
    node.state.height += 1
    assert kept.find(node, "a") is None
    # What was read before the erasure was executed comes too late.
    kept.keep(node, "a", b"old", generation)
    assert kept.find(node, "a") is None
    assert _kept(kept, node, "a")


def test_nothing_is_kept_while_an_erasure_is_under_way() -> None:
    kept, node = Remembered(), _node()
    node.state.erasing, node.state.height = True, 2
    assert not _kept(kept, node, "a")
