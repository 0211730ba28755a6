"""Named Byzantine actors: what a faulty node sends instead of what it should.

Each is an `Outgoing`: (node, target, message) -> the messages that really go to the target. The
faulty node's own state goes on as if it had behaved.
"""

from collections.abc import Callable
from hashlib import sha256

from msgspec.structs import replace

from consensus.certificate import (
    FINALIZE,
    NOTARIZE,
    NULLIFY,
    PROPOSE,
    Certificate,
    Signed,
    statement_message,
)
from consensus.config import Signer
from consensus.messages import (
    Batches,
    CertificateMessage,
    CheckpointMessage,
    Cosignature,
    Hint,
    Message,
    Proposal,
    RemainsMessage,
    Vote,
)
from consensus.proposals import candidate_of, make_block
from ledger.batch import Batch, Header, batch_root, commitment, header_message
from ledger.block import Block, Tip, block_hash
from ledger.checkpoint import Checkpoint, cosignature_message
from ledger.hashing import ZERO_HASH
from ledger.rows import CheckpointRow, CosignatureRow
from tests.simulation.cluster import CHAIN, ORIGIN, Node, Outgoing


def sign_block(node: Node, block: Block) -> Proposal:
    hash_ = block_hash(CHAIN, block)
    message = statement_message(CHAIN, PROPOSE, block.epoch, block.view, hash_)
    return Proposal(block, node.config.keys.vote.sign(message), False)


def sign_vote(node: Node, kind: int, epoch: int, view: int, hash_: bytes) -> Vote:
    message = statement_message(CHAIN, kind, epoch, view, hash_)
    return Vote(kind, epoch, view, hash_, node.config.keys.vote.sign(message), False)


def sign_root(key: Signer, height: int, size: int, root: bytes, time_s: int) -> Cosignature:
    message = cosignature_message(time_s, Checkpoint(ORIGIN, size, root).text())
    return Cosignature(height, size, root, time_s, key.sign(message), False)


def root_forker(node: Node, target: int, message: Message) -> list[Message]:
    """Cosigns another root of the same size, too, and tells odd platforms both."""
    if not isinstance(message, Cosignature) or message.again or not target % 2:
        return [message]
    key, other = node.state.keys, sha256(message.root).digest()
    if key is None:
        return [message]
    told = sign_root(key.cosigner, message.height, message.size, other, message.time_s)
    return [message, told]


def forged_row(height: int, size: int, root: bytes, numbers: tuple[int, ...]) -> CheckpointMessage:
    """A checkpoint in the names of others."""
    signed = tuple(CosignatureRow(number, 1, bytes(64)) for number in numbers)
    return CheckpointMessage(CheckpointRow(height, size, root, signed))


def batch_of(node: Node, *, height: int, previous: bytes) -> Batch:
    """A batch of the own lane, wherever it is put."""
    made = node.cluster.submissions(1)
    root = batch_root([commitment(each) for each in made])
    header = Header(1, node.number, height, previous, 1, root, 1_800_000_000_000 + height)
    return Batch(header, node.config.keys.lane.sign(header_message(CHAIN, header)), made)


def silent_leader(node: Node, target: int, message: Message) -> list[Message]:
    """Never proposes."""
    return [] if isinstance(message, Proposal) else [message]


def silent(node: Node, target: int, message: Message) -> list[Message]:
    """Says nothing at all."""
    return []


def other_block(node: Node, block: Block) -> Block | None:
    """Another block for the same view and parent, good by the rules, if there is one."""
    if not block.tips:
        return None
    state = node.state
    parent = state.final if block.parent == state.final.hash else candidate_of(state, block.parent)
    if parent is None or block.view != state.view:
        return None
    return make_block(state, parent, block.tips[1:])


def equivocator(node: Node, target: int, message: Message) -> list[Message]:
    """Shows one block to even and another to odd platforms, and votes for whatever is asked."""
    if isinstance(message, Proposal) and message.block.tips and not message.again:
        slot = (message.block.epoch, message.block.view)
        if slot not in node.cluster.doubles:
            other = other_block(node, message.block)
            node.cluster.doubles[slot] = other or message.block
        if target % 2:
            return [sign_block(node, node.cluster.doubles[slot])]
    if isinstance(message, Vote) and message.kind != NULLIFY:
        double = node.cluster.doubles.get((message.epoch, message.view))
        if double is not None and target % 2:
            hash_ = block_hash(CHAIN, double)
            return [sign_vote(node, message.kind, message.epoch, message.view, hash_)]
    return [message]


def double_proposer(node: Node, target: int, message: Message) -> list[Message]:
    """Shows two blocks to everybody, in turn first, and votes for both."""
    if isinstance(message, Proposal) and message.block.tips and not message.again:
        slot = (message.block.epoch, message.block.view)
        if slot not in node.cluster.doubles:
            other = other_block(node, message.block)
            node.cluster.doubles[slot] = other or message.block
        both = [message, sign_block(node, node.cluster.doubles[slot])]
        return both[:: 1 if target % 2 else -1]
    if isinstance(message, Vote) and message.kind != NULLIFY:
        double = node.cluster.doubles.get((message.epoch, message.view))
        if double is not None:
            hash_ = block_hash(CHAIN, double)
            other_vote = sign_vote(node, message.kind, message.epoch, message.view, hash_)
            return [message, other_vote][:: 1 if target % 2 else -1]
    return [message]


def two_faced_voter(node: Node, target: int, message: Message) -> list[Message]:
    """Signs finalize and nullify in every view, and notarizes any block."""
    if not isinstance(message, Vote):
        return [message]
    out: list[Message] = [message]
    for kind in (NOTARIZE, FINALIZE, NULLIFY):
        hash_ = ZERO_HASH if kind == NULLIFY else message.hash
        if kind != message.kind and (kind == NULLIFY or hash_ != ZERO_HASH):
            out.append(sign_vote(node, kind, message.epoch, message.view, hash_))
    return out


def nullify_only(node: Node, target: int, message: Message) -> list[Message]:
    """Nullifies every view, whatever it should vote."""
    if not isinstance(message, Vote):
        return [message]
    return [sign_vote(node, NULLIFY, message.epoch, message.view, ZERO_HASH)]


def invalid_parent_leader(node: Node, target: int, message: Message) -> list[Message]:
    """Proposes on the last final block whatever was notarized since."""
    if isinstance(message, Proposal):
        state, block = node.state, message.block
        if block.view == state.view and block.parent != state.final.hash:
            return [sign_block(node, make_block(state, state.final, block.tips))]
    return [message]


def stale_leader(node: Node, target: int, message: Message) -> list[Message]:
    """Proposes its parent's cut whatever waits."""
    if isinstance(message, Proposal) and message.block.tips:
        state, block = node.state, message.block
        known = block.parent == state.final.hash
        parent = state.final if known else candidate_of(state, block.parent)
        if parent is not None and block.view == state.view:
            return [sign_block(node, make_block(state, parent, ()))]
    return [message]


def conflicter(node: Node, target: int, message: Message) -> list[Message]:
    """Votes beside each vote for a block that nobody has."""
    if not isinstance(message, Vote) or message.kind == NULLIFY:
        return [message]
    nobodys = bytes(each ^ 0xFF for each in message.hash)
    other = sign_vote(node, message.kind, message.epoch, message.view, nobodys)
    return [message, other][:: 1 if target % 2 else -1]


def nuller(node: Node, target: int, message: Message) -> list[Message]:
    """Nullifies whatever it finalizes."""
    if isinstance(message, Vote) and message.kind == FINALIZE:
        return [sign_vote(node, NULLIFY, message.epoch, message.view, ZERO_HASH), message]
    return [message]


def outdated(node: Node, target: int, message: Message) -> list[Message]:
    """Votes in views that are over, in every other view instead of its own."""
    if not isinstance(message, Vote) or message.view < 4:
        return [message]
    old = sign_vote(node, message.kind, message.epoch, message.view - 3, message.hash)
    return [old] if message.view % 2 else [old, message]


def wrong_epoch(node: Node, target: int, message: Message) -> list[Message]:
    """Says everything of its votes' epoch also of the epochs before and after."""
    if not isinstance(message, Vote):
        return [message]
    epochs = (message.epoch - 1, message.epoch + 1)
    moved = (replace(message, epoch=epoch) for epoch in epochs if epoch > 0)
    signed = (sign_vote(node, each.kind, each.epoch, each.view, each.hash) for each in moved)
    return [message, *signed, replace(message, epoch=message.epoch + 1)]


def impersonator(node: Node, target: int, message: Message) -> list[Message]:
    """Shows certificates in the names of others: one good signature, its own, amid false ones."""
    if not isinstance(message, Vote) or message.again:
        return [message]
    seats = node.state.seats
    numbers = sorted({node.number, *seats.numbers[: seats.quorum - 1]})
    forged = {number: bytes(64) for number in numbers} | {node.number: message.signature}
    signed = tuple(Signed(number, signature) for number, signature in sorted(forged.items()))
    kind, epoch, view, hash_ = message.kind, message.epoch, message.view, message.hash
    return [message, CertificateMessage(Certificate(kind, epoch, view, hash_, signed), None)]


def hint_liar(node: Node, target: int, message: Message) -> list[Message]:
    """Hints of every lane that it holds what nobody has, and serves nothing."""
    if isinstance(message, Batches | RemainsMessage) and message.batches[0].header.lane != (
        node.number
    ):
        return []
    if isinstance(message, Hint):
        tips = (Tip(tip.lane, tip.height + 3, bytes(31) + b"?") for tip in message.tips)
        return [message, Hint(tuple(tips), message.again)]
    return [message]


def bad_signer(node: Node, target: int, message: Message) -> list[Message]:
    """Its votes carry signatures that do not hold."""
    if isinstance(message, Vote):
        return [Vote(message.kind, message.epoch, message.view, message.hash, bytes(64), False)]
    return [message]


def replayer() -> Outgoing:
    """Sends every message twice, the second time long after."""
    kept: list[Message] = []

    def outgoing(node: Node, target: int, message: Message) -> list[Message]:
        """Sends every message twice, the second time long after."""
        kept.append(message)
        old = kept[-40] if len(kept) > 40 else kept[0]
        return [message, old]

    return outgoing


def sibling_of(node: Node, batch: Batch) -> Batch:
    """Another batch for the same height."""
    header = batch.header
    made = node.cluster.submissions(1)
    other = Header(
        header.epoch,
        header.lane,
        header.height,
        header.previous,
        1,
        batch_root([commitment(each) for each in made]),
        header.time,
    )
    return Batch(other, node.config.keys.lane.sign(header_message(CHAIN, other)), made)


def lane_forker(targets: Callable[[int], bool], once: bool = False) -> Outgoing:
    """Shows a sibling of its pushed batches to some."""
    siblings: dict[int, Batch] = {}

    def outgoing(node: Node, target: int, message: Message) -> list[Message]:
        """Shows a sibling of its batches to every other platform."""
        if not isinstance(message, Batches) or len(message.batches) != 1:
            return [message]
        batch = message.batches[0]
        if batch.header.lane != node.number or not targets(target):
            return [message]
        height = batch.header.height
        if once and siblings and height not in siblings:
            return [message]
        if height not in siblings:
            siblings[height] = sibling_of(node, batch)
        return [Batches((siblings[height],))]

    return outgoing


def withholder(shown: set[int]) -> Outgoing:
    """Pushes own batches to some only, and serves none."""

    def outgoing(node: Node, target: int, message: Message) -> list[Message]:
        """Shows its batches to one platform only."""
        if isinstance(message, Batches) and target not in shown:
            return []
        return [message]

    return outgoing


def false_heir(node: Node, target: int, message: Message) -> list[Message]:
    """Gives residues that say something else than what was erased."""
    if not isinstance(message, RemainsMessage):
        return [message]
    forms = tuple(
        replace(
            form,
            residues=tuple(
                (at, replace(each, stand_in=each.stand_in + b"!", hash=ZERO_HASH))
                for at, each in form.residues
            ),
        )
        for form in message.batches
    )
    return [RemainsMessage(forms)]


def epoch_shifter() -> Outgoing:
    """Says of nullifications of earlier epochs that they are of this one, and votes for all."""
    kept: dict[int, Certificate] = {}

    def outgoing(node: Node, target: int, message: Message) -> list[Message]:
        """Says of nullifications of earlier epochs that they are of this one."""
        state = node.state
        for round_ in state.rounds.values():
            if NULLIFY in round_.certificates:
                kept[round_.view] = round_.certificates[NULLIFY]
        if not isinstance(message, Vote):
            return [message]
        old = kept.get(message.view)
        if old is None or old.epoch >= message.epoch or message.kind == NULLIFY:
            return [message]
        out: list[Message] = [message]
        if message.kind == NOTARIZE:
            out.append(sign_vote(node, FINALIZE, message.epoch, message.view, message.hash))
        return [*out, CertificateMessage(replace(old, epoch=message.epoch), None)]

    return outgoing


ACTORS: dict[str, Callable[[], Outgoing]] = {
    "silent_leader": lambda: silent_leader,
    "silent": lambda: silent,
    "equivocator": lambda: equivocator,
    "double_proposer": lambda: double_proposer,
    "two_faced_voter": lambda: two_faced_voter,
    "nullify_only": lambda: nullify_only,
    "invalid_parent_leader": lambda: invalid_parent_leader,
    "stale_leader": lambda: stale_leader,
    "bad_signer": lambda: bad_signer,
    "conflicter": lambda: conflicter,
    "nuller": lambda: nuller,
    "outdated": lambda: outdated,
    "wrong_epoch": lambda: wrong_epoch,
    "impersonator": lambda: impersonator,
    "hint_liar": lambda: hint_liar,
    "replayer": replayer,
    "root_forker": lambda: root_forker,
    "lane_forker": lambda: lane_forker(lambda target: target % 2 == 0),
    "epoch_shifter": epoch_shifter,
    "withholder": lambda: withholder({1}),
}
