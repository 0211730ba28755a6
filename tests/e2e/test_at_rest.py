"""Three nodes as three processes: what their folders show of the people in the records."""

import os
import random
import time
from pathlib import Path

from ledger.records import encode_record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.subject import SubjectRegister
from node.client import Client
from node.federation import Federation, create, free_ports_from

CODES = ("a", "b", "c")
JOBS = 20
Pair = tuple[bytes, bytes]


def _records(worker: bytes, client: bytes) -> list[Pair]:
    """Two people, and engagements of theirs with their outcomes."""
    now_ms = time.time_ns() // 1_000_000
    records = [
        encode_record(SubjectRegister(1, now_ms, each, b"", "document"))
        for each in (worker, client)
    ]
    for _ in range(JOBS):
        reference = os.urandom(32)
        opened = EngagementOpen(
            1, now_ms, reference, worker, client,
            "contest", ("design",), "mentor", now_ms, now_ms + 1, 7,
        )  # fmt: skip
        outcome = EngagementOutcome(
            1, now_ms, reference, "cancelled-by-client", "shared", 0, "unknown", "counterparty"
        )
        records += [encode_record(opened), encode_record(outcome)]
    return [(record, b"") for record in records]


def _found(folder: Path, secrets: list[bytes]) -> list[str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert any(path.suffix in {".log", ".ldb"} for path in files)
    return [
        f"{path}: {secret.hex()}"
        for path in files
        for data in [path.read_bytes()]
        for secret in secrets
        if secret in data
    ]


async def test_no_node_keeps_a_record_in_the_clear(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    base = free_ports_from(random.randrange(20_000, 30_000, 10), 3)
    create(folder, CODES, api_port=base, peer_port=free_ports_from(base + 100, 3))
    worker = os.urandom(32)
    offered = _records(worker, os.urandom(32))
    secrets = [part for record, _ in offered for part in (record, record[2:18], record[-16:])]
    async with Federation.at(folder) as running:
        seats = running.seats
        async with Client(seats[0].url, seats[0].token) as client:
            answers = await client.submit_msgpack(offered)
            ids = [each["id"] for each in answers]
            states = await client.wait_final(ids, timeout_s=30)
            assert set(states) == {("final", "")}
        for seat in seats[1:]:
            async with Client(seat.url, seat.token) as client:
                assert set(await client.wait_final(ids, timeout_s=30)) == {("final", "")}
        assert _found(folder, secrets) == []
    assert _found(folder, secrets) == []
    async with Federation.at(folder) as running:
        seat = running.seats[2]
        async with Client(seat.url, seat.token) as client:
            file = await client.file(f"a:{worker.hex()}")
            assert len(file["leaves"]) == 1 + 2 * JOBS
            assert all(leaf["record"] for leaf in file["leaves"]), "and yet it reads them all"
    assert _found(folder, secrets) == []
