"""Real processes: a node whose folder was wiped, or restored from a backup, never signs again.

The others go on, nobody's store has evidence of a contradiction, and the node follows and serves.
"""

import asyncio
import os
import random
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import aiohttp
import plyvel
import pytest

from consensus.safety import EVIDENCE, FINAL
from ledger.records import encode_record
from ledger.records.subject import SubjectRegister
from node.client import Client
from node.federation import Federation, create, free_ports_from

T = TypeVar("T")
CODES = ("a", "b", "c", "d")


def records(platform: int, count: int) -> list[tuple[bytes, bytes]]:
    now_ms = time.time_ns() // 1_000_000
    made = (SubjectRegister(platform, now_ms, os.urandom(32), b"", "none") for _ in range(count))
    return [(encode_record(each), b"") for each in made]


async def until(ask: Callable[[], Awaitable[T]], done: Callable[[T], bool], limit_s: float) -> T:
    async with asyncio.timeout(limit_s):
        while not done(answer := await ask()):  # noqa: ASYNC110 - another process, over HTTP
            await asyncio.sleep(0.05)
        return answer


async def make_final(federation: Federation, codes: str, count: int = 20) -> None:
    """Each of these platforms has records that all become final."""
    for code in codes:
        seat = federation.seat(code)
        async with Client(seat.url, seat.token) as client:
            answers = await client.submit_msgpack(records(seat.number, count))
            states = await client.wait_final([each["id"] for each in answers], timeout_s=30)
            assert set(states) == {("final", "")}


async def readiness(federation: Federation, code: str) -> tuple[int, str]:
    url = f"{federation.seat(code).url}/readyz"
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()
    except aiohttp.ClientError:
        return 0, ""


async def newest_height(federation: Federation, code: str) -> tuple[int, bool]:
    seat = federation.seat(code)
    async with Client(seat.url, seat.token) as client:
        told = await client.network()
    checkpoint = told["checkpoint"]
    return (checkpoint["height"] if checkpoint else 0), bool(told["forgotten"])


def rows_of(federation: Federation, prefix: bytes) -> int:
    """How many rows of a prefix the stopped nodes' stores have."""
    count = 0
    for seat in federation.seats:
        database = plyvel.DB(str(seat.config.data))
        with database.iterator(prefix=prefix, include_value=False) as keys:
            count += sum(1 for _ in keys)
        database.close()
    return count


@pytest.mark.parametrize("loss", ["wiped", "restored"])
async def test_amnesia_wiped_node_or_old_backup(loss: str, tmp_path: Path) -> None:
    base = free_ports_from(random.randrange(20_000, 30_000, 10), 4)
    create(tmp_path / "net", CODES, api_port=base, peer_port=free_ports_from(base + 100, 4))
    async with Federation.at(tmp_path / "net") as federation:
        data = federation.seat("c").config.data
        await make_final(federation, "abcd")
        federation.kill("c")
        shutil.copytree(data, tmp_path / "backup")
        federation.start("c")
        await federation.wait_ready(["c"])  # a whole store signs again
        await make_final(federation, "abcd")
        federation.kill("c")
        shutil.rmtree(data)
        if loss == "restored":
            shutil.copytree(tmp_path / "backup", data)
        for _ in range(2):  # the second time, its own store says so
            federation.start("c")
            status, said = await until(
                lambda: readiness(federation, "c"), lambda told: "never sign" in told[1], 30
            )
            assert status == 503
            assert "root key" in said
            await make_final(federation, "abd")
            height, _ = await newest_height(federation, "a")
            _, forgotten = await until(
                lambda: newest_height(federation, "c"),
                lambda told, height=height: told[0] >= height,  # type: ignore[misc]
                30,
            )
            assert forgotten
            federation.kill("c")
        assert "never sign again" in federation.seat("c").log.read_text()
    assert rows_of(federation, FINAL) > 0
    assert rows_of(federation, EVIDENCE) == 0
