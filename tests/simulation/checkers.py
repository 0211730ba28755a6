"""What must hold after every step of every run. A breach is a `Violation`."""

from collections import defaultdict

from consensus.certificate import (
    FINALIZE,
    NOTARIZE,
    NULLIFY,
    PROPOSE,
    Certificate,
    Seats,
    statement_message,
)
from consensus.config import Verify
from consensus.effects import BatchSealed, BatchVoid, Certified, Execute, Halt
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
from ledger.batch import header_hash
from ledger.block import block_hash
from ledger.checkpoint import Checkpoint, cosignature_message
from ledger.encoding import decoder
from ledger.genesis import Bounds, epoch_of
from ledger.membership import Validator
from ledger.residue import Remains
from ledger.store import CONSENSUS, HEADER, RESIDUE, SUBMISSION, Changes, MemoryStore

VOTE = "vote_key"
COSIGNER = "cosigner_key"


def statement(chain: bytes, vote: Vote) -> bytes:
    return statement_message(chain, vote.kind, vote.epoch, vote.view, vote.hash)


class Violation(AssertionError):
    """A safety or progress rule was broken."""


def check(condition: bool, text: str) -> None:
    if not condition:
        raise Violation(text)


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
        self.excused: set[int] = set()
        self.forgotten: dict[int, str] = {}
        self.halts: dict[int, str] = {}

    # --- messages of honest nodes ---

    def sent(self, source: int, message: Message, chain: bytes) -> None:
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
                check(known_result == (size, root), f"{source} cosigned two roots at {height}")
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
        check(known == vote.hash, f"{source} voted twice in {slot}")
        other = {FINALIZE: NULLIFY, NULLIFY: FINALIZE}.get(vote.kind)
        clash = other is not None and (source, vote.epoch, vote.view, other) in self.votes
        check(not clash, f"{source} signed finalize and nullify in view {vote.view}")

    def _certificate(self, certificate: Certificate) -> None:
        if self.forks_only:
            return
        seats = self.sets[certificate.epoch]
        numbers = {each.number for each in certificate.signatures}
        full = len(numbers) == len(certificate.signatures) == seats.quorum
        check(full, "a certificate has not q distinct signers")
        check(numbers <= set(seats.numbers), "a certificate is signed by others than its members")

    # --- effects of honest nodes ---

    def persisted(self, node: int, changes: Changes) -> None:
        """The lemma of safety: one notarized block per view, in whosever eyes."""
        for key, value in changes.items():
            if value is not None and key.startswith((CONSENSUS, HEADER)):
                self.written[node].add(key)
            if key.startswith(CERTIFICATE) and key[-1] == NOTARIZE and value is not None:
                name = decoder(Certificate).decode(value).hash
                known = self.notarized.setdefault(key, name)
                check(known == name, f"two notarized blocks in one view, seen by {node}")

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
        known = self.blocks.setdefault(height, effect.hash)
        check(known == effect.hash, f"fork: two final blocks at height {height}")
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
        if height > self.heights[node] and known is effect.hash:
            self._durable(effect, stores)
        self.heights[node] = max(self.heights[node], height)

    def _durable(self, effect: Execute, stores: dict[int, MemoryStore]) -> None:
        if self.forks_only:
            return
        seats = self.sets[effect.block.epoch]
        members = [stores[number] for number in seats.numbers if number in stores]
        need = seats.witnesses if len(members) == len(seats.numbers) else 1
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
        check(known == (row.size, row.root), f"two certified roots at {row.height}")
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

    def excuse(self, node: int) -> None:
        """Expect no memory of what it signed before now, nor that nobody accuses it."""
        self.excused.add(node)
        for slot in [each for each in self.sealed_at if each[0] == node]:
            del self.sealed_at[slot]
        for said in (self.votes, self.proposals, self.cosigned):
            for slot in [each for each in said if each[0] == node]:
                del said[slot]  # type: ignore[attr-defined]

    def forgot(self, node: int, reason: str) -> None:
        known = node in self.may_forget or self.forks_only
        check(known, f"honest node {node} never signs again: {reason}")
        self.forgotten[node] = reason

    def halted(self, node: int, effect: Halt) -> None:
        check(node in self.may_halt, f"honest node {node} halted: {effect.reason}")
        self.halts[node] = effect.reason

    def restarted(self, node: int, executed_height: int, cut: dict) -> None:
        """A restarted node goes on from its durable head."""
        self.heights[node] = executed_height
        lanes = self.lanes[node]
        lanes.clear()
        for number, tip in cut.items():
            lanes[number] = tip.height
