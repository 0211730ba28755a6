"""LevelDB behind the port: order, visibility, durability, damage."""

import os
import threading
from pathlib import Path
from typing import Any

import plyvel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import Misconfigured, StoreDamaged
from ledger.store import Changes, MemoryStore
from node.bounds import BOUNDS
from node.storage.leveldb import FORMAT, FORMAT_KEY, LevelStore


def _open(folder: Path) -> LevelStore:
    return LevelStore(folder, BOUNDS, lambda run: run())


def _wait(store: LevelStore) -> None:
    done = threading.Event()
    store.submit({}, done.set)
    assert done.wait(10)


def test_keeps_rows_over_a_restart(tmp_path: Path) -> None:
    store = _open(tmp_path / "d")
    store.submit({b"Aa": b"1", b"Ab": b"2"})
    store.submit({b"Aa": None, b"Ac": b"3"})
    store.close()
    store = _open(tmp_path / "d")
    assert list(store.scan(b"A", b"B")) == [(b"Ab", b"2"), (b"Ac", b"3")]
    assert store.get(b"Aa") is None
    assert store.get(FORMAT_KEY) == FORMAT
    store.close()


class _Stuck(LevelStore):
    """A store whose disk waits until it is told to go on."""

    def __init__(self, folder: Path) -> None:
        self.go = threading.Event()
        self.go.set()
        self.groups: list[Changes] = []
        super().__init__(folder, BOUNDS, lambda run: run())

    def _write(self, rows: Changes, *, anew: bool = False) -> None:
        assert self.go.wait(10)
        self.groups.append(dict(rows))
        super()._write(rows, anew=anew)


def test_reads_see_what_waits_and_writes_are_grouped(tmp_path: Path) -> None:
    store = _Stuck(tmp_path / "d")
    store.submit({b"A1": b"old", b"A2": b"old", b"A4": b"old"})
    _wait(store)
    store.go.clear()
    told: list[int] = []
    store.submit({b"A1": b"writing"}, lambda: told.append(0))
    for at in range(1, 100):
        store.submit({b"A2": b"%d" % at, b"A3": b"new"}, lambda at=at: told.append(at))
    store.submit({b"A4": None})
    assert store.get(b"A1") == b"writing"
    assert store.get(b"A2") == b"99"
    assert store.get(b"A4") is None
    rows = [(b"A1", b"writing"), (b"A2", b"99"), (b"A3", b"new")]
    assert list(store.scan(b"A", b"B")) == rows
    assert list(store.scan(b"A", b"B", reverse=True)) == rows[::-1]
    assert list(store.scan(b"A2", b"A3")) == rows[1:2]
    assert told == []
    store.go.set()
    _wait(store)
    assert told == list(range(100))
    assert len(store.groups) <= 5
    assert list(store.scan(b"A", b"B")) == rows
    assert store.queued_rows == 0
    store.close()


KEYS = st.binary(min_size=1, max_size=2).map(lambda tail: b"A" + tail)
STEPS = st.lists(
    st.tuples(st.dictionaries(KEYS, st.none() | st.binary(max_size=3), max_size=6), st.booleans()),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, start=KEYS, stop=KEYS)
def test_behaves_like_the_memory_store(
    tmp_path_factory: pytest.TempPathFactory, steps: Any, start: bytes, stop: bytes
) -> None:
    store, model = _Stuck(tmp_path_factory.mktemp("d") / "d"), MemoryStore()
    for changes, stuck in steps:
        store.submit(changes)
        model.write(changes)
        if stuck:
            store.go.clear()
        for reverse in (False, True):
            low, high = min(start, stop), max(start, stop)
            expected = list(model.scan(low, high, reverse=reverse))
            assert list(store.scan(low, high, reverse=reverse)) == expected
        assert store.get(start) == model.get(start)
        store.go.set()
    _wait(store)
    assert list(store.scan(b"A", b"B")) == list(model.scan(b"A", b"B"))
    store.close()


def test_a_second_opening_is_refused(tmp_path: Path) -> None:
    store = _open(tmp_path / "d")
    with pytest.raises(Misconfigured, match="open in another process"):
        _open(tmp_path / "d")
    store.close()


def test_another_format_is_refused(tmp_path: Path) -> None:
    db = plyvel.DB(str(tmp_path / "d"), create_if_missing=True)
    db.put(FORMAT_KEY, b"standing-99")
    db.close()
    with pytest.raises(Misconfigured, match="format"):
        _open(tmp_path / "d")


@pytest.mark.parametrize("former", [b"standing-%d" % number for number in range(1, 5)])
def test_an_earlier_format_is_refused_and_says_what_to_do(tmp_path: Path, former: bytes) -> None:
    db = plyvel.DB(str(tmp_path / "d"), create_if_missing=True)
    db.put(FORMAT_KEY, former)
    db.close()
    with pytest.raises(Misconfigured, match=r"earlier program.*move the data folder away"):
        _open(tmp_path / "d")
    assert not list((tmp_path / "d").glob("openings.keys*")), "and nothing is written there"


def test_a_flipped_byte_is_named_and_says_how_to_recover(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    store = _open(folder)
    store.submit({b"A%04d" % at: bytes([at % 251]) * 100 for at in range(2_000)})
    store.close()
    db = plyvel.DB(str(folder))
    db.compact_range()
    db.close()
    table = max(folder.glob("*.ldb"), key=lambda path: path.stat().st_size)
    data = bytearray(table.read_bytes())
    data[len(data) // 3] ^= 1
    table.write_bytes(data)
    store = _open(folder)
    with pytest.raises(StoreDamaged) as caught:
        list(store.scan(b"A", b"B"))
    assert "row A" in str(caught.value)
    assert "fetches the whole ledger from its peers" in str(caught.value)
    with pytest.raises(StoreDamaged):
        [store.get(b"A%04d" % at) for at in range(2_000)]
    store.close()


def test_a_damaged_manifest_refuses_to_open(tmp_path: Path) -> None:
    _open(tmp_path / "d").close()
    next((tmp_path / "d").glob("MANIFEST-*")).write_bytes(b"not a manifest")
    with pytest.raises(StoreDamaged, match="move the data folder away"):
        _open(tmp_path / "d")


class _FullDisk(LevelStore):
    def _write(self, rows: Changes, *, anew: bool = False) -> None:
        if b"A" in rows:
            raise plyvel.IOError("No space left on device")
        super()._write(rows, anew=anew)


def test_an_error_of_the_disk_is_final(tmp_path: Path) -> None:
    store = _FullDisk(tmp_path / "d", BOUNDS, lambda run: run())
    failed = threading.Event()
    told: list[str] = []
    store.on_failure = lambda error: (told.append(str(error)), failed.set())[0]
    store.submit({b"A": b"1"}, lambda: told.append("durable"))
    assert failed.wait(10)
    assert told == ["No space left on device"]
    with pytest.raises(StoreDamaged, match="writing has failed"):
        store.submit({b"B": b"1"})
    store.close()


def _write_log(folder: Path) -> Path:
    """A store whose rows are all in its write-ahead log; the log's path."""
    store = _open(folder)
    for at in range(20):
        store.submit({b"A%02d" % at: bytes([at]) * 500})
        _wait(store)
    store.close()
    return max(folder.glob("*.log"), key=lambda path: path.stat().st_size)


def test_a_log_cut_short_by_a_crash_keeps_what_came_before(tmp_path: Path) -> None:
    log = _write_log(tmp_path / "d")
    log.write_bytes(log.read_bytes()[:-300])
    store = _open(tmp_path / "d")
    rows = list(store.scan(b"A", b"B"))
    assert rows == [(b"A%02d" % at, bytes([at]) * 500) for at in range(len(rows))]
    assert 0 < len(rows) < 20
    store.close()


def test_a_flipped_byte_in_the_log_refuses_to_open(tmp_path: Path) -> None:
    log = _write_log(tmp_path / "d")
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 1
    log.write_bytes(data)
    with pytest.raises(StoreDamaged, match="move the data folder away"):
        _open(tmp_path / "d")


def test_a_missing_current_file_clears_nothing_away(tmp_path: Path) -> None:
    """LevelDB would found a new store in its place and remove the old one's files."""
    store = _open(tmp_path / "d")
    store.submit({b"A": b"1"})
    store.close()
    current = tmp_path / "d" / "CURRENT"
    kept = current.read_bytes()
    current.unlink()
    before = {path.name for path in (tmp_path / "d").iterdir()}
    with pytest.raises(StoreDamaged, match=r"the file CURRENT is missing.*move the data folder"):
        _open(tmp_path / "d")
    assert {path.name for path in (tmp_path / "d").iterdir()} == before
    current.write_bytes(kept)
    store = _open(tmp_path / "d")
    assert store.get(b"A") == b"1"
    store.close()


def test_a_missing_log_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    """The node's newest votes may have been in it."""
    store = _open(tmp_path / "d")
    store.submit({b"A": b"1"})
    store.close()
    for path in (tmp_path / "d").glob("*.log"):
        path.unlink()
    with pytest.raises(StoreDamaged, match=r"newest rows .*are missing"):
        _open(tmp_path / "d")


class _Short:
    """A database that the system gives no more files."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def get(self, *_: object, **__: object) -> bytes:
        raise plyvel.IOError(b"IO error: d/000007.ldb: Too many open files")

    def iterator(self, **_: object) -> Any:
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Any:
        return map(self.get, (b"A",))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_a_system_that_is_short_of_files_has_damaged_nothing(tmp_path: Path) -> None:
    store = _open(tmp_path / "d")
    whole, store._db = store._db, _Short(store._db)
    for read in (lambda: store.get(b"A"), lambda: list(store.scan(b"A", b"B"))):
        with pytest.raises(Misconfigured, match=r"Too many open files.*nothing in it is damaged"):
            read()
    store._db = whole
    store.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every file")
def test_a_folder_without_rights_is_neither_damaged_nor_in_use(tmp_path: Path) -> None:
    _open(tmp_path / "d").close()
    (tmp_path / "d" / "LOCK").chmod(0)
    with pytest.raises(Misconfigured, match="nothing in it is damaged"):
        _open(tmp_path / "d")


def test_a_file_in_the_folders_place_is_a_wrong_path(tmp_path: Path) -> None:
    (tmp_path / "d").write_text("not a store")
    with pytest.raises(Misconfigured, match=r"/d cannot be made: File exists"):
        _open(tmp_path / "d")


def test_a_lock_file_that_cannot_be_opened_is_not_another_process(tmp_path: Path) -> None:
    (tmp_path / "d" / "LOCK").mkdir(parents=True)
    with pytest.raises(StoreDamaged, match="Is a directory"):
        _open(tmp_path / "d")
