"""Who is to be a member, and who broke faith: changes of the membership and evidence, in full.

Open to all, as the log is: these records hold nothing of any worker and are never erased.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final, Literal

import msgspec
from aiohttp import web

from ledger.batch import Submission
from ledger.binding import LEAVE, approved_at, complete_at
from ledger.encoding import UINT_MAX
from ledger.files import entry_at
from ledger.genesis import epoch_of
from ledger.governance_rows import CHANGE, USED, ChangeRow, change_key, number_name
from ledger.governing import Accusation, read_evidence
from ledger.membership import Validator, quorum
from ledger.position import State
from ledger.records import NAME_OF_TAG
from ledger.rows import decode_row, lane_key, read_row, submission_key
from ledger.statements import EVIDENCE_NAMES
from ledger.store import Reader, after
from node.api.json_records import record_to_json
from node.api.parameters import only, whole_number
from node.api.port import NODE
from node.api.routes import JSON, Content, Parameter, Route, json_response

CHANGES_MAX: Final = 256
EVIDENCE_MAX: Final = 256

ChangeState = Literal["open", "approved", "complete", "bound", "void"]
"""`approved`: by a quorum; `complete`: it binds at the epoch's end if a seat is left; `bound`: it
holds; `void`: it never will."""


class Approval(msgspec.Struct, frozen=True):
    """Who approved a change, by which record."""

    number: int
    log_index: int


class Change(msgspec.Struct, frozen=True):
    """A change of the membership that was asked for. `needed`: how many must approve; `ready`: the
    log index of the newest `member.ready`, of the epoch `ready_epoch`; `bound`: from which epoch it
    holds; `record`: what asked for it."""

    id: bytes
    log_index: int
    type: str
    state: ChangeState
    number: int
    code: str
    proposer: int
    approvals: tuple[Approval, ...]
    needed: int
    ready: int | None
    ready_epoch: int | None
    bound: int | None
    validator: Validator | None
    record: dict[str, Any] | None


class Told(msgspec.Struct, frozen=True):
    """Two messages that a platform should not have signed both, as every node has verified them:
    what was signed, in MessagePack, then the signature."""

    number: int
    code: str
    kind: str
    epoch: int
    slot: int
    log_index: int
    teller: int
    first: bytes
    second: bytes


class Governance(msgspec.Struct, frozen=True):
    """The membership: of which epoch, how many must agree, and which number is free. `next`: the
    log index to go on from, where there are more changes."""

    epoch: int
    quorum: int
    free_number: int
    changes: tuple[Change, ...]
    next: int | None
    evidence: tuple[Told, ...]


def epoch_now(state: State) -> int:
    """The epoch that the next block belongs to."""
    return epoch_of(state.height + 1, state.foundation.bounds.epoch_blocks)


def changes_from(reader: Reader, first: int) -> Iterator[tuple[int, ChangeRow]]:
    """The changes from a log index up."""
    for key, data in reader.scan(change_key(first), after(CHANGE)):
        yield int.from_bytes(key[len(CHANGE) :]), decode_row(ChangeRow, key, data)


def describe_change(
    reader: Reader, state: State, codes: "dict[int, str]", log_index: int, row: ChangeRow
) -> Change:
    """A change as it stands."""
    code = row.validator.code if row.validator is not None else codes.get(row.number, "")
    return Change(
        id=row.commitment,
        log_index=log_index,
        type=NAME_OF_TAG[row.type],
        state=_state(state, row),
        number=row.number,
        code=code,
        proposer=row.proposer,
        approvals=tuple(Approval(each.number, each.log_index) for each in row.approvals),
        needed=0 if row.type == LEAVE else quorum(len(state.validators)),
        ready=row.ready,
        ready_epoch=None if row.ready is None else row.ready_epoch,
        bound=row.bound,
        validator=row.validator,
        record=_record_at(reader, log_index),
    )


def _state(state: State, row: ChangeRow) -> ChangeState:
    members = {each.number: each for each in state.validators}
    if row.bound is not None:
        return "bound"
    if row.void is not None:
        return "void"
    if complete_at(row, members, epoch_now(state)) is not None:
        return "complete"
    return "open" if approved_at(row, members) is None else "approved"


def _record_at(reader: Reader, log_index: int) -> dict[str, Any] | None:
    """The record that stands at a log index, in its JSON form."""
    entry = entry_at(reader, log_index)
    lane, height, position = _place(entry)
    name = reader.get(lane_key(lane, height))
    row = read_row(reader, Submission, submission_key(name or b"", position))
    return None if row is None else record_to_json(row.record, row.signatures)


def _place(entry: bytes) -> tuple[int, int, int]:
    lane, height, position = entry[1:5], entry[5:13], entry[13:15]
    return int.from_bytes(lane), int.from_bytes(height), int.from_bytes(position)


def describe_evidence(codes: "dict[int, str]", found: Accusation) -> Told:
    """Evidence as it is shown."""
    told = found.evidence
    return Told(
        told.number,
        codes.get(told.number, ""),
        EVIDENCE_NAMES[told.kind],
        told.epoch,
        told.slot,
        found.log_index,
        found.teller,
        told.first,
        told.second,
    )


def free_number(reader: Reader, validators: Sequence[Validator]) -> int:
    """The lowest number above the members' that nobody ever had."""
    number = max(each.number for each in validators) + 1
    while reader.get(USED + number_name(number)) is not None:
        number += 1
    return number


async def get_governance(request: web.Request) -> web.Response:
    """Changes of the membership, oldest first, and evidence."""
    only(request, ("from", "limit"))
    first = whole_number(request, "from", 0, UINT_MAX, 0)
    limit = whole_number(request, "limit", 1, CHANGES_MAX, CHANGES_MAX)
    node = request.app[NODE]
    reader, state, codes = node.reader, node.state, dict(node.codes)
    found = list(islice(changes_from(reader, first), limit + 1))
    page = found[:limit]
    evidence = islice(read_evidence(reader), EVIDENCE_MAX)
    return json_response(
        Governance(
            epoch=epoch_now(state),
            quorum=quorum(len(state.validators)),
            free_number=free_number(reader, state.validators),
            changes=tuple(describe_change(reader, state, codes, at, row) for at, row in page),
            next=found[limit][0] if len(found) > limit else None,
            evidence=tuple(describe_evidence(codes, each) for each in evidence),
        )
    )


ROUTES: Final = (
    Route(
        "GET",
        "/v1/governance",
        get_governance,
        "Changes of the membership, and evidence",
        "network",
        None,
        {200: (Content(JSON, Governance),)},
        parameters=(
            Parameter("from", "query", {"type": "integer", "minimum": 0}, "from this log index"),
            Parameter(
                "limit",
                "query",
                {"type": "integer", "minimum": 1, "maximum": CHANGES_MAX},
                "at most so many changes",
            ),
        ),
        problems=(400,),
    ),
)
