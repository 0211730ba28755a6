"""The rows in memory in front of the store: they never differ from it, and are bounded."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from ledger.recent import ROW_OVERHEAD_BYTES, Recent
from ledger.store import LEAF, RATER, SUBJECT, MemoryStore

KEYS = st.sampled_from([prefix + bytes([n]) for prefix in (SUBJECT, RATER, LEAF) for n in range(6)])


class Counting(MemoryStore):
    """A store that counts what is read from it."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    def get(self, key: bytes) -> bytes | None:
        self.read += 1
        return super().get(key)


@given(
    st.lists(st.one_of(KEYS, st.dictionaries(KEYS, st.binary(max_size=40), max_size=4))),
    st.integers(0, 1_000),
)
def test_a_reader_sees_what_the_store_holds(
    steps: list[bytes | dict[bytes, bytes]], bytes_max: int
) -> None:
    store = MemoryStore()
    recent = Recent(store, bytes_max)
    for step in steps:
        if isinstance(step, bytes):
            assert recent.get(step) == store.get(step)
        else:
            store.write(step)
            recent.note({key: value for key, value in step.items() if key[:1] in {SUBJECT, RATER}})
    assert list(recent.scan(b"", b"\xff")) == list(store.scan(b"", b"\xff"))


def _subjects(count: int) -> Iterator[bytes]:
    return (SUBJECT + number.to_bytes(4) for number in range(count))


def test_a_row_is_read_from_the_store_once() -> None:
    store = Counting()
    store.write(dict.fromkeys(_subjects(10), b"row"))
    recent = Recent(store, 1_000_000)
    for _ in range(3):
        assert all(recent.get(key) == b"row" for key in _subjects(10))
    assert store.read == 10


def test_that_nobody_was_rated_is_read_from_the_store_once() -> None:
    store = Counting()
    recent = Recent(store, 1_000_000)
    assert [recent.get(RATER + b"a") for _ in range(3)] == [None] * 3
    assert store.read == 1
    recent.note({RATER + b"a": b"row"})
    assert recent.get(RATER + b"a") == b"row"
    assert [recent.get(SUBJECT + b"a") for _ in range(3)] == [None] * 3
    assert store.read == 4


def test_no_more_rows_are_kept_than_the_bound_allows_and_those_in_use_stay() -> None:
    store = Counting()
    store.write(dict.fromkeys(_subjects(1_000), bytes(35)))
    room = 100
    recent = Recent(store, room * (5 + 35 + ROW_OVERHEAD_BYTES))
    first = next(_subjects(1))
    for key in _subjects(1_000):
        recent.get(key)
        recent.get(first)  # in use all the time: never read again
    assert store.read == 1_000
    store.read = 0
    for key in reversed(list(_subjects(1_000))):
        recent.get(key)
    assert store.read >= 1_000 - room
