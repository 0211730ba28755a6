"""Two whole nodes: one loses its store, and takes from the other what remains of erased records."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.erasure_rows import ErasureRow, erasure_key
from ledger.replay import ReaderSource, replay
from ledger.rows import need_row
from ledger.store import RESIDUE, SUBMISSION, after
from node.bounds import BOUNDS
from node.compose import Node, build
from node.config import Address, Config, load_config
from node.network import found_network
from tests.node.test_eraser import ANN, GONE, erasure_of, final, tell


@pytest.fixture
def configs(tmp_path: Path) -> list[Config]:
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in (one, two)]
    folder = tmp_path / "net"
    found_network(folder, ["a", "b"], origin="test.example/log", api_port=1_000, peer_port=2_000)
    at = {code: Address("127.0.0.1", port) for code, port in zip("ab", ports, strict=True)}
    return [
        replace(
            load_config(folder / code / "node.toml"),
            api_listen=Address("127.0.0.1", 0),
            peers_listen=at[code],
            peer_addresses={other: address for other, address in at.items() if other != code},
        )
        for code in "ab"
    ]


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[Node]:
    node = await build(config, BOUNDS)
    try:
        await node.start()
        yield node
    finally:
        await node.stop()


def rows(node: Node, prefix: bytes) -> dict[bytes, bytes]:
    return dict(node.reader.scan(prefix, after(prefix)))


async def until(done: Callable[[], bool]) -> None:
    for _ in range(4_000):
        if done():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


def acks(node: Node, erasure: int) -> int:
    row = node.reader.get(erasure_key(erasure))
    return 0 if row is None else len(need_row(node.reader, ErasureRow, erasure_key(erasure)).acks)


async def test_a_lost_store_is_filled_with_what_remains(configs: list[Config]) -> None:
    async with running(configs[0]) as a:
        async with running(configs[1]) as b:
            await until(lambda: a.ready and b.ready)
            told = await tell(a)
            [taken] = await final(a, [erasure_of(a, told.handles[ANN])])
            place = a.status(taken)
            assert place is not None
            assert place.log_index is not None
            erasure = place.log_index
            await until(lambda: acks(a, erasure) == acks(b, erasure) == 2)
            height = b.state.height
        shutil.rmtree(configs[1].data)
        async with running(configs[1]) as b:
            await until(lambda: b.state.height >= height)
            assert len(rows(b, RESIDUE)) == len(GONE)
            assert rows(b, RESIDUE) == rows(a, RESIDUE)
            assert rows(b, SUBMISSION) == rows(a, SUBMISSION)
            assert acks(b, erasure) == 2
            steps = replay(b.genesis, ReaderSource(b.reader), stored=b.reader, until=height)
            assert [each for step in steps for each in step.findings] == []
