"""Observers over real links: they follow, serve notes that hold, take no records, sign nothing."""

from pathlib import Path

import pytest

from ledger.bundle import verify_bundle
from ledger.checkpoint import verify_checkpoint_strict
from ledger.epochs import encode_chain
from ledger.errors import Misconfigured
from ledger.policy import Policy
from ledger.records import decode_record
from node.address import Address
from node.client import Client
from node.compose import build
from node.config import load_config
from node.home import Plan
from node.intake import Accepted, Closed
from node.network import genesis_text, load_genesis
from node.observing import make_observer
from tests.node.running_net import LIMIT_S, Net, register, running, until


def _observer(net: Net, *dialled: str) -> Path:
    """The folder of an observer of a, whose certificate these members list."""
    home = net.folder / "observer"
    genesis = load_genesis(net.folder / "genesis.json")
    addresses = {
        code: load_config(net.folder / code / "node.toml").peers_listen for code in dialled
    }
    plan = Plan(
        1,
        "a",
        Address("127.0.0.1", net.free_port(0)),
        Address("127.0.0.1", net.free_port(1)),
        addresses,
    )
    foundation, text = genesis.foundation, genesis_text(genesis)
    certificate = make_observer(home, plan, foundation, genesis=text, epochs=encode_chain(()))
    for code in dialled:
        path = net.folder / code / "node.toml"
        before = path.read_text()
        path.write_text(before.replace("[peers]\n", f'[peers]\nobservers = ["{certificate}"]\n'))
    return home


@pytest.mark.parametrize("dialled", ["b", "abcd"])
async def test_an_observer_follows_and_serves_what_a_strict_reader_accepts(
    tmp_path: Path, dialled: str
) -> None:
    net = Net(tmp_path / "net", "abcd")
    home = _observer(net, *dialled)
    try:
        await net.start(*"abcd")
        await net.ready()
        await net.final("a", count=5)
        observer = await net.start("o", home=home)
        await net.ready()
        offer = register(2)
        (taken,) = await net.nodes["b"].submit([offer])
        assert isinstance(taken, Accepted)
        await net.nodes["b"].wait_final([taken.record_id], LIMIT_S)
        for code in "abcd":  # several epochs
            await net.final(code, count=3)
        await until(net.same)
        certified = observer.certified
        assert certified is not None
        policy = Policy.parse(observer.policy_text)
        assert verify_checkpoint_strict(certified.note, policy).size == certified.size
        assert observer.role == "observer"
        assert (observer.number, observer.code) == (1, "a")
        (refused,) = await observer.submit([register(1)])
        assert isinstance(refused, Closed)
        assert "observer" in refused.reason
        token = (home / "token").read_text().strip()
        handle = decode_record(offer.record).handle  # type: ignore[union-attr]
        async with Client("http://{}:{}".format(*observer.api_address), token) as client:
            assert verify_bundle(await client.bundle(f"b:{handle.hex()}"), policy).valid
            assert await client.checkpoint() == certified.note
        await net.stop("o")
        await net.final("c", count=3)
        observer = await net.start("o", home=home)
        await until(net.same)
        assert observer.certified is not None
        assert verify_checkpoint_strict(observer.certified.note, policy)
    finally:
        await net.stop(*net.nodes)


async def test_an_observer_that_no_member_lists_is_a_stranger(tmp_path: Path) -> None:
    net = Net(tmp_path / "net", "ab")
    home = _observer(net, "a")
    for code in "ab":
        path = net.folder / code / "node.toml"
        lines = [each for each in path.read_text().split("\n") if "observers" not in each]
        path.write_text("\n".join(lines))
    try:
        await net.start(*"ab")
        observer = await net.start("o", home=home)
        await net.ready("a", "b")
        await net.final("a", count=2)
        assert observer.linked == ()
        assert not observer.ready
    finally:
        await net.stop(*net.nodes)


async def test_an_observer_holds_no_signing_keys_and_says_how_to_be_one(tmp_path: Path) -> None:
    async with running(tmp_path / "net", "a") as net:
        home = _observer(net, "a")
        (home / "keys" / "vote.key").write_bytes(
            (net.folder / "a" / "keys" / "vote.key").read_bytes()
        )
        with pytest.raises(Misconfigured, match="holds no signing keys"):
            await build(load_config(home / "node.toml"))
        member = tmp_path / "net" / "a" / "node.toml"
        member.write_text(member.read_text().replace("[node]\n", '[node]\nrole = "observer"\n'))
        with pytest.raises(Misconfigured, match="standing node observe"):
            await build(load_config(member))
