"""The vault's files: one step from one set of keys to the next, and nothing left of the old."""

import errno
import os
from pathlib import Path

import pytest

from ledger.errors import Misconfigured, StoreDamaged
from node.storage import vault as room
from node.storage.keytable import TABLE_SLOTS
from node.storage.vault import VAULT_NAME, Vault, open_vault

TABLE_NAME = f"{VAULT_NAME}.00000000"
BOTH = [VAULT_NAME, TABLE_NAME]


def made(folder: Path) -> Vault:
    """A new vault with its first table."""
    vault = open_vault(folder, new=True)
    vault.new_keys(0)
    return vault


def test_keys_outlive_a_restart_and_destroyed_ones_do_not(tmp_path: Path) -> None:
    vault = made(tmp_path)
    slots = [7 * number for number in range(50)]
    keys = [vault.key(slot) for slot in slots]
    assert len(set(keys)) == 50
    vault.destroy(slots[:10])
    for again in (vault, open_vault(tmp_path, new=False), Vault.read(tmp_path)):
        assert [again.key(slot) for slot in slots] == [None] * 10 + keys[10:]
        assert again.name(b"x") == vault.name(b"x") != vault.name(b"y")
    assert sorted(path.name for path in tmp_path.iterdir()) == BOTH
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_each_table_has_a_file_of_its_own(tmp_path: Path) -> None:
    vault = made(tmp_path)
    first = (tmp_path / TABLE_NAME).read_bytes()
    slots = [5, TABLE_SLOTS, 300 * TABLE_SLOTS - 1]
    for slot in slots * 2:
        new = vault.new_keys(slot & -TABLE_SLOTS)
        assert new == [vault.key((slot & -TABLE_SLOTS) + at) for at in range(16)]
    assert vault.new_keys(slots[2]) == [vault.key(slots[2])]
    keys = [vault.key(slot) for slot in slots]
    assert len(set(keys)) == 3
    assert Vault.read(tmp_path).key(slots[2]) == keys[2]
    assert (tmp_path / f"{VAULT_NAME}.0000012b").exists()
    vault.destroy(slots[1:])
    assert [Vault.read(tmp_path).key(slot) for slot in slots] == [keys[0], None, None]
    assert (tmp_path / TABLE_NAME).read_bytes() == first


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    vault = made(tmp_path)
    vault.check(0)
    vault.check(TABLE_SLOTS)
    for slots in (TABLE_SLOTS + 1, 9 * TABLE_SLOTS):
        with pytest.raises(StoreDamaged, match=r"keys\.00000001: is missing.*move the data folder"):
            vault.check(slots)
    with pytest.raises(StoreDamaged, match=r"keys\.00000001: is missing"):
        vault.key(TABLE_SLOTS)
    (tmp_path / TABLE_NAME).rename(tmp_path / f"{VAULT_NAME}.00000001")
    with pytest.raises(StoreDamaged, match="not what was written"):
        vault.key(TABLE_SLOTS)


def test_two_vaults_share_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = (made(tmp_path / name) for name in "ab")
    assert one.name(b"x") != two.name(b"x")
    assert one.key(1) != two.key(1)


def test_the_old_file_is_overwritten(tmp_path: Path) -> None:
    vault = made(tmp_path)
    with (tmp_path / TABLE_NAME).open("rb") as old:
        before = old.read()
        vault.destroy([7])
        old.seek(0)
        assert old.read() == bytes(len(before))
    assert (tmp_path / TABLE_NAME).read_bytes() != before


def test_what_the_system_refuses_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        with pytest.raises(Misconfigured, match="cannot be written: No space left"):
            open_vault(tmp_path, new=True)
    vault = made(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", refuse)
        with pytest.raises(Misconfigured, match="cannot be read"):
            Vault.read(tmp_path)
    assert open_vault(tmp_path, new=False).key(7) == vault.key(7)


class _Crash(Exception):
    pass


@pytest.mark.parametrize("at", ["rename", "overwrite"])
def test_a_crash_leaves_it_undone_or_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    vault = made(tmp_path)
    key = vault.key(7)
    assert key is not None

    def crash(*_: object) -> None:
        raise _Crash

    with monkeypatch.context() as patched:
        if at == "rename":
            patched.setattr(Path, "rename", crash)
        else:
            patched.setattr(room, "_overwrite", crash)
        with pytest.raises(_Crash):
            vault.destroy([7])
    again = open_vault(tmp_path, new=False)
    assert again.key(7) == (key if at == "rename" else None)
    assert sorted(path.name for path in tmp_path.iterdir()) == BOTH
    again.destroy([7])
    assert open_vault(tmp_path, new=False).key(7) is None


def test_what_a_crash_left_is_overwritten(tmp_path: Path) -> None:
    vault = made(tmp_path)
    for name in BOTH:
        left = tmp_path / (name + ".new")
        left.write_bytes(b"keys that were to be")
        with left.open("rb") as held:
            assert open_vault(tmp_path, new=False).key(7) == vault.key(7)
            assert held.read() == bytes(20)
        assert not left.exists()


def test_a_missing_or_changed_vault_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreDamaged, match=r"openings\.keys.*move the data folder away"):
        open_vault(tmp_path, new=False)
    made(tmp_path)
    for path in (tmp_path / name for name in BOTH):
        data = path.read_bytes()
        flipped = (
            data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            for at in (0, 20, 60, len(data) // 2, len(data) - 1)
        )
        for wrong in (*flipped, data[: len(data) // 2], os.urandom(10), b""):
            path.write_bytes(wrong)
            with pytest.raises(StoreDamaged, match="not what was written"):
                Vault.read(tmp_path).key(7)
        path.write_bytes(data)
