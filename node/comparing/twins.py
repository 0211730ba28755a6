"""A ledger executed twice: as it was, and as if another model had been in force from genesis on.

The first run is the replay of `ledger.replay`, so it is only believed if nothing is found. The
second is given the same batches and the same words, but for the model. What decides validity stays
as the ledger has it: parameters' hashes, members, and the roots that a candidate names when it is
ready; so both runs accept and refuse the same, and a record has one log index in both.

What is erased is executed by its residue in both: it counts as it did under the model of its time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from ledger.activating import with_model
from ledger.batch import Batch, Submission
from ledger.bureau.answer import Answer, Question
from ledger.bureau.evidence import OpenFile
from ledger.bureau.model import Model
from ledger.bureau.reading import decode_tally, opened_file, read_closure, summary_at
from ledger.bureau.score import score
from ledger.bureau.standing import PlatformTally
from ledger.encoding import encode
from ledger.errors import StandingError
from ledger.genesis import Genesis
from ledger.governance_rows import recent_key
from ledger.parameters import Parameters
from ledger.position import Applied, State
from ledger.replay import Replay, Step
from ledger.residue import AnyBatch
from ledger.rows import BlockRow, HeaderRow, header_key, residue_key, submission_key
from ledger.rules import Vocabulary
from ledger.source import Source
from ledger.state import apply_block, found
from ledger.store import HEADER, RESIDUE, SUBMISSION, Changes, Reader, Store

_PAYLOADS: Final = frozenset({HEADER, RESIDUE, SUBMISSION})


@dataclass(frozen=True, slots=True)
class Place:
    """What was known when the log had this size; of summaries: behind the block of this height. It
    has no note, and needs none."""

    height: int
    size: int
    note: bytes = b""


@dataclass(frozen=True, slots=True)
class Executed:
    """A block that both runs have executed, with its batches in order.

    `before`: what was known just before it.
    """

    before: Place
    batches: tuple[AnyBatch, ...]
    applied: Applied
    size: int


class Opened:
    """Recomputed rows, with the openings from where they are held."""

    def __init__(self, rows: Reader, openings: Reader) -> None:
        self._rows, self._openings = rows, openings

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        return (self._openings if key[:1] in _PAYLOADS else self._rows).get(key)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Recomputed rows with start ≤ key < stop."""
        return self._rows.scan(start, stop, reverse=reverse)


@dataclass(frozen=True, slots=True)
class Known:
    """What the score reads of a subject: its files, opened, and its platform's tally."""

    files: tuple[OpenFile, ...]
    tally: PlatformTally | None

    def answer(self, question: Question, parameters: Parameters) -> Answer:
        """The answer that these parameters yield."""
        return score(self.files, self.tally, parameters, question)


def known_at(reader: Reader, place: Place, platform: int, handle: bytes) -> Known:
    """What was known of a subject at a place.

    Raises:
        InvalidInput: there was no such subject yet, or what it needs has been erased since.
        StoreDamaged: a row is missing or not what was written.
    """
    files = read_closure(reader, place, platform, handle)
    summary = summary_at(reader, place, platform)
    tally = None if summary is None else decode_tally(summary)
    return Known(tuple(opened_file(*each) for each in files), tally)


def score_at(reader: Reader, place: Place, question: Question, parameters: Parameters) -> Answer:
    """The answer that these parameters yield from what was known at a place.

    Raises:
        InvalidInput, StoreDamaged: as `known_at`.
    """
    known = known_at(reader, place, question.platform, question.handle)
    return known.answer(question, parameters)


class _Noting:
    """A source that remembers which batches were asked for since `take`."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._blocks: dict[int, BlockRow] = {}
        self._batches: dict[tuple[int, int], tuple[bytes, AnyBatch]] = {}

    def block(self, height: int) -> BlockRow | None:
        """A block's row, or None behind the newest."""
        row = self._source.block(height)
        self._blocks = {} if row is None else {height: row}
        return row

    def batch(self, lane: int, height: int, name: bytes) -> AnyBatch | None:
        """The batch with this header hash, or None if it is not held."""
        found = self._source.batch(lane, height, name)
        if found is not None:
            self._batches[lane, height] = (name, found)
        return found

    def take(self, height: int) -> tuple[BlockRow, list[tuple[bytes, AnyBatch]]]:
        """The block of this height and its batches, in order of lane and height."""
        batches = [self._batches[place] for place in sorted(self._batches)]
        self._batches.clear()
        return self._blocks[height], batches


class Twins:
    """Both runs, step by step. `rows`, `other_rows`: empty stores for what they yield; `stored`:
    where openings are held; without it they are kept in `rows`."""

    def __init__(
        self,
        genesis: Genesis,
        source: Source,
        model: Model,
        *,
        rows: Store,
        other_rows: Store,
        stored: Reader | None,
    ) -> None:
        self._source = _Noting(source)
        self._rows, self._other_rows = rows, other_rows
        self._keeps = stored is None
        self.model = model
        self.replay = Replay(genesis, self._source, None, rows)
        self.as_it_was = Opened(rows, stored or rows)
        self.otherwise = Opened(other_rows, stored or rows)
        # Under no id that a model can have, so that none of the ledger's own is taken for it.
        self._model = msgspec.structs.replace(model, id="")
        state, changes = found(genesis, window_blocks=1)
        other_rows.write(changes)
        self._other = self._under(state)

    @property
    def place(self) -> Place:
        """How far both runs have come."""
        return Place(self.replay.state.height, self.replay.state.size)

    @property
    def now(self) -> Parameters:
        """The parameters in force behind the newest block."""
        return self.replay.state.parameters

    @property
    def proposed(self) -> Parameters:
        """The same with the other model."""
        return with_model(self.now, self.model)

    def blocks(self) -> Iterator[Executed]:
        """Each block above genesis, once both runs have executed it.

        Raises:
            StandingError: the ledger is not right; says what an audit would find first.
        """
        steps = self.replay.steps(None)
        _demand(next(steps))
        before = self.place
        for step in steps:
            _demand(step)
            if step.closing or step.applied is None:
                return
            row, batches = self._source.take(step.height)
            if self._keeps:
                self._rows.write(_payloads(batches))
            self._execute(row, batches, step.applied)
            inner = tuple(batch for _, batch in batches)
            yield Executed(before, inner, step.applied, row.size)
            before = self.place

    def _execute(
        self, row: BlockRow, batches: list[tuple[bytes, AnyBatch]], applied: Applied
    ) -> None:
        if not applied.refusals:
            for _, batch in batches:
                if isinstance(batch, Batch):
                    batch.knowing(batch.commitments, batch.payload_root, is_checked=True)
        state, other = apply_block(self._other, self._other_rows, row.block, row.hash, batches)
        if other.records != applied.records:
            raise StandingError(f"block {row.block.height} accepts other records by another model")
        # A candidate that is ready names the root that the ledger really had.
        self._other_rows.write({**other.changes, recent_key(other.size): row.root})
        self._other = self._under(state)

    def _under(self, state: State) -> State:
        parameters = with_model(state.parameters, self._model)
        return replace(state, vocabulary=Vocabulary.of(parameters, state.foundation.bounds))


def _demand(step: Step) -> None:
    if step.findings:
        first = step.findings[0]
        raise StandingError(
            f"the ledger is not right ({first.kind}: {first.where}: {first.detail}); "
            "`standing audit` lists what is wrong"
        )


def _payloads(batches: list[tuple[bytes, AnyBatch]]) -> Changes:
    """The rows of headers, openings and residues."""
    rows: Changes = {}
    for name, batch in batches:
        rows[header_key(name)] = encode(HeaderRow(batch.header, batch.signature))
        for position, item in enumerate(batch.submissions):
            key = submission_key if isinstance(item, Submission) else residue_key
            rows[key(name, position)] = encode(item)
    return rows
