"""Rows kept in memory: never older than what was written, never more than the bound."""

import threading
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ledger.store import ENGAGEMENT, LEAF, SUBJECT
from node.bounds import Bounds
from node.storage.leveldb import LevelStore
from node.storage.recent import UNKNOWN, Recent

KEYS = [kind + bytes([number]) for kind in (SUBJECT, ENGAGEMENT) for number in range(12)]
ROWS_MAX = 8

steps = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.sampled_from(KEYS)),
        st.tuples(
            st.just("write"),
            st.dictionaries(st.sampled_from(KEYS), st.none() | st.binary(max_size=2), max_size=4),
        ),
    ),
    max_size=60,
)


@given(steps)
def test_what_is_found_is_what_was_written_last(taken: list[tuple[str, object]]) -> None:
    recent, disk = Recent(ROWS_MAX), dict[bytes, bytes | None]()
    for kind, what in taken:
        if kind == "write":
            assert isinstance(what, dict)
            disk.update(what)
            recent.update(what)
        else:
            assert isinstance(what, bytes)
            found = recent.find(what)
            if found is UNKNOWN:
                recent.keep(what, disk.get(what))
            else:
                assert found == disk.get(what)
        assert len(recent) <= ROWS_MAX + 4


def test_a_row_that_is_asked_for_again_outlives_those_that_are_not() -> None:
    recent = Recent(ROWS_MAX)
    recent.keep(KEYS[0], b"again")
    for key in KEYS[1:]:
        assert recent.find(KEYS[0]) == b"again"
        recent.keep(key, None)
    assert recent.find(KEYS[1]) is UNKNOWN


def test_other_kinds_of_rows_are_not_kept() -> None:
    recent = Recent(ROWS_MAX)
    recent.update({LEAF + b"1": b"row"})
    assert len(recent) == 0


def test_another_thread_reads_past_what_is_kept(tmp_path: Path) -> None:
    store = LevelStore(tmp_path / "d", Bounds(), lambda run: run())
    key, seen = SUBJECT + b"1", list[bytes | None]()
    try:
        assert store.get(key) is None
        store.submit({key: b"new"})
        reader = threading.Thread(target=lambda: seen.append(store.get(key)))
        reader.start()
        reader.join()
        assert store.get(key) == b"new"
        assert seen == [b"new"]
    finally:
        store.close()
