"""Founding a network: a folder that nodes can start from."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ledger.errors import Misconfigured
from ledger.genesis import chain_id
from node.api.auth import find_token
from node.cli.network import app
from node.config import load_config
from node.keystore import Keystore, read_seed
from node.network import found_network, load_genesis

PORTS = ("--api-port", "18440", "--peer-port", "19440")


def test_create_writes_all_that_nodes_need(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    done = CliRunner().invoke(
        app, ["create", str(folder), "--platforms", "a,b,c,d", "--json", *PORTS]
    )
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert figures["quorum"] == 3
    assert figures["faults_tolerated"] == 1
    genesis = load_genesis(folder / "genesis.json")
    assert figures["chain"] == chain_id(genesis.foundation).hex()
    for validator in genesis.foundation.validators:
        home = folder / validator.code
        config = load_config(home / "node.toml")
        keys = Keystore.load(config.keys)
        assert keys.lane.public == validator.lane_key
        assert config.api_listen.port == 18440 + validator.number - 1
        assert set(config.peer_addresses) == {"a", "b", "c", "d"} - {validator.code}
        assert config.genesis.resolve() == (folder / "genesis.json").resolve()
        assert len(read_seed(home / "root.key")) == 32
        assert rights_of(home, "token") == {"read", "write"}
        assert rights_of(home, "govern-token") == {"govern"}


def rights_of(home: Path, name: str) -> frozenset[str]:
    assert (home / name).stat().st_mode & 0o777 == 0o600
    token = find_token(load_config(home / "node.toml").tokens, (home / name).read_text().strip())
    assert token is not None
    return token.may


def test_says_that_three_tolerate_no_fault(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["create", str(tmp_path / "n"), "--platforms", "a,b,c"])
    assert done.exit_code == 0
    assert "tolerates no fault" in done.stderr


@pytest.mark.parametrize(
    "codes", [[], [""], ["a", "a"], ["A"], ["a/b"], ["a"] * 2, ["1", "b"], ["a", "b-"]]
)
def test_refuses_unusable_codes(tmp_path: Path, codes: list[str]) -> None:
    with pytest.raises(Misconfigured):
        found_network(tmp_path / "n", codes, origin="x.example", api_port=1000, peer_port=2000)
    assert not (tmp_path / "n" / "genesis.json").exists()


def test_refuses_a_folder_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "keep").write_text("mine")
    done = CliRunner().invoke(app, ["create", str(tmp_path), "--platforms", "a,b,c,d"])
    assert done.exit_code == 2
    assert "not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["keep"]


def test_refuses_overlapping_ports(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="overlap"):
        found_network(tmp_path / "n", ["a", "b"], origin="x", api_port=9000, peer_port=9001)
