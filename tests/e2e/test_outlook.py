"""What would change a score, and a comparison, from a node as a process, by HTTP and commands."""

import asyncio
import json
import os
import random
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ledger.bundle import verify_bundle
from ledger.policy import Policy
from ledger.records import Record, encode_record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.subject import SubjectRegister
from node.client import Client
from node.federation import create, free_ports_from
from tests.ledger.world import handle, reference

GOOD = {"fine": 24, "fair": 21, "poor": 0}
EACH = 24
DAY = 86_400_000
COMMAND_S = 60


@dataclass
class Served:
    """A node that serves, and a client that may read and write."""

    url: str
    token: Path
    client: Client


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    base = free_ports_from(random.randrange(20_000, 30_000, 10), 2)
    create(tmp_path / "net", ["a"], api_port=base, peer_port=base + 1)
    home = tmp_path / "net" / "a"
    process = await _start(home / "node.toml")
    try:
        url = await _serves(process)
        token = home / "token"
        async with Client(url, token.read_text().strip()) as client:
            yield Served(url, token, client)
    finally:
        process.terminate()
        await asyncio.wait_for(process.communicate(), 30)


async def _start(config: Path) -> Process:
    command = [sys.executable, "-P", "-m", "node", "node", "run", str(config)]
    return await asyncio.create_subprocess_exec(*command, stderr=PIPE)


async def _serves(process: Process) -> str:
    """The address, from the line that says so."""
    assert process.stderr is not None
    async with asyncio.timeout(30):
        while line := (await process.stderr.readline()).decode():
            if "serves http://" in line:
                return line.split("serves ")[1].strip()
    raise AssertionError("the node ended before it served")


async def _command(served: Served, *arguments: str) -> str:
    """What a command prints; it must succeed."""
    environment = {**os.environ, "STANDING_NODE": served.url, "COLUMNS": "200"}
    command = [sys.executable, "-P", "-m", "node", *arguments, "--token-file", str(served.token)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, stderr=PIPE, env=environment
    )
    out, errors = await asyncio.wait_for(process.communicate(), COMMAND_S)
    assert process.returncode == 0, errors.decode()
    return out.decode()


def _opened(name: str, worker: str, at: int) -> EngagementOpen:
    return EngagementOpen(
        platform=1,
        at=at,
        reference=reference(name),
        worker=handle(worker),
        client=handle("client"),
        format="freelance",
        domains=("software.web",),
        role="lead",
        due_from=at,
        due_until=at + DAY,
        value_band=3,
    )


def _closed(name: str, at: int, *, good: bool) -> EngagementOutcome:
    return EngagementOutcome(
        platform=1,
        at=at,
        reference=reference(name),
        status="completed" if good else "late",
        fault="none" if good else "worker",
        lateness_band=0 if good else 2,
        acceptance="accepted" if good else "unknown",
        basis="platform",
    )


async def _submit(client: Client, records: list[Record]) -> None:
    answers = await client.submit_msgpack(
        [(encode_record(each), b"") for each in records], wait_final=True
    )
    assert {each.get("state") for each in answers} == {"final"}, answers


async def _history(client: Client) -> int:
    """Three workers of 24 engagements each; the time that all records bear."""
    at = int(time.time() * 1_000) - 60_000
    names = [(worker, f"{worker}-{nth}", nth) for worker in GOOD for nth in range(EACH)]
    records: list[Record] = [
        SubjectRegister(1, at, handle(each), b"", "none") for each in (*GOOD, "client")
    ]
    records += [_opened(name, worker, at) for worker, name, _ in names]
    await _submit(client, records)
    await _submit(
        client, [_closed(name, at, good=nth < GOOD[worker]) for worker, name, nth in names]
    )
    return at


async def test_a_score_with_its_outlook_and_a_comparison(served: Served) -> None:
    at = await _history(served.client)
    fine, fair, poor = (f"a:{handle(each).hex()}" for each in GOOD)

    found: dict[str, Any] = json.loads(
        await _command(served, "score", fair, "--domain", "software", "--json")
    )
    size = str(found["checkpoint"]["size"])
    whole = await served.client.outlook(fair, domain="software", size=size)
    assert whole["score"]["points"] == found["points"]
    assert whole["counterfactuals"] == found["counterfactuals"]
    bundle = await served.client.bundle(fair, domain="software", size=size)
    proven = verify_bundle(bundle, Policy.parse(await served.client.policy())).answer
    assert proven is not None
    assert (proven.points, proven.low_q16) == (found["points"], found["interval_q16"][0])
    [three] = [each for each in found["counterfactuals"] if each["engagements"] == 3]
    low, high = three["points"]
    words = " ".join((await _command(served, "score", fair, "--domain", "software")).split())
    assert f"3 more engagements → {low}–{high}" in words

    await _submit(served.client, [_opened(f"new-{nth}", "fair", at) for nth in range(3)])
    await _submit(served.client, [_closed(f"new-{nth}", at, good=True) for nth in range(3)])
    told = next(each for each in three["told"] if each["teller"] == "platform")
    now = await served.client.score(fair, domain="software")
    assert abs(now["points"] - told["points"]) <= 1, "what was foretold has come true"

    compared = json.loads(await _command(served, "compare", poor, fair, fine, "--json"))
    assert [each["subject"] for each in compared["scores"]] == [poor, fair, fine]
    assert compared["groups"] == [[fine, fair], [poor]]
    assert compared["not_distinguishable"] == [[fair, fine]]
    shown = " ".join((await _command(served, "compare", poor, fair, fine)).split())
    assert "not distinguishable: a:" in shown
