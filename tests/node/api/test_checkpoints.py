"""Answers at older checkpoints of the window: over HTTP, by their size."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from msgspec.structs import replace

from ledger.bundle import verify_bundle
from ledger.errors import StandingError
from ledger.genesis import FIRST_BOUNDS
from ledger.policy import Policy
from ledger.records import encode_record
from ledger.state import load
from ledger.store import CHECKPOINT
from node.api.app import make_app
from node.client import Client
from node.view import Notary
from tests.ledger.world import DAY, World, genesis_of, handle, key_of
from tests.node.api.live_node import BOTH, LiveNode

W = f"p1:{handle('w').hex()}"
EPOCH_BLOCKS = 4


def live_node(window_blocks: int = 128, epoch_blocks: int = EPOCH_BLOCKS) -> LiveNode:
    node = LiveNode(genesis_of(4, replace(FIRST_BOUNDS, epoch_blocks=epoch_blocks)))
    fresh = World(node.genesis, window_blocks)
    node.world.state = fresh.state
    return node


@pytest.fixture
async def node() -> LiveNode:
    return live_node()


@dataclass
class Given:
    """What a node gave when a checkpoint was its newest."""

    height: int
    score: dict[str, Any]
    file: dict[str, Any]
    bundle: bytes


@dataclass
class History:
    """A worker's engagements, one in each block, and what was said of it after each block."""

    node: LiveNode
    client: Client
    given: dict[int, Given] = field(default_factory=dict)
    engagements: int = 0

    async def begin(self) -> None:
        world = self.node.world
        await self.submit(world.register("w"), *(world.register(f"c{n}") for n in range(5)))

    async def work(self, blocks: int) -> None:
        world = self.node.world
        for _ in range(blocks):
            at, self.engagements = self.engagements, self.engagements + 1
            await self.submit(world.open(f"e{at}", client=f"c{at % 5}"))
            world.time += DAY
            client = f"c{at % 5}"
            await self.submit(world.outcome(f"e{at}"), world.rating(f"e{at}", rater=client))

    async def submit(self, *records) -> None:
        answers = await self.client.submit_msgpack([(encode_record(r), b"") for r in records])
        assert all("id" in answer for answer in answers), answers
        self.given[self.node.certified.size] = Given(
            self.node.certified.height,
            await self.client.score(W),
            await self.client.file(W, limit="1000"),
            await self.client.bundle(W),
        )

    def held(self) -> list[int]:
        """The sizes of the checkpoints that are held, oldest first."""
        versions = self.node.state.index.versions()
        return [size for size, given in self.given.items() if given.height in versions]


@pytest.fixture
async def history(node, client) -> History:
    made = History(node, client)
    await made.begin()
    await made.work(5)
    return made


async def check_held(history: History, client: Client) -> None:
    policy = Policy.parse(await client.policy())
    for size in history.held():
        given = history.given[size]
        data = await client.bundle(W, size=str(size))
        verified = verify_bundle(data, policy)
        assert (verified.valid, verified.size) == (True, size), verified.steps
        assert data == given.bundle, "the very bytes that were given when it was the newest"
        assert await client.score(W, size=str(size)) == given.score
        assert await client.file(W, size=str(size), limit="1000") == given.file
        assert verified.answer.points == given.score["points"]


async def test_every_checkpoint_of_the_window_answers_as_it_did(history, client) -> None:
    """The window reaches over two epochs' ends, so over both copies of the platform's summary."""
    node = history.node
    assert node.state.height == 11
    assert node.state.index.versions() == list(range(4, 12))
    assert len(history.held()) == 8
    await check_held(history, client)
    assert len({history.given[size].score["probability_q16"] for size in history.held()}) > 2


async def test_pages_and_questions_are_of_that_checkpoint(history, client) -> None:
    size = history.held()[2]
    given = history.given[size]
    leaves, start = [], "0"
    while start is not None:
        page = await client.file(W, size=str(size), limit="2", **{"from": start})
        leaves += page["leaves"]
        start = None if page["next"] is None else str(page["next"])
    assert leaves == given.file["leaves"]
    assert all(leaf["log_index"] < size for leaf in leaves)
    time = given.score["checkpoint"]["time"]
    found = await client.score(W, size=str(size), as_of=str(time - 1), domain="software")
    assert (found["as_of"], found["checkpoint"]["size"]) == (time - 1, size)
    with pytest.raises(StandingError, match="as_of"):
        await client.score(W, size=str(size), as_of=str(time + 1))


async def test_other_sizes_are_refused_and_told_why(history, node, member) -> None:
    held = history.held()
    oldest, newest = held[0], held[-1]
    behind = [size for size in history.given if size < oldest]
    assert behind
    nearest = f"the nearest blocks end at {held[3]} and {held[4]} entries"
    cases = [
        *((str(size), 410, f"against checkpoints from {oldest} entries on") for size in behind),
        ("1", 410, "older states come by replay"),
        (str(oldest - 1), 410, f"from {oldest} entries on"),
        (str(held[4] - 1), 404, nearest),
        (str(newest + 1), 404, f"the newest has {newest}"),
        (str(2**53 - 1), 404, f"the newest has {newest}"),
        ("0", 400, "size"),
        ("-1", 400, "size"),
        ("01", 400, "size"),
        ("x", 400, "size"),
        ("", 400, "size"),
    ]
    for size, status, words in cases:
        for what in ("score", "file", "bundle"):
            async with member.get(f"/v1/subjects/{W}/{what}", params={"size": size}) as response:
                problem = await response.json(content_type=None)
                assert (response.status, words in json.dumps(problem)) == (status, True), problem


async def test_a_subject_is_unknown_at_checkpoints_before_its_register(
    history, node, client
) -> None:
    before = history.held()[-1]
    await history.submit(node.world.register("late"))
    late = f"p1:{handle('late').hex()}"
    assert (await client.file(late))["size"] == node.certified.size
    for ask in (client.score, client.file, client.bundle):
        with pytest.raises(StandingError, match=f"by the checkpoint of {before} entries"):
            await ask(late, size=str(before))


async def test_a_block_that_was_never_certified_has_no_checkpoint(history, node, client) -> None:
    size = history.held()[3]
    height = history.given[size].height
    node.world.store.write({CHECKPOINT + height.to_bytes(8): None})
    with pytest.raises(StandingError, match=f"no certified checkpoint has {size} entries"):
        await client.bundle(W, size=str(size))


async def test_a_restart_keeps_the_window(history, node) -> None:
    """Everything in memory is made anew from the rows."""
    again = live_node()
    again.world.store = node.world.store
    again.world.state = load(node.world.store, 128)
    again.tracking._notary = Notary(again.origin, key_of(1, "log"), node.world.store)
    again.tracking.certificate = again.tracking._notary.newest()
    assert again.certified == node.certified
    history.node = again
    assert len(history.held()) == 8
    async with (
        TestServer(make_app(again)) as server,
        Client(str(server.make_url("/")), BOTH) as client,
    ):
        await check_held(history, client)


async def test_answers_hold_while_blocks_are_applied(history, node, client) -> None:
    """Readers of old checkpoints and blocks that push the window on, in turns as they come."""
    policy = Policy.parse(await client.policy())
    done = asyncio.Event()
    verified, refused = 0, list[str]()

    async def read(nth: int) -> None:
        nonlocal verified
        while not done.is_set():
            held = history.held()
            size = held[nth % len(held)]
            try:
                data = await client.bundle(W, size=str(size))
                found = await client.score(W, size=str(size))
            except StandingError as error:
                refused.append(str(error))
                continue
            assert data == history.given[size].bundle
            assert verify_bundle(data, policy).size == size
            assert found == history.given[size].score
            verified += 1

    async def write() -> None:
        await history.work(8)
        done.set()

    await asyncio.gather(write(), *(read(nth) for nth in range(4)))
    assert verified > 8
    assert all("is not held" in why for why in refused)
    await check_held(history, client)


async def test_nothing_is_answered_when_the_quorum_lags_behind_the_window() -> None:
    node = live_node(window_blocks=3)
    async with (
        TestServer(make_app(node)) as server,
        Client(str(server.make_url("/")), BOTH) as client,
        ClientSession(headers={"Authorization": f"Bearer {BOTH}"}) as session,
    ):
        history = History(node, client)
        await history.begin()
        await history.work(1)
        assert len(history.held()) == 3
        for _ in range(2):
            node.world.run(lane=2)
        assert (await client.score(W))["checkpoint"]["height"] == node.state.height - 2
        node.world.run(lane=2)
        for what in ("score", "file", "bundle"):
            for query in ({}, {"size": str(node.certified.size)}):
                url = server.make_url(f"/v1/subjects/{W}/{what}").with_query(query)
                async with session.get(url) as response:
                    problem = await response.json(content_type=None)
                assert (response.status, response.headers["Retry-After"]) == (503, "1")
                assert "behind the window" in problem["detail"]
        await history.work(1)
        await check_held(history, client)


async def test_a_long_file_is_scored_at_an_older_checkpoint(history, client, monkeypatch) -> None:
    """In a thread; and refused if the window has passed the checkpoint meanwhile."""
    monkeypatch.setattr("node.api.subjects.LONG_FILE_LEAVES", 0)
    size = history.held()[1]
    assert await client.score(W, size=str(size)) == history.given[size].score
    to_thread = asyncio.to_thread

    async def slow(*call):
        found = await to_thread(*call)
        for _ in range(EPOCH_BLOCKS):
            history.node.world.run(lane=2)
        return found

    monkeypatch.setattr("node.api.subjects.asyncio.to_thread", slow)
    with pytest.raises(StandingError, match="is not held"):
        await client.score(W, size=str(size), role="client")
