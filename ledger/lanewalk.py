"""The lanes' side of a replay: the batches between two cuts, each one checked.

A batch is as it should be if its header hashes to its name, names its place and its predecessor, is
later than that and of no earlier epoch, is signed by the lane key that its platform had in the
header's epoch and still has in the block's, and if its payloads are those under its count and root.
The lanes that a block moves are those of its epoch's members. Payloads that are not are named one
by one where the log, which holds their commitments, tells which.
"""

from collections.abc import Callable, Mapping, Sequence

from ledger.batch import header_hash, header_message
from ledger.block import Tip
from ledger.errors import StoreDamaged
from ledger.membership import Validator
from ledger.residue import AnyBatch, Residue
from ledger.rows import (
    BlockRow,
    LeafRow,
    describe_key,
    header_key,
    leaf_key,
    read_row,
    residue_key,
    submission_key,
)
from ledger.signing import verify
from ledger.source import Finding, Source
from ledger.store import Reader

Batches = list[tuple[bytes, AnyBatch]]


class LaneWalk:
    """Walks lanes from cut to cut. `members(epoch)` yields the validators of an epoch.

    `find` takes findings; `stored`, where given, is a store whose leaf rows tell commitments.
    """

    def __init__(
        self,
        chain: bytes,
        source: Source,
        stored: Reader | None,
        members: Callable[[int], Sequence[Validator]],
        find: Callable[[Finding], None],
    ) -> None:
        self._chain = chain
        self._source = source
        self._stored = stored
        self._members = members
        self._find = find
        self._cut: dict[int, Tip] = {}
        self._times: dict[int, int] = {}
        self._epochs: dict[int, int] = {}

    @property
    def times(self) -> Mapping[int, int]:
        """Lane → time (ms) of the newest batch that was walked."""
        return self._times

    @property
    def epochs(self) -> Mapping[int, int]:
        """Lane → epoch of the newest batch that was walked."""
        return self._epochs

    def take_up(self, tip: Tip, time: int, epoch: int) -> None:
        """Go on from a lane's tip, whose header has this time (ms) and epoch."""
        self._cut[tip.lane] = tip
        self._times[tip.lane], self._epochs[tip.lane] = time, epoch

    def batches(self, row: BlockRow) -> Batches | None:
        """The batches that a block adds, in order, or None where one is not fit to be executed."""
        batches: Batches = []
        complete = True
        for tip in row.block.tips:
            held = self._lane(row, tip)
            if held is None:
                complete = False
            else:
                batches.extend(held)
            if tip.height > self._below(tip.lane).height:
                self._cut[tip.lane] = tip
        return batches if complete else None

    def _below(self, lane: int) -> Tip:
        return self._cut.get(lane) or Tip(lane, 0, self._chain)

    def _lane(self, row: BlockRow, tip: Tip) -> Batches | None:
        below = self._below(tip.lane)
        if not self._key(tip.lane, row.block.epoch):
            self._find(Finding("block-cut", f"lane {tip.lane}/{tip.height}", "is no member's"))
        if tip.height <= below.height:
            self._find(Finding("block-cut", f"lane {tip.lane}/{tip.height}", "is no step forward"))
            return None
        held: Batches = []
        name, fit = tip.hash, True
        for height in range(tip.height, below.height, -1):
            batch = self._fetch(row.block.epoch, tip.lane, height, name)
            if batch is None:
                return None
            fit = self._payloads_fit(row, name, batch) and fit
            held.append((name, batch))
            name = batch.header.previous
        if name != below.hash:
            where = describe_key(header_key(held[-1][0]))
            self._find(Finding("batch-link", where, "does not name its predecessor"))
            return None
        held.reverse()
        self._check_order(held)
        return held if fit else None

    def _key(self, lane: int, epoch: int) -> bytes:
        """The lane key of a platform in the set of an epoch, or nothing."""
        members = self._members(epoch)
        return next((each.lane_key for each in members if each.number == lane), b"")

    def _fetch(self, epoch: int, lane: int, height: int, name: bytes) -> AnyBatch | None:
        """One batch whose header is the one that its name says."""
        where = describe_key(header_key(name))
        try:
            batch = self._source.batch(lane, height, name)
        except StoreDamaged as error:
            self._find(Finding("batch", error.where, str(error)))
            return None
        if batch is None:
            self._find(Finding("batch-missing", where, f"of batch {lane}/{height} is not there"))
            return None
        header = batch.header
        if header_hash(self._chain, header) != name:
            self._find(Finding("batch-header", where, "is not what its key names"))
            return None
        if (header.lane, header.height) != (lane, height):
            self._find(Finding("batch-place", where, "stands in another place of its lane"))
        self._check_signature(epoch, batch, where)
        return batch

    def _check_signature(self, epoch: int, batch: AnyBatch, where: str) -> None:
        """By the key of the header's epoch, which must be that of the block's, too."""
        header = batch.header
        if header.epoch > epoch:
            self._find(Finding("batch-epoch", where, "is of a later epoch than its block"))
        key = self._key(header.lane, header.epoch)
        if not verify(key, header_message(self._chain, header), batch.signature):
            detail = "its platform's lane key has not signed it"
            self._find(Finding("batch-signature", where, detail))
        elif key != self._key(header.lane, epoch):
            detail = "is signed by a key that its platform does not have any more"
            self._find(Finding("batch-void", where, detail))

    def _check_order(self, held: Batches) -> None:
        for name, batch in held:
            header = batch.header
            where = describe_key(header_key(name))
            if header.time <= self._times.get(header.lane, -1):
                self._find(Finding("batch-time", where, "is not later than the batch below"))
            if header.epoch < self._epochs.get(header.lane, 1):
                self._find(Finding("batch-epoch", where, "is of an earlier epoch than that below"))
            self._times[header.lane] = header.time
            self._epochs[header.lane] = header.epoch

    def _payloads_fit(self, row: BlockRow, name: bytes, batch: AnyBatch) -> bool:
        """Whether the payloads are those under the root; if not, names those at fault."""
        header = batch.header
        ids = batch.commitments
        if header.count == len(ids) and header.root == batch.payload_root:
            return True
        expected = self._commitments(row, header.lane, header.height)
        wrong = [
            position
            for position, record_id in enumerate(ids)
            if expected.get(position, record_id) != record_id
        ]
        for position in wrong:
            if isinstance(batch.submissions[position], Residue):
                key, what = residue_key(name, position), "is another commitment's"
            else:
                key, what = submission_key(name, position), "does not open its commitment"
            self._find(Finding("submission", describe_key(key), what))
        if not wrong:
            where = describe_key(header_key(name))
            self._find(Finding("batch-root", where, "the payloads are not those under its root"))
        return False

    def _commitments(self, row: BlockRow, lane: int, height: int) -> dict[int, bytes]:
        """Position → commitment of a batch's records, as refusals and leaf rows tell."""
        expected = {
            each.position: each.commitment
            for each in row.refusals
            if (each.lane, each.height) == (lane, height)
        }
        if self._stored is None:
            return expected
        for log_index in range(row.first, row.size - 1):
            try:
                leaf = read_row(self._stored, LeafRow, leaf_key(log_index))
            except StoreDamaged:
                continue
            if leaf is None:
                break  # however far a damaged block row reaches
            if (leaf.lane, leaf.height) == (lane, height):
                expected[leaf.position] = leaf.commitment
        return expected
