"""Pictures of the store: exactly what was submitted before, whatever is grouped around it."""

import itertools
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import StoreDamaged
from ledger.store import Changes
from node.bounds import BOUNDS
from node.storage.leveldb import LevelStore
from node.storage.picture import Picture

KEYS = st.sampled_from([b"A1", b"A2", b"B1"])
STEPS = st.lists(
    st.one_of(st.dictionaries(KEYS, st.none() | st.binary(max_size=2), max_size=2), st.just("take"))
)


def _open(folder: Path) -> LevelStore:
    return LevelStore(folder, BOUNDS, lambda run: run())


def _take(store: LevelStore) -> Picture:
    taken: list[Picture] = []
    done = threading.Event()
    store.picture(lambda picture: (taken.append(picture), done.set()))
    assert done.wait(10)
    return taken[0]


@given(STEPS)
@settings(max_examples=30, deadline=None)
def test_a_picture_holds_what_came_before_it_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Changes | str]
) -> None:
    store = _open(tmp_path_factory.mktemp("store") / "d")
    pictures: list[Picture] = []
    expected: list[list[tuple[bytes, bytes]]] = []
    rows: dict[bytes, bytes] = {}
    for step in steps:
        if isinstance(step, str):
            store.picture(pictures.append)
            expected.append(sorted(rows.items()))
            continue
        store.submit(step)
        for key, value in step.items():
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value
        assert list(store.scan(b"A", b"C")) == sorted(rows.items())
        assert all(store.get(key) == rows.get(key) for key in (b"A1", b"A2", b"B1"))
    done = threading.Event()
    store.submit({}, done.set)
    assert done.wait(10)
    assert [list(each.scan(b"A", b"C")) for each in pictures] == expected
    assert [each.get(b"A1") for each in pictures] == [dict(each).get(b"A1") for each in expected]
    assert list(store.scan(b"A", b"C")) == sorted(rows.items())
    for each in pictures:
        each.close()
    store.close()


def test_reads_see_all_groups_that_wait(tmp_path: Path) -> None:
    class Stuck(LevelStore):
        go = threading.Event()

        def _write(self, rows: Changes, *, anew: bool = False) -> None:
            assert self.go.wait(10)
            super()._write(rows, anew=anew)

    store = Stuck(tmp_path / "d", BOUNDS, lambda run: run())
    pictures: list[Picture] = []
    for at in range(4):
        store.submit({b"A": b"%d" % at, b"B%d" % at: b"here"})
        store.picture(pictures.append)
    store.submit({b"B0": None})
    assert store.get(b"A") == b"3"
    assert [key for key, _ in store.scan(b"A", b"C")] == [b"A", b"B1", b"B2", b"B3"]
    assert store.queued_rows == 9
    store.go.set()
    done = threading.Event()
    store.submit({}, done.set)
    assert done.wait(10)
    assert [each.get(b"A") for each in pictures] == [b"0", b"1", b"2", b"3"]
    assert [each.get(b"B0") for each in pictures] == [b"here"] * 4
    store.close()


def test_a_picture_outlives_what_is_removed_and_ends_with_the_store(tmp_path: Path) -> None:
    store = _open(tmp_path / "d")
    store.submit({b"A%d" % at: bytes(1_000) for at in range(100)})
    picture = _take(store)
    store.submit({b"A%d" % at: None for at in range(100)})
    later = _take(store)
    assert len(list(picture.scan(b"A", b"B"))) == 100
    assert list(picture.scan(b"A5", b"A50", reverse=True)) == [(b"A5", bytes(1_000))]
    assert list(later.scan(b"A", b"B")) == []
    later.close()
    later.close()
    store.close()
    with pytest.raises(RuntimeError):
        picture.get(b"A1")
    picture.close()


def test_against_the_order_a_range_reads_as_in_order(tmp_path: Path) -> None:
    store = _open(tmp_path / "d")
    store.submit({b"Ab": b"", b"Ad": b"", b"Af": b""})
    picture = _take(store)
    keys = [b"A" + bytes([at]) for at in b"abcdefg"]
    for start, stop in itertools.combinations(keys, 2):
        rows = list(store.scan(start, stop))
        assert rows == list(picture.scan(start, stop))
        assert rows[::-1] == list(store.scan(start, stop, reverse=True))
        assert rows[::-1] == list(picture.scan(start, stop, reverse=True))
    picture.close()
    store.close()


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    store = _open(tmp_path / "d")
    store.submit({b"A%d" % at: b"%d" % at * 100 for at in range(2_000)})
    store.close()
    _open(tmp_path / "d").close()  # the journal becomes a table
    (table,) = (tmp_path / "d").glob("*.ldb")
    data = bytearray(table.read_bytes())
    data[len(data) // 3] ^= 1
    table.write_bytes(data)
    store = _open(tmp_path / "d")
    picture = _take(store)
    with pytest.raises(StoreDamaged, match="row A"):
        list(picture.scan(b"A", b"B"))
    picture.close()
    store.close()
