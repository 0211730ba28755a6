"""Handing records to the node: what is asked for one record, and what is answered for it.

An item is an offer, or the problem that kept it from becoming one. The answers stand in the items'
order. Offers that the node pushes back are handed in again after the time it named, for
`patience_s` at most; those which are still pushed back then are answered with that problem.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from ledger.errors import Malformed, Refused
from ledger.records import RECORD_BYTES_MAX, Record, decode_record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.evidence import Evidence
from ledger.records.membership import MemberApprove, MemberReady
from ledger.records.rating import Rating
from ledger.records.subject import SubjectLink, SubjectRegister
from ledger.rules import codes
from ledger.signing import SIGNATURE_BYTES
from node.api.json_text import Oversize
from node.api.port import Node
from node.api.problems import ConflictFound, NotHere, Problem, TryLater, problem_of
from node.intake import (
    Accepted,
    Busy,
    Closed,
    Conflict,
    Duplicate,
    Offer,
    RefusedOffer,
    Result,
    Sent,
)

SIGNATURES_BYTES_MAX: Final = 4 * SIGNATURE_BYTES
WAIT_FINAL_S_MAX: Final = 60.0
PAUSE_LEAST_S: Final = 0.02


# What names a record (node/intake.py), and the rule that a second one of that name breaks.
_NAMED_BY: Final[dict[type[Record], tuple[str, str]]] = {
    SubjectRegister: (codes.SUBJECT_EXISTS, "handle"),
    SubjectLink: (codes.LINK_EXISTS, "second_handle"),
    EngagementOpen: (codes.ENGAGEMENT_EXISTS, "reference"),
    EngagementOutcome: (codes.OUTCOME_EXISTS, "reference"),
    Rating: (codes.RATING_EXISTS, "direction"),
    MemberApprove: (codes.APPROVAL_EXISTS, "change"),
    MemberReady: (codes.READY_EXISTS, "change"),
    Evidence: (codes.EVIDENCE_EXISTS, "slot"),
}


class RecordAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one record: its id and state, or the problem. State `sent`: to a member, which
    names it.

    `line` is the line of an NDJSON body, from 1. `duplicate`: the same bytes stood there before.
    """

    line: int = 0
    id: str = ""
    state: str = ""
    duplicate: bool = False
    log_index: int | None = None
    problem: Problem | None = None


def offer_of(record: bytes, signatures: bytes) -> Offer:
    """An offer within its bounds.

    Raises:
        Oversize, Malformed: names the part.
    """
    if len(record) > RECORD_BYTES_MAX:
        size = len(record)
        raise Oversize(f"has {size} bytes, at most {RECORD_BYTES_MAX} are allowed", field="record")
    if len(signatures) > SIGNATURES_BYTES_MAX or len(signatures) % SIGNATURE_BYTES:
        raise Malformed("are not up to 4 times 64 bytes", field="signatures")
    return Offer(record, signatures)


async def submit(
    node: Node, items: Sequence[Offer | Problem], who: str, *, patience_s: float = 0.0
) -> list[RecordAnswer]:
    """Hand in all offers among the items for the named caller; one answer for each item."""
    clock = asyncio.get_running_loop().time
    until_s = clock() + patience_s
    answers: list[RecordAnswer] = [
        RecordAnswer(problem=item if isinstance(item, Problem) else None) for item in items
    ]
    waiting = [(at, item) for at, item in enumerate(items) if isinstance(item, Offer)]
    while waiting:
        results = await node.submit([offer for _, offer in waiting], who)
        busy: list[tuple[int, Offer]] = []
        pause_s = 0.0
        for (at, offer), result in zip(waiting, results, strict=True):
            answers[at] = _answer(node, offer, result)
            if isinstance(result, Busy):
                busy.append((at, offer))
                pause_s = max(pause_s, float(result.retry_after_s))
        pause_s = max(pause_s, PAUSE_LEAST_S)
        if not busy or clock() + pause_s > until_s:
            break
        await asyncio.sleep(pause_s)
        waiting = busy
    return answers


def _answer(node: Node, offer: Offer, result: Result) -> RecordAnswer:
    match result:
        case Accepted(record_id):
            return RecordAnswer(id=record_id.hex(), state="durable")
        case Duplicate(record_id):
            status = node.status(record_id)
            state = status.state if status is not None else "durable"
            log_index = status.log_index if status is not None else None
            return RecordAnswer(
                id=record_id.hex(), state=state, duplicate=True, log_index=log_index
            )
        case Conflict(record_id):
            return RecordAnswer(problem=problem_of(_conflict(offer, record_id)))
        case RefusedOffer(rule, message, field) if rule == codes.MALFORMED:
            return RecordAnswer(problem=problem_of(Malformed(message, field=field or "record")))
        case RefusedOffer(rule, message, field):
            return RecordAnswer(problem=problem_of(Refused(rule, message, field=field)))
        case Busy(retry_after_s):
            message = "too many records are not final yet; send this one again later"
            return RecordAnswer(problem=problem_of(TryLater(message, retry_after_s)))
        case Closed(reason):
            return RecordAnswer(problem=problem_of(NotHere(reason)))
        case Sent():
            return RecordAnswer(state="sent")


def _conflict(offer: Offer, record_id: bytes) -> ConflictFound:
    """The rule that execution would name, and the field that names such a record."""
    kind = type(decode_record(offer.record))
    rule, field = _NAMED_BY.get(kind, (codes.NAME_TAKEN, "record"))
    message = f"other content stands under this name already, as record {record_id.hex()}"
    return ConflictFound(rule, message, field=field, record_id=record_id)


async def wait_final(
    node: Node, answers: Sequence[RecordAnswer], timeout_s: float
) -> list[RecordAnswer]:
    """The answers once their records are final or refused, or as they are when the time is up."""
    ids = [bytes.fromhex(answer.id) for answer in answers if answer.id]
    statuses = iter(await node.wait_final(ids, timeout_s)) if ids else iter(())
    done: list[RecordAnswer] = []
    for answer in answers:
        if not answer.id:
            done.append(answer)
            continue
        status = next(statuses)
        if status.state == "refused":
            problem = problem_of(refusal(status.rule))
            problem = msgspec.structs.replace(problem, id=answer.id)
            done.append(msgspec.structs.replace(answer, id="", state="", problem=problem))
        else:
            done.append(
                msgspec.structs.replace(answer, state=status.state, log_index=status.log_index)
            )
    return done


def refusal(rule: str) -> Refused:
    """A rule that a record broke at execution."""
    return Refused(
        rule, f"the network refused the record at execution: it breaks the rule '{rule}'"
    )
