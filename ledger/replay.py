"""Replay: execute a ledger again from genesis, check every link, and name whatever is not right.

For each block, in order:

1. *Links*: its height, parent, epoch and hash; its tips step forward; its time is
   max(parent's + 1, the (f+1)-th latest time of the current set's lane tips).
2. *Batches* (`ledger/lanewalk.py`): each one between its cut and its parent's.
3. *Execution*: its records are executed on recomputed rows; log size and root, refusals and seal
   (so index root, parameters and validators) must be those of the block row.
4. *Residues* (`ledger/justified.py`): each must be of a record that an erasure takes.
5. *Rows* (where a store is given, `ledger/differences.py`): each row that no later block writes
   again is compared at once, all others at the end, with whatever is stored besides.

What is wrong becomes a finding, and the replay goes on as far as it can: after a block that cannot
be executed only links and batches are checked, and the log by its own hashes; of a run of wrong
roots only the first is listed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ledger.block import Block, block_hash
from ledger.differences import (
    Difference,
    compare,
    executed_rows,
    is_marked_later,
    is_settled,
    settled,
    surplus,
)
from ledger.errors import InvalidInput, StoreDamaged
from ledger.genesis import Genesis, check_genesis, epoch_of
from ledger.justified import Residues, residues_in
from ledger.lanewalk import Batches, LaneWalk
from ledger.membership import Validator
from ledger.rows import (
    HEAD_KEY,
    BlockRow,
    HeadRow,
    ValidatorsRow,
    block_key,
    describe_key,
    read_row,
    validators_key,
)
from ledger.selfcheck import check_log, check_undo
from ledger.source import Finding, ReaderSource, Source
from ledger.state import Applied, apply_block, batches_follow, found
from ledger.store import BLOCK, MemoryStore, Reader, Store, after

__all__ = ["Difference", "Finding", "ReaderSource", "Source", "Step", "compare", "replay"]

FINDINGS_PER_STEP_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Step:
    """One block replayed, or the closing comparison of what is left (`closing`).

    `records`: submissions in its batches; `erased`: how many of them are residues. `size`: of the
    log, as the block row tells it. `applied` is None where the block could not be executed.
    """

    height: int
    records: int
    size: int
    findings: tuple[Finding, ...]
    applied: Applied | None
    closing: bool = False
    erased: int = 0


def replay(
    genesis: Genesis,
    source: Source,
    *,
    stored: Reader | None = None,
    store: Store | None = None,
    until: int | None = None,
) -> Iterator[Step]:
    """Re-execute a ledger from genesis: one step per block, block 0 included, and a closing one.

    `stored`: a store whose rows are to be compared with the recomputed ones; `store`: an empty one
    for the recomputed rows; `until`: the last height to replay (as far as blocks reach without it,
    and only then are unsettled rows compared).
    """
    yield from Replay(genesis, source, stored, store or MemoryStore()).steps(until)


class Replay:
    """A replay under way: `state` is the ledger's after the last step, `walk` the lanes'."""

    def __init__(
        self, genesis: Genesis, source: Source, stored: Reader | None, store: Store
    ) -> None:
        self._genesis = genesis
        self._source = source
        self._stored = stored
        self._store = store
        self._findings: list[Finding] = []
        self.state, self._founding = found(genesis, window_blocks=1)
        self._sets: dict[int, tuple[Validator, ...]] = {1: self.state.validators}
        self.walk = LaneWalk(self.state.chain, source, stored, self.members, self._findings.append)
        self._parent: bytes | None = self.state.block_hash
        self._parent_time = genesis.foundation.created
        self._executing = True
        self._diverged = False
        self._residues = Residues()
        self._marked: set[bytes] = set()

    def take_up(self, validators: tuple[Validator, ...]) -> None:
        """Go on behind `state`, with the set of the next block's epoch."""
        bounds, height = self._genesis.foundation.bounds, self.state.height
        self._sets = {epoch_of(height + 1, bounds.epoch_blocks): validators}
        self._parent, self._parent_time = self.state.block_hash, self.state.time

    def step(self, height: int) -> Step | None:
        """Replay one more block, or None behind the newest; what cannot be read is a finding."""
        try:
            row = self._source.block(height)
        except StoreDamaged as error:
            return self._skip(height, Finding("block", error.where, str(error)))
        return None if row is None else self._step(height, row)

    def steps(self, until: int | None) -> Iterator[Step]:
        """All steps from genesis up, and the closing one."""
        yield self._found()
        newest = self._newest(until)
        height = 1
        while until is None or height <= until:
            try:
                row = self._source.block(height)
            except StoreDamaged as error:
                yield self._skip(height, Finding("block", error.where, str(error)))
                if height > newest:
                    break  # what cannot be read may as well lie behind the newest block
            else:
                if row is not None:
                    yield self._step(height, row)
                elif height <= newest:
                    where = describe_key(block_key(height))
                    yield self._skip(height, Finding("block-missing", where, "is not there"))
                else:
                    break
            height += 1
        yield self._close(height - 1, complete=until is None)

    # --- steps ---

    def _find(self, kind: str, where: str, detail: str) -> None:
        self._findings.append(Finding(kind, where, detail))

    def _take_findings(self) -> tuple[Finding, ...]:
        taken = tuple(self._findings)
        self._findings.clear()
        return taken

    def _newest(self, until: int | None) -> int:
        """The height of the head row, below which no block row may be missing."""
        if self._stored is None:
            return 0
        try:
            head = read_row(self._stored, HeadRow, HEAD_KEY)
        except StoreDamaged as error:
            self._find("row", error.where, str(error))
            return 0
        if head is None:
            return 0
        try:
            last = next(self._stored.scan(BLOCK, after(BLOCK), reverse=True), (BLOCK, b""))[0]
        except StoreDamaged:
            last = block_key(head.height)
        # However high a damaged head row points, one block past the last row is enough to say so.
        return min(head.height, until or head.height, int.from_bytes(last[1:]) + 1)

    def _found(self) -> Step:
        try:
            check_genesis(self._genesis)
        except InvalidInput as error:
            self._find("genesis", "genesis", str(error))
        self._store.write(self._founding)
        self._compare(settled(self._founding))
        return Step(0, 0, self.state.size, self._take_findings(), None)

    def _skip(self, height: int, finding: Finding) -> Step:
        """A block whose row cannot be read: the next one's parent is taken on trust."""
        self._findings.append(finding)
        self._executing = False
        self._parent = None
        return Step(height, 0, self.state.size, self._take_findings(), None)

    def _step(self, height: int, row: BlockRow) -> Step:
        name = self._check_links(height, row)
        batches = self.walk.batches(row)
        if batches is not None:
            self._check_time(row.block)
        applied = self._execute(row, name, batches)
        self._parent = name
        self._parent_time = row.block.time
        if applied is None and row.seal.validators is not None:
            self._sets[row.block.epoch + 1] = row.seal.validators  # by the word of its seal
        records = sum(batch.header.count for _, batch in batches or ())
        erased = residues_in(batches or ())
        return Step(height, records, row.size, self._take_findings(), applied, erased=erased)

    def _check_links(self, height: int, row: BlockRow) -> bytes:
        """Check a block by itself and against its parent; its hash, by the word of its seal."""
        block, where = row.block, describe_key(block_key(height))
        if block.height != height:
            self._find("block-height", where, f"holds a block of height {block.height}")
        if self._parent is not None and block.parent != self._parent:
            self._find("block-link", where, "does not name its parent")
        if block.epoch != epoch_of(height, self._genesis.foundation.bounds.epoch_blocks):
            self._find("block-epoch", where, f"stands in epoch {block.epoch}")
        lanes = [tip.lane for tip in block.tips]
        if lanes != sorted(set(lanes)):
            self._find("block-cut", where, "its tips do not ascend by lane")
        name = block_hash(self.state.chain, block)
        if name == row.hash:
            return name
        self._find("block-hash", where, "has another hash than its block yields")
        if row.seal.block == row.hash:
            self._executing = False
            return row.hash
        return name

    def _check_time(self, block: Block) -> None:
        times = self.walk.times
        members = self.members(block.epoch)
        latest = sorted((times.get(each.number, 0) for each in members), reverse=True)
        faulty = (len(members) - 1) // 3
        if self._parent is not None and block.time != max(self._parent_time + 1, latest[faulty]):
            where = describe_key(block_key(block.height))
            self._find("block-time", where, "its time does not follow from its cut")

    def members(self, epoch: int) -> tuple[Validator, ...]:
        """The set of an epoch, or the newest known one where it is not told: what is wrong then has
        a finding of its own."""
        found = self._sets.get(epoch)
        if found is None:
            row = read_row(self._store, ValidatorsRow, validators_key(epoch))
            found = self._sets[max(self._sets)] if row is None else row.validators
        return found

    # --- execution ---

    def _execute(self, row: BlockRow, name: bytes, batches: Batches | None) -> Applied | None:
        block = row.block
        follows = block.parent == self.state.block_hash and block.height == self.state.height + 1
        follows = follows and block.time > self.state.time
        if (
            batches is None
            or not follows
            or not batches_follow(self.state.cut, block.tips, batches)
        ):
            self._executing = False
        if not self._executing or batches is None:
            return None
        self.state, applied = apply_block(self.state, self._store, block, name, batches)
        self._store.write(applied.changes)
        if applied.seal.validators is not None:
            self._sets[block.epoch + 1] = applied.seal.validators
        self._check_result(row, applied)
        self._residues.execute(batches, applied)
        if self._stored is not None:
            changes = settled(applied.changes)
            self._marked.difference_update(changes)
            self._compare(changes)
        return applied

    def _check_result(self, row: BlockRow, applied: Applied) -> None:
        """The block row tells what execution yields; told once when it begins not to."""
        comparisons = (
            ("size", row.size, applied.size),
            ("refusals", row.refusals, applied.refusals),
            ("index root", row.seal.index_root, applied.seal.index_root),
            ("seal", row.seal, applied.seal),
            ("root", row.root, applied.root),
        )
        wrong = [name for name, told, yields in comparisons if told != yields]
        if wrong and not self._diverged:
            where = describe_key(block_key(row.block.height))
            self._find("root", where, f"execution yields another {', '.join(wrong)}")
        self._diverged = bool(wrong)

    def outstanding(self) -> Iterator[Finding]:
        """What no erasure so far has made right: residues, and marks in stored leaf rows."""
        yield from self._residues.unjustified()
        if self._stored is not None:
            keys = sorted(self._marked)
            for difference in compare(((key, self._store.get(key)) for key in keys), self._stored):
                yield Finding("row", difference.where, difference.detail)

    # --- stored rows ---

    def _compare(self, changes: Mapping[bytes, bytes | None]) -> None:
        if self._stored is not None:
            self._report(compare(changes, self._stored))

    def _report(self, differences: Iterator[Difference]) -> None:
        for difference in differences:
            if is_marked_later(difference):
                self._marked.add(difference.key)
                continue
            if len(self._findings) >= FINDINGS_PER_STEP_MAX:
                self._find("row", "rows", "more rows differ than are listed")
                return
            self._find("row", difference.where, difference.detail)

    def _close(self, height: int, *, complete: bool) -> Step:
        """Compare what is left; where execution had to end, check the log by its own hashes."""
        stored = self._stored
        if complete and self._executing:
            self._findings.extend(self.outstanding())
        if stored is None or not complete:
            return Step(height, 0, self.state.size, self._take_findings(), None, closing=True)
        self._findings.extend(check_undo(stored))
        if self._executing:
            rows = executed_rows(self._store)
            rest = ((key, value) for key, value in rows if not is_settled(key, value))
            self._report(compare(rest, stored))
            self._report(surplus(self._store, stored))
        else:
            where = describe_key(block_key(self.state.height + 1))
            self._find("stopped", where, "could not be executed: what follows is checked by hashes")
            self._findings.extend(check_log(stored))
        return Step(height, 0, self.state.size, self._take_findings(), None, closing=True)
