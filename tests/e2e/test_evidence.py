"""A member that breaks faith, hand-written over the links' own code: what it signed twice gets on
the ledger, survives a kill -9 of who found it, is shown and audited, and anyone can judge it again.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import plyvel
from prometheus_client import CollectorRegistry, Counter

from consensus.messages import (
    Answer,
    Batches,
    Message,
    Question,
    Vote,
    decode_message,
    encode_message,
)
from consensus.safety import EVIDENCE
from ledger.batch import Batch, Header, Submission, batch_root, commitment, header_message
from ledger.errors import Malformed
from ledger.governing import read_evidence
from ledger.membership import Validator
from ledger.records import encode_record
from ledger.records.subject import SubjectRegister
from ledger.signing import verify
from ledger.statements import (
    NOTARIZE,
    TWO_BATCHES,
    TWO_NOTARIZES,
    conflict,
    statement_message,
)
from node.audit.folder import FolderLedger
from node.bounds import BOUNDS
from node.client import Client
from node.demo.checks import run
from node.federation import Federation, create, free_ports_from
from node.keystore import Keystore
from node.links.peers import Peers
from node.network import load_genesis

T = TypeVar("T")
HONEST = "abc"
FAITHLESS = 4


@dataclass
class Ears:
    """The listener of hand-made links: it hears nothing, and lets go what comes."""

    peers: Peers
    up: set[int] = field(default_factory=set)
    answers: list[int] = field(default_factory=list)

    def link_up(self, peer: int) -> None:
        self.up.add(peer)

    def link_down(self, peer: int) -> None:
        self.up.discard(peer)

    def received(self, peer: int, message: bytes) -> None:
        self.peers.handled(peer, len(message))
        with suppress(Malformed):  # what is no message of consensus
            if isinstance(decode_message(message), Answer):
                self.answers.append(peer)

    def refused(self, peer: int, reason: str) -> None:
        """It does not mind."""

    def held_back(self, peer: int, seconds: float) -> None:
        """Nor that."""

    def cut(self, peer: int, reason: str) -> None:
        """Nor that."""


class Faithless:
    """Platform d in no node: its keys, and links of its own."""

    def __init__(self, federation: Federation, peers: Peers, keys: Keystore) -> None:
        self.chain, self._peers, self._keys = federation.chain, peers, keys
        self.ears = Ears(peers)

    def tell(self, peer: int, *messages: Message) -> None:
        for message in messages:
            self._peers.send(peer, encode_message(message), bulk=False)

    def batch(self) -> Batch:
        """A batch of height 1, another one each time."""
        at_ms = time.time_ns() // 1_000_000
        record = encode_record(SubjectRegister(FAITHLESS, at_ms, os.urandom(32), b"", "none"))
        submission = Submission(os.urandom(16), record, b"")
        root = batch_root([commitment(submission)])
        header = Header(1, FAITHLESS, 1, self.chain, 1, root, at_ms)
        signature = self._keys.lane.sign(header_message(self.chain, header))
        return Batch(header, signature, (submission,))

    def notarize(self, view: int) -> Vote:
        """A vote for a block of its own fancy."""
        hash_ = os.urandom(32)
        signature = self._keys.vote.sign(statement_message(self.chain, NOTARIZE, 1, view, hash_))
        return Vote(NOTARIZE, 1, view, hash_, signature, False)


@asynccontextmanager
async def faithless(federation: Federation, own: Validator) -> AsyncIterator[Faithless]:
    """d's links, from keys that its node would have used."""
    seat = federation.seat("d")
    keys = Keystore.load(seat.config.keys)
    genesis = load_genesis(federation.folder / "genesis.json")
    peers = Peers(
        own=own,
        validators=genesis.foundation.validators,
        chain=federation.chain,
        link_seed=keys.link_seed,
        listen=seat.config.peers_listen,
        addresses=seat.config.peer_addresses,
        bounds=BOUNDS,
        sent_bytes=Counter("sent", "", registry=CollectorRegistry()),
    )
    made = Faithless(federation, peers, keys)
    await peers.start(made.ears)
    try:
        yield made
    finally:
        await peers.stop()


async def until(ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool]) -> T:
    async with asyncio.timeout(20):
        while not holds(answer := await ask()):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
        return answer


def kept(folder: Path) -> int:
    """How many pieces of evidence a stopped node's store keeps as its own finds."""
    database = plyvel.DB(str(folder))
    with database, database.iterator(prefix=EVIDENCE, include_value=False) as keys:
        return sum(1 for _ in keys)


def judge(folder: Path, own: Validator, chain: bytes, origin: str) -> set[int]:
    """Judge all evidence on a stopped node's ledger again, from its bytes and d's public keys."""
    kinds = set[int]()
    with FolderLedger(folder) as ledger:
        for found in read_evidence(ledger.stored):
            for each in conflict(chain, origin, found.evidence):
                assert verify(own.key(each.purpose), each.message, each.signature)
            assert found.evidence.number == FAITHLESS
            kinds.add(found.evidence.kind)
    return kinds


async def test_what_a_member_signed_twice_gets_on_the_ledger_over_a_kill_of_who_found_it(
    tmp_path: Path,
) -> None:
    base = free_ports_from(random.randrange(20_000, 30_000, 10), 8)
    create(tmp_path / "net", [*HONEST, "d"], api_port=base, peer_port=base + 4)
    genesis = load_genesis(tmp_path / "net" / "genesis.json").foundation
    own = genesis.validators[FAITHLESS - 1]
    federation = Federation.at(tmp_path / "net")
    finder, other = federation.seat("a"), federation.seat("b")
    try:
        for code in HONEST:
            federation.start(code)
        await federation.wait_ready(HONEST)
        async with faithless(federation, own) as d, Client(other.url, other.token) as client:
            await until(lambda: _value(d.ears.up), lambda up: 1 in up)
            d.tell(1, Batches((d.batch(),)), Batches((d.batch(),)))
            d.tell(1, d.notarize(40), d.notarize(40), Question(1))
            # The answer goes out when all that came before is handled, and on disk.
            await until(lambda: _value(d.ears.answers), bool)
            federation.kill("a")
            assert kept(finder.config.data) == 2
            federation.start("a")
            told = await until(client.governance, lambda found: len(found["evidence"]) == 2)
            assert {each["code"] for each in told["evidence"]} == {"d"}
            assert (await client.network())["accused"] == ["d"]
            policy = tmp_path / "policy"
            policy.write_text(await client.policy())
            token = {"STANDING_TOKEN": other.token}
            report = await run(["audit", other.url, "--policy", str(policy)], token)
            assert {(each["kind"], each["severity"]) for each in report["findings"]} == {
                ("evidence", "warning")
            }
            assert sorted(each["detail"].partition(":")[0] for each in report["findings"]) == [
                "d signed two batches, slot 1",
                "d signed two notarizes of epoch 1, slot 40",
            ]
        await federation.wait_ready(HONEST)
    finally:
        await federation.stop()
    kinds = judge(other.folder, own, federation.chain, genesis.origin)
    assert kinds == {TWO_BATCHES, TWO_NOTARIZES}
    assert "evidence against platform 4" in finder.log.read_text()


async def _value(value: T) -> T:
    return value
