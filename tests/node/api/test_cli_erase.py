"""`standing erase`: signs, hands in, and tells who has destroyed what, as they say so."""

import asyncio
import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ledger.erasure_rows import ErasureRow, erasure_key
from ledger.rows import need_row
from ledger.store import ERASURE, after
from node.cli import erase
from node.keystore import write_seed
from tests.ledger.world import DAY, handle, seed
from tests.node.api.live_node import BOTH
from tests.node.api.test_cli import Served, served  # noqa: F401 - a fixture

W = f"p1:{handle('w').hex()}"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "w.key"
    write_seed(path, seed("key", "subject", "w"))
    return path


@pytest.fixture
def call(served: Served, monkeypatch, key_file: Path):  # noqa: F811
    monkeypatch.setenv("STANDING_NODE", served.url)
    monkeypatch.setenv("STANDING_TOKEN", BOTH)
    monkeypatch.setenv("COLUMNS", "200")

    def run(subject: str, *arguments: str, key: Path = key_file, yes: bool = True, typed: str = ""):
        given = [subject, "--key", str(key), *(["--yes"] if yes else []), *arguments]
        return CliRunner().invoke(erase.app, given, input=typed)

    return run


def told(served: Served) -> None:  # noqa: F811
    async def run() -> None:
        world, node = served.node.world, served.node
        world.time = time.time_ns() // 1_000_000 + DAY  # ahead of the command's clock
        world.put(1, [world.register("w", key=True), world.register("c"), world.open("a")])
        node.finalise()

    asyncio.run_coroutine_threadsafe(run(), served.loop).result(30)


async def _acknowledge(served: Served) -> None:  # noqa: F811
    """What the platforms' erasers do: p1 with the next block, the others one block later."""
    node, world = served.node, served.node.world
    with node.events.listen() as listening:
        while next(node.reader.scan(ERASURE, after(ERASURE)), None) is None:
            await listening.queue.get()
    [(key, _)] = node.reader.scan(ERASURE, after(ERASURE))
    row = need_row(node.reader, ErasureRow, erasure_key(int.from_bytes(key[1:])))
    for platforms in ((1,), (2, 3, 4)):
        for platform in platforms:
            world.put(platform, [world.ack(row.commitment, platform)])
        node.finalise()


def test_acknowledgements_are_told_as_they_come(served, call) -> None:  # noqa: F811
    told(served)
    done = asyncio.run_coroutine_threadsafe(_acknowledge(served), served.loop)
    result = call(W)
    done.result(30)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"to be erased: 2 records in {W}"
    assert lines[1].endswith(" is final")
    assert lines[2] == f"it takes what stands in {W}"
    assert lines[3] == "every record is marked; each platform destroys and acknowledges"
    assert lines[4:] == [f"p{n} has destroyed everything" for n in (1, 2, 3, 4)]


def test_who_has_not_said_so_is_told_with_what_to_do(served, call) -> None:  # noqa: F811
    told(served)
    result = call(W, "--timeout-s", "0")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1].startswith("still to come: p1, p2, p3, p4, by 20")
    assert "do not ask again" in result.stdout


def test_who_has_not_said_so_is_in_the_json(served, call) -> None:  # noqa: F811
    told(served)
    result = call(W, "--scope", "whole", "--timeout-s", "0", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["state"] == "final"
    assert found["erasure"]["files"] == [W]
    assert (found["erasure"]["acknowledged"], found["erasure"]["awaited"]) == (
        [], ["p1", "p2", "p3", "p4"],
    )  # fmt: skip


def _posted(served) -> int:  # noqa: F811
    return sum(1 for _ in served.node.reader.scan(ERASURE, after(ERASURE)))


def test_where_nothing_is_left_nothing_is_posted(served, call) -> None:  # noqa: F811
    told(served)
    assert call(W, "--timeout-s", "0").exit_code == 1
    assert _posted(served) == 1
    result = call(W, "--timeout-s", "0", yes=False)
    assert (result.exit_code, result.stdout) == (
        0, f"nothing to erase in {W}: nothing is posted\n",
    )  # fmt: skip
    result = call(W, "--json", "--scope", "whole", yes=False)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["erased"] == 0
    assert _posted(served) == 1


def test_without_a_terminal_nothing_is_posted_unless_told(served, call) -> None:  # noqa: F811
    told(served)
    for arguments in ((), ("--json",)):
        result = call(W, *arguments, yes=False, typed="y\n")
        assert result.exit_code == 2
        words = " ".join(result.stderr.split())
        assert f"2 records in {W} would be erased for ever: say --yes" in words
    assert _posted(served) == 0


def test_a_person_is_asked_on_a_terminal(served, call, monkeypatch) -> None:  # noqa: F811
    told(served)
    monkeypatch.setattr(erase, "is_terminal", lambda: True)
    for typed in ("n\n", "\n"):
        result = call(W, yes=False, typed=typed)
        assert (result.exit_code, _posted(served)) == (1, 0)
        assert "cannot be undone" in result.stdout
    result = call(W, "--timeout-s", "0", yes=False, typed="y\n")
    assert (result.exit_code, _posted(served)) == (1, 1)


def test_what_is_wrong_is_said(served, call, tmp_path: Path) -> None:  # noqa: F811
    told(served)
    other = tmp_path / "x.key"
    write_seed(other, seed("key", "subject", "x"))
    result = call(W, key=other)
    assert result.exit_code == 1
    assert "key-not-registered" in result.stderr
    result = call(W, "--json", key=other)
    assert json.loads(result.stdout)["problem"]["field"] == "key"
    for arguments, words in (
        ((W, "--scope", "half"), "platform or whole"),
        (("p1:zz",), "is no subject"),
        (("p77:" + "00" * 32,), "is no subject"),
    ):
        result = call(*arguments)
        assert (result.exit_code, words in result.stderr) == (2, True), result.output
    result = call(W, key=tmp_path / "none.key")
    assert result.exit_code != 0
    assert "cannot be read" in f"{result.stderr}{result.exception}"
