"""The receiving node's own part of `standing bench submit`: what its intake takes for a record.

Bodies are taken apart, read, judged, salted, placed in batches, sealed under a root and a signature
as rows, and answered, by the code that a node runs (`node/api/streams.py`, `node/intake.py`), in
this process. There is no socket, no disk and nobody to agree with: a batch is durable at once, and
counts as executed when some more have been sealed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final, cast

from consensus.effects import BatchSealed
from ledger.batch import (
    Header,
    Submission,
    batch_root,
    commitment,
    header_hash,
    header_message,
)
from ledger.encoding import encode
from ledger.genesis import Genesis
from ledger.position import State
from ledger.rows import SubjectRow, submission_key
from ledger.signing import SigningKey
from ledger.state import found
from ledger.store import SUBJECT, Changes, MemoryStore, subject_key
from node.api.auth import Admission
from node.api.port import Node
from node.api.streams import taken_arrays, taken_lines
from node.bench.feeder import LoadFailed
from node.bench.load import PlatformLoad
from node.bounds import BOUNDS
from node.config import Token
from node.foresight import Foresight
from node.intake import Intake, Offer, Result

LANE: Final = 1
BEHIND: Final = 16
"""A batch counts as executed when so many more are sealed."""
_SEED: Final = b"standing bench intake".ljust(32, b"\0")
_TAKEN: Final = {"ndjson": taken_lines, "msgpack": taken_arrays}


def measure_intake(
    name: str, pieces: Sequence[bytes], records: int, load: PlatformLoad, genesis: Genesis
) -> float:
    """Processor time (µs) that a record takes, of a body in the form of that name.

    Raises:
        LoadFailed: a record was not taken.
    """
    return asyncio.run(_measure(name, pieces, records, load, genesis))


async def _measure(
    name: str, pieces: Sequence[bytes], records: int, load: PlatformLoad, genesis: Genesis
) -> float:
    state, rows = found(genesis, window_blocks=1)
    store = MemoryStore()
    store.write(rows)
    for handle in (*load.workers, *load.clients):
        row = SubjectRow(1, b"", "document", 0, 1, bytes(32), (), None, 0, 0, 0)
        store.write({SUBJECT + subject_key(LANE, handle): encode(row)})
    node = _Node(store, state)
    admission = Admission(Token("bench", "", frozenset({"write"})))
    taken = 0
    begun_s = time.process_time()
    async for answers in _TAKEN[name](cast("Node", node), _Body(pieces), admission):
        taken += answers.count(b'"state":"durable"')
    spent_s = time.process_time() - begun_s
    if taken != records:
        raise LoadFailed(f"the intake took {taken} of {records} records")
    return round(spent_s / records * 1e6, 2)


class _Body:
    """A body in pieces, as a socket would give it."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self.total_bytes = sum(map(len, pieces))

    async def iter_any(self) -> AsyncIterator[bytes]:
        """The pieces; other tasks have their turn in between."""
        for piece in self._pieces:
            await asyncio.sleep(0)
            yield piece


class _Node:
    """As much of a node as its intake's readers ask for."""

    def __init__(self, store: MemoryStore, state: State) -> None:
        self._chain = self._previous = state.chain
        self._key, self._height = SigningKey.from_seed(_SEED), 0
        self.intake = Intake(
            chain=state.chain,
            reader=store,
            foresight=Foresight(store, lambda: state.vocabulary, LANE, lambda: state.footing),
            bounds=BOUNDS,
            wall_ms=lambda: time.time_ns() // 1_000_000,
            seal=self._seal,
            accepting=lambda: True,
        )

    async def submit(self, offers: Sequence[Offer], who: str = "") -> list[Result]:
        """Hand in offers."""
        return await self.intake.submit(offers, who)

    def _seal(self, submissions: tuple[Submission, ...], rows: Changes) -> None:
        self._height += 1
        root = batch_root([commitment(each) for each in submissions])
        now_ms = time.time_ns() // 1_000_000
        header = Header(1, LANE, self._height, self._previous, len(submissions), root, now_ms)
        self._key.sign(header_message(self._chain, header))
        name = self._previous = header_hash(self._chain, header)
        written = {submission_key(name, at): encode(each) for at, each in enumerate(submissions)}
        assert len(written) == len(rows), "each record has its row and its name"
        self.intake.sealed(BatchSealed(name, self._height, len(submissions)))
        self.intake.executed(self._height - BEHIND)
