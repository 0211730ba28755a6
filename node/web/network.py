"""What the network page shows."""

from dataclasses import dataclass
from itertools import islice
from typing import Any

from ledger.governing import read_evidence, read_open
from ledger.membership import quorum
from node.api.changes import Board, epoch_now
from node.api.governance import EVIDENCE_MAX, describe_evidence
from node.web.dossier import Ground


@dataclass(frozen=True, slots=True)
class MemberLine:
    """A platform of the current set, and how far its lane reaches in the executed ledger."""

    code: str
    batches: int
    log_key: str


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """An open change of the membership: what, about whom, how far."""

    what: str
    code: str
    approvals: int
    needed: int
    state: str


@dataclass(frozen=True, slots=True)
class FaultLine:
    """Evidence against a platform."""

    code: str
    kind: str
    epoch: int
    slot: int


@dataclass(frozen=True, slots=True)
class NetworkView:
    """The node and its network at one moment; `executed` is the last block's time in ms."""

    number: int
    role: str
    ready: bool
    forgotten: str
    height: int
    executed: int
    epoch: int
    ground: Ground | None
    origin: str
    chain: str
    model: str
    quorum: int
    faults: int
    members: tuple[MemberLine, ...]
    changes: tuple[ChangeLine, ...]
    evidence: tuple[FaultLine, ...]


def network_view(node: Any, ground: Ground | None) -> NetworkView:
    """The view of a running node."""
    state = node.state
    members = node.validators
    tips = state.cut
    return NetworkView(
        number=node.number,
        role=node.role,
        ready=node.ready,
        forgotten=node.forgotten,
        height=state.height,
        executed=state.time,
        epoch=epoch_now(state),
        ground=ground,
        origin=node.origin,
        chain=node.chain.hex(),
        model=state.parameters.model.id,
        quorum=quorum(len(members)),
        faults=len(members) - quorum(len(members)),
        members=tuple(
            MemberLine(
                each.code,
                tips[each.number].height if each.number in tips else 0,
                each.log_key.hex(),
            )
            for each in members
        ),
        changes=_changes(node),
        evidence=_evidence(node),
    )


def _changes(node: Any) -> tuple[ChangeLine, ...]:
    board = Board(node.reader, node.state, dict(node.codes))
    shown = (board.describe(*each) for each in read_open(node.reader))
    return tuple(
        ChangeLine(each.type, each.code, len(each.approvals), each.needed, each.state)
        for each in shown
    )


def _evidence(node: Any) -> tuple[FaultLine, ...]:
    found = islice(read_evidence(node.reader), EVIDENCE_MAX)
    told = (describe_evidence(dict(node.codes), each) for each in found)
    return tuple(FaultLine(each.code, each.kind, each.epoch, each.slot) for each in told)
