"""Execution of one block's records: judged one by one in final order, entered in log and files.

For each record, in order of lane, height and position:

1. It is judged (`ledger/rules`). If it breaks a rule it gets no entry: its place and the salted
   hash of the rule's code join the block's refusal list, and nothing else changes.
2. The registry takes it in: subjects, engagements, links.
3. Its annotation is fixed, from the tallies as they stand just before it (below).
4. Its entry becomes the next leaf of the log, its file leaf the next leaf of each file it touches.
5. The tallies take it in.

| record | files touched | target | annotation | tallies |
|---|---|---|---|---|
| subject.register | the subject's | – | [] | rater, if its platform has verified it |
| subject.link | both sides' | – | [] | – |
| engagement.open | worker's, client's | – | [] | platform |
| engagement.outcome | worker's, client's | the open | annotated | platform, pair |
| rating | worker's, client's | the open | annotated | rated party, pair |

*annotated*: [k, standing, retrospective] (`ledger.bureau.standing.Annotation`). *Counterparty*: of
an outcome the client, of a rating the rater. k counts, from 1, the outcomes (or ratings) that the
same counterparty has had with (given) the same subject. *standing* is the counterparty's, in Q16.
*retrospective* is 1 iff the open's batch time is more than 7 days after the open's `at`, or not
before the record's `at`.
"""

from collections.abc import Callable, Generator, Iterator
from hashlib import sha256 as _sha256
from typing import Any, ClassVar, Final

from ledger.batch import Header, Submission, entry_of
from ledger.block import Refusal, rule_hash
from ledger.bureau.standing import (
    NEW_PLATFORM,
    Annotation,
    PlatformTally,
    RaterTally,
    after_open,
    after_outcome,
    after_overdue,
    after_rating,
    grade_of,
    new_rater,
    standing,
    worker_sign,
)
from ledger.encoding import encode
from ledger.errors import Malformed, Refused, StoreDamaged
from ledger.files import KIND_PLATFORM, KIND_RATER, file_value, summary_value
from ledger.merkle import frontier_append, frontier_root
from ledger.overlay import DAY_MS, TURN_ROWS, Overlay, stored_dirty
from ledger.records import TAGS, Record, decode_checked
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.rating import Rating
from ledger.records.subject import SubjectLink, SubjectRegister
from ledger.residue import AnyBatch, Residue
from ledger.rows import (
    REPAIR,
    EngagementRow,
    PairRow,
    RecordRow,
    SummaryRow,
    describe_key,
    lane_key,
    read_row,
    refusal_key,
)
from ledger.rules import Vocabulary, check_stateful, check_stateless, enact, read_record
from ledger.store import DIRTY, FILE, INDEX, LEAF, RECORD, SUBJECT, SUMMARY, Changes, Reader

LATE_OPEN_MS: Final = 7 * DAY_MS
TURN_RECORDS: Final = 256
"""After so many records whoever executes may do other things."""
EMPTY_ANNOTATION: Final = encode(())

_RATER: Final = bytes([KIND_RATER])
_PLATFORM: Final = bytes([KIND_PLATFORM])


Place = tuple[int, int, int]
"""Lane, batch height, position."""

Effect = tuple[tuple[bytes, ...], int | None, bytes]
"""What an accepted record is entered with: files by subject key, target, annotation."""


def is_retrospective(engagement: EngagementRow, at: int) -> bool:
    """Whether an engagement was opened in hindsight of what is now said of it (`at`, ms)."""
    known = engagement.known
    return known > engagement.at + LATE_OPEN_MS or known >= at


class BlockRun:
    """One block under way. Collects every change; the store stays as it is."""

    def __init__(
        self, chain: bytes, vocabulary: Vocabulary, reader: Reader, first: int, block_time: int
    ) -> None:
        self.overlay = Overlay(reader, vocabulary)
        self.changes: Changes = {}
        self.leaf_hashes: list[bytes] = []
        self.refusals: list[Refusal] = []
        self.records: list[tuple[bytes, int | None, str]] = []
        self._chain = chain
        self._vocabulary = vocabulary
        self._reader = reader
        self._first = first
        self._time = block_time
        self._today = block_time // DAY_MS
        self._dirty: set[bytes] = set()

    # --- records ---

    def pass_days(self, earlier_time: int) -> None:
        """Count what has become overdue since the parent block's time (ms)."""
        first = earlier_time // DAY_MS
        if first < self._today:
            for platform, count in self.overlay.dues.pass_days(first, self._today).items():
                key = platform.to_bytes(4)
                self._tally_platform(key, after_overdue(self._platform(key), count))

    def batch(self, header_hash: bytes, batch: AnyBatch) -> Iterator[None]:
        """Execute a batch's records in order, in turns of at most TURN_RECORDS."""
        header = batch.header
        self.changes[lane_key(header.lane, header.height)] = header_hash
        pairs = zip(batch.submissions, batch.commitments, strict=True)
        for position, (submission, record_id) in enumerate(pairs):
            if type(submission) is Submission:
                self._record(header, position, submission, record_id, is_checked=batch.is_checked)
            elif isinstance(submission, Residue):
                self._residue(header, position, submission)
            if position % TURN_RECORDS == TURN_RECORDS - 1:
                yield
        yield

    def _record(
        self,
        header: Header,
        position: int,
        submission: Submission,
        record_id: bytes,
        *,
        is_checked: bool,
    ) -> None:
        lane, height, batch_time = header.lane, header.height, header.time
        try:
            if is_checked:
                record = decode_checked(submission.record)
            else:
                record = read_record(submission.record, self._vocabulary.bounds)
                check_stateless(self._chain, record, submission.signatures)
            check_stateful(self.overlay, record, lane, batch_time)
        except Refused as refused:
            hashed = rule_hash(submission.salt, refused.rule)
            self._refuse((lane, height, position), record_id, hashed, refused.rule)
            return
        effect = self._enact(record, batch_time)
        hashed = _sha256(submission.salt + effect[2]).digest()
        self._enter((lane, height, position), TAGS[type(record)], record_id, hashed, effect)

    def _residue(self, header: Header, position: int, residue: Residue) -> None:
        """What an erased record did, done again (`ledger/residue.py`)."""
        place = (header.lane, header.height, position)
        record_id, hashed = residue.commitment, residue.hash
        if residue.rule:
            self._refuse(place, record_id, hashed, residue.rule)
            return
        try:
            record = read_record(residue.stand_in, self._vocabulary.bounds)
            check_stateful(self.overlay, record, header.lane, header.time)
        except Refused as refused:  # no true residue: the refusal list will not be the seal's
            self._refuse(place, record_id, hashed, refused.rule)
            return
        effect = self._enact(record, header.time)
        self._enter(place, TAGS[type(record)], record_id, hashed, effect)

    def _refuse(self, place: Place, record_id: bytes, hashed: bytes, rule: str) -> None:
        lane, height, position = place
        self.refusals.append(Refusal(lane, height, position, record_id, hashed))
        row = RecordRow(lane, height, position, None, rule)
        self.changes[refusal_key(record_id, lane)] = encode(row)
        self.records.append((record_id, None, rule))

    def _enact(self, record: Record, batch_time: int) -> Effect:
        enact(self.overlay, record, self._first + len(self.leaf_hashes), batch_time)
        return self._EFFECTS[type(record)](self, record)

    def _enter(
        self, place: Place, tag: int, record_id: bytes, hashed: bytes, effect: Effect
    ) -> None:
        """Log leaf, leaf row, where the record stands, and a leaf in each file."""
        lane, height, position = place
        log_index = self._first + len(self.leaf_hashes)
        index_bytes = log_index.to_bytes(8)
        files, target, annotation = effect
        self.changes[RECORD + record_id] = encode((lane, height, position, log_index, ""))
        self.records.append((record_id, log_index, ""))
        entry = entry_of(lane, height, position, record_id)
        self.leaf_hashes.append(_sha256(b"\x00" + entry).digest())
        time = self._time
        # A LeafRow, without the object.
        self.changes[LEAF + index_bytes] = encode(
            (lane, height, position, time, tag, record_id, target, hashed, annotation)
        )
        file_leaf = encode((log_index, time, tag, record_id, target, hashed))
        leaf_hash = _sha256(b"\x00" + file_leaf).digest()
        subjects = self.overlay.subjects
        for subject in files:
            row = subjects.get(subject)
            assert row is not None, "files of registered subjects only"
            length = row.length
            self.changes[FILE + subject + length.to_bytes(4)] = index_bytes
            try:
                row.frontier = frontier_append(length, row.frontier, leaf_hash)
            except Malformed as error:
                where = describe_key(SUBJECT + subject)
                raise StoreDamaged(where, f"{error}; {REPAIR}") from error
            row.length = length + 1
            subjects.put(subject, row)

    # --- effects by type ---

    def _register(self, record: SubjectRegister) -> Effect:
        subject = record.platform.to_bytes(4) + record.handle
        tally = new_rater(record.assurance)
        if tally.attested:
            # No summary yet: an epoch's end would enter everybody who was ever registered.
            self.overlay.raters.put(subject, tally)
        return (subject,), None, EMPTY_ANNOTATION

    def _link(self, record: SubjectLink) -> Effect:
        first = record.first_platform.to_bytes(4) + record.first_handle
        second = record.second_platform.to_bytes(4) + record.second_handle
        return (first, second), None, EMPTY_ANNOTATION

    def _open(self, record: EngagementOpen) -> Effect:
        prefix = record.platform.to_bytes(4)
        tally = after_open(self._platform(prefix))
        tally = self._count_due(tally, record.platform, record.due_until, 1)
        self._tally_platform(prefix, tally)
        return (prefix + record.worker, prefix + record.client), None, EMPTY_ANNOTATION

    def _outcome(self, record: EngagementOutcome) -> Effect:
        prefix = record.platform.to_bytes(4)
        engagement, worker, client = self._parties(prefix, record.reference)
        pair = self._pair(client, worker)
        pair.outcomes += 1
        worker_row = self.overlay.subjects.get(worker)
        assert worker_row is not None, "parties are registered"
        client_standing = self._standing(client)
        tally = after_outcome(
            self._platform(prefix),
            worker_sign(record.status, record.fault, record.acceptance),
            earlier_results=worker_row.results,
            attested=record.basis == "platform",
            client_standing=client_standing,
            model=self._vocabulary.model,
        )
        tally = self._count_due(tally, record.platform, engagement.due_until, -1)
        self._tally_platform(prefix, tally)
        worker_row.results += 1
        retrospective = int(is_retrospective(engagement, record.at))
        annotation = encode(Annotation(pair.outcomes, client_standing, retrospective))
        return (worker, client), engagement.open, annotation

    def _rating(self, record: Rating) -> Effect:
        prefix = record.platform.to_bytes(4)
        engagement, worker, client = self._parties(prefix, record.reference)
        of_worker = record.direction == "of-worker"
        rater, rated = (client, worker) if of_worker else (worker, client)
        pair = self._pair(rater, rated)
        pair.ratings += 1
        rater_standing = self._standing(rater)
        grade = grade_of(self._vocabulary.scales[record.scale], record.value)
        if grade:
            before = self._rater(rated)
            after = after_rating(before, grade, rater_standing, self._vocabulary.model)
            self._tally_rater(rated, after)
        retrospective = int(is_retrospective(engagement, record.at))
        annotation = encode(Annotation(pair.ratings, rater_standing, retrospective))
        return (worker, client), engagement.open, annotation

    _EFFECTS: ClassVar[dict[type[Record], Callable[["BlockRun", Any], Effect]]] = {
        SubjectRegister: _register,
        SubjectLink: _link,
        EngagementOpen: _open,
        EngagementOutcome: _outcome,
        Rating: _rating,
    }

    # --- tallies ---

    # `prefix` is a platform's number as keys begin with it (u32be).

    def _parties(self, prefix: bytes, reference: bytes) -> tuple[EngagementRow, bytes, bytes]:
        row = self.overlay.engagements.get(prefix + reference)
        assert row is not None, "an accepted record's engagement is open"
        return row, prefix + row.worker, prefix + row.client

    def _pair(self, counterparty: bytes, subject: bytes) -> PairRow:
        key = counterparty + subject
        row = self.overlay.pairs.get(key) or PairRow(0, 0)
        self.overlay.pairs.put(key, row)
        return row

    def _rater(self, subject: bytes) -> RaterTally:
        tally = self.overlay.raters.get(subject)
        return tally if tally is not None else new_rater("none")

    def _standing(self, subject: bytes) -> int:
        return standing(self._rater(subject), self._vocabulary.model)

    def _platform(self, prefix: bytes) -> PlatformTally:
        return self.overlay.platforms.get(prefix) or NEW_PLATFORM

    def _tally_rater(self, subject: bytes, tally: RaterTally) -> None:
        self.overlay.raters.put(subject, tally)
        self._dirty.add(_RATER + subject)

    def _tally_platform(self, prefix: bytes, tally: PlatformTally) -> None:
        self.overlay.platforms.put(prefix, tally)
        self._dirty.add(_PLATFORM + prefix)

    def _count_due(
        self, tally: PlatformTally, platform: int, due_until: int, change: int
    ) -> PlatformTally:
        """Count an engagement that opens (+1) or closes (−1): overdue, or due on a later day."""
        day = due_until // DAY_MS
        if day < self._today:
            return after_overdue(tally, change)
        self.overlay.dues.add(platform, day, change)
        return tally

    # --- the block's end ---

    def finish(self, height: int, *, epoch_ends: bool) -> Generator[None, None, dict[bytes, bytes]]:
        """Write all changed rows, in turns; the block's updates of the index."""
        updates: dict[bytes, bytes] = {}
        # Whatever changes a subject's row also stands in its file.
        for nth, (subject, row) in enumerate(self.overlay.subjects.changed(), 1):
            head = frontier_root(row.length, row.frontier)
            updates[_sha256(b"\x00" + subject).digest()] = file_value(row.length, head)
            if nth % TURN_ROWS == 0:
                yield
        if epoch_ends:
            self._enter_summaries(height, updates)
        else:
            for name in self._dirty:
                self.changes[DIRTY + name] = b""
        yield
        yield from self.overlay.flush(self.changes)
        for key, value in updates.items():
            self.changes[INDEX + key] = value
        yield
        return updates

    def _enter_summaries(self, height: int, updates: dict[bytes, bytes]) -> None:
        """At an epoch's end each summary that changed in it is entered in the index."""
        stored = set(stored_dirty(self._reader, DIRTY))
        for name in stored:
            self.changes[DIRTY + name] = None
        for name in stored | self._dirty:
            tally: RaterTally | PlatformTally | None
            if name[:1] == _RATER:
                tally = self.overlay.raters.get(name[1:])
            else:
                tally = self.overlay.platforms.get(name[1:])
            assert tally is not None, "a changed summary is there"
            data = encode(tally)
            key = SUMMARY + name
            before = read_row(self._reader, SummaryRow, key)
            earlier = before.data if before is not None else b""
            self.changes[key] = encode(SummaryRow(height, data, earlier))
            updates[_sha256(name).digest()] = summary_value(data)
