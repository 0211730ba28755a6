"""Rows encrypted at rest: which have one key together, and what is gone when it is."""

import threading
from pathlib import Path

import pytest

from ledger.batch import Submission
from ledger.encoding import encode
from ledger.errors import StoreDamaged
from ledger.records import RECORD_TYPES, encode_record
from ledger.store import NODE
from node.bounds import BOUNDS
from node.storage.leveldb import LevelStore
from node.storage.sealing import Sealing, is_sealed, slot_name, slot_of
from node.storage.vault import Vault, open_vault
from tests.node.storage_rows import handle, link, opened, outcome, rating, register, row

RECORDS = (register(b"ann"), opened(b"e1"), outcome(b"e1"), rating(b"e1"), link(b"a", b"b"))


@pytest.fixture
def sealing(tmp_path: Path) -> Sealing:
    return Sealing(open_vault(tmp_path, new=True))


def slots(sealing: Sealing, *rows: tuple[bytes, bytes]) -> list[int]:
    return [slot_of(key, sealing.seal(key, value)) for key, value in rows]


def test_every_record_type_has_a_slot_of_its_own_naming() -> None:
    assert {type(each) for each in RECORDS} == set(RECORD_TYPES)
    assert all(slot_name(encode_record(each)) is not None for each in RECORDS)


def test_an_engagements_records_have_one_key_and_no_others_have_it(sealing: Sealing) -> None:
    one = slots(sealing, *(row(each(b"e1"), n) for n, each in enumerate((opened, outcome, rating))))
    assert len(set(one)) == 1
    others = slots(
        sealing,
        row(opened(b"e2"), 4),
        row(opened(b"e1", platform=2), 5),
        row(register(b"e1"), 6),
        row(register(b"e1", platform=2), 7),
        row(link(b"e1", b"e2"), 8),
        row(link(b"e1", b"e3"), 9),
        row(b"no record", 10),
        row(b"no record", 11),
    )
    assert len({*one, *others}) == 1 + len(others)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x94\x0a\x01\x02\xc4\x01x",  # an open, cut short
        b"\x94\x0a\xcf" + b"\xff" * 8 + b"\x02\xc4\x01x",  # a platform out of range
        b"\x94\x0a\xff\x02\xc4\x01x",  # a negative one
        b"\x94\x0a\x01\x02\xa1\xff",  # a text that is none
        b"\x92\x04\x01",
        b"\x91\x63",
    ],
)
def test_what_is_no_record_is_sealed_all_the_same(sealing: Sealing, data: bytes) -> None:
    key, value = row(data, 1)
    assert sealing.unseal(key, sealing.seal(key, value)) == value
    assert sealing.unseal(key, sealing.seal(key, data)) == data


def test_a_sealed_row_shows_nothing_and_opens_in_its_place_only(sealing: Sealing) -> None:
    for number, record in enumerate(RECORDS):
        key, value = row(record, number)
        data = sealing.seal(key, value)
        assert data == sealing.seal(key, value), "an opening's row is written in one form"
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
    for wrong in (b"", b"abc", b"\xff" + sealing.seal(key, value)[1:]):
        with pytest.raises(StoreDamaged, match="names no slot"):
            sealing.unseal(key, wrong)
    with pytest.raises(StoreDamaged, match="does not open"):
        sealing.unseal(key, sealing.seal(key, value)[:9])


def test_names_and_aliases_are_sealed_with_what_they_name(sealing: Sealing) -> None:
    value = bytes(64)
    names = {
        register(b"ann"): NODE + b"i\x01" + (1).to_bytes(4) + handle(b"ann"),
        opened(b"e1"): NODE + b"i\x0a" + (1).to_bytes(4) + handle(b"e1"),
        outcome(b"e1"): NODE + b"i\x0b" + (1).to_bytes(4) + handle(b"e1"),
        rating(b"e1"): NODE + b"i\x0c" + (1).to_bytes(4) + handle(b"e1") + b"w",
        link(b"a", b"b"): NODE + b"i\x04" + (1).to_bytes(4) + handle(b"a")
        + (2).to_bytes(4) + handle(b"b"),
    }  # fmt: skip
    for record, key in names.items():
        assert is_sealed(key)
        data = sealing.seal(key, value)
        assert data != sealing.seal(key, value), "a name may be given again"
        assert sealing.unseal(key, data) == value
        assert [slot_of(key, data)] == slots(sealing, row(record, 1))
    alias = NODE + b"as" + bytes(32)
    assert sealing.unseal(alias, sealing.seal(alias, handle(b"ann"))) == handle(b"ann")
    assert not is_sealed(NODE + b"w")


def test_what_comes_after_an_erasure_is_kept(sealing: Sealing) -> None:
    key, value = row(opened(b"e1"), 1)
    data = sealing.seal(key, value)
    sealing.destroy({slot_of(key, data)})
    assert sealing.unseal(key, data) is None
    late, said = row(outcome(b"e1"), 2)
    assert sealing.unseal(late, sealing.seal(late, said)) == said


# --- in a store ---


def _open(folder: Path) -> LevelStore:
    return LevelStore(folder, BOUNDS, lambda run: run())


def _erase(store: LevelStore, *keys: bytes) -> None:
    done = threading.Event()
    store.erase(keys, done.set)
    assert done.wait(10)


def _bytes_in(folder: Path) -> bytes:
    return b"\x00".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_erased_rows_read_as_absent_and_nothing_of_them_is_in_the_files(tmp_path: Path) -> None:
    store = _open(tmp_path)
    gone = [row(each(b"e1"), n) for n, each in enumerate((opened, outcome, rating))]
    kept = [row(opened(b"e%d" % n), n) for n in range(10, 17)]
    name = (NODE + b"i\x0a" + (1).to_bytes(4) + handle(b"e1"), b"a digest and an id")
    store.submit(dict([*gone, *kept, name]))
    _erase(store)  # all is on disk now
    vault = Vault.read(tmp_path)
    key = vault.key(vault.slot(b"e" + (1).to_bytes(4) + handle(b"e1")))
    assert key is not None
    _erase(store, gone[0][0])
    for again in range(2):
        assert [store.get(each) for each, _ in (*gone, name)] == [None] * 4
        assert dict(store.scan(b"S", b"T")) == dict(kept)
        store.close()
        held = _bytes_in(tmp_path)
        assert key not in held
        for _, value in (*gone, *kept, name):
            assert value not in held
            assert value[2:18] not in held, "a salt"
            assert value[22:54] not in held or len(value) < 54, "a part of a record"
        if not again:
            store = _open(tmp_path)


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
    vault = Vault.read(tmp_path)
    vault.destroy([vault.slot(b"e" + (1).to_bytes(4) + handle(b"e1"))])
    store = _open(tmp_path)
    assert store.get(key) is None
    assert list(store.scan(b"S", b"T")) == []
    _erase(store, key)
    store.close()


def test_a_store_without_its_vault_is_damaged(tmp_path: Path) -> None:
    _open(tmp_path).close()
    (tmp_path / "openings.keys").unlink()
    for _ in range(2):
        with pytest.raises(StoreDamaged, match=r"openings\.keys"):
            _open(tmp_path)


def test_a_submission_that_cannot_be_read_is_kept(tmp_path: Path) -> None:
    store = _open(tmp_path)
    rows = {
        b"S" + bytes(34): b"no submission",
        b"S" + bytes(33) + b"\x01": encode(Submission(bytes(16), b"", b"")),
    }
    store.submit(rows)
    store.close()
    store = _open(tmp_path)
    assert dict(store.scan(b"S", b"T")) == rows
    store.close()
