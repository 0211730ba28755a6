"""The eraser in a whole node of a network of one: what goes, what stays, and crashes in between."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import plyvel
import pytest

from ledger.batch import Submission
from ledger.encoding import decode
from ledger.erasure_rows import ErasureRow, erasure_key
from ledger.files import read_file
from ledger.records import TAGS, Record, encode_record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.erasure import Erasure, ErasureAck
from ledger.records.rating import Rating
from ledger.records.subject import SubjectRegister
from ledger.residue import Residue
from ledger.rows import LeafRow, need_row
from ledger.rules.codes import SUBJECT_EXISTS, UNKNOWN_ENGAGEMENT
from ledger.signing import SigningKey, signed_message
from ledger.store import LEAF, RESIDUE, SUBMISSION, after
from node.api.record_states import state_of
from node.bounds import BOUNDS
from node.compose import Node, build
from node.config import Address, Config, load_config
from node.eraser import TO_ERASE
from node.foresight import Foresight
from node.intake import Accepted, Offer, RefusedOffer, name_key
from node.network import found_network
from node.storage.leveldb import LevelStore
from node.storage.sealing import ALIASES, HANDLES, NAMES, Sealing, slot_of
from node.storage.vault import Vault

KEY = SigningKey.from_seed(bytes(range(32)))
ANN, BOB, JOB, OTHER = "ann@people.example", "Bob from Accounts", "order 4711", "order 4712"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    found_network(
        tmp_path / "net", ["a"], origin="test.example/log", api_port=1_000, peer_port=2_000
    )
    anywhere = Address("127.0.0.1", 0)
    loaded = load_config(tmp_path / "net" / "a" / "node.toml")
    return replace(loaded, api_listen=anywhere, peers_listen=anywhere)


@asynccontextmanager
async def running(config: Config, **bounds: Any) -> AsyncIterator[Node]:
    node = await build(config, replace(BOUNDS, **bounds))
    try:
        await node.start()
        yield node
    finally:
        await node.stop()


@dataclass
class Told:
    """What was said, by whom, and about whom."""

    records: list[Record]
    ids: list[bytes]
    handles: dict[str, bytes]

    @property
    def offers(self) -> list[Offer]:
        return [Offer(encode_record(each), b"") for each in self.records]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def tell(node: Node) -> Told:
    """Ann works for Bob, who also works for a third."""
    ann, bob, third = await node.handles("subject", [ANN, BOB, "third"])
    job, other = await node.handles("engagement", [JOB, OTHER])
    foundation = node.genesis.foundation
    domain, scale = foundation.parameters.domains[0].code, foundation.parameters.scales[0]
    at = now_ms()

    def opened(reference: bytes, worker: bytes, client: bytes) -> EngagementOpen:
        terms = ("freelance", (domain,), "crew", at, at + 1, 7)
        return EngagementOpen(1, at, reference, worker, client, *terms)

    said = ("completed", "none", 0, "accepted", "counterparty")
    records: list[Record] = [
        SubjectRegister(1, at, ann, KEY.public, "contact"),
        SubjectRegister(1, at, bob, b"", "contact"),
        SubjectRegister(1, at, third, b"", "contact"),
        opened(job, ann, bob),
        opened(other, bob, third),
        EngagementOutcome(1, at, job, *said),
        EngagementOutcome(1, at, other, *said),
        Rating(1, at, job, "of-worker", bob, b"", scale.code, scale.high, ()),
    ]
    told = Told(records, [], {ANN: ann, BOB: bob, JOB: job, OTHER: other})
    told.ids = await final(node, told.offers)
    return told


async def final(node: Node, offers: list[Offer]) -> list[bytes]:
    results = await node.submit(offers)
    ids = [each.record_id for each in results if isinstance(each, Accepted)]
    assert len(ids) == len(offers), results
    states = await node.wait_final(ids, 20)
    assert [(each.state, each.rule) for each in states] == [("final", "")] * len(ids)
    return ids


def erasure_of(node: Node, handle: bytes) -> Offer:
    record = encode_record(Erasure(1, now_ms(), handle, KEY.public, "platform"))
    return Offer(record, KEY.sign(signed_message("record", node.chain, sha256(record).digest())))


async def acknowledged(node: Node, erasure: int) -> ErasureRow:
    """The row of an erasure once this platform has acknowledged it, told by blocks."""
    with node.events.listen() as listening:
        while True:
            row = need_row(node.reader, ErasureRow, erasure_key(erasure))
            if row.acks:
                return row
            await listening.queue.get()


def openings(node: Node) -> list[Submission]:
    rows = node.reader.scan(SUBMISSION, after(SUBMISSION))
    return [decode(Submission, value, bytes_max=8_192, what="row") for _, value in rows]


def rows_under(folder: Path, *prefixes: bytes) -> dict[bytes, bytes]:
    """Rows as they stand on disk."""
    db = plyvel.DB(str(folder))
    found = {}
    for prefix in prefixes:
        found.update(db.iterator(start=prefix, stop=after(prefix)))
    db.close()
    return found


def keys_of(folder: Path, rows: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """The keys under which sealed rows stand, by the rows' keys."""
    vault = Vault.read(folder)
    found = {key: vault.key(slot_of(key, data)) for key, data in rows.items()}
    return {key: secret for key, secret in found.items() if secret is not None}


def search(folder: Path, secrets: list[bytes]) -> list[tuple[str, str]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert any(path.name == "openings.keys.00000000" for path in files)
    return [
        (path.name, secret.hex())
        for path in files
        for data in [path.read_bytes()]
        for secret in secrets
        if secret in data
    ]


SEALED = (SUBMISSION, NAMES, ALIASES, HANDLES)
GONE = (0, 3, 5, 7)
"""Of what was told: Ann's registration, her engagement, its outcome, its rating."""


async def test_what_is_erased_goes_and_the_rest_stays(config: Config) -> None:
    async with running(config) as node:
        told = await tell(node)
        assert len(openings(node)) == len(told.ids)
    keys = keys_of(config.data, rows_under(config.data, *SEALED))
    assert len(keys) == 2 * len(told.ids) + 2 * 5
    async with running(config) as node:
        [erasure_id] = await final(node, [erasure_of(node, told.handles[ANN])])
        placed = node.status(erasure_id)
        assert placed is not None
        assert placed.log_index is not None
        row = await acknowledged(node, placed.log_index)
        assert row.acks == (1,)
        assert node._parts.eraser.left == 0
        assert next(node.reader.scan(TO_ERASE, after(TO_ERASE)), None) is None
        check_what_is_left(node, told, placed.log_index)
        assert node.metrics.get_sample_value("standing_erased_records_total") == len(GONE)
        assert node.metrics.get_sample_value("standing_erasures_under_way") == 0
        assert node.metrics.get_sample_value("standing_records_to_erase") == 0
    kept = keys_of(config.data, rows_under(config.data, *SEALED))
    destroyed = [secret for key, secret in keys.items() if key not in kept]
    assert len(destroyed) == 2 * len(GONE) + 2 * 2, "openings, names, Ann and her order both ways"
    assert search(config.data, destroyed) == []
    secrets = [part for opening in openings_of(told) for part in (opening, opening[2:30])]
    assert search(config.data, secrets) == []


def openings_of(told: Told) -> list[bytes]:
    return [encode_record(told.records[at]) for at in GONE]


def check_what_is_left(node: Node, told: Told, erasure: int) -> None:
    """All that this node says of its records after Ann's erasure is what it should say."""
    left = {each.record for each in openings(node)}
    for at, record in enumerate(told.records):
        assert (encode_record(record) in left) == (at not in GONE), at
    residues = [
        decode(Residue, value, bytes_max=8_192, what="residue")
        for _, value in node.reader.scan(RESIDUE, after(RESIDUE))
    ]
    assert {each.commitment for each in residues} == {told.ids[at] for at in GONE}
    assert {each.erasure for each in residues} == {erasure}
    size = node.state.size
    own = read_file(node.reader, 1, told.handles[ANN], size)
    # Registration, open, outcome, rating; the erasure; its leaves and acknowledgement.
    assert [item.submission is None for item in own][:5] == [True] * 4 + [False]
    assert node.handle_of(ANN) is None
    assert node.handle_of(BOB) == told.handles[BOB]
    aliases = node._parts.aliases
    assert aliases.handle_of(JOB, "engagement") is None
    assert aliases.handle_of(OTHER, "engagement") == told.handles[OTHER]


async def test_a_retry_of_what_is_erased_is_refused_by_the_ledger(config: Config) -> None:
    """Its name is gone, so the node cannot tell a retry from something new; the rules still can."""
    async with running(config) as node:
        told = await tell(node)
        [erasure_id] = await final(node, [erasure_of(node, told.handles[ANN])])
        placed = node.status(erasure_id)
        assert placed is not None
        assert placed.log_index is not None
        await acknowledged(node, placed.log_index)
        results = await node.submit([told.offers[at] for at in GONE])
        assert [type(each) for each in results] == [RefusedOffer] * len(GONE)
        assert isinstance(results[0], RefusedOffer)
        assert results[0].rule == SUBJECT_EXISTS
        [drawn] = await node.handles("subject", [ANN])
        assert drawn != told.handles[ANN], "whoever comes back is a newcomer"
        await final(
            node, [Offer(encode_record(SubjectRegister(1, now_ms(), drawn, b"", "none")), b"")]
        )


async def test_many_records_go_in_many_steps_and_others_are_served(config: Config) -> None:
    async with running(config, erased_at_once_max=7, erased_waiting_max=20) as node:
        handle = os.urandom(32)
        client = os.urandom(32)
        at = now_ms()
        domain = node.genesis.foundation.parameters.domains[0].code
        records: list[Record] = [
            SubjectRegister(1, at, handle, KEY.public, "none"),
            SubjectRegister(1, at, client, b"", "none"),
        ]
        for _ in range(60):
            terms = ("freelance", (domain,), "crew", at, at + 1, 7)
            records.append(EngagementOpen(1, at, os.urandom(32), handle, client, *terms))
        await final(node, [Offer(encode_record(each), b"") for each in records])
        [erasure_id] = await final(node, [erasure_of(node, handle)])
        placed = node.status(erasure_id)
        assert placed is not None
        assert placed.log_index is not None
        await acknowledged(node, placed.log_index)
        assert node.metrics.get_sample_value("standing_erased_records_total") == 61
        left = {each.record for each in openings(node)}
        assert left & {encode_record(each) for each in records} == {encode_record(records[1])}


async def test_a_refused_record_about_a_subject_goes_too(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(config) as node:
        told = await tell(node)
        rating = Rating(
            1, now_ms(), bytes(32), "of-worker", told.handles[ANN], b"", "thumbs", 0, ()
        )
        with monkeypatch.context() as blind:
            blind.setattr(Foresight, "admit", lambda *_: None)  # as if it came by another node
            [result] = await node.submit([Offer(encode_record(rating), b"")])
        assert isinstance(result, Accepted)
        [status] = await node.wait_final([result.record_id], 20)
        assert (status.state, status.rule) == ("refused", UNKNOWN_ENGAGEMENT)
        assert node.reader.get(name_key(rating)) is not None
        [erasure_id] = await final(node, [erasure_of(node, told.handles[ANN])])
        placed = node.status(erasure_id)
        assert placed is not None
        assert placed.log_index is not None
        await acknowledged(node, placed.log_index)
        assert encode_record(rating) not in {each.record for each in openings(node)}
        assert node.reader.get(name_key(rating)) is None
        shown = state_of(node.reader, status, {1: "a"})
        assert (shown.state, shown.rule) == ("refused", UNKNOWN_ENGAGEMENT)
        assert shown.erased == erasure_id
        own = state_of(node.reader, placed, {1: "a"}).erasure
        assert own is not None
        assert (own.outstanding, own.acknowledged, own.awaited) == (0, ("a",), ())


# --- crashes ---


class PowerCut(Exception):
    pass


class Disk:
    """Counts what the store does to its disk, and fails at one step: before it, or behind it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at, self.steps, self.behind = -1, 0, False
        self._wrap(monkeypatch, LevelStore, "_write")
        self._wrap(monkeypatch, Sealing, "destroy")

    def _wrap(self, monkeypatch: pytest.MonkeyPatch, room: type, name: str) -> None:
        whole: Callable[..., Any] = getattr(room, name)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            self.steps += 1
            if self.steps == self.at and not self.behind:
                raise PowerCut
            answer = whole(*arguments, **named)
            if self.steps == self.at:
                raise PowerCut
            return answer

        monkeypatch.setattr(room, name, wrapped)


@pytest.mark.parametrize("behind", [False, True])
async def test_a_crash_at_any_step_is_made_good(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, behind: bool
) -> None:
    """The disk fails at the first step behind the erasure, then at the second, and so on."""
    disk = Disk(monkeypatch)
    async with running(config) as node:
        told = await tell(node)
    cut = 0
    for step in range(1, 40):
        home = replace(config, data=tmp_path / f"data-{step}")
        shutil.copytree(config.data, home.data)
        async with running(home) as node:
            offer = erasure_of(node, told.handles[ANN])
            [erasure_id] = await final_or_cut(node, offer, disk, step, behind)
            failed = node._parts.driver.stopped.done()
        disk.at = -1
        cut += failed
        async with running(home) as node:
            [status] = await node.wait_final([erasure_id], 20)
            assert status.log_index is not None
            row = await acknowledged(node, status.log_index)
            assert row.acks == (1,)
            check_what_is_left(node, told, status.log_index)
            assert len(acks_in(node)) == 1, "it is said once"
        kept = keys_of(home.data, rows_under(home.data, *SEALED))
        assert len(kept) == len(rows_under(home.data, *SEALED)), "no dead row is left"
        if not failed:
            break
    assert cut >= 8
    assert not failed


async def final_or_cut(
    node: Node, offer: Offer, disk: Disk, step: int, behind: bool
) -> list[bytes]:
    """Hand in an erasure, and wait until it is acknowledged or the disk has failed."""
    disk.steps, disk.at, disk.behind = 0, 1 + step, behind  # the first is the submission's own
    results = await node.submit([offer])
    ids = [each.record_id for each in results if isinstance(each, Accepted)]
    stopped = node._parts.driver.stopped
    with node.events.listen() as listening:
        while not stopped.done():
            status = node.status(ids[0])
            assert status is not None
            if status.log_index is not None:
                row = need_row(node.reader, ErasureRow, erasure_key(status.log_index))
                if row.acks:
                    break
            await first_of(listening.queue.get(), stopped)
    return ids


async def first_of(one: Any, other: Any) -> None:
    task = asyncio.ensure_future(one)
    await asyncio.wait([task, other], return_when=asyncio.FIRST_COMPLETED)
    task.cancel()


def acks_in(node: Node) -> list[bytes]:
    """The log keys of acknowledgements."""
    return [key for key, value in node.reader.scan(LEAF, after(LEAF)) if _is_ack(value)]


_ACK = TAGS[ErasureAck]


def _is_ack(value: bytes) -> bool:
    return (
        value[:1] != b"\x01" and decode(LeafRow, value, bytes_max=8_192, what="leaf").type == _ACK
    )
