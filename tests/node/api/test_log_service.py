"""The log's whole service: policies, epoch ends, what stands beside the log, retention, headers."""

from collections.abc import AsyncIterator
from dataclasses import replace

import msgspec
import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from yarl import URL

from ledger import merkle
from ledger.beside import Walk, block_path, decode_headers, lane_path
from ledger.checkpoint import verify_checkpoint_strict
from ledger.epochs import decode_chain, follow
from ledger.genesis import FIRST_BOUNDS, epoch_of
from ledger.policy import Policy
from ledger.rows import HeaderRow
from ledger.tiles import TileReader, decode_entry_bundle, entries_path, tile_path
from node.api.app import make_app
from tests.ledger.world import genesis_of, key_of, validator
from tests.node.api.live_node import LiveNode

EPOCH_BLOCKS = 3


@pytest.fixture
async def node() -> LiveNode:
    bounds = msgspec.structs.replace(FIRST_BOUNDS, epoch_blocks=EPOCH_BLOCKS)
    return LiveNode(genesis_of(4, bounds))


@pytest.fixture
async def served(node: LiveNode) -> AsyncIterator["Log"]:
    async with TestServer(make_app(node)) as server, ClientSession() as session:
        yield Log(node, session, f"http://{server.host}:{server.port}/log/")


class Log:
    """Asks a node for files of its log, under exactly these addresses."""

    def __init__(self, node: LiveNode, session: ClientSession, prefix: str) -> None:
        self.node, self._session, self._prefix = node, session, prefix

    async def ask(self, path: str, method: str = "GET"):
        url = URL(self._prefix + path, encoded=True)
        async with self._session.request(method, url) as response:
            return response.status, await response.read(), response.headers

    async def get(self, path: str) -> bytes:
        status, body, _ = await self.ask(path)
        assert status == 200, (path, status, body)
        return body

    async def status(self, path: str) -> int:
        return (await self.ask(path))[0]

    def run(self, count: int, names: str = "w") -> None:
        """One block with so many new subjects."""
        world = self.node.world
        world.put(1, [world.register(f"{names}{world.state.height}.{at}") for at in range(count)])
        self.node.finalise()


async def test_before_the_first_checkpoint(served) -> None:
    for path in ("checkpoint", "epochs", "tile/0/000.p/1", "block/000", "lane/1/000.p/1"):
        assert await served.status(path) == 503
    assert await served.status("policy") == 200
    assert await served.status("witnessed") == 404


async def test_a_partial_tile_stays_for_every_published_checkpoint(served) -> None:
    sizes = []
    for _ in range(4):
        served.run(70)
        sizes.append(served.node.certified.size)
    assert sizes == [72, 143, 214, 285]
    leaves = [merkle.leaf_hash(entry) for entry in served.node.entries()]
    for size in sizes[:3]:
        assert await served.get(tile_path(0, 0, size)) == b"".join(leaves[:size])
        bundle = decode_entry_bundle(await served.get(entries_path(0, size)))
        assert [merkle.leaf_hash(entry) for entry in bundle] == leaves[:size]
    assert await served.get("tile/0/000") == b"".join(leaves[:256])
    assert await served.get("tile/1/000.p/1") == merkle.root(leaves[:256])
    # A width that no checkpoint had: rows are prefixes, so it is served too, but never beyond.
    assert await served.get("tile/0/001.p/28") == b"".join(leaves[256:284])
    for beyond in ("tile/0/001.p/30", "tile/0/001", "tile/1/000.p/2", "tile/entries/001.p/30"):
        assert await served.status(beyond) == 404


async def test_what_is_executed_and_not_certified_is_not_served(served) -> None:
    served.run(1)
    served.node.world.run(served.node.world.register("later"))
    assert served.node.state.log.size == served.node.certified.size + 2
    size = served.node.certified.size
    assert await served.status(f"tile/0/000.p/{size}") == 200
    assert await served.status(f"tile/0/000.p/{size + 1}") == 404
    assert await served.status(f"tile/entries/000.p/{size + 1}") == 404
    assert await served.status("block/001") == 200
    assert await served.status("block/002") == 404


async def test_policies_by_epoch(served) -> None:
    served.run(1)
    first = await served.get("policy")
    assert await served.get("policy/1") == first
    assert await served.status("policy/2") == 404  # epoch 1 has not ended
    world = served.node.world
    members = tuple(validator(number)[0] for number in (1, 2, 4, 5))
    served.run(1)
    world.state = replace(world.state, validators=members)
    served.run(1)
    assert world.state.height == EPOCH_BLOCKS
    second = await served.get("policy/2")
    assert second != first
    assert await served.get("policy") == first  # of the newest checkpoint, which ends epoch 1
    assert [name for name, _ in Policy.parse(second.decode()).witnesses][3].endswith("/p5")
    for path in ("policy/0", "policy/3"):
        assert await served.status(path) in {400, 404}
    for path in ("policy/01", "policy/x", "policy/-1"):
        assert await served.status(path) == 400
    _, _, headers = await served.ask("policy/1")
    assert "immutable" in headers["Cache-Control"]
    _, _, headers = await served.ask("policy")
    assert headers["Cache-Control"] == "public, max-age=60"


async def test_epoch_ends_lead_to_the_newest_set(served) -> None:
    foundation, world = served.node.genesis.foundation, served.node.world
    served.run(1)
    assert decode_chain(await served.get("epochs")) == ()
    for _ in range(3 * EPOCH_BLOCKS):
        served.run(1)
    ends = decode_chain(await served.get("epochs"))
    assert len(ends) == 1  # nothing changed: the newest is enough
    found = follow(foundation, ends)
    assert (found.epoch, found.height, found.validators) == (4, 9, foundation.validators)
    every = decode_chain(await served.get("epochs?from=1&limit=10"))
    assert [follow(foundation, every[:n]).epoch for n in range(4)] == [1, 2, 3, 4]
    assert decode_chain(await served.get("epochs?from=2&limit=1")) == every[1:2]
    assert decode_chain(await served.get("epochs?from=4")) == ()
    # A set that changes must be led to, and the chain may begin anywhere before that.
    members = tuple(validator(number)[0] for number in (1, 2, 4, 5))
    served.run(1)
    world.state = replace(world.state, validators=members)
    served.run(1)
    world.state = replace(world.state, validators=members)
    assert epoch_of(world.state.height, EPOCH_BLOCKS) == 4
    chain = decode_chain(await served.get("epochs"))
    assert [each.number for each in follow(foundation, chain).validators] == [1, 2, 4, 5]
    assert len(chain) == 1
    for query in ("?from=0", "?limit=0", "?limit=257", "?form=1", "?from=01"):
        assert await served.status("epochs" + query) == 400


async def test_a_walk_over_what_is_public(served) -> None:
    world = served.node.world
    for _ in range(3):
        served.run(2)
    world.put(1, [world.outcome("never")])
    served.node.finalise()
    size, height = served.node.certified.size, served.node.certified.height
    entries = decode_entry_bundle(await served.get(entries_path(0, size)))
    tips = served.node.state.cut
    lanes: dict[int, list[HeaderRow]] = {}
    for lane, tip in tips.items():
        lanes[lane] = decode_headers(await served.get(lane_path(lane, 0, tip.height)))
        assert await served.status(lane_path(lane, 0, tip.height + 1)) == 404
    keys = {number: key_of(number, "lane").public for number in (1, 2, 3, 4)}
    walk = Walk(
        served.node.chain, lambda _: keys, lambda lane, first, last: lanes[lane][first - 1 : last]
    )
    block: list[bytes] = []
    for entry in entries:
        block.append(entry)
        if entry[:1] == b"\x01":
            walk.step(await served.get(block_path(walk.height + 1)), block)
            block = []
    assert (walk.height, walk.tips) == (height, tips)


async def test_old_checkpoints_are_the_beginning_of_new_ones(served) -> None:
    served.run(3)
    policy = Policy.parse((await served.get("policy")).decode())
    before = verify_checkpoint_strict(await served.get("checkpoint"), policy)
    served.run(300)
    after = verify_checkpoint_strict(await served.get("checkpoint"), policy)
    rows = {
        (0, 0): await served.get("tile/0/000"),
        (0, 1): await served.get(tile_path(0, 1, after.size - 256)),
        (1, 0): await served.get("tile/1/000.p/1"),
    }
    read = TileReader(lambda *at: rows[at]).read_node
    proof = merkle.consistency_proof(read, before.size, after.size)
    merkle.verify_consistency(before.size, after.size, before.root, after.root, proof)


async def test_retention_gives_up_whole_bundles_of_entries_only(served) -> None:
    served.node.config = replace(served.node.config, retain=100)
    async with TestServer(make_app(_fresh_metrics(served.node))) as server:
        prefix = f"http://{server.host}:{server.port}/log/"
        log = Log(served.node, served._session, prefix)
        for _ in range(5):
            log.run(70)
        size = served.node.certified.size
        assert size == 356
        status, body, headers = await log.ask("tile/entries/000")
        assert status == 410
        assert headers["Content-Type"] == "application/problem+json"
        assert msgspec.json.decode(body)["type"].endswith(":gone")
        assert await log.status("tile/entries/000.p/7") == 410
        assert await log.status(f"tile/entries/001.p/{size - 256}") == 200
        assert await log.status("tile/0/000") == 200
        served.node.config = replace(served.node.config, retain=101)
    async with TestServer(make_app(_fresh_metrics(served.node))) as server:
        log = Log(served.node, served._session, f"http://{server.host}:{server.port}/log/")
        assert await log.status("tile/entries/000") == 200


def _fresh_metrics(node: LiveNode) -> LiveNode:
    from prometheus_client import CollectorRegistry

    node.metrics = CollectorRegistry()
    return node


@pytest.mark.parametrize(
    "path",
    ["block/0", "block/x000/001", "block/001.p/1", "block/001/", "block/%30%30%31", "block/001?a=1",
     "lane/1/0", "lane/0/000.p/1", "lane/01/000.p/1", "lane/9/000.p/1", "lane/1/000.p/01",
     "lane/1/000", "lane/1/001.p/1", "lane/1/000.p/1?", "tile/0/000.p/1?x", "lane/", "block/"],
)  # fmt: skip
async def test_there_is_one_address_for_each_file(served, path) -> None:
    served.run(2)
    for same in ("block/001", "lane/1/000.p/1", "tile/0/000.p/1"):
        status, _, headers = await served.ask(same)
        assert status == 200
        assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert headers["Content-Type"] == "application/octet-stream"
        head_status, body, head = await served.ask(same, "HEAD")
        assert (head_status, body) == (200, b"")
        assert head["Content-Length"] == headers["Content-Length"]
    assert await served.status(path) == (200 if path.endswith("?") else 404)


async def test_a_long_chain_comes_in_pages(served, monkeypatch) -> None:
    monkeypatch.setattr("node.publiclog.PAGE_ENDS_MAX", 2)
    world, foundation = served.node.world, served.node.genesis.foundation
    sets = [(1, 2, 4, 5), (1, 2, 4, 6), (1, 2, 4, 7), (1, 2, 4, 8)]
    for numbers in sets:
        for at in range(EPOCH_BLOCKS):
            if at == EPOCH_BLOCKS - 1:
                members = tuple(validator(number)[0] for number in numbers)
                world.state = replace(world.state, validators=members)
            served.run(1)
    chain = list(decode_chain(await served.get("epochs")))
    assert len(chain) == 2
    assert [each.number for each in follow(foundation, chain).validators] == [*sets[1]]
    chain += decode_chain(await served.get("epochs?from=3"))
    assert [each.number for each in follow(foundation, chain).validators] == [*sets[3]]
    assert decode_chain(await served.get("epochs?from=5")) == ()
