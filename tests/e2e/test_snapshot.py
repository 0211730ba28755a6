"""Real processes: a node with an empty folder joins by snapshot while load goes on, one giver lies.

The liar is a node whose chunks have a wrong byte. The one that joins is killed once while it takes.
"""

import asyncio
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from node import federation as federations
from node.client import Client
from node.federation import Federation, Seat, create, free_ports_from
from tests.e2e.test_amnesia import make_final, newest_height, records, until

CODES = ("a", "b", "c", "d")
EPOCH_BLOCKS = 4
LIAR = """\
import node.snapshot.serving as serving
from node.cli import app

honest = serving.ChunkMessage


def lie(height, index, data):
    return honest(height, index, data[:-1] + bytes([data[-1] ^ 1]))


serving.ChunkMessage = lie
app()
"""


def make(folder: Path, *, sync: str = "") -> None:
    base = free_ports_from(random.randrange(20_000, 30_000, 10), 4)
    peers = free_ports_from(base + 100, 4)
    create(folder, CODES, api_port=base, peer_port=peers, epoch_blocks=EPOCH_BLOCKS)
    for code in CODES:
        with (folder / code / "node.toml").open("a") as file:
            file.write(sync or "\n[sync]\nsnapshot_min_blocks = 8\n")


async def feed(seat: Seat) -> None:
    """Hand in records without end."""
    async with Client(seat.url, seat.token) as client:
        while True:
            await client.submit_msgpack(records(seat.number, 40))
            await asyncio.sleep(0.05)


async def reach(federation: Federation, code: str, height: int) -> int:
    seen, _ = await until(
        lambda: newest_height(federation, code), lambda told: told[0] >= height, 60
    )
    return seen


def start_liar(
    federation: Federation, code: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = folder / "liar.py"
    script.write_text(LIAR)
    with monkeypatch.context() as patch:
        patch.setattr(federations, "_COMMAND", (sys.executable, "-P", str(script)))
        federation.start(code)


def audit(seat: Seat, policy: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "node", "audit", str(seat.folder), "--policy", str(policy)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


async def says(seat: Seat, pattern: str, limit_s: float = 60) -> str:
    """Wait for a line of the node's log."""

    async def read() -> str:
        return seat.log.read_text() if seat.log.exists() else ""

    return await until(read, lambda text: re.search(pattern, text) is not None, limit_s)


async def test_join_by_snapshot_malicious_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "net")
    federation = Federation.at(tmp_path / "net")
    joining, loaded = federation.seat("d"), federation.seat("a")
    feeder: asyncio.Task[None] | None = None
    try:
        federation.start("a")
        federation.start("b")
        start_liar(federation, "c", tmp_path, monkeypatch)
        await federation.wait_ready(["a", "b", "c"])
        await make_final(federation, "abc", 500)
        feeder = asyncio.create_task(feed(loaded))
        await reach(federation, "a", 4 * EPOCH_BLOCKS)
        federation.start("d")
        await says(joining, "taking a snapshot")
        federation.kill("d")
        federation.start("d")
        text = await says(joining, "took a snapshot|the ledger is replayed")
        assert "took a snapshot" in text, text
        assert set(re.findall(r"platform (\d) was refused: snapshot", text)) <= {"3"}, text
        await federation.wait_ready(["d"])
        await reach(federation, "d", await reach(federation, "a", 1))
        feeder.cancel()
        await make_final(federation, "d")
        async with Client(loaded.url, loaded.token) as client:
            (tmp_path / "policy").write_text(await client.policy())
    finally:
        if feeder is not None:
            feeder.cancel()
        await federation.stop()
    audit(joining, tmp_path / "policy")


async def test_a_return_with_an_empty_folder_is_by_snapshot(tmp_path: Path) -> None:
    """It follows, and its keys never sign again: the ledger shows that another store used them."""
    make(tmp_path / "net")
    async with Federation.at(tmp_path / "net") as federation:
        seat = federation.seat("d")
        await make_final(federation, "abcd")
        federation.kill("d")
        seat.config.data.rename(tmp_path / "lost")
        seat.log.unlink()
        before, _ = await newest_height(federation, "a")
        feeder = asyncio.create_task(feed(federation.seat("a")))
        await reach(federation, "a", max(before, 8) + 3 * EPOCH_BLOCKS)
        federation.start("d")
        text = await says(seat, "took a snapshot|the ledger is replayed")
        assert "took a snapshot" in text, text
        now, _ = await newest_height(federation, "a")
        await reach(federation, "d", now)
        _, forgotten = await newest_height(federation, "d")
        feeder.cancel()
        assert forgotten
    assert "the ledger shows a batch" in seat.log.read_text()


async def test_without_sync_it_is_replayed(tmp_path: Path) -> None:
    make(tmp_path / "net", sync="\n[sync]\nsnapshot = false\n")
    federation = Federation.at(tmp_path / "net")
    try:
        for code in "abc":
            federation.start(code)
        await federation.wait_ready(list("abc"))
        await make_final(federation, "abc")
        federation.start("d")
        await federation.wait_ready(["d"])
        assert "snapshot" not in federation.seat("d").log.read_text()
    finally:
        await federation.stop()
