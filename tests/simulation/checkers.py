"""What must hold after every step of every run. A breach is a `Violation`."""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from consensus.certificate import (
    FINALIZE,
    NOTARIZE,
    NULLIFY,
    PROPOSE,
    Certificate,
    Seats,
    check_certificate,
    statement_message,
)
from consensus.config import Limits, Verify
from consensus.effects import (
    BatchSealed,
    BatchVoid,
    Broadcast,
    Certified,
    Effect,
    Execute,
    Halt,
    Send,
)
from consensus.evidence import TWO_BATCHES, TWO_ROOTS
from consensus.lanes import Lanes
from consensus.messages import (
    Batches,
    Blocks,
    CertificateMessage,
    Cosignature,
    Hint,
    Message,
    Proposal,
    RemainsMessage,
    Status,
    Vote,
)
from consensus.safety import CERTIFICATE, cosigned_key, proposal_key, vote_key
from consensus.state import Silence, State
from ledger.batch import header_hash
from ledger.block import block_hash
from ledger.checkpoint import Checkpoint, cosignature_message
from ledger.encoding import decoder
from ledger.errors import InvalidInput
from ledger.genesis import Bounds, epoch_of
from ledger.hashing import ZERO_HASH
from ledger.membership import Validator
from ledger.residue import Remains
from ledger.rows import HeaderRow
from ledger.store import CONSENSUS, HEADER, RESIDUE, SUBMISSION, Changes, MemoryStore

if TYPE_CHECKING:
    from tests.simulation.cluster import Node

VOTE = "vote_key"
COSIGNER = "cosigner_key"
VIEWS_AHEAD = Limits().views_ahead_max
AHEAD = Limits().uncertified_heights_max


def statement(chain: bytes, vote: Vote) -> bytes:
    return statement_message(chain, vote.kind, vote.epoch, vote.view, vote.hash)


View = tuple[int, int]
"""(epoch, view)."""


class Violation(AssertionError):
    """A safety or progress rule was broken. `views`: those that it came of, if that is known;
    `height`: the block's or checkpoint's, or 0."""

    def __init__(self, text: str, views: tuple[View, ...] = (), height: int = 0) -> None:
        super().__init__(text)
        self.views = views
        self.height = height

    def kind(self) -> str:
        """The same for two violations of one rule: the text's first line without numbers."""
        return re.sub(r"[0-9]+", "#", str(self).splitlines()[0])[:60]


def check(condition: bool, text: str, views: tuple[View, ...] = (), height: int = 0) -> None:
    if not condition:
        raise Violation(text, views, height)


def _statement_of(message: Message, chain: bytes) -> tuple[int, int, int, bytes, bytes] | None:
    """(kind, epoch, view, hash, signature) of a vote or proposal."""
    match message:
        case Vote(kind, epoch, view, hash_, signature):
            is_good = kind != NULLIFY or hash_ == ZERO_HASH
            return (kind, epoch, view, hash_, signature) if is_good else None
        case Proposal(block, signature):
            return PROPOSE, block.epoch, block.view, block_hash(chain, block), signature
        case _:
            return None


class Stood(NamedTuple):
    """Where a node stood before it heard something."""

    epoch: int
    final_view: int
    view: int
    certified: int
    executed: int


class Checker:
    """Sees every message that an honest node sends and every effect that it carries out."""

    def __init__(
        self,
        validators: tuple[Validator, ...],
        epoch_blocks: int,
        chain: bytes,
        origin: str,
        verify: Verify,
    ) -> None:
        self.sets = {1: Seats.of(validators)}
        """Epoch → its set, as the first honest node executed it."""
        self.epoch_blocks = epoch_blocks
        self.chain = chain
        self.origin = origin
        self.verify = verify
        self.forks_only = False
        """Whether only conflicting blocks count: for networks whose rules are broken on purpose."""
        self.blocks: dict[int, bytes] = {}
        self.view_of: dict[int, View] = {}
        """Height → where its final block was proposed, as the first honest node executed it."""
        self.roots: dict[int, tuple[int, bytes]] = {}
        self.heights: dict[int, int] = defaultdict(int)
        self.certified: dict[int, int] = defaultdict(int)
        self.notarized: dict[bytes, bytes] = {}
        self.votes: dict[tuple[int, int, int, int], bytes] = {}
        self.proposals: dict[tuple[int, int, int], bytes] = {}
        self.cosigned: dict[tuple[int, int], tuple[int, bytes]] = {}
        self.batches: dict[tuple[int, int], bytes] = {}
        self.sealed_at: dict[tuple[int, int, bytes], bytes] = {}
        """(Node, height, lane key) → the batch of its own lane that it has shown."""
        self.owed: set[bytes] = set()
        """Roots of void batches that are to be sealed again."""
        self.final_roots: set[bytes] = set()
        """Roots of final batches: a void batch and the one in its stead have the same."""
        self.lanes: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        self.acknowledged: dict[bytes, int] = {}
        self.root_of: dict[bytes, bytes] = {}
        self.final: set[bytes] = set()
        self.written: dict[int, set[bytes]] = defaultdict(set)
        """Node → keys of the consensus rows and headers that it has ever had durable."""
        self.may_halt: set[int] = set()
        self.may_forget: set[int] = set()
        """Nodes whose stores were lost or set back."""
        self.losses: dict[int, int] = defaultdict(int)
        """Node → how often it may yet fall silent for good: once for each loss of its store and
        each generation of keys that it held then, and not for those that it is given later."""
        self.unsure: set[int] = set()
        """Nodes that have lost rows: should they sign before anybody shows them what they signed,
        they are faulty (`excused`)."""
        self.excused: set[int] = set()
        self.checked: set[Certificate] = set()
        self.said: dict[int, dict[tuple[int, int, int], dict[int, bytes]]] = defaultdict(dict)
        """Node → (liar, epoch, view) → what it was told in this life, by kind, the first each."""
        self.roots_said: dict[int, dict[tuple[int, int], tuple[int, bytes]]] = defaultdict(dict)
        """Node → (liar, height) → the size and root that it was first told in this life."""
        self.forgotten: dict[int, str] = {}
        self.halts: dict[int, str] = {}

    # --- messages of honest nodes ---

    def sent(
        self, source: int, message: Message, chain: bytes, silence: Silence | None = None
    ) -> None:
        if source in self.unsure:
            # (It may have learnt what it forgot while this waited for the disk.)
            signs = isinstance(message, Vote | Proposal | Cosignature) and not message.again
            seals = isinstance(message, Batches) and message.batches[0].header.lane == source
            if signs or (seals and silence is None):
                self.excuse(source)
        match message:
            case Vote(kind, epoch, view, hash_):
                self._vote(source, message)
                self._signed(source, epoch, VOTE, statement(chain, message), message.signature)
                self._stood(source, vote_key(epoch, view, kind), message)
                if kind == NOTARIZE and source not in self.may_forget:
                    # (where f = 0 a lost store takes over its votes, not what they name)
                    self._stood(source, proposal_key(epoch, view, hash_), message)
            case Proposal(block, signature):
                slot = (source, block.epoch, block.view)
                known = self.proposals.setdefault(slot, signature)
                name = block_hash(chain, block)
                said = statement_message(chain, PROPOSE, block.epoch, block.view, name)
                self._signed(source, block.epoch, VOTE, said, signature)
                check(known == signature, f"{source} proposed twice in {slot}")
                key = proposal_key(block.epoch, block.view, block_hash(chain, block))
                self._stood(source, key, message)
            case Cosignature(height, size, root):
                known_result = self.cosigned.setdefault((source, height), (size, root))
                text = f"{source} cosigned two roots at {height}"
                check(known_result == (size, root), text, height=height)
                epoch = epoch_of(height, self.epoch_blocks)
                text = Checkpoint(self.origin, size, root).text()
                said = cosignature_message(message.time_s, text)
                self._signed(source, epoch, COSIGNER, said, message.signature)
                self._stood(source, cosigned_key(height), message)
            case Hint(tips) | Status(tips=tips):
                for tip in tips:
                    self._stood(source, HEADER + tip.hash, message)
            case Batches(batches) | RemainsMessage(batches):
                for batch in batches:
                    name = header_hash(chain, batch.header)
                    self._stood(source, HEADER + name, message)
                    if batch.header.lane == source:
                        seat = self.sets[batch.header.epoch].by_number[source]
                        own = (source, batch.header.height, seat.lane_key)
                        known_name = self.sealed_at.setdefault(own, name)
                        check(known_name == name, f"{source} sealed two batches at {own[1]}")
            case CertificateMessage(certificate):
                self._certificate(certificate)
            case Blocks(finalization=certificate):
                self._certificate(certificate)
            case _:
                pass

    def _stood(self, source: int, key: bytes, message: Message) -> None:
        """What a message rests on was durable before it was sent."""
        if key not in self.written[source] and not self.forks_only:
            raise Violation(f"{source} sent before it wrote: {message}")

    def _signed(self, source: int, epoch: int, key: str, said: bytes, signature: bytes) -> None:
        """Only members sign, with the keys that the epoch's set names."""
        if self.forks_only:
            return
        seat = self.sets[epoch].by_number.get(source)
        check(seat is not None, f"{source} signs in epoch {epoch} and is no member")
        good = self.verify(getattr(seat, key), said, signature)
        check(good, f"{source} signs in epoch {epoch} with another key than its set names")

    def _vote(self, source: int, vote: Vote) -> None:
        slot = (source, vote.epoch, vote.view, vote.kind)
        known = self.votes.setdefault(slot, vote.hash)
        if self.forks_only:
            return
        at = ((vote.epoch, vote.view),)
        check(known == vote.hash, f"{source} voted twice in {slot}", at)
        other = {FINALIZE: NULLIFY, NULLIFY: FINALIZE}.get(vote.kind)
        clash = other is not None and (source, vote.epoch, vote.view, other) in self.votes
        check(not clash, f"{source} signed finalize and nullify in view {vote.view}", at)

    def _certificate(self, certificate: Certificate) -> None:
        if self.forks_only:
            return
        seats = self.sets[certificate.epoch]
        numbers = {each.number for each in certificate.signatures}
        full = len(numbers) == len(certificate.signatures) == seats.quorum
        check(full, "a certificate has not q distinct signers")
        check(numbers <= set(seats.numbers), "a certificate is signed by others than its members")
        if certificate in self.checked:
            return
        self.checked.add(certificate)
        try:
            check_certificate(self.chain, seats, self.verify, certificate)
        except InvalidInput as error:
            raise Violation(f"a certificate does not hold: {error}") from error

    # --- effects of honest nodes ---

    def persisted(self, node: int, changes: Changes) -> None:
        """The lemma of safety: one notarized block per view, in whosever eyes."""
        for key, value in changes.items():
            if value is not None and key.startswith((CONSENSUS, HEADER)):
                self.written[node].add(key)
            if key.startswith(CERTIFICATE) and key[-1] == NOTARIZE and value is not None:
                name = decoder(Certificate).decode(value).hash
                known = self.notarized.setdefault(key, name)
                found = decoder(Certificate).decode(value)
                text = f"two notarized blocks in one view, seen by {node}"
                check(known == name, text, ((found.epoch, found.view),))

    def seated(self, epoch: int, validators: tuple[Validator, ...]) -> None:
        """All nodes know one set of an epoch."""
        known = self.sets.setdefault(epoch, Seats.of(validators))
        check(known.validators == validators, f"fork: two sets of epoch {epoch}")

    def executed(
        self, node: int, effect: Execute, stores: dict[int, MemoryStore], bounds: Bounds
    ) -> None:
        height = effect.block.height
        records = sum(batch.header.count for _, batch in effect.batches)
        check(records <= bounds.cut_records_max, f"a cut of {records} records")
        is_first = height not in self.blocks
        known = self.blocks.setdefault(height, effect.hash)
        here = (effect.block.epoch, effect.block.view)
        views = (self.view_of.setdefault(height, here), here)
        check(known == effect.hash, f"fork: two final blocks at height {height}", views, height)
        below = self.blocks.get(height - 1)
        check(below in (None, effect.block.parent), f"block {height} does not link")
        lanes = self.lanes[node]
        for hash_, batch in effect.batches:
            lane, at = batch.header.lane, batch.header.height
            check(at == lanes[lane] + 1, f"lane {lane} jumps from {lanes[lane]} to {at}")
            lanes[lane] = at
            name = self.batches.setdefault((lane, at), hash_)
            check(name == hash_, f"two final batches in lane {lane} at {at}")
            self.final.add(hash_)
            self.final_roots.add(batch.header.root)
        for tip in effect.block.tips:
            check(lanes[tip.lane] == tip.height, f"lane {tip.lane} does not reach its tip")
        if is_first:
            self._durable(effect, stores)
        self.heights[node] = max(self.heights[node], height)

    def _durable(self, effect: Execute, stores: dict[int, MemoryStore]) -> None:
        if self.forks_only:
            return
        seats = self.sets[effect.block.epoch]
        members = [stores[number] for number in seats.numbers if number in stores]
        need = seats.witnesses  # q voted, of whom at most f are faulty or have lost their stores
        for hash_, batch in effect.batches:
            last = hash_ + max(0, batch.header.count - 1).to_bytes(2)
            rows = (SUBMISSION + last, RESIDUE + last)
            holders = sum(
                store.get(HEADER + hash_) is not None
                and (not batch.header.count or any(store.get(row) is not None for row in rows))
                for store in members
            )
            check(holders >= need, f"a final batch is durable at {holders} nodes only")

    def holds(self, node: int, lanes: Lanes) -> None:
        """What remains of batches is held under a final cut only, and so never voted on."""
        for held in lanes.held.values():
            if isinstance(held.batch, Remains):
                lane = lanes.lanes[held.header.lane]
                text = f"{node} holds remains above the final cut"
                check(held.header.height <= lane.final.height, text)

    def certified_row(self, node: int, effect: Certified) -> None:
        row = effect.row
        check(row.height > self.certified[node], "certified heights rise")
        self.certified[node] = row.height
        known = self.roots.setdefault(row.height, (row.size, row.root))
        text = f"two certified roots at {row.height}"
        check(known == (row.size, row.root), text, height=row.height)
        numbers = {each.number for each in row.cosignatures}
        seats = self.sets[epoch_of(row.height, self.epoch_blocks)]
        full = len(numbers) == len(row.cosignatures) == seats.quorum
        full = full and numbers <= set(seats.numbers)
        check(full or self.forks_only, "not q distinct cosigners")

    def sealed(self, node: int, effect: BatchSealed, root: bytes) -> None:
        if effect.count:  # an empty one only tells the time, and may become void
            self.acknowledged[effect.hash] = node
        self.root_of[effect.hash] = root

    def void(self, effect: BatchVoid) -> None:
        """A void batch is sealed again, unless its platform is no member any more."""
        if not effect.is_lost:
            self.owed.add(effect.root)

    def lost(self, node: int) -> None:
        """It has lost rows: expect no memory of what it signed before now."""
        self.unsure.add(node)
        self._forget(node)

    def excuse(self, node: int) -> None:
        """It signs without knowing what it signed: it may be accused."""
        self.unsure.discard(node)
        self.excused.add(node)
        self._forget(node)

    def _forget(self, node: int) -> None:
        for slot in [each for each in self.sealed_at if each[0] == node]:
            del self.sealed_at[slot]
        for said in (self.votes, self.proposals, self.cosigned):
            for slot in [each for each in said if each[0] == node]:
                del said[slot]  # type: ignore[attr-defined]

    def forgot(self, node: int, reason: str) -> None:
        known = self.losses[node] > 0 or self.forks_only
        check(known, f"honest node {node} never signs again: {reason}")
        self.losses[node] -= 1
        if node in self.excused:  # it may have sealed heights again: one of two siblings is lost
            for hash_, owner in [*self.acknowledged.items()]:
                if owner == node and hash_ not in self.final:
                    del self.acknowledged[hash_]
        self.forgotten[node] = reason

    def silent(self, node: int, state: State, effects: tuple[Effect, ...]) -> None:
        """Who may not sign sends nothing that it has not signed before."""
        if state.silence is None:
            return
        for effect in effects:
            message = effect.message if isinstance(effect, Broadcast | Send) else None
            signs = isinstance(message, Vote | Proposal | Cosignature) and not message.again
            check(not signs, f"{node} signs while it is silent: {message}")

    # --- what liars say ---

    def heard(self, node: "Node", peer: int, message: Message, stood: Stood) -> None:
        """Whoever was told two things that one key must not sign both has evidence of it. `stood`:
        where the node stood before."""
        if self.forks_only:
            return
        match message:
            case Cosignature():
                self._heard_root(node, peer, message, stood)
            case _:
                self._heard_statement(node, peer, message, stood)

    def siblings(self, node: "Node", lane: int) -> None:
        """Whoever holds two batches of one height under one key has evidence of it."""
        held: dict[tuple[int, bytes], bytes] = {}
        for hash_, each in node.state.lanes.held.items():
            header = each.header
            seat = self.sets[header.epoch].by_number.get(lane) if header.lane == lane else None
            if seat is not None:
                known = held.setdefault((header.height, seat.lane_key), hash_)
                if known != hash_:
                    self._proven(node, TWO_BATCHES, lane, header.height)

    def _heard_root(self, node: "Node", peer: int, told: Cosignature, stood: Stood) -> None:
        """Two roots of one size, both told before any was certified here."""
        height, epoch = told.height, epoch_of(told.height, self.epoch_blocks)
        seat = self.sets[epoch].by_number.get(peer) if epoch <= stood.epoch else None
        if seat is None or not stood.certified < height <= stood.executed + AHEAD:
            return
        text = Checkpoint(self.origin, told.size, told.root).text()
        message = cosignature_message(told.time_s, text)
        if not self.verify(seat.cosigner_key, message, told.signature):
            return
        first = told.size, told.root
        size, root = self.roots_said[node.number].setdefault((peer, height), first)
        if size == told.size and root != told.root:
            self._proven(node, TWO_ROOTS, peer, size)

    def _proven(self, node: "Node", kind: int, number: int, slot: int) -> None:
        mine = [each for each in node.state.evidence.values() if each.number == number]
        is_full = len(mine) >= node.config.limits.evidence_per_validator_max
        found = any((each.kind, each.slot) == (kind, slot) for each in mine)
        text = f"{node.number} has two things of kind {kind} of {number}'s and no evidence: {slot}"
        check(found or is_full, text)

    def _heard_statement(self, node: "Node", peer: int, message: Message, stood: Stood) -> None:
        told = _statement_of(message, self.chain)
        if told is None:
            return
        kind, epoch, view, hash_, signature = told
        seat = self.sets[epoch].by_number.get(peer) if epoch == stood.epoch else None
        if seat is None or not stood.final_view < view <= stood.view + VIEWS_AHEAD:
            return
        state = node.state
        if kind == PROPOSE and (state.epoch != epoch or state.leader(view) != peer):
            return
        if not self.verify(
            seat.vote_key, statement_message(self.chain, kind, epoch, view, hash_), signature
        ):
            return
        said = self.said[node.number].setdefault((peer, epoch, view), {})
        known = said.setdefault(kind, hash_)
        clash = known != hash_ and kind in (PROPOSE, NOTARIZE)
        if clash or {FINALIZE, NULLIFY} <= said.keys():
            self._accused(node, peer, epoch, view)

    def _accused(self, node: "Node", number: int, epoch: int, view: int) -> None:
        mine = [each for each in node.state.evidence.values() if each.number == number]
        is_full = len(mine) >= node.config.limits.evidence_per_validator_max
        found = any((each.epoch, each.slot) == (epoch, view) for each in mine)
        text = f"{node.number} saw {number} contradict itself in view {view} and has no evidence"
        check(found or is_full, text, ((epoch, view),))

    # --- after a run ---

    def whole(self, nodes: "Mapping[int, Node]") -> None:
        """Every honest node has one chain, and every record of every final batch, or what stands
        in its place: what was acknowledged as final is not lost. All pass over the same leaders."""
        states = [node.state for node in nodes.values()]
        passed = {(state.epoch, state.passed) for state in states}
        check(len(passed) == len({state.epoch for state in states}), "leaders are not alike")
        for number, node in nodes.items():
            head, store = node.ledger.head, node.store
            check(self.blocks.get(head.height, head.hash) == head.hash, f"{number} is on a fork")
            for lane, tip in head.cut.items():
                name = self.batches.get((lane, tip.height))
                check(name == tip.hash, f"lane {lane} of {number} ends in another batch")
            for hash_ in self.final:
                check(self._has(store, hash_), f"{number} has lost a batch that is final")

    def _has(self, store: MemoryStore, hash_: bytes) -> bool:
        row = store.get(HEADER + hash_)
        if row is None:
            return False
        places = range(decoder(HeaderRow).decode(row).header.count)
        names = (hash_ + place.to_bytes(2) for place in places)
        return all(
            store.get(SUBMISSION + name) is not None or store.get(RESIDUE + name) is not None
            for name in names
        )

    def halted(self, node: int, effect: Halt) -> None:
        check(node in self.may_halt, f"honest node {node} halted: {effect.reason}")
        self.halts[node] = effect.reason

    def restarted(self, node: int, executed_height: int, cut: dict) -> None:
        """A restarted node goes on from its durable head."""
        self.said[node].clear()
        self.roots_said[node].clear()
        self.heights[node] = executed_height
        lanes = self.lanes[node]
        lanes.clear()
        for number, tip in cut.items():
            lanes[number] = tip.height
