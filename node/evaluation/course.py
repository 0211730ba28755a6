"""Events told through real records, executed by the ledger, scored by the bureau's own code.

For each event three records reach the ledger, each in a batch of its platform's lane:

- before: the engagement's open (and the registration of whoever is new), in the batch of the time
  just before the event's, so that nothing is opened in hindsight;
- at its time: the outcome (good: completed and accepted; bad: completed and rejected by the
  worker's fault) on the set's basis, and, where the set has grades, the rating by the counterparty.

Events of one time make one block, as they would in a network with so little to do; each block is an
epoch (`ground.EPOCH_BLOCKS`). Who is asked about gets the answer of `ledger.bureau.score.score`:
from the file as execution wrote it, annotations and all, the platform's summary as the index holds
it, and `as_of` = the event's time. That this is what a node answers from its store, is checked on a
sample by `check`.
"""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

from ledger.batch import (
    Batch,
    Header,
    Submission,
    batch_root,
    commitment,
    header_hash,
    header_message,
)
from ledger.block import Block, Tip, block_hash
from ledger.bureau.answer import Answer, Question
from ledger.bureau.evidence import READ_TYPES, Fact, OpenFile
from ledger.bureau.reading import answer, decode_tally
from ledger.bureau.score import score
from ledger.bureau.standing import Annotation, PlatformTally
from ledger.encoding import decode, encode
from ledger.errors import Misconfigured
from ledger.files import KIND_PLATFORM, read_summary
from ledger.genesis import epoch_of
from ledger.hashing import sha256
from ledger.parameters import Parameters
from ledger.records import TAGS, Record, encode_record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.rating import Rating
from ledger.records.subject import Assurance, SubjectLink, SubjectRegister
from ledger.rows import HeaderRow, LeafRow, header_key, leaf_key, submission_key
from ledger.state import State, apply_block, found
from ledger.store import Changes, MemoryStore, Store
from node.evaluation.branch import BranchStore
from node.evaluation.events import DataSet, Event
from node.evaluation.ground import genesis_of, handle_of, lane_key

BATCH_RECORDS: Final = 4_096
DUE_MS_MAX: Final = 5 * 365 * 86_400_000
_ANNOTATION_BYTES: Final = 64

Key = tuple[int, bytes]
"""Platform and handle."""


@dataclass(frozen=True, slots=True)
class _Certified:
    """What a checkpoint would certify: the ledger as far as it has come."""

    height: int
    size: int
    note: bytes = b""


class Course:
    """One set's ledger under way. `open` events, `close` them at their time, `ask` in between."""

    def __init__(self, data: DataSet, parameters: Parameters) -> None:
        first_ms = data.events[0].time_ms if data.events else 1
        genesis = genesis_of(parameters, data.platforms, max(0, first_ms - 2))
        self.parameters = parameters
        self.state: State
        self.state, changes = found(genesis, window_blocks=1)
        self.store: Store = MemoryStore()
        self.store.write(changes)
        self.records = 0
        self._data = data
        self._files: dict[Key, list[Fact]] = {}
        self._tips: dict[int, Tip] = {}
        self._waiting: dict[int, list[Record]] = {}
        self._summaries: tuple[int, dict[int, PlatformTally | None]] = (-1, {})
        self._parties: dict[bytes, tuple[Key, Key]] = {}
        self._signed: dict[Record, bytes] = {}

    def branch(self) -> Self:
        """A course that begins where this one is; this one is not to go on before it has ended."""
        other = copy.copy(self)
        vars(other).update(
            state=replace(self.state, index=copy.deepcopy(self.state.index)),
            store=BranchStore(self.store),
            _files={key: list(facts) for key, facts in self._files.items()},
            _tips=dict(self._tips),
            _waiting={lane: list(records) for lane, records in self._waiting.items()},
            _summaries=(-1, {}),
            _parties=dict(self._parties),
        )
        return other

    # --- what happens ---

    def register(self, platform: int, name: str, at_ms: int, key: bytes = b"") -> None:
        """Register who goes by this name, unless that is done; `key`: what they sign by."""
        handle = handle_of(name)
        if (platform, handle) in self._files:
            return
        assurance: Assurance = "document" if name in self._data.verified else "none"
        self._files[platform, handle] = []
        self._tell(platform, SubjectRegister(platform, at_ms, handle, key, assurance))

    def link(self, record: SubjectLink, signatures: bytes) -> None:
        """Two files are one person's. Who has links is asked about by `answer_from_store`."""
        self._signed[record] = signatures
        self._tell(record.platform, record)

    def open(self, events: Iterable[Event], at_ms: int) -> None:
        """Open the engagements of events that are to come, all at this time."""
        for event in events:
            self.register(event.platform, event.rated, at_ms)
            self.register(event.platform, event.rater, at_ms)
            begun = min(at_ms, event.time_ms)
            reference = _reference(event)
            worker, client = handle_of(event.rated), handle_of(event.rater)
            self._parties[reference] = (event.platform, worker), (event.platform, client)
            self._tell(
                event.platform,
                EngagementOpen(
                    platform=event.platform,
                    at=begun,
                    reference=reference,
                    worker=worker,
                    client=client,
                    format=event.format,  # type: ignore[arg-type]  # the reader checks it
                    domains=(event.domain,),
                    role="lead",
                    due_from=begun,
                    due_until=min(max(begun, event.time_ms), begun + DUE_MS_MAX),
                    value_band=0,
                ),
            )

    def close(self, events: Iterable[Event]) -> None:
        """Tell the results of opened events."""
        for event in events:
            reference = _reference(event)
            self._tell(
                event.platform,
                EngagementOutcome(
                    platform=event.platform,
                    at=event.time_ms,
                    reference=reference,
                    status="completed",
                    fault="none" if event.good else "worker",
                    lateness_band=0,
                    acceptance="accepted" if event.good else "rejected",
                    basis=self._data.basis,
                ),
            )
            if event.grade is None or self._data.scale is None:
                continue
            self._tell(
                event.platform,
                Rating(
                    platform=event.platform,
                    at=event.time_ms,
                    reference=reference,
                    direction="of-worker",
                    rater=handle_of(event.rater),
                    rater_key=b"",
                    scale=self._data.scale.code,
                    value=event.grade,
                    dimensions=(),
                ),
            )

    def _tell(self, lane: int, record: Record) -> None:
        self._waiting.setdefault(lane, []).append(record)

    def execute(self, time_ms: int) -> None:
        """Seal what has been told into batches of this time, and execute a block (or, of very
        many records at one time, several)."""
        while any(self._waiting.values()):
            time = max(time_ms, self.state.time + 1)
            told = {lane: made[:BATCH_RECORDS] for lane, made in self._waiting.items() if made}
            for lane, records in told.items():
                del self._waiting[lane][: len(records)]
            self._block(sorted(told.items()), time)

    def _block(self, told: Sequence[tuple[int, list[Record]]], time: int) -> None:
        rows: Changes = {}
        batches = [self._seal(lane, records, time, rows) for lane, records in told]
        self.store.write(rows)
        height = self.state.height + 1
        block = Block(
            epoch=epoch_of(height, self.state.foundation.bounds.epoch_blocks),
            view=height,
            height=height,
            parent=self.state.block_hash,
            tips=tuple(self._tips[lane] for lane, _ in told),
            time=time,
        )
        name = block_hash(self.state.chain, block)
        self.state, applied = apply_block(self.state, self.store, block, name, batches)
        self.store.write(applied.changes)
        records = [record for _, each in told for record in each]
        for record, (_, log_index, rule) in zip(records, applied.records, strict=True):
            if log_index is None:
                raise Misconfigured(f"{self._data.name}: the ledger refuses a record by {rule}")
            self._keep(record, applied.changes[leaf_key(log_index)])
        self.records += len(records)

    def _seal(
        self, lane: int, records: Sequence[Record], time: int, rows: Changes
    ) -> tuple[bytes, Batch]:
        below = self._tips.get(lane)
        items = tuple(
            Submission(sha256(b"salt", (self.records + nth).to_bytes(8), lane.to_bytes(4))[:16],
                       encode_record(record), self._signed.get(record, b""))
            for nth, record in enumerate(records)
        )  # fmt: skip
        header = Header(
            epoch=epoch_of(self.state.height + 1, self.state.foundation.bounds.epoch_blocks),
            lane=lane,
            height=below.height + 1 if below else 1,
            previous=below.hash if below else self.state.chain,
            count=len(items),
            root=batch_root([commitment(item) for item in items]),
            time=time,
        )
        signature = lane_key(lane).sign(header_message(self.state.chain, header))
        name = header_hash(self.state.chain, header)
        self._tips[lane] = Tip(lane, header.height, name)
        rows[header_key(name)] = encode(HeaderRow(header, signature))
        for position, item in enumerate(items):
            rows[submission_key(name, position)] = encode(item)
        return name, Batch(header, signature, items)

    def _keep(self, record: Record, row: bytes | None) -> None:
        """The fact that a record has become, in each file that the score reads it in."""
        if TAGS[type(record)] not in READ_TYPES or isinstance(record, SubjectLink):
            return
        assert row is not None, "an accepted record has its row"
        leaf = decode(LeafRow, row, bytes_max=len(row), what="leaf row")
        told = None
        if isinstance(record, EngagementOutcome | Rating):
            told = decode(
                Annotation, leaf.annotation, bytes_max=_ANNOTATION_BYTES, what="annotation"
            )
        assert isinstance(record, EngagementOpen | EngagementOutcome | Rating)
        fact = Fact(leaf.time, record, told)
        for key in self._parties[record.reference]:
            self._files[key].append(fact)

    # --- what is asked ---

    def ask(self, platform: int, name: str, as_of_ms: int) -> Answer:
        """The bureau's answer about a worker."""
        handle = handle_of(name)
        question = Question(platform, handle, "worker", "", as_of_ms)
        files = [self.file(platform, name)]
        return score(files, self.summary(platform), self.parameters, question)

    def file(self, platform: int, name: str) -> OpenFile:
        """The file as the score reads it, without links."""
        handle = handle_of(name)
        return OpenFile(platform, handle, self._files.get((platform, handle), ()))

    def summary(self, platform: int) -> PlatformTally | None:
        """The platform's summary as the index holds it: that of the last epoch's end."""
        ended = self.state.height // self.state.foundation.bounds.epoch_blocks
        if self._summaries[0] != ended:
            self._summaries = (ended, {})
        known = self._summaries[1]
        if platform not in known:
            data = read_summary(self.store, KIND_PLATFORM, platform, b"", self.state.height)
            known[platform] = None if data is None else decode_tally(data)
        return known[platform]

    def answer_from_store(self, platform: int, name: str, as_of_ms: int) -> Answer:
        """The answer as a node gives it: from the rows of its store, openings checked."""
        question = Question(platform, handle_of(name), "worker", "", as_of_ms)
        return answer(self.store, _Certified(self.state.height, self.state.size), question)


def _reference(event: Event) -> bytes:
    return sha256(b"standing evaluation event", event.place.to_bytes(8), event.rater.encode())
