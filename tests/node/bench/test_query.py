"""The measurement of queries: its ledger serves a node, its draws are the load's, figures whole."""

import asyncio
import itertools
import json

import pytest
from typer.testing import CliRunner

from ledger.errors import Misconfigured
from node.bench.asking import ask, request_of
from node.bench.feeder import LoadFailed
from node.bench.query import Draws, Plan, prepare
from node.cli.bench import app

RECORDS = 2_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("query") / "federation"
    prepare(place, Plan(records=RECORDS), lambda _stage, _share: None)
    return place


def test_figures(folder):
    given = ["query", "--records", str(RECORDS), "--seconds", "0.3", "--connections", "2"]
    result = CliRunner().invoke(app, [*given, "--dir", str(folder), "--json"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    for key in ("scores_per_s", "p50_ms", "p99_ms"):
        assert figures[key]["plain"] > 0
        assert figures[key]["with_proof"] > 0
        assert figures[key]["with_inquiry"] is None
        assert figures["by_work"][key]["with_proof"] > 0
    assert figures["longest_file"]["leaves"] > 3
    assert figures["longest_file"]["bundle_bytes"] > figures["answer_bytes"]["with_proof"] / 2
    assert {"machine", "version", "node_cpu_us_per_score"} <= figures.keys()


def test_a_folder_of_another_ledger_is_refused(folder, tmp_path):
    with pytest.raises(Misconfigured, match=f"--records {RECORDS}"):
        prepare(folder, Plan(records=3_000), lambda _stage, _share: None)
    (tmp_path / "genesis.json").write_text("{}")
    with pytest.raises(Misconfigured, match="no whole ledger"):
        prepare(tmp_path, Plan(), lambda _stage, _share: None)


def test_draws():
    chain, plan = b"c" * 32, Plan(records=10_000)
    draws = Draws(chain, plan)
    once = list(itertools.islice(draws.each_once(), 200))
    assert len(set(once)) == 200, "nobody twice before all had a turn"
    assert {each.partition(":")[0] for each in once} == {"1", "2", "3", "4"}
    worked = list(itertools.islice(draws.by_work(), 4_000))
    assert worked.count(draws.longest) > 50, "a platform's first worker has an eighth of its work"
    again = Draws(chain, plan)
    assert list(itertools.islice(again.each_once(), 200)) == once


async def _answering(answer: bytes, requests: int) -> tuple[list[bytes], object]:
    heard: list[bytes] = []

    async def serve(reader, writer):
        for _ in range(requests):
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer[:20])
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(answer[20:])
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        requests_ = itertools.repeat(request_of("/x", "h", "t"))
        asked = await asyncio.wait_for(
            ask("127.0.0.1", port, requests_, connections=1, seconds=0.2), 5
        )
    return heard, asked


def test_answers_are_counted_and_what_is_no_answer_is_told():
    async def run():
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
        heard, asked = await _answering(answer, 100_000)
        assert heard[0] == b"GET /x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer t\r\n\r\n"
        assert len(heard) == len(asked.latencies_ms) > 1
        assert asked.body_bytes == 5 * len(heard)
        for wrong in (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxyz",
        ):
            with pytest.raises(LoadFailed):
                await _answering(wrong, 3)

    asyncio.run(run())
