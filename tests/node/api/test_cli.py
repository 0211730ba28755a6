"""The commands that talk to a node: what they print, and how they end."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from aiohttp.test_utils import TestServer
from typer.testing import CliRunner

from node.api.app import make_app
from node.api.json_records import record_to_json
from node.cli import bundle, compare, file, score, submit
from tests.ledger.world import DAY, handle
from tests.node.api.live_node import BOTH, LiveNode

W = f"p1:{handle('w').hex()}"


class Served:
    """A live node in a thread of its own, for commands that run their own loop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.node, self.server = self._run(self._start())
        self.url = str(self.server.make_url("/"))

    async def _start(self) -> tuple[LiveNode, TestServer]:
        node = LiveNode()
        server = TestServer(make_app(node))
        await server.start_server()
        return node, server

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def stop(self) -> None:
        self._run(self.server.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.stop()


@pytest.fixture
def run(served: Served, monkeypatch):
    monkeypatch.setenv("STANDING_NODE", served.url)
    monkeypatch.setenv("STANDING_TOKEN", BOTH)
    monkeypatch.setenv("COLUMNS", "200")

    def call(command, *arguments: str, text: bytes = b""):
        return CliRunner().invoke(command.app, arguments, input=text)

    return call


def lines_of(served: Served) -> bytes:
    world = served.node.world
    records = [world.register("w"), *(world.register(f"c{at}") for at in range(5))]
    records += [world.open(f"e{at}", client=f"c{at}") for at in range(5)]
    text = b"".join(msgspec.json.encode(record_to_json(each)) + b"\n" for each in records)
    world.time += DAY
    outcomes = [world.outcome(f"e{at}") for at in range(5)]
    return text + b"".join(msgspec.json.encode(record_to_json(each)) + b"\n" for each in outcomes)


def test_submit_score_file_bundle(served, run, tmp_path: Path) -> None:
    result = run(submit, "-", "--wait", "final", text=lines_of(served))
    assert result.exit_code == 0, result.output
    ids = result.stdout.splitlines()
    assert len(ids) == 16
    assert all(line.endswith(" final") for line in ids)

    result = run(score, W)
    assert result.exit_code == 0, result.output
    assert "that the next engagement is completed" in result.stdout
    assert "where a newcomer starts" in result.stdout
    result = run(score, W, "--domain", "software", "--json")
    found = json.loads(result.stdout)
    assert list(found)[: len(score.KEYS)] == list(score.KEYS)
    assert {"machine", "version"} <= found.keys()
    assert found["points"] == found["base_points"] + sum(r["points"] for r in found["reasons"])

    assert [each["engagements"] for each in found["counterfactuals"]] == [1, 3, 10]
    low, high = found["counterfactuals"][1]["points"]
    assert found["points"] < low < high
    words = run(score, W, "--domain", "software").stdout
    assert f"3 more engagements → {low}–{high}" in " ".join(words.split())
    best = score.TELLERS[found["information"][0]["teller"]]
    assert f"tells most next: an engagement {best}" in words
    assert f"base rate {100 * found['base_rate']['probability']:.1f} %" in words
    assert "1 comparable workers found, too few to stand among" in words
    assert "in this domain" in words
    assert "the newest is of today" in words
    plain = json.loads(run(score, W, "--domain", "software", "--no-outlook", "--json").stdout)
    beside = ("counterfactuals", "information", "peers")
    assert plain == {key: found[key] for key in found if key not in beside}

    result = run(file, W)
    assert result.stdout.count("engagement.outcome") == 5
    result = run(file, W, "--json", "--limit", "3")
    assert len(json.loads(result.stdout)["leaves"]) == 3

    out = tmp_path / "w.bundle"
    result = run(bundle, W, "--out", str(out))
    assert result.exit_code == 0
    assert out.stat().st_size > 1_000


def test_older_checkpoints_by_their_size(served, run, tmp_path: Path) -> None:
    lines = lines_of(served)
    first = lines[: lines.rindex(b"\n", 0, -1)]
    assert run(submit, "-", "--wait", "final", text=first).exit_code == 0
    size = str(served.node.certified.size)
    out, older = tmp_path / "w.bundle", tmp_path / "older.bundle"
    assert run(bundle, W, "--out", str(out)).exit_code == 0
    before = [json.loads(run(each, W, "--json").stdout) for each in (score, file)]
    assert run(submit, "-", "--wait", "final", text=lines).exit_code == 0
    assert served.node.certified.size > int(size)
    result = run(bundle, W, "--out", str(older), "--size", size)
    assert result.exit_code == 0, result.output
    assert older.read_bytes() == out.read_bytes()
    again = [json.loads(run(each, W, "--json", "--size", size).stdout) for each in (score, file)]
    assert again == before
    assert json.loads(run(file, W, "--json").stdout)["size"] > int(size)
    for each in (score, file):
        result = run(each, W, "--size", "1")
        assert result.exit_code == 2
        assert "no certified checkpoint has 1 entries" in " ".join(result.stderr.split())


def test_a_thin_file_gets_no_guess(served, run) -> None:
    record = record_to_json(served.node.world.register("w"))
    assert run(submit, "-", text=msgspec.json.encode(record)).exit_code == 0
    result = run(score, W)
    assert "not enough evidence" in result.stdout
    assert "next engagement" not in result.stdout


def test_several_are_compared(served, run) -> None:
    assert run(submit, "-", "--wait", "final", text=lines_of(served)).exit_code == 0
    others = [f"1:{handle(name).hex()}" for name in ("c0", "c1")]
    result = run(compare, W, *others)
    assert result.exit_code == 0, result.output
    assert "not distinguishable: all of them" in result.stdout
    assert result.stdout.count("thin") == 2
    found = json.loads(run(compare, W, *others, "--domain", "software", "--json").stdout)
    assert len(found["scores"]) == 3
    assert {"machine", "version", "groups", "not_distinguishable"} <= found.keys()
    size = str(found["checkpoint"]["size"])
    again = json.loads(
        run(compare, W, *others, "--domain", "software", "--size", size, "--json").stdout
    )
    assert again == found
    for arguments, words in (
        ((W,), "subjects: has 1 items, not 2 to 20"),
        ((W, W), "subjects[1]: is the same as subjects[0]"),
        ((W, "p1:zz"), "subjects[1]: is not platform:handle"),
    ):
        result = run(compare, *arguments)
        assert result.exit_code == 2
        assert words in " ".join(result.stderr.split())


def test_refused_records_end_with_1(served, run, tmp_path: Path) -> None:
    world = served.node.world
    good = msgspec.json.encode(record_to_json(world.register("w")))
    bad = msgspec.json.encode(record_to_json(world.outcome("never")))
    result = run(submit, "-", text=good + b"\n" + bad + b"\n")
    assert result.exit_code == 1
    assert "unknown-engagement" in result.stderr
    assert "line 2" in result.stderr
    result = run(submit, "-", text=bad)
    assert result.exit_code == 1
    whole = json.dumps([json.loads(good), json.loads(bad)], indent=1).encode()
    path = tmp_path / "records.json"
    path.write_bytes(whole)
    result = run(submit, str(path), "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert (answer["records"], answer["refused"]) == (2, 1)
    assert answer["answers"][0]["duplicate"] is True


def test_what_to_do_next_is_said(served, run, tmp_path: Path, monkeypatch) -> None:
    for command, arguments, words in (
        (score, ("p1:zz",), "64 lowercase hex"),
        (score, ("p9:" + "00" * 32,), "there is no platform p9"),
        (score, (W,), "no certified checkpoint yet"),
        (file, (W, "--node", "127.0.0.1:1"), "standing node run"),
        (submit, ("/nowhere/at/all",), "cannot be read"),
        (submit, ("-", "--wait", "durable"), "final"),
        (bundle, (W, "--out", "x", "--token-file", "/nowhere"), "token file"),
    ):
        monkeypatch.setattr("node.client.RETRIES", 1)
        result = run(command, *arguments)
        assert result.exit_code == 2, result.output
        assert words in result.stderr.replace("\n", " ")
    token = tmp_path / "token"
    token.write_text("not the token\n")
    result = run(score, W, "--token-file", str(token))
    assert result.exit_code == 2
    assert "--token-file" in result.stderr
