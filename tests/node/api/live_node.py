"""A node for the API's tests: real intake, execution, store rows and notes; agreement is immediate.

Only consensus and links are absent: whatever the intake seals is executed at once (or when
`finalise` is called, with `hold`), and three of four validators cosign it.
"""

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from prometheus_client import CollectorRegistry

from consensus.effects import BatchSealed, Execute
from ledger.batch import Submission
from ledger.checkpoint import Checkpoint, cosignature_message
from ledger.encoding import encode
from ledger.files import entry_at
from ledger.genesis import Genesis
from ledger.rows import (
    BlockRow,
    CheckpointRow,
    CosignatureRow,
    block_key,
    need_row,
)
from ledger.state import apply_block
from ledger.store import CHECKPOINT, Changes
from node.bounds import BOUNDS
from node.config import Address, Config, Token
from node.events import Events
from node.foresight import Foresight
from node.intake import Intake, Offer, Result
from node.tracking import RecordStatus, Tracking
from node.view import Certificate, Notary, policy_of
from tests.ledger.world import World, genesis_of, key_of

READ, WRITE, BOTH, GOVERN = "read-token", "write-token", "both-token", "govern-token"


class LiveNode:
    """Platform 1 of four."""

    def __init__(self, genesis: Genesis | None = None) -> None:
        self.world = World(genesis or genesis_of(4))
        self.number = 1
        self.ready = True
        self.forgotten = ""
        self.hold = False
        self.metrics = CollectorRegistry()
        self.events = Events(64)
        self.config = _config()
        self.aliases: dict[tuple[str, str], bytes] = {}
        self.offered: list[int] = []
        self.intake = Intake(
            chain=self.chain,
            reader=self.world.store,
            foresight=Foresight(
                self.world.store,
                lambda: self.world.state.vocabulary,
                1,
                lambda: self.world.state.footing,
            ),
            bounds=BOUNDS,
            wall_ms=lambda: self.world.time,
            seal=self._seal,
            accepting=lambda: True,
        )
        notary = Notary(self.origin, key_of(1, "log"), self.world.store)
        self.tracking = Tracking(
            reader=self.world.store,
            intake=self.intake,
            notary=notary,
            events=self.events,
            number=1,
        )

    @property
    def certified(self) -> Certificate | None:
        return self.tracking.certificate

    def certificate(self, size: int) -> Certificate | None:
        return self.tracking.certificate_of(size)

    @property
    def genesis(self):
        return self.world.genesis

    @property
    def chain(self) -> bytes:
        return self.world.chain

    @property
    def origin(self) -> str:
        return self.genesis.foundation.origin

    @property
    def validators(self):
        return self.genesis.foundation.validators

    code, role = "p1", "validator"

    @property
    def codes(self) -> dict[int, str]:
        return {each.number: each.code for each in self.validators}

    @property
    def reader(self):
        return self.world.store

    @property
    def state(self):
        return self.world.state

    witnessed = None
    witness = None

    @property
    def policy_text(self) -> str:
        return policy_of(self.origin, self.validators).format()

    async def submit(self, offers: Sequence[Offer], who: str = "") -> list[Result]:
        self.offered.append(len(offers))
        return await self.intake.submit(offers, who)

    async def wait_final(self, record_ids: Sequence[bytes], timeout_s: float) -> list[RecordStatus]:
        return await self.tracking.wait_final(record_ids, timeout_s)

    def status(self, record_id: bytes) -> RecordStatus | None:
        return self.tracking.status(record_id)

    async def handles(self, kind: str, references: Sequence[str]) -> list[bytes]:
        for reference in references:
            self.aliases.setdefault((kind, reference), os.urandom(32))
        return [self.aliases[kind, reference] for reference in references]

    @property
    def linked(self) -> tuple[int, ...]:
        return (2, 3)

    # --- what consensus does in a real node ---

    def _seal(self, submissions: tuple[Submission, ...], rows: Changes) -> None:
        self.world.put(1, submissions)
        self.world.store.write(rows)
        tip = self.world.tips[1]
        self.tracking.sealed(BatchSealed(tip.hash, tip.height, len(submissions)))
        if not self.hold:
            self.finalise()

    def finalise(self) -> None:
        """Agree on all that was sealed, execute, cosign."""
        world = self.world
        world.put(2, ())  # a second lane's clock, without which block time stands still
        block, name, batches = world.next_block()
        world.state, applied = apply_block(world.state, world.store, block, name, batches)
        self.tracking.executed(Execute(block, name, tuple(batches)), applied)
        world.store.write(applied.changes)
        world.waiting = []
        height = self.state.height
        block = need_row(self.reader, BlockRow, block_key(height))
        text = Checkpoint(self.origin, block.size, block.root).text()
        time_s = block.block.time // 1_000
        row = CheckpointRow(
            height,
            block.size,
            block.root,
            tuple(
                CosignatureRow(
                    number,
                    time_s,
                    key_of(number, "cosigner").sign(cosignature_message(time_s, text)),
                )
                for number in (1, 2, 4)
            ),
        )
        self.world.store.write({CHECKPOINT + height.to_bytes(8): encode(row)})
        self.tracking.certified(row)

    def entries(self) -> list[bytes]:
        """All entries of the log."""
        return [entry_at(self.reader, at) for at in range(self.state.log.size)]

    def rows(self) -> dict[bytes, bytes]:
        """Everything in the store."""
        return dict(self.reader.scan(b"", b"\xff"))


def _config() -> Config:
    rights = {READ: ("read",), WRITE: ("write",), BOTH: ("read", "write"), GOVERN: ("govern",)}
    tokens = tuple(
        Token(name, sha256(name.encode()).hexdigest(), frozenset(may))
        for name, may in rights.items()
    )
    here = Path()
    address = Address("127.0.0.1", 0)
    return Config(here, here, here, 16, address, address, {}, tokens)
