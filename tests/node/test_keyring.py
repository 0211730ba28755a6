"""The keys that a platform holds, before, while and after they change."""

import os
import shutil
from pathlib import Path

import msgspec
import pytest

from ledger.errors import Misconfigured
from ledger.genesis import Genesis, chain_id
from ledger.membership import check_possession
from node import keyring
from node.config import Address, load_config
from node.joining import Plan, make_home, make_rotation
from node.keyring import (
    Keyring,
    Observing,
    are_lost,
    next_folder,
    read_observing,
    read_request,
    write_observing,
)
from node.keystore import SIGNING, key_path, read_seed
from node.links.tls import GUEST
from node.network import found_network, genesis_text, load_genesis


@pytest.fixture
def net(tmp_path: Path) -> Path:
    found_network(tmp_path / "net", ["a", "b"], origin="x.example", api_port=1000, peer_port=2000)
    return tmp_path / "net"


@pytest.fixture
def genesis(net: Path) -> Genesis:
    return load_genesis(net / "genesis.json")


def _join(folder: Path, genesis: Genesis, code: str = "c", number: int = 3) -> Path:
    here = Address("127.0.0.1", 1)
    plan = Plan(number, code, here, here, {"a": Address("127.0.0.1", 2000)})
    text = genesis_text(genesis)
    make_home(folder, plan, genesis.foundation, genesis=text, epochs=None)
    return folder


def test_a_genesis_member_needs_no_request(net: Path, genesis: Genesis) -> None:
    ring = Keyring(net / "b" / "keys", genesis.foundation)
    assert ring.held.validator == genesis.foundation.validators[1]
    assert ring.further is None
    assert ring.held.signers.fit(ring.held.validator)


def test_who_joins_knows_itself_by_its_request(tmp_path: Path, genesis: Genesis) -> None:
    home = _join(tmp_path / "c", genesis)
    config = load_config(home / "node.toml")
    request = read_request(home / "request.json")
    ring = Keyring(config.keys, load_genesis(config.genesis).foundation)
    assert ring.held.validator == request.validator
    assert (request.validator.number, request.validator.code) == (3, "c")
    assert request.chain == chain_id(genesis.foundation)
    check_possession(request.validator, request.proofs)
    assert config.peer_addresses == {"a": Address("127.0.0.1", 2000)}
    assert key_path(home, "root").stat().st_mode & 0o777 == 0o600
    with pytest.raises(Misconfigured, match="not empty"):
        _join(home, genesis)


def test_keys_of_another_network_or_nobody_are_refused(
    tmp_path: Path, net: Path, genesis: Genesis
) -> None:
    home = _join(tmp_path / "c", genesis)
    found_network(tmp_path / "other", ["a"], origin="y.example", api_port=1000, peer_port=2000)
    other = load_genesis(tmp_path / "other" / "genesis.json").foundation
    with pytest.raises(Misconfigured, match="another network"):
        Keyring(home / "keys", other)
    with pytest.raises(Misconfigured, match="belongs to no platform"):
        Keyring(net / "a" / "keys", other)


def test_further_keys_take_the_place_of_the_old_ones_which_are_gone(
    net: Path, genesis: Genesis
) -> None:
    keys, root = net / "a" / "keys", read_seed(net / "a" / "root.key")
    ring = Keyring(keys, genesis.foundation)
    old = ring.held
    assert old is not None
    assert ring.look() is None
    request = make_rotation(keys, old.validator, root, chain_id(genesis.foundation))
    further = ring.look()
    assert further is not None
    assert further.validator == request.validator
    assert request.validator.root_key == old.validator.root_key
    assert request.validator.lane_key != old.validator.lane_key
    with pytest.raises(Misconfigured, match="under way"):
        make_rotation(keys, old.validator, root, chain_id(genesis.foundation))
    ring.switch()
    assert ring.held.validator == request.validator
    assert ring.further is None
    assert sorted(each.name for each in keys.parent.iterdir() if each.is_dir()) == ["keys"]
    again = Keyring(keys, genesis.foundation)
    assert again.held.validator == request.validator
    assert key_path(keys, "witness").exists()


def test_a_switch_that_was_cut_off_is_finished(net: Path, genesis: Genesis) -> None:
    keys, root = net / "a" / "keys", read_seed(net / "a" / "root.key")
    ring = Keyring(keys, genesis.foundation)
    request = make_rotation(keys, ring.held.validator, root, chain_id(genesis.foundation))
    keys.rename(keys.with_name("keys.old"))  # the power fails between two renames
    again = Keyring(keys, genesis.foundation)
    assert again.held.validator == request.validator
    assert not next_folder(keys).exists()
    assert not keys.with_name("keys.old").exists()


def test_further_keys_that_were_given_up_are_not_held_on_to(net: Path, genesis: Genesis) -> None:
    keys, root = net / "a" / "keys", read_seed(net / "a" / "root.key")
    ring = Keyring(keys, genesis.foundation)
    first = make_rotation(keys, ring.own, root, chain_id(genesis.foundation))
    found = ring.look()
    assert found is not None
    assert found.validator == first.validator
    shutil.rmtree(next_folder(keys))  # it will never bind, says the operator
    second = make_rotation(keys, ring.own, root, chain_id(genesis.foundation))
    found = ring.look()
    assert found is not None
    assert found.validator == second.validator != first.validator


def test_old_keys_are_overwritten_only_once_the_new_ones_are_in_place_on_disk(
    net: Path, genesis: Genesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, root = net / "a" / "keys", read_seed(net / "a" / "root.key")
    ring = Keyring(keys, genesis.foundation)
    request = make_rotation(keys, ring.own, root, chain_id(genesis.foundation))
    ring.look()
    done: list[str] = []

    def sync(folder: Path) -> None:
        done.append(f"sync {folder.name}")
        assert read_request(keys / "request.json").validator == request.validator

    monkeypatch.setattr(keyring, "sync_folder", sync)
    monkeypatch.setattr(keyring, "destroy", lambda folder, _: done.append(f"destroy {folder.name}"))
    ring.switch()
    assert done[:2] == [f"sync {keys.parent.name}", "destroy keys.old"]


def test_keys_that_cannot_be_destroyed_are_named(
    net: Path, genesis: Genesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = net / "a" / "keys"
    keys.with_name("keys.old").mkdir()

    def destroy(folder: Path, paths: list[Path]) -> None:
        raise PermissionError(13, "Permission denied", str(folder / "vote.key"))

    monkeypatch.setattr(keyring, "destroy", destroy)
    with pytest.raises(Misconfigured, match=r"keys\.old/vote\.key: Permission denied"):
        Keyring(keys, genesis.foundation)


def test_another_root_key_makes_no_rotation(net: Path, genesis: Genesis) -> None:
    ring = Keyring(net / "a" / "keys", genesis.foundation)
    foreign = read_seed(net / "b" / "root.key")
    with pytest.raises(Misconfigured, match="root key"):
        make_rotation(
            net / "a" / "keys", ring.held.validator, foreign, chain_id(genesis.foundation)
        )
    assert not next_folder(net / "a" / "keys").exists()


@pytest.mark.parametrize("change", [b"", b"{}", b"[1]"])
def test_what_is_no_request_is_refused(tmp_path: Path, genesis: Genesis, change: bytes) -> None:
    home = _join(tmp_path / "c", genesis)
    path = home / "keys" / "request.json"
    path.write_bytes(change)
    with pytest.raises(Misconfigured, match="is no request"):
        Keyring(home / "keys", genesis.foundation)


def test_a_request_with_a_wrong_proof_is_refused(tmp_path: Path, genesis: Genesis) -> None:
    home = _join(tmp_path / "c", genesis)
    text = (home / "request.json").read_text()
    changed = text.replace('"number": 3', '"number": 4')
    assert changed != text
    (home / "request.json").write_text(changed)
    with pytest.raises(Misconfigured, match="proof"):
        read_request(home / "request.json")


# --- the membership has ended ---


def test_keys_of_an_ended_membership_are_destroyed_and_the_next_start_is_an_observers(
    net: Path, genesis: Genesis
) -> None:
    keys, root = net / "a" / "keys", read_seed(net / "a" / "root.key")
    ring = Keyring(keys, genesis.foundation)
    own = ring.own
    make_rotation(keys, own, root, chain_id(genesis.foundation))
    held = [os.open(key_path(keys, each), os.O_RDONLY) for each in SIGNING]
    ring.give_up(1_700_000_000_000, 7)
    for descriptor in held:  # overwritten, not only removed
        assert set(os.read(descriptor, 100)) == {0}
        os.close(descriptor)
    assert sorted(each.name for each in keys.iterdir()) == [
        *("link.key", "observer.crt", "observer.json", "witness.key"),
    ]
    assert not next_folder(keys).exists()
    again = Keyring(keys, genesis.foundation)
    assert again.held is again.further is again.look() is None
    assert (again.number, again.code, again.me) == (1, "a", 1)
    assert again.observing is not None
    assert (again.observing.destroyed, again.observing.epoch) == (1_700_000_000_000, 7)
    shown, seed = again.shown
    assert (shown.certificate, seed) == (own.certificate, read_seed(key_path(keys, "link")))
    assert shown.number >= GUEST
    with pytest.raises(Misconfigured, match="observer"):
        _ = again.own


def test_a_destruction_that_was_cut_off_is_finished(net: Path, genesis: Genesis) -> None:
    keys = net / "a" / "keys"
    own = Keyring(keys, genesis.foundation).own
    told = Observing(chain_id(genesis.foundation), 1, "a", own.certificate, 5, 1)
    write_observing(keys, told)  # the power fails behind this
    ring = Keyring(keys, genesis.foundation)
    assert ring.observing == told
    assert not any(key_path(keys, each).exists() for each in SIGNING)


def test_a_key_that_is_missing_without_that_is_an_error_with_its_repair(
    net: Path, genesis: Genesis
) -> None:
    key_path(net / "a" / "keys", "vote").unlink()
    with pytest.raises(Misconfigured, match=r"vote\.key.*network rotate.*node observe"):
        Keyring(net / "a" / "keys", genesis.foundation)


@pytest.mark.parametrize("change", ["chain", "link", "text"])
def test_an_observers_folder_of_another_kind_is_refused(
    net: Path, genesis: Genesis, change: str
) -> None:
    keys = net / "a" / "keys"
    Keyring(keys, genesis.foundation).give_up(5, 1)
    if change == "chain":
        told = read_observing(keys)
        write_observing(keys, msgspec.structs.replace(told, chain=bytes(32)))
    elif change == "link":
        key_path(keys, "link").write_bytes(key_path(net / "b" / "keys", "link").read_bytes())
    else:
        (keys / "observer.json").write_text("{}")
    with pytest.raises(Misconfigured, match=r"another network|not that of|whose observer"):
        Keyring(keys, genesis.foundation)


def test_lost_keys_are_told_from_an_observers(net: Path, genesis: Genesis, tmp_path: Path) -> None:
    keys = net / "a" / "keys"
    assert not are_lost(keys)
    Keyring(keys, genesis.foundation).give_up(5, 1)
    assert not are_lost(keys)
    assert are_lost(tmp_path / "nowhere")
