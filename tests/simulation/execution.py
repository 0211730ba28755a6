"""What executes final blocks in the simulation: a cheap ledger, and the real one.

In the cheap one the root is a hash chain over block hashes and batch hashes. It writes what
consensus relies on in one change: the head, and the lanes' final `L` rows.

The real one erases as a node does: what a block says is to be erased stands in rows written with
the block (`LEFT`), and is destroyed some time later, once they are durable; a restart goes on.
"""

from dataclasses import dataclass
from hashlib import sha256

from consensus.config import Head
from consensus.effects import Execute
from ledger import state as real
from ledger.block import Tip
from ledger.encoding import decoder, encode
from ledger.erasing import residue_of
from ledger.genesis import Genesis
from ledger.position import State as LedgerState
from ledger.rows import lane_key, residue_key, submission_key
from ledger.store import LANE, META, NODE, Changes, MemoryStore, after

HEAD_KEY = META + b"head"
LEFT = NODE + b"left to erase"
Stored = tuple[int, bytes, int, int, bytes, tuple[Tip, ...]]


@dataclass
class Ledger:
    head: Head
    has_left: bool = False

    def apply(self, effect: Execute) -> Changes:
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
        self.head = Head(block.height, effect.hash, block.time, head.size + records + 1, root, cut)
        changes[HEAD_KEY] = encode(
            (block.height, effect.hash, block.time, self.head.size, root, tuple(cut.values()))
        )
        return changes


def load(reader: MemoryStore, chain: bytes) -> Ledger:
    row = reader.get(HEAD_KEY)
    if row is None:
        return Ledger(Head(0, chain, 1_000, 1, sha256(chain).digest(), {}))
    height, hash_, time, size, root, tips = decoder(Stored).decode(row)
    return Ledger(Head(height, hash_, time, size, root, {tip.lane: tip for tip in tips}))


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
        )

    def apply(self, effect: Execute) -> Changes:
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
        return {**applied.changes, **left}

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
