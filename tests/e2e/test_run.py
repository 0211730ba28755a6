"""`standing node run` as a process: how it starts, refuses and stops."""

import asyncio
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import aiohttp
import pytest

from node.federation import create, free_ports_from


@pytest.fixture
def config(tmp_path: Path) -> Path:
    base = free_ports_from(random.randrange(20_000, 30_000, 10), 2)
    create(tmp_path / "net", ["a"], api_port=base, peer_port=base + 1)
    return tmp_path / "net" / "a" / "node.toml"


def _replace(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


async def _run(config: Path) -> Process:
    command = [sys.executable, "-P", "-m", "node", "node", "run", str(config)]
    return await asyncio.create_subprocess_exec(*command, stderr=PIPE)


async def _end_of(process: Process) -> tuple[int | None, str]:
    try:
        _, errors = await asyncio.wait_for(process.communicate(), 30)
    except TimeoutError:
        process.kill()
        raise
    return process.returncode, errors.decode()


async def _serves(process: Process) -> str:
    """The address, from the line that says so."""
    assert process.stderr is not None
    async with asyncio.timeout(30):
        while line := (await process.stderr.readline()).decode():
            if "serves http://" in line:
                return line.split("serves ")[1].strip()
    raise AssertionError("the node ended before it served")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_cleanly(config: Path, number: signal.Signals) -> None:
    process = await _run(config)
    url = await _serves(process)
    async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as answer:
        assert answer.status == 200
    process.send_signal(number)
    code, errors = await _end_of(process)
    assert code == 0, errors


async def test_a_second_process_on_the_same_store_is_refused(config: Path) -> None:
    first = await _run(config)
    await _serves(first)
    code, errors = await _end_of(await _run(config))
    assert code == 2
    assert "open in another process" in " ".join(errors.split())
    first.terminate()
    assert (await _end_of(first))[0] == 0


async def test_a_damaged_store_is_named_with_its_repair(config: Path) -> None:
    process = await _run(config)
    await _serves(process)
    process.terminate()
    await _end_of(process)
    log = max((config.parent / "data").glob("*.log"), key=lambda path: path.stat().st_size)
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 1
    log.write_bytes(data)
    code, errors = await _end_of(await _run(config))
    words = " ".join(errors.split())
    assert code == 2, errors
    assert "Traceback" not in errors
    assert "move the data folder away" in words
    assert "fetches the whole ledger from its peers" in words


async def test_a_wrong_configuration_is_named(config: Path) -> None:
    _replace(config, "genesis =", "genesys =")
    code, errors = await _end_of(await _run(config))
    words = " ".join(errors.split())
    assert code == 2
    assert "line 4: 'genesys' is no key of [node]; did you mean 'genesis'?" in words


async def test_a_key_that_others_may_read_is_refused(config: Path) -> None:
    (config.parent / "keys" / "vote.key").chmod(0o644)
    code, errors = await _end_of(await _run(config))
    assert code == 2
    assert "chmod 600" in " ".join(errors.split())
