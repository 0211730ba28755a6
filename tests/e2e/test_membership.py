"""The set changes among real nodes: under load by commands; and what becomes of who is away, loses
its store or its keys, leaves, or is removed while it runs."""

import asyncio
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ledger.checkpoint import verify_checkpoint_strict
from ledger.genesis import chain_id
from ledger.policy import Policy
from ledger.records.membership import MemberLeave, MemberPropose, MemberRemove
from ledger.signing import SigningKey
from node import membership
from node.address import Address
from node.cli import app
from node.config import load_config
from node.demo.changes import FOUNDERS, JOINER, tell_story
from node.home import Plan
from node.intake import Closed, Offer
from node.joining import make_home, make_rotation, rotation_of
from node.keyring import read_observing
from node.keystore import SIGNING, key_path, read_seed
from tests.node.running_net import Net, now_ms, register, running, until


async def test_five_changes_under_load_lose_no_record(tmp_path: Path) -> None:
    said: list[str] = []
    figures = await tell_story(tmp_path / "story", said.append)
    assert figures.is_good, (figures.to_json(), said)
    assert set(figures.seconds) == {"join", "rotate", "leave", "remove"}
    assert figures.epoch_ends >= 4, "one proof for each change"
    old = tmp_path / "story" / "net" / "b"
    assert not (old / "keys.next").exists()
    assert not (old / "keys.old").exists()
    assert JOINER not in FOUNDERS


async def _command(*arguments: str) -> str:
    """A command of `standing`, which must end well; beside the running nodes."""
    done = await asyncio.to_thread(CliRunner().invoke, app, list(arguments))
    assert done.exit_code == 0, (arguments, done.output)
    return done.output


def _keys(net: Net, code: str) -> Path:
    return load_config(net.folder / code / "node.toml").keys


def _rotation(net: Net, code: str) -> Offer:
    """New keys for a member, made beside those in use, and the record that asks for them."""
    node, home = net.nodes.get(code), net.folder / code
    root = read_seed(key_path(home, "root"))
    genesis = next(iter(net.nodes.values())).genesis
    public = SigningKey.from_seed(root).public
    validators = genesis.foundation.validators if node is None else node.validators
    own = next(each for each in validators if each.root_key == public)
    chain = chain_id(genesis.foundation)
    request = make_rotation(_keys(net, code), own, root, chain)
    return Offer(*rotation_of(request, SigningKey.from_seed(root), now_ms()))


async def _gone(net: Net, code: str, others: str) -> None:
    """A platform's membership ends: its keys are destroyed, and it goes on as an observer."""
    node, number, keys = net.nodes[code], net.nodes[code].number, _keys(net, code)
    await net.pass_epochs(
        others[0], lambda: not any(key_path(keys, each).exists() for each in SIGNING)
    )
    assert number not in {each.number for each in net.nodes[others[0]].validators}
    told = read_observing(keys)
    assert (told.number, told.code) == (number, code)
    assert told.destroyed > 0
    assert key_path(keys, "link").exists()
    (refused,) = await node.submit([register(number)])
    assert isinstance(refused, Closed)
    assert "observer" in refused.reason
    for other in others:
        await net.final(other, count=2)
    assert node.certified is not None
    verify_checkpoint_strict(node.certified.note, Policy.parse(node.policy_text))


async def _follows_on(net: Net, code: str, through: str) -> None:
    """After a restart it is an observer without keys; a member that lists it lets it follow."""
    config = net.folder / through / "node.toml"
    certificate = _keys(net, code) / "observer.crt"
    text = config.read_text().replace("[peers]\n", f'[peers]\nobservers = ["{certificate}"]\n')
    config.write_text(text)
    await net.stop(code, through)
    await net.start(through)
    await net.ready(through)
    node = await net.start(code)
    assert node.role == "observer"
    await net.final(through, count=2)
    await until(lambda: net.same(code, through))
    assert node.certified is not None
    verify_checkpoint_strict(node.certified.note, Policy.parse(node.policy_text))


async def test_who_leaves_destroys_its_keys_and_may_follow_on(tmp_path: Path) -> None:
    async with running(tmp_path / "net", "abcd") as net:
        own = await net.final("d", count=3)
        await net.final("d", MemberLeave(4, now_ms()))
        await _gone(net, "d", "abc")
        assert {net.nodes["a"].status(each).state for each in own} == {"final"}  # type: ignore[union-attr]
        await _follows_on(net, "d", "a")


async def test_a_node_that_is_removed_while_it_runs_is_told_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    async with running(tmp_path / "net", "abcd") as net:
        await net.final("d", count=2)
        await net.final("a", MemberRemove(1, now_ms(), 4))
        await net.approve("b", "c", number=4)
        node = net.nodes["d"]

        def closed() -> bool:
            return bool(node._parts.seat.closed)

        await until(closed)
        (refused,) = await node.submit([register(4)])
        assert isinstance(refused, Closed)
        assert "removed" in refused.reason or "observer" in refused.reason
        await _gone(net, "d", "abc")


async def _removed_while_away(net: Net, monkeypatch: pytest.MonkeyPatch) -> int:
    """Platform d is removed, and the others go on for some epochs, until they trust it no more on
    links; how high they stand."""
    monkeypatch.setattr(membership, "FORMER_S", 0.1)
    await net.final("d", count=2)
    await net.stop("d")
    await net.final("a", MemberRemove(1, now_ms(), 4))
    await net.approve("b", "c", number=4)
    await net.pass_epochs("a", lambda: 4 not in {n.number for n in net.nodes["a"].validators})
    await until(lambda: net.nodes["a"].certified is not None)
    height = net.nodes["a"].state.height
    await net.pass_epochs("a", lambda: net.nodes["a"].state.height > height + 4)
    await until(lambda: all(_is_a_stranger(net, code, 4) for code in "abc"))
    return net.nodes["a"].state.height


def _is_a_stranger(net: Net, code: str, number: int) -> bool:
    peers = net.nodes[code]._parts.peers
    return number not in {each.number for each in peers._trusted}


@pytest.mark.parametrize("has_store", [True, False])
async def test_a_node_that_was_away_when_it_was_removed_learns_it_and_destroys_its_keys(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    *,
    has_store: bool,
) -> None:
    async with running(tmp_path / "net", "abcd") as net:
        height = await _removed_while_away(net, monkeypatch)
        config = load_config(net.folder / "d" / "node.toml")
        if not has_store:
            shutil.rmtree(config.data)
        node = await net.start("d")
        await until(lambda: not any(key_path(config.keys, each).exists() for each in SIGNING))
        assert "ended while its node was away" in caplog.text
        assert read_observing(config.keys).destroyed > 0
        assert "has ended, at the latest with epoch" in node.forgotten
        assert node.role == "observer"
        assert not node.ready
        (refused,) = await node.submit([register(4)])
        assert isinstance(refused, Closed)
        assert refused.reason == node.forgotten
        assert node.state.height < height, "it was given the sets, and nothing of what came since"
        assert not node.linked
        await net.stop("d")
        node = await net.start("d")
        assert "has ended" in node.forgotten
        assert node.role == "observer"
        await _follows_on(net, "d", "a")
        assert node is not net.nodes["d"]
        assert net.nodes["d"].forgotten == ""


async def test_who_can_ask_nobody_learns_its_removal_from_a_file_of_epoch_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path / "net", "abcd") as net:
        await _removed_while_away(net, monkeypatch)
        home = net.folder / "d"
        url = "http://{}:{}".format(*net.nodes["b"].api_address)
        await _command("node", "epochs", str(home), "--from", url, "--json")
        for code in "abc":
            await net.stop(code)
        node = await net.start("d")
        await until(lambda: "has ended" in node.forgotten)
        assert not any(key_path(_keys(net, "d"), each).exists() for each in SIGNING)


async def test_a_store_is_lost_and_the_platform_comes_back_under_new_keys(tmp_path: Path) -> None:
    async with running(tmp_path / "net", "abcd") as net:
        await net.final("d", count=3)
        before = net.nodes["a"].validators
        await net.stop("d")
        shutil.rmtree(load_config(net.folder / "d" / "node.toml").data)
        node = await net.start("d")
        await until(lambda: bool(node.forgotten))
        assert "root key" in node.forgotten
        await net.carried("d", _rotation(net, "d"))
        await net.approve("a", "b", number=4)  # its own record is the third
        await net.pass_epochs("a", lambda: node.role == "validator" and node.ready)
        assert net.nodes["a"].validators[3].lane_key != before[3].lane_key
        await net.final("d", count=3)
        assert not _keys(net, "d").with_name("keys.next").exists()


async def test_keys_and_store_are_lost_and_the_root_key_is_enough(tmp_path: Path) -> None:
    async with running(tmp_path / "net", "abcd") as net:
        await net.final("d", count=3)
        await net.pass_epochs("a", lambda: net.nodes["a"].state.height >= 3)
        await net.stop("d")
        home = net.folder / "d"
        shutil.rmtree(home / "data")
        shutil.rmtree(home / "keys")
        member = net.folder / "a"
        await _command(
            *("network", "rotate", str(home), "--root-key", str(home / "root.key")),
            *("--node", "http://{}:{}".format(*net.nodes["a"].api_address)),
            *("--token-file", str(member / "govern-token"), "--json"),
        )
        await net.approve("a", "b", number=4)  # its own record is the third
        node = await net.start("d")
        await net.pass_epochs("a", lambda: node.role == "validator" and node.ready)
        await net.final("d", count=3)


@pytest.mark.parametrize("rotating", ["a", "abc"])
async def test_others_change_their_keys_while_a_member_is_away(
    tmp_path: Path, rotating: str
) -> None:
    """It returns and follows. Where all others have changed them, it must be told by the proof that
    `standing node epochs` fetches: its links trust nobody else's keys."""
    async with running(tmp_path / "net", "abcd") as net:
        await net.final("d", count=2)
        await net.stop("d")
        for code in rotating:
            node = net.nodes[code]
            before = node.validators[node.number - 1].lane_key
            await net.carried(code, _rotation(net, code))
            await net.approve(*(each for each in "abc" if each != code), number=node.number)
            keys = _keys(net, code).with_name("keys.next")
            await net.pass_epochs("a", lambda keys=keys: not keys.exists())  # type: ignore[misc]
            assert net.nodes["a"].validators[node.number - 1].lane_key != before
            await net.ready("a", "b", "c")
        if rotating == "abc":
            url = "http://{}:{}".format(*net.nodes["b"].api_address)
            said = await _command("node", "epochs", str(net.folder / "d"), "--from", url, "--json")
            assert '"d"' in said
        node = await net.start("d")
        await net.ready("d")
        await net.final("d", count=2)
        await until(net.same)


async def test_two_platforms_join_at_once_under_load_and_find_each_other(tmp_path: Path) -> None:
    """Each knows one member's address, and nobody's else."""
    async with running(tmp_path / "net", "abcd", epoch_blocks=24) as net:
        await net.final("a", count=2)
        foundation = net.nodes["a"].genesis.foundation
        genesis = (net.folder / "genesis.json").read_bytes()
        known = {"a": load_config(net.folder / "a" / "node.toml").peers_listen}
        feeding = [asyncio.create_task(_feed(net, code)) for code in "abcd"]
        try:
            for nth, (code, proposer) in enumerate((("e", "a"), ("f", "b"))):
                api, peers = (Address("127.0.0.1", net.free_port(2 * nth + at)) for at in (0, 1))
                plan = Plan(5 + nth, code, api, peers, known)
                made = make_home(net.folder / code, plan, foundation, genesis=genesis, epochs=None)
                node = net.nodes[proposer]
                record = MemberPropose(node.number, now_ms(), made.validator, made.proofs)
                await net.final(proposer, record)
            # All approve: with the first joiner, whichever that is, the quorum is 4.
            await asyncio.gather(
                net.approve("b", "c", "d", number=5), net.approve("a", "c", "d", number=6)
            )
            await net.start("e", "f")
            await until(lambda: all(_seats(net, code) == 6 for code in net.nodes))
            await net.ready()
            await until(lambda: all(len(net.nodes[code].linked) == 5 for code in net.nodes))
            await until(lambda: {each.role for each in net.nodes.values()} == {"validator"})
            await net.ready()
            for code in "ef":
                await net.final(code, count=3)
        finally:
            fed = [task.result() for task in feeding if task.done()]
            for task in feeding:
                task.cancel()
            await asyncio.gather(*feeding, return_exceptions=True)
        assert not fed, "they go on handing in, and everything becomes final"
        await until(net.same)


def _seats(net: Net, code: str) -> int:
    return len(net.nodes[code].validators)


async def _feed(net: Net, code: str) -> None:
    while True:
        await net.final(code, count=2)
        await asyncio.sleep(0.02)
