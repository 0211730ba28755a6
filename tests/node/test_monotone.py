"""A node's checkpoints only grow and continue each other, across stops and across a kill -9."""

import asyncio
import os
import random
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from ledger import merkle
from ledger.checkpoint import Checkpoint, verify_checkpoint_strict
from ledger.policy import Policy
from ledger.records import encode_record
from ledger.records.subject import SubjectRegister
from node.client import Client
from node.compose import build
from node.config import Address, load_config
from node.federation import Federation, create, free_ports_from
from node.intake import Offer
from node.network import found_network
from node.publiclog import PublicLog


def records(count: int) -> list[bytes]:
    now_ms = time.time_ns() // 1_000_000
    return [
        encode_record(SubjectRegister(1, now_ms, os.urandom(32), b"", "none")) for _ in range(count)
    ]


def check_growth(seen: list[Checkpoint], log: PublicLog) -> None:
    """Each checkpoint that was seen is the beginning of the newest, and none is smaller than one
    that was seen before it."""
    assert [each.size for each in seen] == sorted(each.size for each in seen)
    for earlier in seen:
        proof = log.consistency(earlier.size, seen[-1].size)
        merkle.verify_consistency(earlier.size, seen[-1].size, earlier.root, seen[-1].root, proof)


async def test_checkpoints_grow_across_restarts(tmp_path: Path) -> None:
    found_network(tmp_path / "net", ["a"], origin="t.example/log", api_port=1_000, peer_port=2_000)
    anywhere = Address("127.0.0.1", 0)
    config = load_config(tmp_path / "net" / "a" / "node.toml")
    config = replace(config, api_listen=anywhere, peers_listen=anywhere)
    notes: list[bytes] = []
    seen: list[Checkpoint] = []
    for _ in range(3):
        node = await build(config)
        await node.start()
        try:
            policy = Policy.parse(node.policy_text)
            if notes:
                assert node.certified.note == notes[-1]  # the very line that was given before
            for _ in range(3):
                results = await node.submit([Offer(each, b"") for each in records(5)])
                await node.wait_final([each.record_id for each in results], 20)
                notes.append(node.certified.note)
                seen.append(verify_checkpoint_strict(notes[-1], policy))
            bounds = node.genesis.foundation.bounds
            check_growth(seen, PublicLog(node.reader, node.origin, bounds.epoch_blocks))
        finally:
            await node.stop()
    assert len({each.size for each in seen}) == 9


async def test_a_new_store_serves_no_checkpoint_before_it_knows_how_far_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_network(tmp_path / "net", ["a"], origin="t.example/log", api_port=1_000, peer_port=2_000)
    anywhere = Address("127.0.0.1", 0)
    config = load_config(tmp_path / "net" / "a" / "node.toml")
    node = await build(replace(config, api_listen=anywhere, peers_listen=anywhere))
    await node.start()
    try:
        results = await node.submit([Offer(each, b"") for each in records(5)])
        await node.wait_final([each.record_id for each in results], 20)
        assert node.certified is not None
        monkeypatch.setattr(node._parts.driver, "knows_log", lambda: False)
        assert node.certified is None
    finally:
        await node.stop()


async def test_a_killed_node_never_shows_a_smaller_checkpoint(tmp_path: Path) -> None:
    port = free_ports_from(random.randrange(30_000, 39_000, 10), 2)
    create(tmp_path / "net", ["a"], api_port=port, peer_port=port + 1)
    federation = Federation.at(tmp_path / "net")
    (seat,) = federation.seats
    seen: list[Checkpoint] = []

    async def watch(client: Client) -> None:
        while True:
            with suppress(Exception):
                note = await client.checkpoint()
                seen.append(verify_checkpoint_strict(note, policy))
            await asyncio.sleep(0.001)

    async def load(client: Client) -> None:
        while True:
            await client.submit_msgpack([(each, b"") for each in records(20)])

    try:
        for _ in range(2):
            federation.start(seat.code)
            await federation.wait_ready()
            async with Client(seat.url, seat.token) as client:
                policy = Policy.parse(await client.policy())
                tasks = [asyncio.create_task(each(client)) for each in (watch, load)]
                wanted = len({each.size for each in seen}) + 5
                async with asyncio.timeout(60):
                    while len({each.size for each in seen}) < wanted:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                federation.kill(seat.code)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        await federation.stop()
    assert [each.size for each in seen] == sorted(each.size for each in seen)
    assert len({(each.size, each.root) for each in seen}) == len({each.size for each in seen})
