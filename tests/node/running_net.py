"""A network of whole nodes in this process, over real sockets: what they do together."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from ledger.governance_rows import ChangeRow
from ledger.governing import read_open
from ledger.records import Record, encode_record
from ledger.records.membership import MemberApprove
from ledger.records.subject import SubjectRegister
from ledger.store import Reader
from node.compose import Node, build
from node.config import load_config
from node.federation import free_ports_from
from node.intake import Accepted, Offer, Result, Sent
from node.network import found_network

LIMIT_S = 30.0


async def until(holds: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    """Poll until something holds."""
    async with asyncio.timeout(limit_s):
        while not holds():  # noqa: ASYNC110 - several nodes, and no one event
            await asyncio.sleep(0.01)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def register(platform: int) -> Offer:
    record = SubjectRegister(platform, now_ms(), os.urandom(32), b"", "none")
    return Offer(encode_record(record), b"")


def _about(reader: Reader, number: int) -> list[ChangeRow]:
    return [row for _, row in read_open(reader) if row.number == number]


class Net:
    """The nodes of one folder by code; each may be stopped and started again."""

    def __init__(self, folder: Path, codes: Sequence[str], epoch_blocks: int = 2) -> None:
        self.folder, self.codes = folder, tuple(codes)
        self.base = free_ports_from(random.randrange(20_000, 30_000, 50), 2 * len(codes) + 10)
        found_network(
            folder,
            list(codes),
            origin="t.example/log",
            api_port=self.base,
            peer_port=self.base + len(codes),
            epoch_blocks=epoch_blocks,
        )
        self.nodes: dict[str, Node] = {}

    def free_port(self, nth: int) -> int:
        """A port beyond those of the members."""
        return self.base + 2 * len(self.codes) + nth

    async def start(self, *codes: str, home: Path | None = None) -> Node:
        """Build and start these nodes (or one, from another folder); the last one."""
        for code in codes:
            node = await build(load_config((home or self.folder / code) / "node.toml"))
            self.nodes[code] = node
            await node.start()
        return node

    async def stop(self, *codes: str) -> None:
        """Stop these."""
        await asyncio.gather(*(self.nodes.pop(code).stop() for code in codes))

    async def ready(self, *codes: str) -> None:
        await until(lambda: all(self.nodes[code].ready for code in codes or self.nodes))

    async def final(self, code: str, *records: Record, count: int = 0) -> list[bytes]:
        """These records, and so many registrations, are final at a node; their ids."""
        node = self.nodes[code]
        offers = [Offer(encode_record(each), b"") for each in records]
        results = await node.submit([*offers, *(register(node.number) for _ in range(count))])
        ids = [each.record_id for each in results if isinstance(each, Accepted)]
        assert len(ids) == len(results), results
        states = await node.wait_final(ids, LIMIT_S)
        assert {(each.state, each.rule) for each in states} == {("final", "")}, states
        return ids

    async def carried(self, code: str, offer: Offer) -> Result:
        """Hand in a record that may come through any lane."""
        (result,) = await self.nodes[code].submit([offer])
        assert isinstance(result, Accepted | Sent), result
        return result

    async def approve(self, *codes: str, number: int) -> None:
        """These approve the one open change about a platform."""
        for code in codes:
            node = self.nodes[code]
            await until(lambda reader=node.reader: bool(_about(reader, number)))  # type: ignore[misc]
            (change,) = _about(node.reader, number)
            if node.number not in {each.number for each in change.approvals}:
                await self.final(code, MemberApprove(node.number, now_ms(), change.commitment))

    async def pass_epochs(self, code: str, holds: Callable[[], bool]) -> None:
        """Hand in records until something holds."""

        async def feed() -> None:
            node = self.nodes[code]
            while True:  # (it is busy while its own keys change)
                (result,) = await node.submit([register(node.number)])
                if isinstance(result, Accepted):
                    await node.wait_final([result.record_id], LIMIT_S)
                await asyncio.sleep(0.01)

        task = asyncio.create_task(feed())
        try:
            await until(lambda: holds() or task.done())
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert holds(), task

    def same(self, *codes: str) -> bool:
        """Whether these have certified one checkpoint."""
        found = {
            None if (certified := self.nodes[code].certified) is None else certified.root
            for code in codes or self.nodes
        }
        return len(found) == 1 and None not in found


@asynccontextmanager
async def running(folder: Path, codes: Sequence[str], epoch_blocks: int = 2) -> AsyncIterator[Net]:
    """A network whose nodes all run and are ready."""
    net = Net(folder, codes, epoch_blocks)
    try:
        await net.start(*codes)
        await net.ready()
        yield net
    finally:
        await net.stop(*net.nodes)


async def wait_for(ask: Callable[[], Awaitable[bool]], limit_s: float = LIMIT_S) -> None:
    """Ask again until the answer is yes."""
    async with asyncio.timeout(limit_s):
        while not await ask():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
