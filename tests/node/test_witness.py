"""The witness over HTTP, with a store on disk; and two nodes' sides of it talking to each other."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from ledger.checkpoint import verify_checkpoint
from ledger.errors import BadProof, Malformed, Misconfigured
from ledger.note import (
    COSIGNATURE_V1,
    ED25519,
    Verifier,
    format_vkey,
    open_note,
    parse_note,
    parse_signature_line,
)
from ledger.policy import Policy
from ledger.rows import read_row
from ledger.witnessing import Stale
from node.api.app import make_app
from node.bounds import BOUNDS
from node.config import OutsideWitness, WitnessedLog, load_config
from node.keystore import Keystore, key_path, read_seed, write_seed
from node.network import found_network
from node.outside import OUTSIDE, Outside, WitnessedRow
from node.publiclog import PublicLog
from node.storage.leveldb import LevelStore
from node.witness import SEEN, WAITING_MAX, Overloaded, SeenRow, Witness, load_witness
from tests.ledger.test_witnessing import KEY, ORIGIN, OtherLog
from tests.ledger.world import key_of
from tests.node.api.live_node import LiveNode

NAME = "witness.example/w"
WITNESS_KEY = key_of("witness")
VERIFIER = Verifier(NAME, COSIGNATURE_V1, WITNESS_KEY.public)
LOGS = (WitnessedLog(ORIGIN, Verifier(ORIGIN, ED25519, KEY.public)),)


@pytest.fixture
def open_store(tmp_path: Path):
    """Opens the one store on disk; whoever opens it again has closed it before."""
    opened: list[LevelStore] = []

    def call() -> LevelStore:
        run = asyncio.get_running_loop().call_soon_threadsafe
        opened.append(LevelStore(tmp_path / "store", BOUNDS, run))
        return opened[-1]

    yield call
    if opened and not opened[-1]._stopping:
        opened[-1].close()


def witness_on(store, logs=LOGS) -> Witness:
    return Witness(NAME, WITNESS_KEY, logs, store, lambda: 1_700_000_000)


class Asked:
    """Asks a node's witness."""

    def __init__(self, session: ClientSession, url: str) -> None:
        self._session, self.url = session, url

    async def __call__(self, body: bytes):
        async with self._session.post(f"{self.url}/add-checkpoint", data=body) as response:
            return response.status, await response.read(), response.headers["Content-Type"]


@pytest.fixture
async def served(open_store) -> AsyncIterator[tuple[LiveNode, Asked]]:
    node = LiveNode()
    node.witness = witness_on(open_store())
    async with TestServer(make_app(node)) as server, ClientSession() as session:
        yield node, Asked(session, f"http://{server.host}:{server.port}/witness")


async def test_status_codes_and_bodies(served) -> None:
    _, ask = served
    log, fork = OtherLog(), OtherLog(salt=b"x")
    status, body, kind = await ask(log.request(0, 20))
    assert (status, kind) == (200, "text/plain; charset=utf-8")
    assert body.count(b"\n") == 1
    line = parse_signature_line(body[:-1])
    assert VERIFIER.signs(line)
    assert open_note(log.note(20) + body, [VERIFIER]).verified == (line,)
    assert (await ask(log.request(20, 20)))[0] == 200
    for request in (log.request(0, 30), log.request(10, 30), fork.request(20, 20)):
        assert await ask(request) == (409, b"20\n", "text/x.tlog.size")
    assert (await ask(log.request(30, 20)))[0] == 400
    assert (await ask(b"old 20\n"))[0] == 400
    assert (await ask(log.request(20, 30, key=key_of("stranger"))))[0] == 403
    assert (await ask(log.request(20, 30).replace(b"other.", b"wrong.")))[0] == 404
    assert (await ask(fork.request(20, 30)))[0] == 422
    assert (await ask(log.request(20, 30, proof=[])))[0] == 422
    status, body, kind = await ask(b"old 20\n" + b"x" * 70_000)
    assert (status, kind) == (413, "application/problem+json")
    assert (await ask(log.request(20, 30)))[0] == 200
    assert await ask(log.request(20, 30)) == (409, b"30\n", "text/x.tlog.size")


async def test_a_node_without_logs_witnesses_none() -> None:
    async with TestServer(make_app(LiveNode())) as server, ClientSession() as session:
        ask = Asked(session, f"http://{server.host}:{server.port}/witness")
        assert (await ask(OtherLog().request(0, 20)))[0] == 404


async def test_what_was_promised_outlives_a_restart(open_store) -> None:
    log, store = OtherLog(), open_store()
    await witness_on(store).add_checkpoint(log.request(0, 20))
    store.close()
    store = open_store()
    row = read_row(store, SeenRow, SEEN + ORIGIN.encode())
    assert row == SeenRow(20, log.root(20))
    with pytest.raises(Stale):
        await witness_on(store).add_checkpoint(log.request(0, 10))


class SlowDisk:
    """A store whose disk is told when to be done."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes | None] = {}
        self.waiting: list = []

    def get(self, key):
        return self.rows.get(key)

    def submit(self, changes, on_durable=None) -> None:
        self.rows.update(changes)
        if on_durable is not None:
            self.waiting.append(on_durable)

    def done(self) -> None:
        for tell in self.waiting:
            tell()
        self.waiting = []


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_no_answer_before_the_disk_has_it() -> None:
    log, disk = OtherLog(), SlowDisk()
    witness = witness_on(disk)
    first = asyncio.create_task(witness.add_checkpoint(log.request(0, 20)))
    second = asyncio.create_task(witness.add_checkpoint(log.request(20, 30)))
    await turns()
    assert not first.done()
    assert len(disk.waiting) == 1  # the second stands in line: it is not even judged yet
    disk.done()
    await turns()
    assert first.done()
    assert not second.done()
    disk.done()
    await turns()
    assert VERIFIER.holds(parse_note(log.note(30)).text, parse_signature_line((await second)[:-1]))
    # One that is given up leaves a row behind that the disk may not have: whoever asks for the same
    # waits for the disk again.
    given_up = asyncio.create_task(witness.add_checkpoint(log.request(30, 40)))
    await turns()
    given_up.cancel()
    await turns()
    again = asyncio.create_task(witness.add_checkpoint(log.request(40, 40)))
    await turns()
    assert not again.done()
    disk.done()
    await turns()
    assert again.done()


async def test_a_fork_is_told_to_the_operator(caplog: pytest.LogCaptureFixture) -> None:
    log, fork, witness = OtherLog(), OtherLog(salt=b"x"), witness_on(Sync())
    await witness.add_checkpoint(log.request(0, 20))
    with pytest.raises(BadProof):
        await witness.add_checkpoint(fork.request(20, 30))
    assert fork.note(30).decode() in caplog.text


async def test_those_who_wait_are_bounded() -> None:
    log, disk = OtherLog(), SlowDisk()
    witness = witness_on(disk)
    tasks = [
        asyncio.create_task(witness.add_checkpoint(log.request(0, 20))) for _ in range(WAITING_MAX)
    ]
    await turns()
    with pytest.raises(Overloaded):
        await witness.add_checkpoint(log.request(0, 20))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    with pytest.raises(Malformed):
        await witness.add_checkpoint(b"")


# --- keys and configuration ---


@pytest.fixture
def home(tmp_path: Path) -> Path:
    found_network(tmp_path / "net", ["a"], origin="t.example/log", api_port=1_000, peer_port=2_000)
    return tmp_path / "net" / "a"


def configured(home: Path, more: str):
    path = home / "node.toml"
    path.write_text(path.read_text() + more)
    return load_config(path)


VKEY = format_vkey(ORIGIN, ED25519, KEY.public)
WITNESS_VKEY = format_vkey(NAME, COSIGNATURE_V1, WITNESS_KEY.public)


def test_the_witness_key_is_one_of_its_own(home: Path) -> None:
    config = configured(home, f'[[witness.logs]]\norigin = "{ORIGIN}"\nvkey = "{VKEY}"\n')
    keys = Keystore.load(config.keys)
    made = load_witness(config, keys, "t.example/log/a/witness", SlowDisk())
    assert made is not None
    assert made.name == "t.example/log/a/witness"
    assert load_witness(replace(config, witness_name="x"), keys, "y", SlowDisk()).name == "x"
    assert load_witness(replace(config, witnessed_logs=()), keys, "y", SlowDisk()) is None
    path = key_path(config.keys, "witness")
    path.unlink()
    with pytest.raises(Misconfigured, match="openssl rand"):
        load_witness(config, keys, "y", SlowDisk())
    for purpose in ("cosigner", "lane", "vote", "log", "link"):
        write_seed(path, read_seed(key_path(config.keys, purpose)))
        with pytest.raises(Misconfigured, match="of its own"):
            load_witness(config, keys, "y", SlowDisk())
        path.unlink()


def test_what_is_configured(home: Path) -> None:
    config = configured(
        home,
        f"""
[log]
retain = 5000
[witness]
name = "{NAME}"
[[witness.logs]]
origin = "{ORIGIN}"
vkey = "{VKEY}"
[[witnesses]]
url = "https://w.example/x/"
vkey = "{WITNESS_VKEY}"
""",
    )
    assert (config.retain, config.witness_name) == (5_000, NAME)
    assert config.witnessed_logs == LOGS
    assert config.witnesses == (OutsideWitness("https://w.example/x", VERIFIER),)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("[log]\nretain = -1\n", "log.retain"),
        ("[log]\nretain = true\n", "log.retain"),
        ("[log]\nretian = 1\n", "retain"),
        ('[witness]\nname = "a b"\n', "witness.name"),
        ("[witness]\nlogs = 3\n", "witness.logs"),
        ('[[witness.logs]]\norigin = "x"\n', "vkey"),
        (f'[[witness.logs]]\norigin = "a+b"\nvkey = "{VKEY}"\n', "origin"),
        ('[[witness.logs]]\norigin = "x"\nvkey = "x+y+z"\n', "vkey"),
        (f'[[witness.logs]]\norigin = "x"\nvkey = "{VKEY}"\n' * 2, "twice"),
        (f'[[witnesses]]\nurl = "https://w"\nvkey = "{VKEY}"\n', "algorithm"),
        ("[[witnesses]]\nurl = 'ftp://w'\nvkey = 'x'\n", "vkey"),
        (
            f"[[witnesses]]\nurl = 'ftp://w'\nvkey = '{WITNESS_VKEY}'\n",
            "url",
        ),
    ],
)
def test_wrong_configurations_say_what(home: Path, more: str, said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        configured(home, more)


# --- the other side ---


async def grown(node: LiveNode, names: str) -> None:
    world = node.world
    world.put(1, [world.register(names + os.urandom(4).hex()) for _ in range(9)])
    node.finalise()


def outside_of(node: LiveNode, urls: list[tuple[str, Verifier]], store) -> Outside:
    public = PublicLog(node.reader, node.origin, node.genesis.foundation.bounds.epoch_blocks)
    witnesses = [OutsideWitness(url, key) for url, key in urls]
    return Outside(witnesses, public, lambda: node.certified, store)


class Sync(SlowDisk):
    """A disk that is done at once."""

    def submit(self, changes, on_durable=None) -> None:
        super().submit(changes, on_durable)
        asyncio.get_running_loop().call_soon(self.done)


async def test_a_node_has_its_checkpoints_cosigned() -> None:
    node, other, disk, seen = LiveNode(), LiveNode(), Sync(), Sync()
    own = WitnessedLog(node.origin, Verifier(node.origin, ED25519, key_of(1, "log").public))
    other.witness = Witness(NAME, WITNESS_KEY, (own,), seen)
    stranger = Verifier("dead.example", COSIGNATURE_V1, key_of("dead").public)
    wrong = Verifier(NAME, COSIGNATURE_V1, key_of("dead").public)
    async with TestServer(make_app(other)) as server, ClientSession() as session:
        url = f"http://{server.host}:{server.port}/witness"
        urls = [("http://127.0.0.1:1", stranger), (url, wrong), (url, VERIFIER)]
        outside = outside_of(node, urls, disk)
        assert await outside.round(session) == 0  # there is no checkpoint yet
        sizes = []
        for round_ in range(4):
            await grown(node, f"r{round_}")
            assert await outside.round(session) == 1
            assert await outside.round(session) == 0  # nothing new
            note = outside.note
            policy = Policy.parse(node.policy_text)
            sizes.append(verify_checkpoint(note, policy).size)
            opened = open_note(note, [*policy.verifiers, VERIFIER])
            assert len(opened.verified) == 1 + policy.quorum + 1
            assert note.startswith(node.certified.note)
        assert sizes == sorted(set(sizes))
        # A restart: it goes on from what is on disk, and from 409 where its rows are lost.
        assert outside_of(node, urls, disk).note == outside.note
        await grown(node, "again")
        forgetful = outside_of(node, urls, Sync())
        assert forgetful.note is None
        assert await forgetful.round(session) == 1
    row = read_row(disk, WitnessedRow, OUTSIDE)
    assert (row.size, row.note) == (sizes[-1], outside.note)


async def test_it_is_served_apart(served) -> None:
    node, ask = served
    await grown(node, "w")
    node.witnessed = node.certified.note + b"more"
    url = ask.url.removesuffix("/witness") + "/log/"
    async with ClientSession() as session:
        async with session.get(url + "witnessed") as response:
            assert await response.read() == node.certified.note + b"more"
        async with session.get(url + "checkpoint") as response:
            assert await response.read() == node.certified.note
