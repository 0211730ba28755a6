"""Rows encrypted at rest: each under a key of its own, and what is gone when that is."""

import threading
from pathlib import Path

import plyvel
import pytest

from ledger.errors import StoreDamaged
from ledger.records import encode_record
from ledger.store import NODE
from node.bounds import BOUNDS
from node.storage.keytable import TABLE_SLOTS
from node.storage.leveldb import SLOTS_KEY, LevelStore
from node.storage.sealing import ALIASES, HANDLES, NAMES, Sealing, is_sealed, slot_of
from node.storage.vault import Vault, open_vault
from tests.node.storage_rows import handle, link, opened, outcome, rating, register, row

RECORDS = (register(b"ann"), opened(b"e1"), outcome(b"e1"), rating(b"e1"), link(b"a", b"b"))
NAME = NAMES + b"\x0a" + (1).to_bytes(4) + handle(b"e1")


@pytest.fixture
def sealing(tmp_path: Path) -> Sealing:
    return Sealing(open_vault(tmp_path, new=True))


def test_each_row_has_the_next_slot(sealing: Sealing) -> None:
    rows = [row(each(b"e1"), n) for n, each in enumerate((opened, outcome, rating))]
    rows += [(NAME, bytes(64)), (ALIASES + b"s" + bytes(32), bytes(32)), row(b"no record", 9)]
    found = [slot_of(key, sealing.seal(key, value)) for key, value in rows]
    assert found == list(range(len(rows)))
    assert sealing.next_slot == len(rows)


def test_slots_go_on_in_the_next_table(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, new=True)
    vault.new_keys(0)
    sealing = Sealing(vault, TABLE_SLOTS - 1)
    for number in range(3):
        key, value = row(b"x", number)
        assert sealing.unseal(key, sealing.seal(key, value)) == value
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("data", [b"", b"\xc1", bytes(70_000)])
def test_whatever_a_submission_is_it_is_sealed(sealing: Sealing, data: bytes) -> None:
    key, value = row(data, 1)
    assert sealing.unseal(key, sealing.seal(key, value)) == value
    assert sealing.unseal(key, sealing.seal(key, data)) == data


def test_a_sealed_row_shows_nothing_and_opens_in_its_place_only(sealing: Sealing) -> None:
    for number, record in enumerate(RECORDS):
        key, value = row(record, number)
        data = sealing.seal(key, value)
        assert data != sealing.seal(key, value)
        assert value[2:18] not in data
        assert encode_record(record)[10:20] not in data
        assert sealing.unseal(key, data) == value
        other, _ = row(record, number + 100)
        with pytest.raises(StoreDamaged, match="does not open"):
            sealing.unseal(other, data)
        for at in range(6, len(data), 7):
            changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            with pytest.raises(StoreDamaged, match="does not open"):
                sealing.unseal(key, changed)


def test_a_row_that_names_no_slot_is_damaged(sealing: Sealing) -> None:
    key, value = row(RECORDS[0], 1)
    for wrong in (b"", b"abc"):
        with pytest.raises(StoreDamaged, match="names no slot"):
            sealing.unseal(key, wrong)
    with pytest.raises(StoreDamaged, match=r"keys\.0ff00000: is missing"):
        sealing.unseal(key, b"\xff" + sealing.seal(key, value)[1:])
    with pytest.raises(StoreDamaged, match="does not open"):
        sealing.unseal(key, sealing.seal(key, value)[:9])


def test_a_row_that_is_written_again_keeps_its_slot(sealing: Sealing) -> None:
    for key in (NAME, ALIASES + b"s" + bytes(32), HANDLES + bytes(32)):
        assert is_sealed(key)
        first = sealing.seal(key, b"one")
        second = sealing.seal(key, b"two", first)
        assert slot_of(key, first) == slot_of(key, second)
        assert first[6:18] != second[6:18], "under another nonce"
        assert sealing.unseal(key, second) == b"two"
        sealing.destroy([slot_of(key, second)])
        assert [sealing.unseal(key, each) for each in (first, second)] == [None, None]
        third = sealing.seal(key, b"three", second)
        assert sealing.unseal(key, third) == b"three"
    assert not is_sealed(NODE + b"w")


# --- in a store ---


def _open(folder: Path) -> LevelStore:
    return LevelStore(folder, BOUNDS, lambda run: run())


def _erase(store: LevelStore, *keys: bytes, **values: bytes) -> None:
    done = threading.Event()
    rows = dict.fromkeys(keys, values.get("value"))
    store.erase(rows, done.set)
    assert done.wait(10)


def _bytes_in(folder: Path) -> bytes:
    return b"\x00".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def _secret(folder: Path, key: bytes) -> bytes:
    """The key under which a row stands on the disk of a store that is not open."""
    db = plyvel.DB(str(folder))
    slot = slot_of(key, db.get(key))
    db.close()
    secret = Vault.read(folder).key(slot)
    assert secret is not None
    return secret


def test_erased_rows_read_as_absent_and_nothing_of_them_is_in_the_files(tmp_path: Path) -> None:
    store = _open(tmp_path)
    gone = [row(each(b"e1"), n) for n, each in enumerate((opened, outcome))]
    kept = [row(rating(b"e1"), 9), *(row(opened(b"e%d" % n), n) for n in range(10, 50))]
    name = (NAME, b"a digest and an id")
    store.submit(dict([*gone, *kept, name]))
    store.close()
    secrets = [_secret(tmp_path, key) for key, _ in (*gone, name)]
    store = _open(tmp_path)
    _erase(store, *(key for key, _ in (*gone, name)))
    for again in range(2):
        assert [store.get(each) for each, _ in (*gone, name)] == [None] * 3
        assert dict(store.scan(b"S", b"T")) == dict(kept)
        store.close()
        held = _bytes_in(tmp_path)
        assert not [secret for secret in secrets if secret in held]
        for _, value in (*gone, *kept, name):
            assert value not in held
            assert value[2:18] not in held, "a salt"
            assert value[22:54] not in held or len(value) < 54, "a part of a record"
        if not again:
            store = _open(tmp_path)


def test_a_sealed_row_that_is_removed_takes_its_key_with_it(tmp_path: Path) -> None:
    store = _open(tmp_path / "d")
    (key, value), (other, stays) = row(RECORDS[1], 1), row(RECORDS[2], 2)
    store.submit({key: value, other: stays})
    _erase(store)
    store.submit({key: None, row(RECORDS[3], 3)[0]: None})
    _erase(store)
    assert (store.get(key), store.get(other)) == (None, stays)
    store.submit({key: value})
    assert store.get(key) == value, "it may come again, under another key"
    store.close()
    assert [Vault.read(tmp_path / "d").key(slot) is None for slot in range(3)] == [
        True, False, False,
    ]  # fmt: skip


def test_a_row_with_another_value_stays_under_a_new_key(tmp_path: Path) -> None:
    store = _open(tmp_path)
    store.submit({NAME: b"first"})
    store.close()
    secret = _secret(tmp_path, NAME)
    store = _open(tmp_path)
    store.submit({NAME: b"second"})
    _erase(store, NAME, value=b"first")
    assert store.get(NAME) == b"second"
    store.close()
    assert secret not in _bytes_in(tmp_path)
    assert _secret(tmp_path, NAME) != secret
    store = _open(tmp_path)
    _erase(store, NAME, value=b"second")
    assert store.get(NAME) is None
    store.close()


def test_slots_are_given_once_over_restarts(tmp_path: Path) -> None:
    for start in range(0, 30, 10):
        store = _open(tmp_path)
        store.submit(dict(row(b"x", start + number) for number in range(10)))
        store.close()
        db = plyvel.DB(str(tmp_path))
        assert int.from_bytes(db.get(SLOTS_KEY)) == start + 10
        db.close()


def test_what_is_erased_may_be_missing(tmp_path: Path) -> None:
    store = _open(tmp_path)
    (key, value), (other, said) = row(opened(b"e1"), 1), row(opened(b"e2"), 2)
    store.submit({key: value})
    _erase(store, key, other)
    _erase(store, key)
    store.submit({other: said})
    assert store.get(key) is None
    assert store.get(other) == said
    store.close()


def test_keys_destroyed_and_rows_left_by_a_crash(tmp_path: Path) -> None:
    store = _open(tmp_path)
    key, value = row(opened(b"e1"), 1)
    store.submit({key: value})
    store.close()
    Vault.read(tmp_path).destroy([0])
    store = _open(tmp_path)
    assert store.get(key) is None
    assert list(store.scan(b"S", b"T")) == []
    _erase(store, key)
    store.close()


def test_a_store_without_its_vault_is_damaged(tmp_path: Path) -> None:
    store = _open(tmp_path)
    store.submit(dict([row(b"x", 1)]))
    store.close()
    for name in ("openings.keys", "openings.keys.00000000"):
        path = tmp_path / name
        data = path.read_bytes()
        path.unlink()
        for _ in range(2):
            with pytest.raises(StoreDamaged, match=rf"{name}.*move the data folder away"):
                _open(tmp_path)
        path.write_bytes(data)
