"""The log as a folder: as the node serves it, step by step, and nothing that does not hold."""

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from ledger import merkle
from ledger.beside import block_path, decode_block_file, lane_path
from ledger.checkpoint import verify_checkpoint_strict
from ledger.encoding import encode
from ledger.epochs import decode_chain, encode_chain, follow
from ledger.errors import BadProof, BadSignature, Malformed, Misconfigured
from ledger.genesis import FIRST_BOUNDS, chain_id
from ledger.policy import Policy
from ledger.records import encode_record
from ledger.records.subject import SubjectRegister
from ledger.tiles import decode_entry_bundle, encode_entry_bundle, tiles_of
from node.cli import export
from node.compose import build
from node.config import Address, load_config
from node.export.run import export_log
from node.export.source import format_genesis, read_genesis
from node.intake import Offer
from node.network import found_network
from node.publiclog import PublicLog
from tests.ledger.world import genesis_of, validator
from tests.node.api.live_node import LiveNode
from tests.node.api.test_cli import Served

EPOCH_BLOCKS = 3


class MemorySource:
    """A live node in this process; `changed` puts other bytes in the place of files."""

    def __init__(self, node: LiveNode) -> None:
        self.node = node
        self.changed: dict[str, bytes] = {}
        self.asked: list[str] = []
        bounds = node.genesis.foundation.bounds
        self._public = PublicLog(node.reader, node.origin, bounds.epoch_blocks)

    async def genesis(self):
        return self.node.genesis

    async def get(self, path: str) -> bytes:
        self.asked.append(path)
        if path in self.changed:
            return self.changed[path]
        if path == "checkpoint":
            return self.node.certified.note
        return self._public.read(path, self.node.certified)

    async def epochs(self, first: int) -> bytes:
        if "epochs" in self.changed:
            return self.changed["epochs"] if first == 1 else encode_chain(())
        return encode_chain(self._public.leading(self.node.certified, first))


@pytest.fixture
async def node() -> LiveNode:
    bounds = msgspec.structs.replace(FIRST_BOUNDS, epoch_blocks=EPOCH_BLOCKS)
    return LiveNode(genesis_of(4, bounds))


def run(node: LiveNode, *counts: int) -> None:
    """Blocks with so many new subjects each, and one refusal."""
    world = node.world
    for count in counts:
        records = [world.register(f"{world.state.height}.{at}") for at in range(count)]
        world.put(1, [*records, world.outcome("never")])
        node.finalise()


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def check_whole(node: LiveNode, folder: Path) -> None:
    """The folder holds what the node serves under its newest checkpoint."""
    found = files(folder)
    size = node.certified.size
    source = MemorySource(node)
    policy = Policy.parse(found["policy"].decode())
    assert verify_checkpoint_strict(found["checkpoint"], policy).size == size
    for path in tiles_of(size):
        tile, bundle = path.format(), replace(path, level=None).format()
        assert found[tile] == source._public.read(tile, node.certified)
        if path.level == 0:
            entries = decode_entry_bundle(found[bundle])
            hashes = b"".join(merkle.leaf_hash(entry) for entry in entries)
            assert hashes == found[tile]
    for height in range(node.certified.height + 1):
        assert decode_block_file(found[block_path(height)]).block.height == height
    assert follow(node.genesis.foundation, decode_chain(found["epochs"])).origin == node.origin
    assert read_genesis(found["genesis.json"]) == node.genesis
    assert not [name for name in found if name.endswith(".new")]


async def test_a_folder_that_grows_is_the_one_written_at_once(node, tmp_path: Path) -> None:
    source, grown, whole = MemorySource(node), tmp_path / "grown", tmp_path / "whole"
    for counts in ((1,), (3, 3), (200,), (1,), (300, 400), (2,)):
        run(node, *counts)
        source.asked = []
        done = await export_log(source, grown)
        assert (done.size, done.root) == (node.certified.size, node.certified.root)
        check_whole(node, grown)
        assert sum(path.startswith("block/") for path in source.asked) == done.blocks
    assert done.blocks == 1
    assert done.entries == 3
    source.asked = []
    again = await export_log(source, grown)
    assert (again.entries, again.blocks) == (0, 0)
    assert source.asked == ["checkpoint"]
    await export_log(MemorySource(node), whole)
    one, other = files(whole), files(grown)
    # Apart from earlier partial files of the right edge the folders are equal.
    assert {name: other[name] for name in one} == one
    assert all(".p/" in name for name in other.keys() - one.keys())
    # No partial file stays beside its full one.
    assert not [name for name in other if ".p/" in name and name.split(".p/")[0] in other]


async def test_a_new_set_is_followed(node, tmp_path: Path) -> None:
    source, folder = MemorySource(node), tmp_path / "log"
    run(node, 1, 1)
    await export_log(source, folder)
    members = tuple(validator(number)[0] for number in (1, 2, 4, 5))
    node.world.state = replace(node.world.state, validators=members)
    run(node, 1)
    await export_log(source, folder)
    check_whole(node, folder)
    found = files(folder)
    assert found["policy"] == found["policy.d/1"]
    assert Policy.parse(found["policy.d/2"].decode()).witnesses[3][0].endswith("/p5")
    trusted = follow(node.genesis.foundation, decode_chain(found["epochs"]))
    assert trusted.policy.format().encode() == found["policy.d/2"]
    # A chain that does not lead to the set that the log names is refused.
    source.changed["epochs"] = encode_chain(())
    with pytest.raises(BadProof, match="set in force"):
        await export_log(source, tmp_path / "other")
    assert not (tmp_path / "other" / "checkpoint").exists()


async def test_a_run_that_is_cut_off_leaves_the_old_checkpoint_whole(node, tmp_path) -> None:
    source, folder = MemorySource(node), tmp_path / "log"
    run(node, 100)
    await export_log(source, folder)
    before = (folder / "checkpoint").read_bytes()
    run(node, 300)

    class Cut(MemorySource):
        async def get(self, path: str) -> bytes:
            if path.startswith("tile/entries/001"):
                raise Misconfigured("the line is dead")
            return await super().get(path)

    with pytest.raises(Misconfigured, match="dead"):
        await export_log(Cut(node), folder)
    assert (folder / "checkpoint").read_bytes() == before
    assert (folder / "tile/0/000.p/102").exists()
    await export_log(source, folder)
    check_whole(node, folder)


def flipped(data: bytes, at: int = -1) -> bytes:
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


async def test_what_does_not_hold_is_refused(node, tmp_path: Path) -> None:
    run(node, 3, 3, 3, 3)
    source = MemorySource(node)
    size = node.certified.size
    entries_file = f"tile/entries/000.p/{size}"
    entries = decode_entry_bundle(await source.get(entries_file))
    block = await source.get("block/002")
    file = decode_block_file(block)
    headers = lane_path(1, 0, node.state.cut[1].height)
    wrong: list[tuple[str, bytes]] = [
        ("checkpoint", flipped(node.certified.note, -5)),
        ("checkpoint", node.certified.note.replace(b"example", b"another")),
        (entries_file, encode_entry_bundle([*entries[:3], flipped(entries[3]), *entries[4:]])),
        (entries_file, encode_entry_bundle([entries[0], entries[2], entries[1], *entries[3:]])),
        (entries_file, encode_entry_bundle(entries[:-1])),
        (entries_file, encode_entry_bundle([*entries, entries[-1]])),
        (entries_file, flipped(await source.get(entries_file), 0)),
        ("block/002", flipped(block)),
        ("block/002", await source.get("block/003")),
        ("block/002", encode(msgspec.structs.replace(file, refusals=()))),
        (headers, flipped(await source.get(headers))),
        (headers, await source.get(lane_path(1, 0, 1))),
    ]
    for at, (path, data) in enumerate(wrong):
        source.changed = {path: data}
        folder = tmp_path / str(at)
        with pytest.raises((BadProof, BadSignature, Malformed)):
            await export_log(source, folder)
        assert not (folder / "checkpoint").exists(), path


async def test_a_fork_of_what_was_exported_is_refused(node, tmp_path: Path) -> None:
    other = LiveNode(node.genesis)
    run(node, 5)
    run(other, 6, 300)
    folder = tmp_path / "log"
    await export_log(MemorySource(node), folder)
    with pytest.raises(BadProof, match="forked"):
        await export_log(MemorySource(other), folder)
    smaller = LiveNode(node.genesis)
    run(smaller, 1)
    with pytest.raises(BadProof, match="the folder is at"):
        await export_log(MemorySource(smaller), folder)


async def test_other_folders_are_left_alone(node, tmp_path: Path) -> None:
    run(node, 3)
    source = MemorySource(node)
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "letters.txt").write_text("dear")
    with pytest.raises(Misconfigured, match=r"letters\.txt"):
        await export_log(source, folder)
    folder = tmp_path / "mine"
    await export_log(source, folder)
    tile = next((folder / "tile/0/000.p").iterdir())
    tile.write_bytes(flipped(tile.read_bytes()))
    with pytest.raises(Misconfigured, match="damaged"):
        await export_log(source, folder)
    (folder / ".exported").write_bytes(b"?")
    with pytest.raises(Misconfigured, match="damaged"):
        await export_log(source, folder)
    stranger = LiveNode(genesis_of(4))
    run(stranger, 3)
    await export_log(MemorySource(stranger), tmp_path / "theirs")
    with pytest.raises(Misconfigured, match="another network"):
        await export_log(source, tmp_path / "theirs")


# --- the commands ---


def call(*arguments: str):
    return CliRunner().invoke(export.app, list(arguments))


def test_the_commands_over_http(tmp_path: Path) -> None:
    served = Served()
    try:

        async def fill() -> None:
            run(served.node, 3, 4)

        served._run(fill())
        folder = tmp_path / "log"
        chain = served.node.chain.hex()
        result = call("log", str(folder), "--node", served.url, "--json", "--chain", chain)
        assert result.exit_code == 0, result.output
        figures = json.loads(result.stdout)
        assert figures["checkpoint_size"] == figures["new_entries"] == served.node.certified.size
        assert (figures["blocks"], figures["new_blocks"]) == (2, 3)
        check_whole(served.node, folder)
        result = call("log", str(tmp_path / "x"), "--node", served.url, "--chain", "00" * 32)
        assert result.exit_code == 1
        genesis = tmp_path / "genesis.json"
        genesis.write_bytes(format_genesis(served.node.genesis))
        for where in (("--node", served.url), ("--log", str(folder))):
            result = call("policy", "--genesis", str(genesis), *where)
            assert result.exit_code == 0, result.output
            assert Policy.parse(result.stdout) == Policy.parse(served.node.policy_text)
        result = call("policy", "--genesis", str(genesis), "--log", str(folder), "--json")
        figures = json.loads(result.stdout)
        assert (figures["epoch"], figures["epoch_ends"], figures["chain"]) == (1, 0, chain)
        result = call("policy", "--genesis", str(tmp_path / "none"), "--log", str(folder))
        assert result.exit_code == 2
        (folder / "epochs").write_bytes(b"\x91\x90")
        result = call("policy", "--genesis", str(genesis), "--log", str(folder))
        assert result.exit_code == 2
    finally:
        served.stop()


def test_a_stopped_nodes_folder_yields_the_same(tmp_path: Path) -> None:
    net = tmp_path / "net"
    found_network(net, ["a"], origin="test.example/log", api_port=1_000, peer_port=2_000)
    anywhere = Address("127.0.0.1", 0)
    config = replace(
        load_config(net / "a" / "node.toml"), api_listen=anywhere, peers_listen=anywhere
    )

    async def fill() -> bytes:
        node = await build(config)
        await node.start()
        try:
            records = [SubjectRegister(1, 10**12, os.urandom(32), b"", "none") for _ in range(30)]
            results = await node.submit([Offer(encode_record(each), b"") for each in records])
            await node.wait_final([each.record_id for each in results], 20)
            host, port = node.api_address
            url = f"http://{host}:{port}"
            done = await asyncio.to_thread(call, "log", str(tmp_path / "http"), "--node", url)
            assert done.exit_code == 0, done.output
            return node.certified.note
        finally:
            await node.stop()

    note = asyncio.run(fill())
    result = call("log", str(tmp_path / "data"), "--data", str(net / "a"), "--json")
    assert result.exit_code == 0, result.output
    one, other = files(tmp_path / "data"), files(tmp_path / "http")
    assert one == other
    assert one["checkpoint"] == note
    genesis = json.loads(result.stdout)["chain"]
    assert chain_id(read_genesis(one["genesis.json"]).foundation).hex() == genesis
    result = call("log", str(tmp_path / "x"), "--data", str(net / "a" / "data"))
    assert result.exit_code == 2
    assert "node.toml" in result.stderr.replace("\n", " ")
