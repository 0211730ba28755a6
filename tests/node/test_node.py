"""One whole node in this process: a network of one, from its configuration to final records."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.bundle import verify_bundle
from ledger.checkpoint import Policy, verify_checkpoint_strict
from ledger.errors import Malformed, Misconfigured, StandingError, StoreDamaged
from ledger.records import decode_record, encode_record
from ledger.records.subject import SubjectRegister
from ledger.rows import HEAD_KEY
from node.bounds import BOUNDS
from node.client import Client
from node.compose import Node, build
from node.config import Address, Config, load_config
from node.intake import Accepted, Duplicate, Offer
from node.network import found_network
from node.storage.leveldb import LevelStore


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return _config(tmp_path / "net")


def _config(folder: Path) -> Config:
    found_network(folder, ["a"], origin="test.example/log", api_port=1_000, peer_port=2_000)
    anywhere = Address("127.0.0.1", 0)
    return replace(
        load_config(folder / "a" / "node.toml"), api_listen=anywhere, peers_listen=anywhere
    )


@asynccontextmanager
async def _running(config: Config) -> AsyncIterator[Node]:
    node = await build(config)
    try:
        await node.start()
        yield node
    finally:
        await node.stop()


def _offers(count: int) -> list[Offer]:
    now_ms = time.time_ns() // 1_000_000
    records = [SubjectRegister(1, now_ms, os.urandom(32), b"", "none") for _ in range(count)]
    return [Offer(encode_record(each), b"") for each in records]


async def test_records_become_final_and_outlive_a_restart(config: Config) -> None:
    offers = _offers(30)
    async with _running(config) as node:
        with node.events.listen() as listening:
            results = await node.submit(offers)
            ids = [each.record_id for each in results if isinstance(each, Accepted)]
            assert len(ids) == 30
            statuses = await node.wait_final(ids, 20)
            event = await asyncio.wait_for(listening.next(), 5)
        assert event is not None
        assert event.height >= 1
        assert {each.state for each in statuses} == {"final"}
        assert [each.position for each in statuses] == list(range(30))
        assert node.status(b"?" * 32) is None
        with pytest.raises(Malformed):
            await node.wait_final([b"?" * 32], 0.1)
        certified = node.certified
        assert certified is not None
        shown = verify_checkpoint_strict(certified.note, Policy.parse(node.policy_text))
        assert (shown.size, shown.root) == (certified.size, certified.root)
        assert node.state.size == certified.size
        assert (await node.handles("subject", ["ann"]))[0] == node.handle_of("ann")
    async with _running(config) as node:
        assert node.certified == certified
        assert await node.submit(offers) == [Duplicate(record_id) for record_id in ids]
        assert {each.state for each in await node.wait_final(ids, 20)} == {"final"}


async def test_older_checkpoints_are_proven_while_blocks_come_and_after_a_restart(
    tmp_path: Path, config: Config
) -> None:
    """Over HTTP: each checkpoint's bundle, asked for later, is the one given at its time."""
    token = (tmp_path / "net" / "a" / "token").read_text().strip()
    [first] = _offers(1)
    handle = decode_record(first.record).handle
    subject = f"a:{handle.hex()}"
    given: dict[int, bytes] = {}

    async def check(client: Client, sizes: Sequence[int]) -> None:
        policy = Policy.parse(await client.policy())
        for size in sizes:
            data = await client.bundle(subject, size=str(size))
            verified = verify_bundle(data, policy)
            assert (verified.valid, verified.size) == (True, size)
            assert data == given[size]
            assert (await client.score(subject, size=str(size)))["checkpoint"]["size"] == size

    async with _running(config) as node, _client(node, token) as client:
        await _finally(node, [first])
        for _ in range(6):
            data = await client.bundle(subject)
            given[verify_bundle(data, Policy.parse(node.policy_text)).size or 0] = data
            await asyncio.gather(_finally(node, _offers(300)), check(client, list(given)))
        assert len(given) == 6
        await check(client, list(given))
    async with _running(config) as node, _client(node, token) as client:
        assert node.state.index.versions() == list(range(node.state.height + 1))
        await check(client, list(given))
        with pytest.raises(StandingError, match="no certified checkpoint has"):
            await client.bundle(subject, size=str(max(given) - 1))


def _client(node: Node, token: str) -> Client:
    host, port = node.api_address
    return Client(f"http://{host}:{port}", token)


async def _finally(node: Node, offers: list[Offer]) -> None:
    results = await node.submit(offers)
    ids = [each.record_id for each in results if isinstance(each, Accepted)]
    assert len(ids) == len(offers)
    assert {each.state for each in await node.wait_final(ids, 20)} == {"final"}


async def test_a_store_that_contradicts_itself_refuses_to_start(config: Config) -> None:
    async with _running(config) as node:
        (result,) = await node.submit(_offers(1))
        assert isinstance(result, Accepted)
        await node.wait_final([result.record_id], 20)
    store = LevelStore(config.data, BOUNDS, lambda run: run())
    store.submit({HEAD_KEY: None})
    store.close()
    with pytest.raises(StoreDamaged, match="meta row head"):
        await build(config)


async def test_another_networks_store_or_keys_are_refused(tmp_path: Path, config: Config) -> None:
    async with _running(config):
        pass
    other = _config(tmp_path / "other")
    with pytest.raises(Misconfigured, match="another network"):
        await build(replace(other, data=config.data))
    with pytest.raises(Misconfigured, match="belongs to no platform"):
        await build(replace(config, keys=other.keys))


async def test_a_taken_port_is_named(config: Config) -> None:
    async with _running(config) as node:
        taken = Address(*node.api_address)
        second = await build(replace(config, data=config.data.parent / "d2", api_listen=taken))
        try:
            with pytest.raises(Misconfigured, match=r"api\.listen"):
                await second.start()
        finally:
            await second.stop()
