"""What the network page shows."""

from dataclasses import dataclass
from typing import Any

from consensus.quorum import quorum
from node.web.dossier import Ground


@dataclass(frozen=True, slots=True)
class MemberLine:
    """A platform of the current set, and how far its lane reaches in the executed ledger."""

    code: str
    batches: int
    log_key: str


@dataclass(frozen=True, slots=True)
class NetworkView:
    """The node and its network at one moment; `executed` is the last block's time in ms."""

    number: int
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


def network_view(node: Any, ground: Ground | None) -> NetworkView:
    """The view of a running node."""
    state = node.state
    members = node.validators
    tips = state.cut
    return NetworkView(
        number=node.number,
        ready=node.ready,
        forgotten=node.forgotten,
        height=state.height,
        executed=state.time,
        epoch=state.epoch,
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
    )
