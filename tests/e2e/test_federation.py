"""Four nodes as four processes: one ledger, a killed node, a lost quorum."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeVar

import pytest
import pytest_asyncio

from ledger.checkpoint import Checkpoint, Policy, verify_checkpoint_strict
from ledger.errors import StandingError
from ledger.records import encode_record
from ledger.records.subject import SubjectRegister
from node.client import Client
from node.federation import Federation, create, free_ports_from

pytestmark = pytest.mark.asyncio(loop_scope="module")

T = TypeVar("T")
CODES = ("a", "b", "c", "d")
Pair = tuple[bytes, bytes]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def federation(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Federation]:
    folder = tmp_path_factory.mktemp("federation") / "net"
    base = free_ports_from(random.randrange(20_000, 30_000, 10), 4)
    peers = free_ports_from(base + 100, 4)
    create(folder, CODES, api_port=base, peer_port=peers)
    async with Federation.at(folder) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def clients(federation: Federation) -> AsyncIterator[list[Client]]:
    async with AsyncExitStack() as stack:
        made = [Client(seat.url, seat.token) for seat in federation.seats]
        yield [await stack.enter_async_context(client) for client in made]


def _register(platform: int) -> Pair:
    now_ms = time.time_ns() // 1_000_000
    return encode_record(SubjectRegister(platform, now_ms, os.urandom(32), b"", "none")), b""


async def _until(ask: Callable[[], Awaitable[T]], done: Callable[[T], bool], limit_s: float) -> T:
    """Ask again until the answer will do; bounded."""
    async with asyncio.timeout(limit_s):
        while not done(answer := await ask()):  # noqa: ASYNC110 - another process, over HTTP
            await asyncio.sleep(0.05)
        return answer


async def _checkpoints(clients: list[Client]) -> list[Checkpoint]:
    """Each node's checkpoint, verified under its own policy: q cosignatures, exactly."""
    found = []
    for client in clients:
        policy = Policy.parse(await client.policy())
        assert policy.quorum == 3
        found.append(verify_checkpoint_strict(await client.checkpoint(), policy))
    return found


def _all_equal(checkpoints: list[Checkpoint]) -> bool:
    return len(set(checkpoints)) == 1


async def test_four_nodes_serve_one_root_with_a_quorum_of_cosignatures(
    federation: Federation, clients: list[Client]
) -> None:
    assert len(federation.seats) == 4
    answers = await asyncio.gather(
        *(
            client.submit_msgpack([_register(number) for _ in range(50)])
            for number, client in enumerate(clients, 1)
        )
    )
    for client, answer in zip(clients, answers, strict=True):
        assert {each["state"] for each in answer} == {"durable"}
        states = await client.wait_final([each["id"] for each in answer], timeout_s=30)
        assert set(states) == {("final", "")}
    checkpoints = await _until(lambda: _checkpoints(clients), _all_equal, 20)
    assert checkpoints[0].size > 200


class _Feeder:
    """Hands records to one node without end and keeps what was acknowledged."""

    def __init__(self, number: int, client: Client) -> None:
        self.number, self.client = number, client
        self.acknowledged: list[tuple[str, Pair]] = []
        self.under_way: list[Pair] = []

    async def run(self) -> None:
        while True:
            self.under_way = [_register(self.number) for _ in range(40)]
            try:
                answers = await self.client.submit_msgpack(self.under_way)
            except StandingError:
                return  # the node is gone
            for answer, pair in zip(answers, self.under_way, strict=True):
                if "id" in answer:
                    self.acknowledged.append((answer["id"], pair))
            self.under_way = []


async def test_a_killed_node_loses_nothing_and_the_others_go_on(
    federation: Federation, clients: list[Client]
) -> None:
    feeders = [_Feeder(number, client) for number, client in enumerate(clients, 1)]
    tasks = [asyncio.create_task(feeder.run()) for feeder in feeders]
    killed = feeders[1]
    try:
        await _until(_value(killed.acknowledged), lambda got: len(got) >= 400, 30)
        federation.kill("b")
        (answer,) = await clients[0].submit_msgpack([_register(1)])
        states = await clients[0].wait_final([answer["id"]], timeout_s=5)
        assert states == [("final", "")]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    federation.start("b")
    await federation.wait_ready(["b"])
    for feeder in feeders:
        ids = [record_id for record_id, _ in feeder.acknowledged]
        states = await feeder.client.wait_final(ids, timeout_s=60)
        assert set(states) == {("final", "")}
    await _until(lambda: _checkpoints(clients), _all_equal, 30)
    await _check_retries(killed)


def _value(value: T) -> Callable[[], Awaitable[T]]:
    async def ask() -> T:
        return value

    return ask


async def _check_retries(killed: _Feeder) -> None:
    """What was acknowledged gets its first receipt again; what was not is in once, not twice."""
    again = await killed.client.submit_msgpack([pair for _, pair in killed.acknowledged])
    assert [each["id"] for each in again] == [record_id for record_id, _ in killed.acknowledged]
    assert all(each.get("duplicate") for each in again)
    first = await killed.client.submit_msgpack(killed.under_way)
    second = await killed.client.submit_msgpack(killed.under_way)
    assert [each["id"] for each in first] == [each["id"] for each in second]
    states = await killed.client.wait_final([each["id"] for each in first], timeout_s=30)
    assert set(states) <= {("final", "")}


async def test_with_two_down_nothing_is_final_and_nothing_is_lost(
    federation: Federation, clients: list[Client]
) -> None:
    await _until(lambda: _checkpoints(clients), _all_equal, 20)
    federation.kill("c")
    federation.kill("d")
    alive = clients[:2]
    before = await _checkpoints(alive)
    answers = [
        answer
        for number, client in enumerate(alive, 1)
        for answer in await client.submit_msgpack([_register(number) for _ in range(20)])
    ]
    ids = [answer["id"] for answer in answers]
    states = await alive[0].wait_final(ids[:20], timeout_s=2)
    assert set(states) == {("durable", "")}
    assert await _checkpoints(alive) == before
    federation.start("c")
    federation.start("d")
    await federation.wait_ready(["c", "d"])
    assert set(await alive[0].wait_final(ids[:20], timeout_s=60)) == {("final", "")}
    assert set(await alive[1].wait_final(ids[20:], timeout_s=60)) == {("final", "")}
    checkpoints = await _until(lambda: _checkpoints(clients), _all_equal, 30)
    assert checkpoints[0].size > before[0].size


async def test_all_stop_cleanly_and_go_on_where_they_were(
    federation: Federation, clients: list[Client]
) -> None:
    before = (await _until(lambda: _checkpoints(clients), _all_equal, 20))[0]
    await federation.stop()
    await federation.start_all()
    after = await _until(lambda: _checkpoints(clients), _all_equal, 20)
    assert after[0].size >= before.size
    (answer,) = await clients[2].submit_msgpack([_register(3)])
    assert await clients[2].wait_final([answer["id"]], timeout_s=30) == [("final", "")]
