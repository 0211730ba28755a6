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
| subject.register | the subject's | – | [] | – (a new rater's follows from its assurance) |
| subject.link | both sides' | – | [] | – |
| engagement.open | worker's, client's | – | [] | platform |
| engagement.outcome | worker's, client's | the open | annotated | platform, pair, worker |
| rating | worker's, client's | the open | annotated | rated party, pair, rater |
| erasure | each in its scope | – | [] | – |
| erasure.ack | the erasure's subject's | the erasure | [] | – |
| member.approve, .ready | none | the change | [] | – |
| member.propose, .remove, .leave, key.rotate, model.activate, evidence | none | – | [] | – |

*annotated*: [k, standing, retrospective] (`ledger.bureau.standing.Annotation`). *Counterparty*: of
an outcome the client, of a rating the rater. k counts, from 1, the outcomes (or ratings) that the
same counterparty has had with (given) the same subject. *standing* is the counterparty's, in Q16.
*retrospective* is 1 iff the open's batch time is more than 7 days after the open's `at`, or not
before the record's `at`.

Behind the block's records, the leaves of erasures that are under way (`ledger/erasure_queue.py`).
"""

from collections.abc import Callable, Generator, Iterator
from hashlib import sha256 as _sha256
from typing import Any, ClassVar, Final

from ledger.batch import Header, Submission, entry_of
from ledger.binding import Bound, Outlook
from ledger.block import Refusal, rule_hash
from ledger.bureau.offset import Told
from ledger.bureau.standing import (
    Annotation,
    after_open,
    after_outcome,
    after_rating,
    grade_of,
    severity_excess,
    worker_sign,
)
from ledger.encoding import encode
from ledger.erasure_queue import Erased, ErasureQueue
from ledger.errors import Refused
from ledger.files import KIND_PLATFORM, KIND_RATER, file_value
from ledger.governing import Footing
from ledger.membership import Validator
from ledger.merkle import frontier_root
from ledger.overlay import DAY_MS, TURN_ROWS, Overlay
from ledger.record_rows import RecordRow, record_key, refusal_key
from ledger.records import GOVERNANCE_TYPES, NEVER_ERASED, TAGS, Record, decode_checked
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.erasure import Erasure, ErasureAck
from ledger.records.membership import (
    KeyRotate,
    MemberApprove,
    MemberLeave,
    MemberPropose,
    MemberReady,
    MemberRemove,
)
from ledger.records.model import ModelActivate
from ledger.records.rating import Rating
from ledger.records.subject import SubjectLink, SubjectRegister
from ledger.residue import AnyBatch, Residue
from ledger.rows import EngagementRow, lane_key
from ledger.rules import Vocabulary, check_stateful, check_stateless, enact, read_record
from ledger.rules.codes import MALFORMED
from ledger.store import LEAF, Changes, Reader
from ledger.tallies import Tallies

LATE_OPEN_MS: Final = 7 * DAY_MS
TURN_RECORDS: Final = 256
"""After so many records whoever executes may do other things."""
EMPTY_ANNOTATION: Final = encode(())

_RATER: Final = bytes([KIND_RATER])
_PLATFORM: Final = bytes([KIND_PLATFORM])
_ERASURE: Final = TAGS[Erasure]
_CHANGES: Final = frozenset(
    TAGS[kind] for kind in (MemberPropose, MemberRemove, MemberLeave, KeyRotate, ModelActivate)
)

Place = tuple[int, int, int]
"""Lane, batch height, position."""

Kept = bytes | tuple[int, ...]
"""What a leaf row tells of a record without its opening (`ledger.rows.LeafRow`)."""

Effect = tuple[tuple[bytes, ...], int | None, bytes, Kept]
"""What an accepted record is entered with: files by subject key, target, annotation, kept."""


def is_retrospective(engagement: EngagementRow, at: int) -> bool:
    """Whether an engagement was opened in hindsight of what is now said of it (`at`, ms)."""
    known = engagement.known
    return known > engagement.at + LATE_OPEN_MS or known >= at


class BlockRun:
    """One block under way. Collects every change; the store stays as it is."""

    def __init__(
        self, footing: Footing, vocabulary: Vocabulary, reader: Reader, block_time: int
    ) -> None:
        first = footing.size
        self.overlay = Overlay(reader, vocabulary, footing)
        self.changes: Changes = {}
        self.leaf_hashes: list[bytes] = []
        self.refusals: list[Refusal] = []
        self.records: list[tuple[bytes, int | None, str]] = []
        self.queue = ErasureQueue(reader, self.overlay, self.changes, first)
        self.is_governed = False
        """Whether a record of the block concerns the network itself."""
        self._chain = footing.chain
        self._vocabulary = vocabulary
        self._reader = reader
        self._first = first
        self._time = block_time
        self._tallies = Tallies(self.overlay, block_time)

    # --- records ---

    def pass_days(self, earlier_time: int) -> None:
        """Count what has become overdue since the parent block's time (ms)."""
        self._tallies.pass_days(earlier_time // DAY_MS)

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
        record: Record | None = None
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
            if record is not None:
                size = self._first + len(self.leaf_hashes)
                self.queue.refuse(record, (lane, height, position), size)
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
            self.queue.refuse_residue(residue.erasure, place)
            return
        try:
            record = self._read_stand_in(residue.stand_in)
            check_stateful(self.overlay, record, header.lane, header.time)
        except Refused as refused:  # no true residue: the refusal list will not be the seal's
            self._refuse(place, record_id, hashed, refused.rule)
            return
        effect = self._enact(record, header.time)
        self._enter(place, TAGS[type(record)], record_id, hashed, effect)

    def _read_stand_in(self, data: bytes) -> Record:
        record = read_record(data, self._vocabulary.bounds)
        if isinstance(record, NEVER_ERASED):
            raise Refused(MALFORMED, "stands for a record that is never erased")
        return record

    def _refuse(self, place: Place, record_id: bytes, hashed: bytes, rule: str) -> None:
        lane, height, position = place
        self.refusals.append(Refusal(lane, height, position, record_id, hashed))
        row = RecordRow(lane, height, position, None, rule)
        self.changes[refusal_key(record_id, lane, height, position)] = encode(row)
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
        files, target, annotation, kept = effect
        self.changes[record_key(record_id)] = encode(log_index)
        self.records.append((record_id, log_index, ""))
        entry = entry_of(lane, height, position, record_id)
        self.leaf_hashes.append(_sha256(b"\x00" + entry).digest())
        time = self._time
        # A LeafRow, without the object.
        self.changes[LEAF + index_bytes] = encode(
            (lane, height, position, time, tag, record_id, target, hashed, annotation, kept, None)
        )
        file_leaf = encode((log_index, time, tag, record_id, target, hashed))
        leaf_hash = _sha256(b"\x00" + file_leaf).digest()
        for subject in files:
            self.overlay.append_leaf(self.changes, subject, index_bytes, leaf_hash)
        if tag == _ERASURE:
            self.queue.accept(log_index, record_id)
        elif tag in _CHANGES:
            self._name_change(log_index, record_id)

    def _name_change(self, log_index: int, record_id: bytes) -> None:
        """The change that was asked for here is found by its record id from now on."""
        governance = self.overlay.governance
        row = governance.need(log_index)
        row.commitment = record_id
        governance.changes.put(log_index.to_bytes(8), row)
        governance.fresh[record_id] = log_index

    # --- effects by type ---

    def _register(self, record: SubjectRegister) -> Effect:
        subject = record.platform.to_bytes(4) + record.handle
        return (subject,), None, EMPTY_ANNOTATION, subject

    def _link(self, record: SubjectLink) -> Effect:
        first = record.first_platform.to_bytes(4) + record.first_handle
        second = record.second_platform.to_bytes(4) + record.second_handle
        return (first, second), None, EMPTY_ANNOTATION, self._registers(first, second)

    def _open(self, record: EngagementOpen) -> Effect:
        prefix = record.platform.to_bytes(4)
        tally = after_open(self._tallies.platform(prefix))
        tally = self._tallies.count_due(tally, record.platform, record.due_until, 1)
        self._tallies.put_platform(prefix, tally)
        worker, client = prefix + record.worker, prefix + record.client
        self._tallies.look_elsewhere(worker, prefix + record.reference)
        return (worker, client), None, EMPTY_ANNOTATION, self._registers(worker, client)

    def _registers(self, first: bytes, second: bytes) -> Kept:
        """The log indices under which two subjects were registered."""
        need = self.overlay.need_subject
        return need(first).registered, need(second).registered

    def _outcome(self, record: EngagementOutcome) -> Effect:
        prefix = record.platform.to_bytes(4)
        engagement, worker, client = self._parties(prefix, record.reference)
        pair = self._tallies.pair(client, worker)
        pair.outcomes += 1
        worker_row = self.overlay.need_subject(worker)
        client_standing = self._tallies.standing(client)
        attested = record.basis == "platform"
        sign = worker_sign(record.status, record.fault, record.acceptance)
        retrospective = is_retrospective(engagement, record.at)
        tally = self._tallies.platform(prefix)
        offset = tally.offset_strong, tally.offset_other
        if sign and not retrospective:
            given = self._tallies.given(self.overlay.need_subject(client))
            told = Told(attested, client_standing, pair.outcomes, given)
            tally, offset = self._tallies.learn(tally, worker_row, engagement, sign, told)
        tally = after_outcome(
            tally,
            sign,
            earlier_results=worker_row.results,
            attested=attested,
            client_standing=client_standing,
            offset=offset,
            model=self._vocabulary.model,
        )
        tally = self._tallies.count_due(tally, record.platform, engagement.due_until, -1)
        self._tallies.put_platform(prefix, tally)
        kept = (worker_row.results,)
        worker_row.results += 1
        annotation = encode(Annotation(pair.outcomes, client_standing, int(retrospective)))
        return (worker, client), engagement.open, annotation, kept

    def _rating(self, record: Rating) -> Effect:
        prefix = record.platform.to_bytes(4)
        engagement, worker, client = self._parties(prefix, record.reference)
        of_worker = record.direction == "of-worker"
        rater, rated = (client, worker) if of_worker else (worker, client)
        pair = self._tallies.pair(rater, rated)
        pair.ratings += 1
        model, rater_standing = self._vocabulary.model, self._tallies.standing(rater)
        rater_row = self.overlay.need_subject(rater)
        given = self._tallies.given(rater_row)
        grade = grade_of(self._vocabulary.scales[record.scale], record.value)
        retrospective = is_retrospective(engagement, record.at)
        if grade:
            after = after_rating(self._tallies.rater(rated), grade, rater_standing, given, model)
            self._tallies.put_rater(rated, after)
        if grade < 0 and of_worker and not retrospective:
            told = Told(False, rater_standing, pair.ratings, given)
            row, excess = self.overlay.need_subject(worker), severity_excess(grade, model)
            self._tallies.learn_severity(row, excess, told)
        self._tallies.give(rater_row, given)
        annotation = encode(Annotation(pair.ratings, rater_standing, int(retrospective)))
        return (worker, client), engagement.open, annotation, ()

    def _erasure(self, record: Erasure) -> Effect:
        del record
        log_index = self._first + len(self.leaf_hashes)
        row = self.overlay.erasures.get(log_index.to_bytes(8))
        assert row is not None, "an accepted erasure has its row"
        return tuple(each.subject for each in row.files), None, EMPTY_ANNOTATION, ()

    def _ack(self, record: ErasureAck) -> Effect:
        log_index = self.overlay.log_index_of(record.erasure)
        assert log_index is not None, "what was acknowledged is there"
        row = self.overlay.erasures.get(log_index.to_bytes(8))
        assert row is not None, "an accepted erasure has its row"
        subject = row.platform.to_bytes(4) + row.handle
        return (subject,), log_index, EMPTY_ANNOTATION, ()

    def _governance(self, record: Record) -> Effect:
        """In no file; what is about a change has that for its target."""
        self.is_governed = True
        target = None
        if isinstance(record, MemberApprove | MemberReady):
            target = self.overlay.governance.log_index_of(record.change)
        return (), target, EMPTY_ANNOTATION, ()

    _EFFECTS: ClassVar[dict[type[Record], Callable[["BlockRun", Any], Effect]]] = {
        SubjectRegister: _register,
        SubjectLink: _link,
        EngagementOpen: _open,
        EngagementOutcome: _outcome,
        Rating: _rating,
        Erasure: _erasure,
        ErasureAck: _ack,
        **dict.fromkeys(GOVERNANCE_TYPES, _governance),
    }

    def _parties(self, prefix: bytes, reference: bytes) -> tuple[EngagementRow, bytes, bytes]:
        """An open engagement and its parties; `prefix` is the platform as keys begin with it."""
        row = self.overlay.engagements.get(prefix + reference)
        assert row is not None, "an accepted record's engagement is open"
        return row, prefix + row.worker, prefix + row.client

    # --- the block's end ---

    def bind(self) -> Bound:
        """The epoch ends: the next set, and which changes made it."""
        self.is_governed = True
        return self.overlay.governance.end_epoch(self._time)

    def outlook(self, validators: tuple[Validator, ...], epoch: int) -> Outlook:
        """What the epoch of the next block, with this set, may end with."""
        return self.overlay.governance.outlook(validators, epoch)

    def erase(self, oldest: int | None, height: int) -> Generator[None, None, int | None]:
        """Append what leaves of erasures the block may, in turns; the oldest not done after it."""
        return self.queue.run(oldest, height)

    @property
    def erased(self) -> tuple[Erased, ...]:
        """The records that this block has erased."""
        return tuple(self.queue.erased)

    def finish(self, height: int, *, epoch_ends: bool) -> Generator[None, None, dict[bytes, bytes]]:
        """Write all changed rows, in turns; the block's updates of the index."""
        updates: dict[bytes, bytes] = {}
        # Whatever changes a subject's row also stands in its file.
        for nth, (subject, row) in enumerate(self.overlay.subjects.changed(), 1):
            head = frontier_root(row.length, row.frontier)
            updates[_sha256(b"\x00" + subject).digest()] = file_value(row.length, head)
            if nth % TURN_ROWS == 0:
                yield
        self._tallies.close(self._reader, self.changes, height, updates if epoch_ends else None)
        yield
        yield from self.overlay.flush(self.changes)
        yield
        return updates
