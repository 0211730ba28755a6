"""Which changes bind at an epoch's end, and who may be trusted as a candidate before that.

After the records of an epoch's last block, with *current* the set of that epoch, n its number of
members, f = ⌊(n − 1) / 3⌋, q = n − f:

1. A change is *approved* once q members of the current set have approved it: complete with the q-th
   of their approvals by log index. Approvals of platforms that are no members do not count. A
   member that leaves needs none: complete with its own record.
2. A join or a rotation is complete with the later one of that and a `member.ready` of this epoch.
3. Complete changes bind in the order of the log index that completed them, at most max(1, f). One
   is passed over, and stays open, if the set would get empty, larger than 100, or larger than
   `SET_BYTES_MAX`. One that is about nobody in the set any more binds nothing and takes no seat.
4. Void from then on: what is about a platform that is not in the new set (but for joins), and
   rotations of a platform that has just got other keys.
5. Of the complete changes of the model the first one in that order binds, and takes no seat. All
   others, approved or not, are void from then on: they were to replace a model that is not in force
   any more. Those that are open outlast their proposer's membership.
6. Lapsed, and void from then on: what has bound nothing, is no leaving, is not approved, and was
   asked for in a batch whose time lies `LAPSE_MS` or more before the last block's. The names of a
   join that is void may be used again (ledger/governing.py).

The new set ascends by number. All others stay open; their approvals stay, a `member.ready` counts
in its own epoch only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.bureau.model import Model
from ledger.encoding import encode
from ledger.governance_rows import ChangeRow
from ledger.membership import VALIDATORS_MAX, Validator, faults, quorum
from ledger.records import TAGS
from ledger.records.membership import KeyRotate, MemberLeave, MemberPropose
from ledger.records.model import ModelActivate

SET_BYTES_MAX: Final = 65_000
"""Of a set's encoding: the seal that names it must fit into an entry of the log (65,535 bytes)."""
LAPSE_MS: Final = 30 * 86_400_000
"""How long a change waits for its approvals, by block time."""

PROPOSE: Final = TAGS[MemberPropose]
LEAVE: Final = TAGS[MemberLeave]
ROTATE: Final = TAGS[KeyRotate]
ACTIVATE: Final = TAGS[ModelActivate]

Set = tuple[Validator, ...]
Open = Sequence[tuple[int, ChangeRow]]
"""Open changes with their log indices."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who will be a member, or have other keys, once its `member.ready` is on the ledger: so many
    members have approved. `change` is the record id, `log_index` that of the record that asked;
    `is_ready`: whether the ledger has a `member.ready` of the epoch."""

    number: int
    validator: Validator
    change: bytes
    log_index: int
    is_ready: bool

    @property
    def certificate(self) -> bytes:
        """The link certificate to be."""
        return self.validator.certificate


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a set's epoch may end with. `waits`: if it ended now, a change would bind."""

    waits: bool = False
    candidates: tuple[Candidate, ...] = ()


NOTHING_AHEAD: Final = Outlook()


@dataclass(frozen=True, slots=True)
class Bound:
    """The next set, and the log indices of the changes that bound, in order, or became void;
    `model`: the one that comes into force, if any does."""

    validators: Set
    bound: tuple[int, ...]
    void: tuple[int, ...]
    model: Model | None = None


def seats_changed_max(count: int) -> int:
    """How many seats of a set of so many members change at an epoch's end, at most."""
    return max(1, faults(count))


def approved_at(row: ChangeRow, numbers: Mapping[int, Validator]) -> int | None:
    """The log index of the approval that made the quorum of these members, or None."""
    if row.type == LEAVE:
        return row.approvals[0].log_index
    counted = [each.log_index for each in row.approvals if each.number in numbers]
    needed = quorum(len(numbers))
    return sorted(counted)[needed - 1] if len(counted) >= needed else None


def complete_at(row: ChangeRow, numbers: Mapping[int, Validator], epoch: int) -> int | None:
    """The log index that completed a change in this epoch, or None where something is missing."""
    approved = approved_at(row, numbers)
    if approved is None or row.validator is None:
        return approved
    if row.ready is None or row.ready_epoch != epoch:
        return None
    return max(approved, row.ready)


def bind(current: Set, changes: Open, epoch: int) -> Bound:
    """What binds if the epoch ends with these open changes."""
    members = {each.number: each for each in current}
    following = dict(members)
    seats = seats_changed_max(len(members))
    complete = [
        (at, log_index, row)
        for log_index, row in changes
        if (at := complete_at(row, members, epoch)) is not None
    ]
    bound: list[int] = []
    model: Model | None = None
    for _, log_index, row in sorted(complete, key=lambda each: each[:2]):
        if row.type == ACTIVATE:
            if model is None:
                model = row.model
                bound.append(log_index)
            continue
        after = _changed(following, row)
        if after is not None and seats:
            following, seats = after, seats - 1
            bound.append(log_index)
    rotated = {row.number for at, row in changes if at in bound and row.type == ROTATE}
    void = [
        log_index
        for log_index, row in changes
        if log_index not in bound
        and (model is not None if row.type == ACTIVATE else _is_void(row, following, rotated))
    ]
    ordered = tuple(following[number] for number in sorted(following)) if bound else current
    return Bound(ordered, tuple(bound), tuple(void), model)


def lapsed(current: Set, changes: Open, time_ms: int) -> tuple[int, ...]:
    """The log indices of the changes that nobody has approved in time, where an epoch ends then."""
    members = {each.number: each for each in current}
    return tuple(
        log_index
        for log_index, row in changes
        if row.asked + LAPSE_MS <= time_ms and approved_at(row, members) is None
    )


def _changed(members: dict[int, Validator], row: ChangeRow) -> dict[int, Validator] | None:
    """The set after a change, or None where it cannot be made."""
    if (row.number in members) == (row.type == PROPOSE):
        return None
    after = dict(members)
    if row.validator is None:
        del after[row.number]
        return after or None
    after[row.number] = row.validator
    if len(after) > VALIDATORS_MAX or len(encode(tuple(after.values()))) > SET_BYTES_MAX:
        return None
    return after


def _is_void(row: ChangeRow, following: Mapping[int, Validator], rotated: set[int]) -> bool:
    if row.type == PROPOSE:
        return False
    return row.number not in following or (row.type == ROTATE and row.number in rotated)


def outlook(current: Set, changes: Open, epoch: int) -> Outlook:
    """What is to be known before the epoch ends: whether work waits for it, and the candidates."""
    members = {each.number: each for each in current}
    candidates = [
        Candidate(
            row.number,
            row.validator,
            row.commitment,
            log_index,
            row.ready is not None and row.ready_epoch == epoch,
        )
        for log_index, row in changes
        if row.validator is not None and approved_at(row, members) is not None
    ]
    return Outlook(bool(bind(current, changes, epoch).bound), tuple(candidates))
