"""A cheap ledger for the simulation: the root is a hash chain over block hashes and batch hashes.

It writes what consensus relies on in one change: the head, and the lanes' final `L` rows.
"""

from dataclasses import dataclass
from hashlib import sha256

from consensus.config import Head
from consensus.effects import Execute
from ledger.block import Tip
from ledger.encoding import decoder, encode
from ledger.store import LANE, META, Changes, Reader

HEAD_KEY = META + b"head"
Stored = tuple[int, bytes, int, int, bytes, tuple[Tip, ...]]


@dataclass
class Ledger:
    head: Head

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


def load(reader: Reader, chain: bytes) -> Ledger:
    row = reader.get(HEAD_KEY)
    if row is None:
        return Ledger(Head(0, chain, 1_000, 1, sha256(chain).digest(), {}))
    height, hash_, time, size, root, tips = decoder(Stored).decode(row)
    return Ledger(Head(height, hash_, time, size, root, {tip.lane: tip for tip in tips}))
