"""Which rows are certainly not on disk: never wrong, and seldom in doubt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.store import ENGAGEMENT, PAIR, SUBJECT
from node.bounds import BOUNDS, Bounds
from node.storage import absent, recent
from node.storage.absent import KEYS_PER_WORD, TURN_KEYS, Absent
from node.storage.leveldb import LevelStore

ROOM = 1 << 20


def numbered(count, start=0, kind=ENGAGEMENT):
    return [kind + number.to_bytes(36) for number in range(start, start + count)]


def whole(keys=(), bytes_max=ROOM):
    known = Absent(bytes_max)
    for _ in known.learn(keys):
        pass
    return known


@given(st.sets(st.binary(min_size=1, max_size=73)), st.sets(st.binary(min_size=1, max_size=73)))
def test_what_was_added_or_learnt_is_never_absent(learnt, added):
    known = whole(learnt)
    known.add(added)
    assert not any(known.lacks(key) for key in learnt | added)


def test_nothing_is_absent_before_all_is_learnt():
    known = Absent(ROOM)
    keys = numbered(2 * TURN_KEYS + 1)
    turns = known.learn(keys)
    assert not known.lacks(b"nowhere")
    for _ in turns:
        assert not known.lacks(b"nowhere")
    assert known.lacks(b"nowhere")
    assert not any(map(known.lacks, keys))


def test_filters_double_within_their_bound(monkeypatch):
    monkeypatch.setattr(absent, "FIRST_WORDS", 64)
    keys = numbered(10_000)
    known = whole(keys, bytes_max=8 * (64 + 128 + 256))
    assert not any(map(known.lacks, keys))
    roomy = whole(keys)
    assert not any(map(roomy.lacks, keys))
    others = numbered(1_000, start=1_000_000)
    assert sum(map(roomy.lacks, others)) > sum(map(known.lacks, others))


def test_few_absent_keys_are_in_doubt():
    known = whole(numbered(KEYS_PER_WORD * absent.FIRST_WORDS))
    others = numbered(20_000, start=10_000_000)
    assert sum(map(known.lacks, others)) > 0.9 * len(others)


# --- in the store ---


def open_store(folder, bounds=BOUNDS):
    return LevelStore(folder, bounds, lambda run: run())


@pytest.mark.parametrize("kind", sorted(recent.KINDS))
def test_a_store_finds_old_and_new_rows_whatever_it_has_learnt(tmp_path, kind):
    kind = bytes([kind])
    old, during, later, never = (numbered(300, start=1_000 * at, kind=kind) for at in range(4))
    store = open_store(tmp_path / "d")
    store.submit(dict.fromkeys(old, b"old"))
    store.close()
    # So few rows are kept in memory that the disk is asked.
    store = open_store(tmp_path / "d", Bounds(recent_rows_max=4))
    turns = store.learn()
    assert store.get(during[0]) is None
    store.submit(dict.fromkeys(during, b"during"))
    for _ in turns:
        pass
    assert store.get(later[0]) is None
    store.submit(dict.fromkeys(later, b"later"))
    found = [{store.get(key) for key in keys} for keys in (old, during, later, never)]
    assert found == [{b"old"}, {b"during"}, {b"later"}, {None}]
    store.submit({old[0]: None})
    assert store.get(old[0]) is None
    store.submit({old[0]: b"again"})
    assert store.get(old[0]) == b"again"
    store.close()


def test_what_is_absent_is_not_asked_of_the_disk(tmp_path):
    store = open_store(tmp_path / "d")
    store.submit({PAIR + bytes(72): b"pair"})
    for _ in store.learn():
        pass
    disk = store._db

    class Asked:
        def get(self, key, **_):
            raise AssertionError(f"{key.hex()} is asked of the disk")

    store._db = Asked()
    try:
        assert store.get(PAIR + b"\1" * 72) is None
    finally:
        store._db = disk
        store.close()


def test_what_a_scan_passes_at_first_is_kept_until_something_is_written(tmp_path):
    store = open_store(tmp_path / "d")
    store.submit({SUBJECT + bytes(36): b"first"})
    store.close()
    store = open_store(tmp_path / "d")
    assert list(store.scan(SUBJECT, SUBJECT + b"\xff"))
    assert len(store._recent) == 1
    scan = store.scan(SUBJECT, SUBJECT + b"\xff")
    store.submit({SUBJECT + bytes(36): b"second"})
    assert dict(scan) == {SUBJECT + bytes(36): b"first"}
    assert store.get(SUBJECT + bytes(36)) == b"second"
    store.close()
