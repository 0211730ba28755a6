"""The keys that a platform holds, before, while and after they change."""

from pathlib import Path

import pytest

from ledger.errors import Misconfigured
from ledger.genesis import Genesis, chain_id
from ledger.membership import check_possession
from node.config import Address, load_config
from node.joining import Plan, make_home, make_rotation
from node.keyring import Keyring, next_folder, read_request
from node.keystore import key_path, read_seed
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


def test_another_root_key_makes_no_rotation(net: Path, genesis: Genesis) -> None:
    ring = Keyring(net / "a" / "keys", genesis.foundation)
    foreign = read_seed(net / "b" / "root.key")
    with pytest.raises(Misconfigured, match="root key"):
        make_rotation(net / "a" / "keys", ring.held.validator, foreign, chain_id(genesis.foundation))
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
