"""The vault's file: one step from one set of keys to the next, and nothing left of the old."""

import errno
import os
from pathlib import Path

import pytest

from ledger.errors import Misconfigured, StoreDamaged
from node.storage import vault as room
from node.storage.vault import VAULT_NAME, Vault, open_vault


def test_keys_outlive_a_restart_and_destroyed_ones_do_not(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, new=True)
    slots = [vault.slot(b"%d" % number) for number in range(50)]
    keys = [vault.key(slot) for slot in slots]
    assert len(set(keys)) == 50
    vault.destroy(slots[:10])
    for again in (vault, open_vault(tmp_path, new=False), Vault.read(tmp_path)):
        assert [again.slot(b"%d" % number) for number in range(50)] == slots
        assert [again.key(slot) for slot in slots] == [None] * 10 + keys[10:]
        assert again.name(b"x") == vault.name(b"x") != vault.name(b"y")
    assert [path.name for path in tmp_path.iterdir()] == [VAULT_NAME]
    assert (tmp_path / VAULT_NAME).stat().st_mode & 0o777 == 0o600


def test_two_vaults_share_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = (open_vault(tmp_path / name, new=True) for name in "ab")
    assert one.slot(b"x") != two.slot(b"x")
    assert one.name(b"x") != two.name(b"x")
    assert one.key(1) != two.key(1)


def test_the_old_file_is_overwritten(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, new=True)
    with (tmp_path / VAULT_NAME).open("rb") as old:
        before = old.read()
        vault.destroy([7])
        old.seek(0)
        assert old.read() == bytes(len(before))
    assert (tmp_path / VAULT_NAME).read_bytes() != before


def test_what_the_system_refuses_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        with pytest.raises(Misconfigured, match="cannot be written: No space left"):
            open_vault(tmp_path, new=True)
    vault = open_vault(tmp_path, new=True)
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
    vault = open_vault(tmp_path, new=True)
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
    assert [path.name for path in tmp_path.iterdir()] == [VAULT_NAME]
    again.destroy([7])
    assert open_vault(tmp_path, new=False).key(7) is None


def test_what_a_crash_left_is_overwritten(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, new=True)
    left = tmp_path / (VAULT_NAME + ".new")
    left.write_bytes(b"keys that were to be")
    with left.open("rb") as held:
        assert open_vault(tmp_path, new=False).key(7) == vault.key(7)
        assert held.read() == bytes(20)
    assert not left.exists()


def test_a_missing_or_changed_vault_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreDamaged, match=r"openings\.keys.*move the data folder away"):
        open_vault(tmp_path, new=False)
    open_vault(tmp_path, new=True)
    path = tmp_path / VAULT_NAME
    data = path.read_bytes()
    for at in (0, 20, 60, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(StoreDamaged, match="not what was written"):
            Vault.read(tmp_path)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(StoreDamaged):
        Vault.read(tmp_path)
    path.write_bytes(os.urandom(10))
    with pytest.raises(StoreDamaged):
        Vault.read(tmp_path)
