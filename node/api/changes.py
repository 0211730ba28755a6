"""How far each change of membership or model is: who approved, what is missing, when it can hold.

`Board` looks at the ledger once, at the end of one block, and describes changes as they stand then.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from ledger.batch import Submission
from ledger.binding import (
    LAPSE_MS,
    LEAVE,
    ROTATE,
    approved_at,
    bind,
    complete_at,
)
from ledger.bureau.model import Model
from ledger.encoding import encode
from ledger.files import entry_at
from ledger.genesis import epoch_of
from ledger.governance_rows import ChangeRow
from ledger.governing import read_open
from ledger.hashing import sha256
from ledger.membership import Validator, quorum
from ledger.parameters import Parameters
from ledger.position import State
from ledger.records import NAME_OF_TAG, decode_record
from ledger.records.model import ModelActivate
from ledger.rows import (
    HeaderRow,
    header_key,
    lane_key,
    need_row,
    parameters_key,
    read_row,
    submission_key,
)
from ledger.store import Reader
from node.api.json_records import record_to_json, value_to_json

ChangeState = Literal["open", "approved", "complete", "bound", "void"]
"""`approved`: by a quorum; `complete`: it binds at the epoch's end if a seat is left; `bound`: it
holds; `void`: it never will."""


class Approval(msgspec.Struct, frozen=True):
    """Who approved a change, by the record that stands at `log_index`, in a batch of that `time`.
    `counts`: whether it is a member of the current set."""

    number: int
    code: str
    log_index: int
    time: int
    counts: bool


class Moved(msgspec.Struct, frozen=True):
    """A number of the model that changes, by its field's name."""

    name: str
    before: Any
    after: Any


class Change(msgspec.Struct, frozen=True):
    """A change of the membership or the model that was asked for, at `log_index` and `time` (of the
    batch). Of a model, `number` is its proposer.

    `needed`: so many members must approve (a leaving: 0); `missing`: so many more; `awaited`: codes
    of the members that have not. `is_ready`: whether the candidate has said so in this epoch (null:
    nobody need be ready); `ready`: the log index of its newest `member.ready`, of the epoch
    `ready_epoch`. `earliest`: the first epoch from which it can hold, if nothing goes wrong.
    `lapses`: it becomes void at the first epoch's end at or after this time, unless it is approved
    before. `bound`: from which epoch it holds; `void`: the epoch in which it became clear that it
    never will; `burned`: whether the keys it named, which never were in force, are taken all the
    same. `fingerprint`: SHA-256 of the validator in its canonical form; `model`: the one to be, and
    in `moves` what differs in it from the one that it was to replace; `record`: what asked."""

    id: bytes
    log_index: int
    time: int
    type: str
    state: ChangeState
    number: int
    code: str
    proposer: int
    proposer_code: str
    approvals: tuple[Approval, ...]
    needed: int
    missing: int
    awaited: tuple[str, ...]
    is_ready: bool | None
    ready: int | None
    ready_epoch: int | None
    earliest: int | None
    lapses: int | None
    bound: int | None
    void: int | None
    burned: bool
    validator: Validator | None
    fingerprint: bytes | None
    model: Model | None
    moves: tuple[Moved, ...] | None
    record: dict[str, Any] | None


def epoch_now(state: State) -> int:
    """The epoch that the next block belongs to."""
    return epoch_of(state.height + 1, state.foundation.bounds.epoch_blocks)


class Board:
    """The changes of the membership and the model, as a ledger state has them."""

    def __init__(self, reader: Reader, state: State, codes: Mapping[int, str]) -> None:
        self._reader, self._codes = reader, codes
        self._members = {each.number: each for each in state.validators}
        self.epoch = epoch_now(state)
        self.quorum = quorum(len(self._members))
        self._next = frozenset(bind(state.validators, read_open(reader), self.epoch).bound)

    def describe(self, log_index: int, row: ChangeRow) -> Change:
        """A change as it stands.

        Raises:
            StoreDamaged: a row that it leads to is missing.
        """
        state, is_open = self._state(row), row.bound is None and row.void is None
        approvals = tuple(self._approval(each.number, each.log_index) for each in row.approvals)
        by = {each.number for each in approvals}
        is_asked = is_open and row.type != LEAVE
        needed = 0 if row.type == LEAVE else self.quorum
        return Change(
            id=row.commitment,
            log_index=log_index,
            time=row.asked,
            type=NAME_OF_TAG[row.type],
            state=state,
            number=row.number,
            code=row.validator.code if row.validator else self._code(row.number),
            proposer=row.proposer,
            proposer_code=self._code(row.proposer),
            approvals=approvals,
            needed=needed,
            missing=max(0, needed - sum(each.counts for each in approvals)) if is_asked else 0,
            awaited=tuple(each.code for number, each in self._members.items() if number not in by)
            if is_asked
            else (),
            is_ready=row.ready is not None and row.ready_epoch == self.epoch
            if is_open and row.validator is not None
            else None,
            ready=row.ready,
            ready_epoch=None if row.ready is None else row.ready_epoch,
            earliest=self._earliest(log_index, state) if is_open else None,
            lapses=row.asked + LAPSE_MS if is_asked and state == "open" else None,
            bound=row.bound,
            void=row.void,
            burned=row.void is not None and row.type == ROTATE,
            validator=row.validator,
            fingerprint=None if row.validator is None else fingerprint(row.validator),
            model=row.model,
            moves=None if row.model is None else self._moves(log_index, row.model),
            record=self._record(log_index),
        )

    def _state(self, row: ChangeRow) -> ChangeState:
        if row.bound is not None:
            return "bound"
        if row.void is not None:
            return "void"
        if complete_at(row, self._members, self.epoch) is not None:
            return "complete"
        return "open" if approved_at(row, self._members) is None else "approved"

    def _earliest(self, log_index: int, state: ChangeState) -> int:
        waits = state == "complete" and log_index not in self._next  # no seat is left this time
        return self.epoch + (2 if waits else 1)

    def _approval(self, number: int, log_index: int) -> Approval:
        header = need_row(self._reader, HeaderRow, header_key(self._place(log_index)[0])).header
        return Approval(number, self._code(number), log_index, header.time, number in self._members)

    def _code(self, number: int) -> str:
        return self._codes.get(number, "")

    def _record(self, log_index: int) -> dict[str, Any] | None:
        """The record that stands at a log index, in its JSON form."""
        row = self._submission(log_index)
        return None if row is None else record_to_json(row.record, row.signatures)

    def _moves(self, log_index: int, model: Model) -> tuple[Moved, ...]:
        """What differs from the model that this one was to replace, as the record says."""
        row = self._submission(log_index)
        record = None if row is None else decode_record(row.record)
        if not isinstance(record, ModelActivate):
            return ()
        replaced = need_row(self._reader, Parameters, parameters_key(record.replaces))
        return moves_of(replaced.model, model)

    def _submission(self, log_index: int) -> Submission | None:
        return read_row(self._reader, Submission, submission_key(*self._place(log_index)))

    def _place(self, log_index: int) -> tuple[bytes, int]:
        """The batch that a record came in, and its position there."""
        entry = entry_at(self._reader, log_index)
        lane, height, position = entry[1:5], entry[5:13], entry[13:15]
        name = self._reader.get(lane_key(int.from_bytes(lane), int.from_bytes(height)))
        return name or b"", int.from_bytes(position)


def moves_of(before: Model, after: Model) -> tuple[Moved, ...]:
    """The fields that differ between two models, in the model's own order."""
    pairs = (
        (name, getattr(before, name), getattr(after, name)) for name in Model.__struct_fields__
    )
    return tuple(
        Moved(name, value_to_json(old), value_to_json(new))
        for name, old, new in pairs
        if old != new
    )


def fingerprint(validator: Validator) -> bytes:
    """What two people compare when one approves the other's platform: all its keys in one hash."""
    return sha256(encode(validator))
