"""Importing into a node: real HTTP, intake, execution, store; only agreement is immediate."""

import asyncio
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from ledger.errors import StandingError
from node.api.app import make_app
from node.client import Client
from node.importing.mapping import parse_mapping
from node.importing.node_target import NodeTarget, _answer
from node.importing.plan import Reference
from node.importing.rejects import Rejects
from node.importing.run import Import
from node.importing.state import State, Tally
from tests.node.api.live_node import BOTH, LiveNode
from tests.node.importing.conftest import MAPPING

ROWS = "job,who,stars,day\n" + "".join(
    f"{number},w{number % 40},{1 + number % 5},2001-01-{1 + number % 28:02d}\n"
    for number in range(700)
)


async def import_(file: Path, server: TestServer) -> Tally:
    async with NodeTarget.connect(str(server.make_url("/")), BOTH) as target:
        with Rejects(file.with_suffix(".rejects")) as rejects:
            state = State("", Tally(), 0)
            mapping = parse_mapping(MAPPING.encode())
            return await Import(file, mapping, {}, target, rejects=rejects, state=state).run()


async def test_a_file_is_final_and_the_second_time_only_duplicates(write) -> None:
    node = LiveNode()
    file = write(ROWS)
    async with TestServer(make_app(node)) as server:
        first = await import_(file, server)
        again = await import_(file, server)
    assert first == Tally(rows=700, applied=700, records=41 + 3 * 700)
    assert again == Tally(rows=700, duplicates=700)


async def test_other_rows_under_a_known_reference_are_rejected(write) -> None:
    node = LiveNode()
    async with TestServer(make_app(node)) as server:
        await import_(write(ROWS), server)
        changed = write(ROWS.replace("\n7,w7,3,", "\n7,w7,5,"))
        tally = await import_(changed, server)
    assert (tally.rows, tally.rejected, tally.duplicates) == (700, 1, 699)
    assert "other content stands under this name" in changed.with_suffix(".rejects").read_text()


async def test_settling_waits_until_the_records_are_final(write) -> None:
    node = LiveNode()
    node.hold = True
    file = write(ROWS)
    async with TestServer(make_app(node)) as server:
        work = asyncio.create_task(import_(file, server))
        while not work.done():
            node.finalise()
            await asyncio.sleep(0.001)
        assert work.result().applied == 700


async def test_handles_are_asked_for_once_and_in_order() -> None:
    node = LiveNode()
    wanted = [Reference("engagement", "a"), Reference("subject", "a"), Reference("subject", "b")]
    async with (
        TestServer(make_app(node)) as server,
        Client(str(server.make_url("/")), BOTH) as client,
    ):
        target = NodeTarget(client, 1)
        handles = await target.handles(wanted)
        assert len(set(handles)) == 3
        assert await target.handles(wanted[::-1]) == handles[::-1]


def test_what_the_node_answers_for_a_record() -> None:
    known = {"problem": {"rule": "subject-exists", "detail": "handle: is registered"}}
    assert _answer(known).outcome == "conflict"
    assert _answer({"problem": {"status": 409, "detail": "other content"}}).outcome == "conflict"
    refused = _answer({"problem": {"rule": "same-party", "detail": "client: is the worker"}})
    assert (refused.outcome, refused.reason) == (
        "refused",
        "client: is the worker (rule same-party)",
    )
    assert _answer({"id": "ab", "state": "final", "duplicate": True}).outcome == "duplicate"
    with pytest.raises(StandingError, match="import again later"):
        _answer({"problem": {"retry_after_s": 1}})
