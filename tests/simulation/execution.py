"""What executes final blocks in the simulation: a cheap ledger, and the real one.

In the cheap one the root is a hash chain over block hashes and batch hashes. It writes what
consensus relies on in one change: the head, the lanes' final `L` rows, and at an epoch's end the
next set. There a membership change is one record, approved and ready as it stands: `join`, `turn`
(of keys) with a validator, `quit` with a number. At most max(1, f) seats change, in order.

The real one erases as a node does: what a block says is to be erased stands in rows written with
the block (`LEFT`), and is destroyed some time later, once they are durable; a restart goes on.
"""

from dataclasses import dataclass
from hashlib import sha256

from consensus.config import Head
from consensus.effects import Execute
from ledger import state as real
from ledger.batch import Batch
from ledger.block import Tip
from ledger.encoding import decoder, encode
from ledger.erasing import residue_of
from ledger.genesis import Genesis, epoch_of
from ledger.membership import Validator, faults
from ledger.position import State as LedgerState
from ledger.rows import ValidatorsRow, lane_key, residue_key, submission_key, validators_key
from ledger.store import LANE, META, NODE, Changes, MemoryStore, after

HEAD_KEY = META + b"head"
LEFT = NODE + b"left to erase"
Stored = tuple[
    int, bytes, int, int, bytes, tuple[Tip, ...], tuple[bytes, ...], tuple[Validator, ...]
]
Set = tuple[Validator, ...]


def join(validator: Validator) -> bytes:
    return b"join" + encode(validator)


def turn(validator: Validator) -> bytes:
    return b"turn" + encode(validator)


def leave(number: int) -> bytes:
    return b"quit" + number.to_bytes(4)


def _change(members: dict[int, Validator], record: bytes) -> None:
    if record.startswith(b"quit"):
        members.pop(int.from_bytes(record[4:]), None)
        return
    validator = decoder(Validator).decode(record[4:])
    if record.startswith(b"join") or validator.number in members:
        members[validator.number] = validator


@dataclass
class Ledger:
    head: Head
    epoch_blocks: int
    validators: Set
    changes: tuple[bytes, ...] = ()
    has_left: bool = False

    def _bind(self) -> Set:
        """The next set, at an epoch's end."""
        members = {each.number: each for each in self.validators}
        room = max(1, faults(len(members)))
        for record in self.changes[:room]:
            _change(members, record)
        self.changes = self.changes[room:]
        self.validators = tuple(members[number] for number in sorted(members))
        return self.validators

    def apply(self, effect: Execute) -> tuple[Changes, Set | None]:
        """Its rows; at an epoch's end also the next set."""
        head, block = self.head, effect.block
        assert block.height == head.height + 1, "blocks are executed in order, each once"
        assert block.parent == head.hash, "blocks link"
        changes: Changes = {}
        for hash_, batch in effect.batches:
            lane, height = batch.header.lane, batch.header.height
            changes[LANE + lane.to_bytes(4) + height.to_bytes(8)] = hash_
        names = b"".join(hash_ for hash_, _ in effect.batches)
        records = sum(batch.header.count for _, batch in effect.batches)
        cut = {**head.cut, **{tip.lane: tip for tip in block.tips}}
        root = sha256(head.root + effect.hash + names).digest()
        self.changes += tuple(
            each.record
            for _, batch in effect.batches
            if isinstance(batch, Batch)
            for each in batch.submissions
            if each.record[:4] in (b"join", b"turn", b"quit")
        )
        bound = self._bind() if block.height % self.epoch_blocks == 0 else None
        if bound is not None:
            epoch = epoch_of(block.height, self.epoch_blocks)
            changes[validators_key(epoch + 1)] = encode(ValidatorsRow(bound))
        self.head = Head(
            block.height,
            effect.hash,
            block.time,
            head.size + records + 1,
            root,
            cut,
            is_changing=bool(self.changes),
        )
        tips = tuple(cut.values())
        changes[HEAD_KEY] = encode(
            (
                block.height,
                effect.hash,
                block.time,
                self.head.size,
                root,
                tips,
                self.changes,
                self.validators,
            )
        )
        return changes, bound


def load(reader: MemoryStore, chain: bytes, epoch_blocks: int, validators: Set) -> Ledger:
    row = reader.get(HEAD_KEY)
    if row is None:
        head = Head(0, chain, 1_000, 1, sha256(chain).digest(), {})
        return Ledger(head, epoch_blocks, validators)
    height, hash_, time, size, root, tips, changes, members = decoder(Stored).decode(row)
    cut = {tip.lane: tip for tip in tips}
    head = Head(height, hash_, time, size, root, cut, is_changing=bool(changes))
    return Ledger(head, epoch_blocks, members, changes)


class RealLedger:
    """The real ledger. Its own rows run ahead of the disk's, which are written later."""

    def __init__(self, durable: MemoryStore, genesis: Genesis) -> None:
        if durable.get(real.HEAD_KEY) is None:
            durable.write(real.found(genesis)[1])
        self.rows = durable.copy()
        self.state: LedgerState = real.load(self.rows)
        self.has_left = any(True for _ in durable.scan(LEFT, after(LEFT)))

    @property
    def head(self) -> Head:
        state = self.state
        return Head(
            state.height,
            state.block_hash,
            state.time,
            state.size,
            state.log.root(),
            dict(state.cut),
            state.erasing,
            state.change_waits,
        )

    def apply(self, effect: Execute) -> tuple[Changes, Set | None]:
        self.state, applied = real.apply_block(
            self.state, self.rows, effect.block, effect.hash, effect.batches
        )
        self.rows.write(applied.changes)
        assert applied.root == self.state.log.root()
        left: Changes = {
            LEFT + encode((lane, height, position, erasure)): b""
            for lane, height, position, erasure in applied.erased
        }
        self.has_left |= bool(left)
        return {**applied.changes, **left}, applied.seal.validators

    def erase(self, durable: MemoryStore) -> Changes:
        """Residues in the place of what is left to erase: one change of all of it."""
        changes: Changes = {}
        for key, _ in durable.scan(LEFT, after(LEFT)):
            changes[key] = None
            lane, height, position, erasure = decoder(tuple[int, int, int, int]).decode(
                key[len(LEFT) :]
            )
            name = durable.get(lane_key(lane, height))
            assert name is not None, "what is erased was executed"
            opening = submission_key(name, position)
            if durable.get(opening) is None:
                continue  # it came as a residue
            residue = residue_of(durable, self.state.vocabulary, (lane, height, position), erasure)
            changes[opening] = None
            changes[residue_key(name, position)] = encode(residue)
        self.has_left = durable.get(real.HEAD_KEY) != self.rows.get(real.HEAD_KEY)
        return changes
