"""Four nodes as processes: a person's records are erased, and found in no file of any of them.

One of the nodes is killed between writing residues and destroying keys; one loses its store
afterwards and gets back, from its peers, what erasure has left, and nothing else.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import plyvel
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.batch import Submission
from ledger.encoding import decode
from ledger.records import Record, decode_record, encode_record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.erasure import Erasure, ErasureAck
from ledger.records.rating import Rating
from ledger.records.subject import SubjectLink, SubjectRegister
from ledger.signing import SigningKey, signed_message
from ledger.store import RESIDUE, SUBMISSION, after
from node.client import Client, ProblemAnswered, Unreachable
from node.federation import Federation, Seat, create, free_ports_from
from node.keystore import write_seed
from node.storage.leveldb import SLOTS_KEY
from node.storage.sealing import ALIASES, HANDLES, NAMES, slot_of
from node.storage.vault import Vault

CODES: Final = ("a", "b", "c", "d")
JOBS: Final = 12
LIMIT_S: Final = 60.0
ERIN, DORA = "erin@people.example", "Dora from Accounts"
SEALED: Final = (SUBMISSION, NAMES, ALIASES, HANDLES)
KILLED: Final = """
import os, signal, sys
from node.storage.sealing import Sealing
Sealing.destroy = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from node.cli import main
main(["node", "run", sys.argv[1]])
"""
"""A node that loses its power just when keys are to be destroyed."""


@dataclass
class Person:
    """Erin, at two platforms, and her client."""

    seed: bytes
    at_a: bytes
    at_b: bytes
    client: bytes


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _signed(chain: bytes, record: Record, *keys: SigningKey) -> tuple[bytes, bytes]:
    data = encode_record(record)
    message = signed_message("record", chain, sha256(data).digest())
    return data, b"".join(key.sign(message) for key in keys)


async def _final(client: Client, pairs: list[tuple[bytes, bytes]]) -> list[str]:
    answers = await client.submit_msgpack(pairs)
    assert [each for each in answers if "problem" in each] == []
    ids = [each["id"] for each in answers]
    assert set(await client.wait_final(ids, timeout_s=LIMIT_S)) == {("final", "")}, answers
    return ids


async def _told(running: Federation) -> Person:
    """Erin works twelve times for Dora at a, is known at b too, and links both."""
    a, b = running.seats[:2]
    seed, at = os.urandom(32), _now_ms()
    key = SigningKey.from_seed(seed)
    async with Client(b.url, b.token) as client:
        [at_b] = await client.handles("subject", [ERIN])
        await _final(client, [_signed(b"", SubjectRegister(2, at, at_b, key.public, "none"))])
    async with Client(a.url, a.token) as client:
        at_a, dora = await client.handles("subject", [ERIN, DORA])
        jobs = await client.handles("engagement", [f"Erin's order {n}" for n in range(JOBS)])
        records: list[Record] = [
            SubjectRegister(1, at, at_a, key.public, "document"),
            SubjectRegister(1, at, dora, b"", "document"),
        ]
        for job in jobs:
            terms = ("contest", ("design",), "mentor", at, at + 1, 7)
            records.append(EngagementOpen(1, at, job, at_a, dora, *terms))
            said = ("completed", "none", 0, "accepted", "counterparty")
            records.append(EngagementOutcome(1, at + 1, job, *said))
            records.append(
                Rating(1, at + 2, job, "of-worker", dora, b"", "stars-5", 4, (("quality", 2),))
            )
        pairs = [(encode_record(each), b"") for each in records]
        link = SubjectLink(1, at, 1, at_a, key.public, 2, at_b, key.public)
        pairs.append(_signed(running.chain, link, key, key))
        await _final(client, pairs)
        (running.folder / "policy").write_text(await client.policy())
    for seat in running.seats:
        async with Client(seat.url, seat.token) as client:
            await _until(client, lambda found: found["size"] > len(pairs))
    return Person(seed, at_a, at_b, dora)


async def _until(
    client: Client, done: Callable[[dict[str, Any]], bool], record_id: str = ""
) -> dict[str, Any]:
    """What a node says of a record (or of its newest checkpoint) once it is so; told by blocks."""

    async def look() -> dict[str, Any]:
        if record_id:
            return await client.record(record_id)
        return (await client.network())["checkpoint"] or {"size": 0}

    async with asyncio.timeout(LIMIT_S):
        news = client.events()
        waiting = asyncio.ensure_future(anext(news))
        try:
            while not done(found := await look()):
                await waiting
                waiting = asyncio.ensure_future(anext(news))
        finally:
            waiting.cancel()
            await asyncio.wait([waiting])
    return found


# --- what is in a folder ---


@dataclass
class Sealed:
    """A row as it stood on a node's disk before the erasure: opened, its key, and as it was."""

    row: bytes
    data: bytes
    slot: int
    secret: bytes
    value: bytes


def _rows(folder: Path, *prefixes: bytes) -> dict[bytes, bytes]:
    db = plyvel.DB(str(folder))
    found: dict[bytes, bytes] = {}
    for prefix in prefixes:
        found.update(db.iterator(start=prefix, stop=after(prefix)))
    db.close()
    return found


def _opened(row: bytes, data: bytes, secret: bytes) -> bytes:
    """The value of a sealed row, after the specification in node/README.md.

    Raises:
        InvalidTag: it was not sealed under this key.
    """
    if row[:1] == SUBMISSION:
        return AESGCM(secret).decrypt(row[-12:], data[6:], row)
    return AESGCM(secret).decrypt(data[6:18], data[18:], row)


def _sealed(folder: Path) -> list[Sealed]:
    vault, found = Vault.read(folder), []
    for row, data in _rows(folder, *SEALED).items():
        slot = slot_of(row, data)
        secret = vault.key(slot)
        assert secret is not None
        found.append(Sealed(row, data, slot, secret, _opened(row, data, secret)))
    return found


def _is_erins(person: Person, each: Sealed, jobs: set[bytes]) -> bool:
    """Whether a row of the store tells of Erin."""
    if each.row[:1] == SUBMISSION:
        record = decode_record(_submission(each).record)
        match record:
            case SubjectRegister():
                return record.handle in {person.at_a, person.at_b}
            case Erasure() | ErasureAck():
                return False
        return True
    return any(handle in each.row + each.value for handle in {person.at_a, person.at_b, *jobs})


def _submission(each: Sealed) -> Submission:
    return decode(Submission, each.value, bytes_max=8_192, what="row")


def _jobs(rows: list[Sealed]) -> set[bytes]:
    records = [decode_record(_submission(each).record) for each in rows if each.row[:1] == b"S"]
    return {each.reference for each in records if isinstance(each, EngagementOpen)}


def _secrets(rows: list[Sealed]) -> set[bytes]:
    """What must not be found any more: keys, and every part of the plaintext that tells.

    Handles, references and public keys are not among it: rows of the state have them, and so do
    residues (`ledger/erasing.py` says what else they keep).
    """
    found = {each.secret for each in rows}
    for each in rows:
        if each.row[:2] == NAMES:
            found |= {each.value, each.value[:32]}
        if each.row[:1] == SUBMISSION:
            opening = _submission(each)
            found |= {each.value, opening.salt, opening.record}
            found |= {opening.signatures} - {b""}
            match decode_record(opening.record):
                case EngagementOpen():
                    found.add(opening.record[-14:])
                case EngagementOutcome():  # a residue keeps its sign and basis: its record's end
                    found.add(opening.record[2:20])
                case Rating():
                    found |= {opening.record[2:20], opening.record[-14:]}
    return found


def _search(folder: Path, secrets: set[bytes]) -> list[str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert any(path.suffix in {".log", ".ldb"} for path in files)
    assert any(path.name == "openings.keys.00000000" for path in files)
    return [
        f"{path}: {secret.hex()}"
        for path in files
        for data in [path.read_bytes()]
        for secret in secrets
        if secret in data
    ]


def _try_all_keys(folder: Path, rows: list[Sealed]) -> None:
    """No key that is left in a vault opens what stood on its disk."""
    [counted] = _rows(folder, SLOTS_KEY).values()
    vault = Vault.read(folder)
    given = {slot: vault.key(slot) for slot in range(int.from_bytes(counted))}
    assert not [each for each in rows if given[each.slot] is not None]
    left = [secret for secret in given.values() if secret is not None]
    assert left, "others have theirs still"
    for each in rows:
        for secret in left:
            with pytest.raises(InvalidTag):
                _opened(each.row, each.data, secret)


# --- commands ---


def _standing(*arguments: str, token: str = "") -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "node", *arguments, "--json"],
        capture_output=True,
        text=True,
        timeout=2 * LIMIT_S,
        check=False,
        env={**os.environ, "STANDING_TOKEN": token},
    )
    assert done.stdout or done.returncode == 2, done.stderr
    return done.returncode, json.loads(done.stdout or "{}")


def _start_to_be_killed(seat: Seat) -> "subprocess.Popen[bytes]":
    with seat.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", KILLED, str(seat.config_file)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


async def test_an_erased_person_is_found_in_no_file_of_any_node(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    base = free_ports_from(random.randrange(20_000, 30_000, 10), 4)
    create(folder, CODES, api_port=base, peer_port=free_ports_from(base + 100, 4))
    async with Federation.at(folder) as running:
        person = await _told(running)
    before = {seat.code: _sealed(seat.config.data) for seat in running.seats}
    jobs = _jobs(before["a"])
    assert len(jobs) == JOBS
    gone = {
        code: [each for each in rows if _is_erins(person, each, jobs)]
        for code, rows in before.items()
    }
    records = 2 + 3 * JOBS + 1
    assert [len(gone[code]) for code in CODES[2:]] == [records] * 2
    # At a also names of its 38 records, and the aliases of Erin and her orders, both ways.
    assert len(gone["a"]) == records + (records - 1) + 2 * (1 + JOBS)
    assert len(gone["b"]) == records + 1 + 2
    secrets = set().union(*(_secrets(rows) for rows in gone.values()))
    assert all(_search(seat.folder, {person.client}) for seat in running.seats), "one that stays"

    erasure = await _erase_and_kill_one(running, person, tmp_path / "erin.key", gone["d"])
    for seat in running.seats:
        assert _search(seat.folder, secrets) == []
        _try_all_keys(seat.config.data, gone[seat.code])
        await _check_audit(seat, records, folder)
    await _lose_a_store(running, person, erasure, secrets)


async def _erase_and_kill_one(
    running: Federation, person: Person, key_file: Path, rows: list[Sealed]
) -> str:
    """Erin erases herself through b; d is killed before it destroys a key, and goes on later."""
    a, b, _, d = running.seats
    write_seed(key_file, person.seed)
    for seat in running.seats[:3]:
        running.start(seat.code)
    killed = _start_to_be_killed(d)
    try:
        await running.wait_ready()
        subject = f"a:{person.at_a.hex()}"
        asked = ("erase", subject, "--key", str(key_file), "--scope", "whole", "--node", b.url)
        code, _ = await asyncio.to_thread(_standing, *asked, token=b.token)
        assert code == 2, "nothing is posted unless it is told to"
        code, found = await asyncio.to_thread(
            _standing, *asked, "--yes", "--timeout-s", "5", token=b.token
        )
        assert code == 1, "one has not said that it has destroyed anything"
        assert await asyncio.to_thread(killed.wait, LIMIT_S) == -signal.SIGKILL
        async with Client(a.url, a.token) as client:
            found = await _until(
                client, lambda each: each["erasure"]["awaited"] == ["d"], found["id"]
            )
            assert found["erasure"]["acknowledged"] == ["a", "b", "c"]
            assert len(found["erasure"]["files"]) == 2
            assert len(_rows(d.config.data, RESIDUE)) == len(rows)
            assert not {each.row for each in rows} - set(_rows(d.config.data, SUBMISSION))
            running.start("d")
            await running.wait_ready(["d"])
            found = await _until(client, lambda each: not each["erasure"]["awaited"], found["id"])
        return str(found["id"])
    finally:
        killed.kill()
        killed.wait()
        await running.stop()


async def _check_audit(seat: Seat, records: int, folder: Path) -> None:
    policy = folder / "policy"
    async with asyncio.timeout(LIMIT_S):
        code, report = await asyncio.to_thread(
            _standing, "audit", str(seat.config.data), "--policy", str(policy)
        )
    assert report["findings"] == [], seat.code
    assert (code, report["erased"]) == (0, records)


async def _lose_a_store(
    running: Federation, person: Person, erasure: str, secrets: set[bytes]
) -> None:
    """c starts again with nothing, and gets from its peers what is left."""
    a, _, c, _ = running.seats
    c.config.data.rename(c.folder / "lost")
    try:
        for code in CODES:
            running.start(code)
        await running.wait_ready(["a", "b", "d"])  # c only follows from now on: it signs no more
        async with Client(a.url, a.token) as whole, Client(c.url, c.token) as client:
            size = await _level(whole, client)
            score = await whole.score(f"a:{person.client.hex()}", size=str(size))
            assert not (await client.record(erasure))["erasure"]["awaited"]
            assert await client.score(f"a:{person.client.hex()}", size=str(size)) == score
            file = await client.file(f"a:{person.at_a.hex()}")
            assert file["erased"]["records"] == 2 + 3 * JOBS
    finally:
        await running.stop()
    assert _search(c.config.data, secrets) == []


async def _level(*clients: Client) -> int:
    """The size of the newest checkpoint, once all of them have the same one."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            with contextlib.suppress(Unreachable, ProblemAnswered):
                newest = [(await each.network())["checkpoint"] for each in clients]
                sizes = {each["size"] if each else 0 for each in newest}
                if len(sizes) == 1 and sizes != {0}:
                    return int(sizes.pop())
            await asyncio.sleep(0.1)
