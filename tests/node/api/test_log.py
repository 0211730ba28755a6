"""The public log, the network, the ledger's steps, and news of blocks."""

import asyncio
import json

import msgspec
import pytest

from ledger import merkle
from ledger.batch import Batch, header_hash
from ledger.checkpoint import Policy, verify_checkpoint_strict
from ledger.encoding import decode
from ledger.genesis import Genesis, chain_id
from ledger.records import encode_record
from ledger.rows import BlockRow, CheckpointRow
from ledger.tiles import decode_entry_bundle, tiles_of
from node.api.json_records import value_from_json


async def fill(node, client, count: int) -> None:
    world = node.world
    records = [(encode_record(world.register(f"w{at}")), b"") for at in range(count)]
    answers = await client.submit_msgpack(records)
    assert all("id" in answer for answer in answers)


async def test_the_checkpoint_holds_under_the_policy(node, client, stranger) -> None:
    await fill(node, client, 3)
    policy = Policy.parse(await client.policy())
    checkpoint = verify_checkpoint_strict(await client.checkpoint(), policy)
    assert (checkpoint.size, checkpoint.root) == (5, node.state.log.root())
    async with stranger.get("/log/checkpoint") as response:
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert response.headers["Cache-Control"] == "public, max-age=1"


async def test_tiles_lead_to_the_root(node, client, stranger) -> None:
    await fill(node, client, 600)
    entries = node.entries()
    size = node.certified.size
    assert len(entries) == size > 600
    leaves = []
    for at in range(-(-size // 256)):
        width = min(256, size - 256 * at)
        path = f"tile/entries/{at:03}" + (f".p/{width}" if width < 256 else "")
        leaves += decode_entry_bundle(await client.tile(path))
    assert leaves == entries
    assert merkle.root([merkle.leaf_hash(entry) for entry in leaves]) == node.certified.root
    for tile in tiles_of(size):
        body = await client.tile(tile.format())
        assert len(body) == 32 * tile.width
        async with stranger.get("/log/" + tile.format()) as response:
            assert "immutable" in response.headers["Cache-Control"]
            assert response.headers["Content-Type"] == "application/octet-stream"
    narrow = await client.tile("tile/0/000.p/7")
    assert narrow == (await client.tile("tile/0/000"))[: 32 * 7]


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/001",
        "tile/0/000.p/256",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/0",
        "tile/00/000",
        "tile/64/000",
        "tile/1/000",
        "tile/0/x000/000",
        "tile/0/000.p/200",
        "tile/entries/001",
        "tile/0/%30%30%30.p/1",
        "tile/0/000.p/1/",
        "tile/0//000.p/1",
        "tile/0/000.p/1%0A",
        "tile/../checkpoint",
        "tile/",
    ],
)
async def test_other_paths_are_not_there(node, client, server, path) -> None:
    from aiohttp import ClientSession
    from yarl import URL

    await fill(node, client, 3)
    url = URL(f"http://{server.host}:{server.port}/log/{path}", encoded=True)
    async with ClientSession() as session, session.get(url) as response:
        assert response.status == 404


async def test_the_network_describes_itself(node, client) -> None:
    before = await client.network()
    assert before["checkpoint"] is None
    await fill(node, client, 2)
    found = await client.network()
    assert found["chain"] == node.chain.hex()
    assert (found["platform"], found["code"], found["quorum"]) == (1, "p1", 3)
    assert found["checkpoint"]["size"] == found["executed"]["size"] == 4
    assert found["checkpoint"]["note"].encode() == await client.checkpoint()
    assert found["executed"]["cut"][0]["lane"] == 1
    genesis = value_from_json(Genesis, await client.genesis())
    assert chain_id(genesis.foundation) == node.chain


async def test_the_ledger_can_be_replayed(node, client) -> None:
    for at in range(3):
        record = encode_record(node.world.register(f"w{at}"))
        await client.submit_msgpack([(record, b"")])
    blocks = await client.blocks(0)
    assert [height for height, _, _ in blocks] == [0, 1, 2, 3]
    assert blocks[0][2] is None
    previous = node.chain
    for height, row, certified in blocks[1:]:
        block = decode(BlockRow, row, bytes_max=10_000)
        assert block.block.parent == previous
        previous = block.hash
        checkpoint = decode(CheckpointRow, certified, bytes_max=10_000)
        assert (checkpoint.height, checkpoint.size) == (height, block.size)
    batches = [decode(Batch, each, bytes_max=10_000) for each in await client.batches(1, 1)]
    assert [batch.header.height for batch in batches] == [1, 2, 3]
    assert batches[1].header.previous == header_hash(node.chain, batches[0].header)
    assert len(await client.blocks(1, 2)) == 2
    assert await client.blocks(99) == []
    assert await client.batches(3, 1) == []


async def test_pages_are_checked(member) -> None:
    for path in (
        "/v1/ledger/blocks?from=-1",
        "/v1/ledger/blocks?limit=0",
        "/v1/ledger/blocks?limit=5000",
        "/v1/ledger/blocks?form=1",
        "/v1/ledger/blocks?from=1&from=2",
        "/v1/ledger/batches?lane=0",
        "/v1/ledger/batches?from=0",
    ):
        async with member.get(path) as response:
            assert response.status == 400


async def test_news_of_blocks_and_resume(node, client) -> None:
    await fill(node, client, 1)

    async def read(count: int, last_id: int | None) -> list[dict]:
        found = []
        async for event in client.events(last_id):
            found.append(event)
            if len(found) == count:
                break
        return found

    assert [each["height"] for each in await read(1, 0)] == [1]
    reading = asyncio.create_task(read(2, None))
    while not node.events._listeners:  # noqa: ASYNC110
        await asyncio.sleep(0)
    for at in range(2):
        record = encode_record(node.world.register(f"v{at}"))
        await client.submit_msgpack([(record, b"")])
    live = await asyncio.wait_for(reading, 10)
    assert [each["height"] for each in live] == [2, 3]
    assert await read(2, 1) == live
    assert live[-1]["root"] == node.certified.root.hex()
    assert live[-1]["records"] == 1


async def test_the_stream_is_of_the_named_form(node, client, member) -> None:
    await fill(node, client, 1)
    async with member.get("/v1/events", headers={"Last-Event-ID": "0"}) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        lines = [await response.content.readline() for _ in range(6)]
    assert lines[0] == b"retry: 1000\n"
    assert lines[2:4] == [b"id: 1\n", b"event: block\n"]
    assert json.loads(lines[4].removeprefix(b"data: "))["height"] == 1
    async with member.get("/v1/events", headers={"Last-Event-ID": "x"}) as response:
        assert response.status == 400


async def test_handles_are_the_same_for_ever(client, member) -> None:
    first = await client.handles("subject", ["ann", "bob"])
    assert await client.handles("subject", ["bob", "ann"]) == first[::-1]
    assert (await client.handles("engagement", ["ann"]))[0] not in first
    for body, field in (
        ({"kind": "person", "references": ["a"]}, "kind"),
        ({"kind": "subject", "references": []}, "references"),
        ({"kind": "subject", "references": [""]}, "references[0]"),
        ({"kind": "subject", "references": ["x" * 300]}, "references[0]"),
        ({"kind": "subject", "references": [7]}, "references[0]"),
        ({"kind": "subject"}, "references"),
    ):
        async with member.post("/v1/handles", json=body) as response:
            assert response.status == 400
            assert (await response.json(content_type=None))["field"] == field
    async with member.post("/v1/handles", data=msgspec.json.encode({})) as response:
        assert response.status == 415
