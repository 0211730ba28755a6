"""Faults of real processes, in quick form: each test has the name of its scenario. (A wiped store
is in test_amnesia.py; the same faults stand on the virtual clock in tests/simulation.)

All share one federation, whose links go through relays. After each test every node is up and has
the same certified checkpoint, and whatever was acknowledged is final.
"""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

import plyvel
import pytest
import pytest_asyncio

from ledger.errors import StandingError
from ledger.records import encode_record
from ledger.records.subject import SubjectRegister
from ledger.store import LEAF, after
from node.bench import measure
from node.client import Client
from node.federation import Federation, create, free_ports_from
from tests.e2e.cuts import Cuts

pytestmark = pytest.mark.asyncio(loop_scope="module")

T = TypeVar("T")
CODES = ("a", "b", "c", "d")
FREEZE_S = 8.5  # longer than it takes until heartbeats have ended the links
NEWER = """
import msgspec
from ledger.encoding import encode
from node.links import link, wire
link.encode_hello = lambda hello: bytes([wire.HELLO]) + encode(
    [wire.VERSION + {version}, *msgspec.structs.astuple(hello)[1:-1], {minor}, "standing 9.9"]
)
from node.cli import main
main()
"""
"""A node of another version: so it says in its hello, and appends what nobody else knows."""


class World:
    """The federation, its links' relays, and what was acknowledged."""

    def __init__(self, federation: Federation, cuts: Cuts, clients: dict[str, Client]) -> None:
        self.federation, self.cuts, self.clients = federation, cuts, clients
        self.acknowledged: list[tuple[str, str]] = []

    async def hand_in(self, codes: str, count: int = 20) -> list[tuple[str, str]]:
        """Hand records in at these nodes; (code, id) of those that were acknowledged."""
        made = []
        for code in codes:
            number = self.federation.seat(code).number
            answers = await self.clients[code].submit_msgpack(
                [_record(number) for _ in range(count)]
            )
            made += [(code, each["id"]) for each in answers if "id" in each]
        self.acknowledged += made
        return made

    async def are_final(self, records: Sequence[tuple[str, str]], limit_s: int = 40) -> None:
        """Wait until all of these are final, as the nodes that took them tell."""
        for code in sorted({code for code, _ in records}):
            ids = [each for owner, each in records if owner == code]
            states = await self.clients[code].wait_final(ids, timeout_s=limit_s)
            assert set(states) == {("final", "")}, code

    async def height(self, code: str) -> int:
        checkpoint = (await self.clients[code].network())["checkpoint"]
        return int(checkpoint["height"]) if checkpoint else 0

    async def settle(self) -> None:
        """All are ready and agree; all that was acknowledged is final."""
        await self.federation.wait_ready()
        await self.are_final(self.acknowledged)
        async with asyncio.timeout(40):
            while len({await self._tree(code) for code in CODES}) > 1:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def _tree(self, code: str) -> str:
        checkpoint = (await self.clients[code].network())["checkpoint"]
        return f"{checkpoint['size']} {checkpoint['root']}" if checkpoint else code

    def signal(self, codes: str, number: signal.Signals) -> None:
        for code in codes:
            pid = self.federation.pid(code)
            assert pid is not None
            os.kill(pid, number)

    @contextlib.contextmanager
    def frozen(self, codes: str) -> Iterator[None]:
        self.signal(codes, signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(codes, signal.SIGCONT)

    async def refusals(self, code: str, peer: str, reason: str) -> float:
        labels = {"peer": str(self.federation.seat(peer).number), "reason": reason}
        text = await self.clients[code].metrics()
        return measure.counter(text, "standing_peer_refusals_total", labels)

    def start_as(self, code: str, *, version: int = 0, minor: int = 7) -> None:
        """Start a node whose hello tells of another version; as `Federation.start`."""
        seat = self.federation.seat(code)
        program = NEWER.format(version=version, minor=minor)
        with seat.log.open("ab") as log:
            self.federation._processes[code] = subprocess.Popen(
                [sys.executable, "-P", "-c", program, "node", "run", str(seat.config_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def _record(number: int) -> tuple[bytes, bytes]:
    now_ms = time.time_ns() // 1_000_000
    return encode_record(SubjectRegister(number, now_ms, os.urandom(32), b"", "none")), b""


async def _until(ask: Callable[[], Awaitable[T]], done: Callable[[T], bool], limit_s: float) -> T:
    async with asyncio.timeout(limit_s):
        while not done(answer := await ask()):  # noqa: ASYNC110 - another process, over HTTP
            await asyncio.sleep(0.05)
        return answer


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("faults") / "net"
    base = free_ports_from(random.randrange(20_000, 30_000, 10), 4)
    create(folder, CODES, api_port=base, peer_port=free_ports_from(base + 100, 4))
    async with Cuts(folder, CODES, base + 200) as cuts, AsyncExitStack() as stack:
        federation = await stack.enter_async_context(Federation.at(folder))
        clients = {
            seat.code: await stack.enter_async_context(Client(seat.url, seat.token))
            for seat in federation.seats
        }
        yield World(federation, cuts, clients)


@pytest_asyncio.fixture(loop_scope="module")
async def world(shared: World) -> AsyncIterator[World]:
    yield shared
    shared.federation.check_alive()
    await shared.settle()
    await shared.are_final(await shared.hand_in("abcd", 2))


async def test_leader_silent(world: World) -> None:
    """A process that stands still keeps its links for a while, and leads every fourth view."""
    with world.frozen("d"):
        for _ in range(6):
            await world.are_final(await world.hand_in("abc"))


async def test_partition_2_2_then_heal(world: World) -> None:
    await world.cuts.cut("ab", "cd")
    records = await world.hand_in("abcd")
    heights = [await world.height(code) for code in CODES]
    for code in CODES:
        states = await world.clients[code].wait_final(
            [each for owner, each in records if owner == code], timeout_s=1
        )
        assert set(states) == {("durable", "")}, "neither half has a quorum"
    world.cuts.heal()
    await world.are_final(records)
    assert min([await world.height(code) for code in CODES]) > min(heights)


async def test_crash_after_send_before_apply(world: World) -> None:
    """Killed as soon as it has acknowledged: the batch is on its way, and nothing is executed."""
    for code in "bc":
        records = await world.hand_in(code, 200)
        world.federation.kill(code)
        await world.are_final(await world.hand_in("ad"))
        world.federation.start(code)
        await world.federation.wait_ready([code])
        await world.are_final(records)


async def test_all_nodes_crash_after_nullify_restart(world: World) -> None:
    """A dead leader's views are nullified; then all are killed at once, under load."""
    world.federation.kill("d")
    for _ in range(8):
        await world.are_final(await world.hand_in("abc", 5))
    await world.hand_in("abc", 100)
    for code in "abc":
        world.federation.kill(code)
    for code in CODES:
        world.federation.start(code)
    await world.federation.wait_ready()
    await world.are_final(world.acknowledged)


async def test_freeze_two_nodes_long_then_resume(world: World) -> None:
    with world.frozen("cd"):
        records = await world.hand_in("ab")
        await asyncio.sleep(FREEZE_S)
        states = await world.clients["a"].wait_final([records[0][1]], timeout_s=1)
        assert states == [("durable", "")]
    await world.are_final(records + await world.hand_in("abcd"))


async def test_long_offline_catch_up(world: World) -> None:
    world.federation.kill("c")
    for _ in range(10):
        await world.are_final(await world.hand_in("abd", 100))
    height = await world.height("a")
    world.federation.start("c")
    await world.federation.wait_ready(["c"])
    await _until(lambda: world.height("c"), lambda reached: reached >= height, 40)


async def test_mixed_version_rolling_upgrade(world: World) -> None:
    """A later minor version comes in node by node while records flow; another protocol version is
    refused at hello, counted, and harms nobody."""
    for code in "bd":
        world.federation.kill(code)
        world.start_as(code)
        await world.are_final(await world.hand_in("ac"))
        await world.federation.wait_ready([code])
        await world.are_final(await world.hand_in("abcd"))
    world.federation.kill("d")
    world.start_as("d", version=1)
    await _until(lambda: world.refusals("a", "d", "hello"), lambda count: count > 0, 20)
    await world.are_final(await world.hand_in("abc"))
    with pytest.raises(StandingError):
        await world.federation.wait_ready(["d"], timeout_s=1)
    for code in "bd":
        world.federation.kill(code)
        world.federation.start(code)


async def test_auditor_finds_flipped_bit_and_exits_nonzero(world: World, tmp_path: Path) -> None:
    await world.are_final(await world.hand_in("abcd"))
    policy = tmp_path / "policy"
    policy.write_text(await world.clients["a"].policy())
    world.federation.kill("b")
    copy = tmp_path / "data"
    shutil.copytree(world.federation.seat("b").config.data, copy)
    world.federation.start("b")
    assert await _audit(copy, policy) == 0
    with plyvel.DB(str(copy)) as database:
        rows = list(database.iterator(start=LEAF, stop=after(LEAF)))
        key, value = random.Random(1).choice(rows)
        at = len(value) // 2
        database.put(key, value[:at] + bytes([value[at] ^ 4]) + value[at + 1 :])
    assert await _audit(copy, policy) == 1


async def _audit(folder: Path, policy: Path) -> int:
    command = [sys.executable, "-P", "-m", "node", "audit", str(folder), "--policy", str(policy)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    async with asyncio.timeout(40):
        return await process.wait()
