"""A run told for a person: who signed what, whom it reached, what was written and executed.

A `Recorder` hears of everything while a schedule runs and changes nothing in it. `tell` chooses
what matters for a violation: all that is done to the network, and of the messages those about the
views (or the height) that the violation came of; where that is not known, the last ones before it.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from consensus.certificate import FINALIZE, NOTARIZE, NULLIFY, Certificate
from consensus.effects import Execute
from consensus.messages import (
    Answer,
    Batches,
    Blocks,
    CertificateMessage,
    CheckpointMessage,
    Cosignature,
    Message,
    Proposal,
    Question,
    RemainsMessage,
    Vote,
)
from consensus.safety import CERTIFICATE
from ledger.batch import header_hash
from ledger.block import block_hash
from ledger.encoding import decoder
from ledger.store import Changes
from tests.simulation.checkers import View, Violation

if TYPE_CHECKING:
    from tests.simulation.cluster import Node

LAST_LINES = 60
"""What is told where no view or height is to blame."""
LINES_MAX = 160
VERBS = {NOTARIZE: "notarize", NULLIFY: "nullify", FINALIZE: "finalize"}
NOUNS = {NOTARIZE: "notarization", NULLIFY: "nullification", FINALIZE: "finalization"}


@dataclass
class Line:
    """One thing that happened. `to`: whom it was sent to, and when (µs) it came, if it did."""

    at_us: int
    who: str
    text: str
    views: tuple[View, ...] = ()
    height: int = 0
    to: dict[int, int | None] = field(default_factory=dict)
    is_done_to: bool = False
    """Part of the schedule."""

    def __str__(self) -> str:
        said = f"{self.at_us / 1_000:>10.1f} ms  {self.who:<12} {self.text}"
        came = [str(n) for n, at in self.to.items() if at is not None]
        lost = [str(n) for n, at in self.to.items() if at is None]
        said += f" → {' '.join(came)}" if came else ""
        return said + (f" (not to {' '.join(lost)})" if lost else "")


class Recorder:
    """Hears of a run, event by event."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._sent: dict[tuple[int, Message], Line] = {}
        self._way: dict[tuple[int, int, Message], Line] = {}

    def happens(self, at_us: int, what: str) -> None:
        self.lines.append(Line(at_us, "——", what, is_done_to=True))

    def sent(self, node: "Node", target: int, message: Message) -> None:
        at_us = node.cluster.clock.now_us
        line = self._sent.get((node.number, message))
        if line is None or line.at_us != at_us:
            told = told_of(message, node.config.chain)
            if told is None:
                return
            line = Line(at_us, _name(node), *told)
            self._sent[node.number, message] = line
            self.lines.append(line)
        line.to.setdefault(target, None)
        self._way[node.number, target, message] = line

    def received(self, at_us: int, source: int, target: int, message: Message) -> None:
        line = self._way.get((source, target, message))
        if line is not None and line.to.get(target) is None:
            line.to[target] = at_us

    def wrote(self, node: "Node", changes: Changes) -> None:
        for key, value in changes.items():
            if key.startswith(CERTIFICATE) and value is not None:
                found = decoder(Certificate).decode(value)
                self._add(node, f"holds the {_certificate(found)}", (found.epoch, found.view))

    def executed(self, node: "Node", effect: Execute) -> None:
        block = effect.block
        text = f"executes block {block.height} = {_short(effect.hash)}: it is final here"
        self._add(node, text, (block.epoch, block.view), block.height)

    def refused(self, node: "Node", peer: int, reason: str) -> None:
        at_us = node.cluster.clock.now_us
        self.lines.append(Line(at_us, _name(node), f"refuses {reason} of {peer}"))

    def _add(self, node: "Node", text: str, view: View, height: int = 0) -> None:
        at_us = node.cluster.clock.now_us
        self.lines.append(Line(at_us, _name(node), text, (view,), height))


def tell(lines: list[Line], violation: Violation) -> list[str]:
    """The lines that matter for a violation, in their order, ending with it."""
    done_to = [line for line in lines if line.is_done_to]
    others = [line for line in lines if not line.is_done_to]
    if violation.views:
        first, last = min(violation.views), max(violation.views)
        chosen = [line for line in others if any(first <= each <= last for each in line.views)]
    elif violation.height:
        chosen = [line for line in others if line.height == violation.height]
    else:
        chosen = others[-LAST_LINES:]
    left_out = max(0, len(chosen) - LINES_MAX)
    told = {id(line) for line in done_to + chosen[left_out:]}
    said = [str(line) for line in lines if id(line) in told]
    if left_out:
        said.insert(0, f"({left_out} earlier lines are left out)")
    return [*said, f"violation: {violation}"]


# --- words for messages ---


def told_of(message: Message, chain: bytes) -> tuple[str, tuple[View, ...], int] | None:
    """What a message says, the views and the height that it is about; None for mere talk."""
    match message:
        case Vote(kind, epoch, view, hash_, again=again):
            name = "" if kind == NULLIFY else f" {_short(hash_)}"
            text = f"signs {VERBS[kind]} in view {epoch}.{view}{name}{_again(again)}"
            return text, ((epoch, view),), 0
        case Proposal(block, again=again):
            tips = " ".join(f"{tip.lane}:{tip.height}" for tip in block.tips) or "none"
            name = _short(block_hash(chain, block))
            text = (
                f"proposes {name} in view {block.epoch}.{block.view}, height {block.height} on "
                f"{_short(block.parent)}, tips {tips}{_again(again)}"
            )
            return text, ((block.epoch, block.view),), block.height
        case Cosignature(height, size, root, again=again):
            text = f"cosigns height {height}, size {size}, root {_short(root)}{_again(again)}"
            return text, (), height
        case CertificateMessage(certificate):
            view = (certificate.epoch, certificate.view)
            return f"shows the {_certificate(certificate)}", (view,), 0
        case _:
            return _carried(message, chain)


def _carried(message: Message, chain: bytes) -> tuple[str, tuple[View, ...], int] | None:
    """Of what carries the work of others."""
    match message:
        case CheckpointMessage(row):
            signers = " ".join(str(each.number) for each in row.cosignatures)
            return f"shows the checkpoint of height {row.height} by {signers}", (), row.height
        case Batches(batches):
            names = ", ".join(
                f"{each.header.lane}:{each.header.height} = "
                f"{_short(header_hash(chain, each.header))}"
                for each in batches[:4]
            )
            return f"sends {len(batches)} batches: {names}", (), 0
        case Blocks(blocks, finalization=certificate):
            views = tuple((each.epoch, each.view) for each in blocks)
            first, last = blocks[0].height, blocks[-1].height
            text = f"sends final blocks {first} to {last} by the {_certificate(certificate)}"
            return text, (*views, (certificate.epoch, certificate.view)), last
        case Question():
            return "asks what it signed", (), 0
        case Answer(votes=votes, headers=headers):
            return f"answers: holds {len(headers)} batches, {len(votes)} votes", (), 0
        case RemainsMessage(batches):
            return f"sends what remains of {len(batches)} batches", (), 0
        case _:
            return None


def _certificate(certificate: Certificate) -> str:
    signers = " ".join(str(each.number) for each in certificate.signatures)
    name = "" if certificate.kind == NULLIFY else f" of {_short(certificate.hash)}"
    view = f"{certificate.epoch}.{certificate.view}"
    return f"{NOUNS[certificate.kind]} of view {view}{name} by {signers}"


def _name(node: "Node") -> str:
    return f"{node.number}" if node.honest else f"{node.number} ({node.actor or 'liar'})"


def _short(hash_: bytes) -> str:
    return hash_.hex()[:8]


def _again(again: bool) -> str:
    return ", again" if again else ""
