"""Who is to be a member, which model is in force, who broke faith: changes and evidence, in full.

Open to all, as the log is: these records hold nothing of any worker and are never erased.
"""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

import msgspec
from aiohttp import web

from ledger.activating import read_in_force
from ledger.bureau.model import Model
from ledger.encoding import UINT_MAX
from ledger.governance_rows import CHANGE, ChangeRow, change_key, number_name
from ledger.governing import Accusation, read_evidence, read_open, read_taken
from ledger.membership import Validator
from ledger.parameters import Parameters, parameters_hash
from ledger.rows import decode_row
from ledger.statements import EVIDENCE_NAMES
from ledger.store import Reader, after
from node.api.changes import Board, Change
from node.api.parameters import choice, only, whole_number
from node.api.port import NODE
from node.api.routes import JSON, Content, Parameter, Route, json_response

CHANGES_MAX: Final = 256
CHANGES_AT_ONCE: Final = 8
"""After so many changes the event loop gets its turn."""
EVIDENCE_MAX: Final = 256
STATES: Final = ("all", "open")


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


class Term(msgspec.Struct, frozen=True):
    """From which epoch on a model has been in force, the parameters with it by their hash."""

    epoch: int
    id: str
    parameters: bytes


class Governance(msgspec.Struct, frozen=True):
    """The membership: of which epoch, the height of that epoch's last block and of the newest one,
    how many must agree, and which number is free. `parameters` (a hash) and `model`: those in force
    for the next block; `models`: all that ever were, by epoch. `next`: the log index to go on from,
    where there are more changes."""

    epoch: int
    height: int
    epoch_end: int
    quorum: int
    free_number: int
    parameters: bytes
    model: Model
    models: tuple[Term, ...]
    changes: tuple[Change, ...]
    next: int | None
    evidence: tuple[Told, ...]


def changes_from(reader: Reader, first: int, state: str) -> Iterator[tuple[int, ChangeRow]]:
    """The changes from a log index up: all, or those that are open."""
    if state == "open":
        yield from (each for each in read_open(reader) if each[0] >= first)
        return
    for key, data in reader.scan(change_key(first), after(CHANGE)):
        yield int.from_bytes(key[len(CHANGE) :]), decode_row(ChangeRow, key, data)


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


def terms(reader: Reader, first: Parameters) -> tuple[Term, ...]:
    """All models that were ever in force; `first`: genesis's parameters."""
    return tuple(
        Term(each.epoch, each.parameters.model.id, parameters_hash(each.parameters))
        for each in read_in_force(reader, first)
    )


def free_number(reader: Reader, validators: Sequence[Validator]) -> int:
    """The lowest number above the members' that nobody has or ever had."""
    number = max(each.number for each in validators) + 1
    while read_taken(reader, number_name(number)) is not None:
        number += 1
    return number


async def get_governance(request: web.Request) -> web.Response:
    """Changes of the membership and the model, oldest first, and evidence."""
    only(request, ("from", "limit", "state"))
    first = whole_number(request, "from", 0, UINT_MAX, 0)
    limit = whole_number(request, "limit", 1, CHANGES_MAX, CHANGES_MAX)
    which = choice(request, "state", STATES, "all")
    node = request.app[NODE]
    reader, state, codes = node.reader, node.state, dict(node.codes)
    board = Board(reader, state, codes)
    found = list(islice(changes_from(reader, first, which), limit + 1))
    changes: list[Change] = []
    for at, each in enumerate(found[:limit], 1):
        changes.append(board.describe(*each))
        if at % CHANGES_AT_ONCE == 0:
            await asyncio.sleep(0)
    evidence = islice(read_evidence(reader), EVIDENCE_MAX)
    blocks = state.foundation.bounds.epoch_blocks
    return json_response(
        Governance(
            epoch=board.epoch,
            height=state.height,
            epoch_end=board.epoch * blocks,
            quorum=board.quorum,
            free_number=free_number(reader, state.validators),
            parameters=state.parameters_hash,
            model=state.parameters.model,
            models=terms(reader, state.foundation.parameters),
            changes=tuple(changes),
            next=found[limit][0] if len(found) > limit else None,
            evidence=tuple(describe_evidence(codes, each) for each in evidence),
        )
    )


ROUTES: Final = (
    Route(
        "GET",
        "/v1/governance",
        get_governance,
        "Changes of the membership and the model, and evidence",
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
            Parameter(
                "state",
                "query",
                {"type": "string", "enum": list(STATES)},
                "all changes, or those that are open",
            ),
        ),
        problems=(400,),
    ),
)
