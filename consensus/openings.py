"""Openings under a snapshot: all batches up to its height, checked against its rows.

A snapshot (ledger/snapshot.py) has no batches: nodes erase openings at different times. They are
fetched lane by lane, the lowest first (`fetch batches`), several lanes at a time. A batch is taken
if it has the hash that its `L` row tells, names the one below it, its lane's key has signed it, and
its root holds: as at the first gate. Block by block, once all that it adds has come: the highest
batch of each lane is the one that the block names, and the commitments, in order, are those of the
block's leaves (`E`) and refusals. Rows `H`, `S`, `Y`. What has come before its block waits in
memory, bounded per lane and in all, however many lanes there are: an answer that is awaited is
counted as full, and what goes beyond is dropped and asked for again, but for the batches that the
next block needs (a cut's bytes at most). So no lane that is ahead can keep out one that is not.

What remains of a batch with residues needs f + 1 members that give the same (consensus/claims.py),
unless the whole batch comes. A record that the state says is erased may still come as its opening
(its giver has not destroyed it yet): `Opened.erased` says so, and it is destroyed here like any.

A batch that fails is its giver's lie. What no giver can make fit is the state's: `Unfit`.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from consensus.asking import Asking
from consensus.claims import Claims
from consensus.config import Config
from consensus.effects import Effect, Refuse, Send
from consensus.epochs import Sets, epoch_at
from consensus.gate import RESIDUE_BYTES_MORE_MAX
from consensus.messages import Batches, FetchBatches, RemainsMessage
from consensus.proofs import Unfit, seats_of
from ledger.batch import Submission, header_hash, header_message
from ledger.block import Tip
from ledger.encoding import decoder, encode
from ledger.residue import AnyBatch, Remains, form_of
from ledger.rows import (
    BlockRow,
    HeaderRow,
    LeafRow,
    block_key,
    header_key,
    lane_key,
    leaf_key,
    need_row,
    residue_key,
    submission_key,
)
from ledger.store import Changes, Reader

BLOCKS_AT_ONCE_MAX: Final = 64
"""Blocks whose batches are taken in upon one message."""


@dataclass(frozen=True, slots=True)
class Opened:
    """All batches of a block are there: write these rows. `batches` as they are, `erased`: (lane,
    height, position, the erasure's log index) of openings among them that are to be destroyed."""

    height: int
    changes: Changes
    batches: tuple[AnyBatch, ...]
    erased: tuple[tuple[int, int, int, int], ...]


@dataclass(slots=True)
class _Come:
    """A batch that has come and waits for its block."""

    hash: bytes
    batch: AnyBatch
    bytes: int


@dataclass(slots=True)
class _Walk:
    """One lane: `at` is its tip under the newest block that is done, `top` the last batch here,
    with its time and epoch; `final`: its tip under the snapshot's block."""

    number: int
    final: Tip
    at: Tip
    top: Tip
    top_time: int = -1
    top_epoch: int = 1
    come: deque[_Come] = field(default_factory=deque)
    bytes: int = 0


class Openings:
    """The fetching of all batches up to `height`, to the tips of its cut."""

    def __init__(
        self,
        config: Config,
        reader: Reader,
        asking: Asking,
        *,
        height: int,
        cut: Sequence[Tip],
        opened: int,
        members: frozenset[int],
        witnesses: int,
        lane_bytes_max: int,
        waiting_bytes_max: int,
    ) -> None:
        """`opened`: up to which block an earlier run has come; `members`: whose word on residues
        counts, and `witnesses`: f + 1 of them; `lane_bytes_max`, `waiting_bytes_max`: of batches of
        a lane, and of all, that wait for their blocks.

        Raises:
            Unfit, StoreDamaged: rows of the state are missing, or contradict each other.
        """
        self._config, self._reader, self._asking = config, reader, asking
        self._sets = Sets(config, reader)
        self._claims = Claims(config.limits.residue_claims_max)
        self._members, self._witnesses = members, witnesses
        self._lane_bytes_max, self._waiting_bytes_max = lane_bytes_max, waiting_bytes_max
        self._needed: tuple[int, dict[int, int]] = (0, {})  # block → its tips, by lane
        self.height, self.opened = height, opened
        self._last_epoch = epoch_at(config, height)
        self._lanes = {tip.lane: self._walk(tip) for tip in cut}
        self._find_tips()

    def _walk(self, final: Tip) -> _Walk:
        bottom = Tip(final.lane, 0, self._config.chain)
        return _Walk(final.lane, final, bottom, bottom)

    def _find_tips(self) -> None:
        """Where an earlier run stands in each lane."""
        for height in range(1, self.opened + 1):
            for tip in need_row(self._reader, BlockRow, block_key(height)).block.tips:
                lane = self._lane(tip.lane)
                lane.at = lane.top = tip
        for lane in self._lanes.values():
            if lane.at.height:
                header = need_row(self._reader, HeaderRow, header_key(lane.at.hash)).header
                lane.top_time, lane.top_epoch = header.time, header.epoch

    def _lane(self, number: int) -> _Walk:
        lane = self._lanes.get(number)
        if lane is None:
            raise Unfit(f"a block names lane {number}, which the head's cut does not")
        return lane

    def ask(self, now_ms: int) -> Iterator[Effect]:
        """Ask for whatever is missing, within bounds: first for what the next block needs."""
        asked = [self._asking.is_asked(("batches", number)) for number in self._lanes]
        answer = self._config.limits.answer_bytes_max
        expected = self.waiting_bytes + answer * sum(asked)
        for lane in sorted(self._lanes.values(), key=lambda each: not self._is_needed(each)):
            if lane.top.height >= lane.final.height or lane.bytes >= self._lane_bytes_max:
                continue
            if not self._is_needed(lane) and expected + answer > self._waiting_bytes_max:
                continue
            among = self._others(lane) or self._asking.peers()
            peer = self._asking.choose(("batches", lane.number), among, now_ms)
            if peer:
                expected += answer
                yield Send(peer, FetchBatches(lane.number, lane.top.height, lane.final))

    @property
    def waiting_bytes(self) -> int:
        """Of all batches that wait for their blocks."""
        return sum(lane.bytes for lane in self._lanes.values())

    def _is_needed(self, lane: _Walk) -> bool:
        """Whether the next block waits for a lane's next batch."""
        following = self.opened + 1
        if following > self.height:
            return False
        if self._needed[0] != following:
            tips = need_row(self._reader, BlockRow, block_key(following)).block.tips
            self._needed = following, {tip.lane: tip.height for tip in tips}
        return lane.top.height < self._needed[1].get(lane.number, 0)

    def take(self, peer: int, message: Batches | RemainsMessage) -> Iterator[Effect]:
        """Upon batches, whoever was asked for them: what fits is kept for its block."""
        batches: Sequence[AnyBatch] = (
            message.batches
            if isinstance(message, Batches)
            else [form.opened() for form in message.batches]
        )
        lane = self._lanes.get(batches[0].header.lane) if batches else None
        if lane is None:
            return
        for nth, batch in enumerate(batches):
            header = batch.header
            if header.lane != lane.number or header.height > lane.top.height + 1:
                return  # pushed, and not asked for
            if header.height <= lane.top.height or header.height > lane.final.height:
                continue
            size = len(encode(form_of(batch) if isinstance(batch, Remains) else batch))
            if self.waiting_bytes + size > self._waiting_bytes_max and not self._is_needed(lane):
                self._asking.came(("batches", lane.number))
                return
            hash_ = header_hash(self._config.chain, header)
            reason = self._fault(lane, batch, hash_, size)
            if reason:
                self._asking.refuse(peer)
                yield Refuse(peer, reason)
                return
            if isinstance(batch, Remains) and peer not in self._members:
                return
            if isinstance(batch, Remains) and not self._is_vouched(peer, batch, hash_):
                self._claim(lane, peer, batches[nth:])
                return
            for liar in self._claims.against(batch, hash_) if isinstance(batch, Remains) else ():
                self._asking.refuse(liar)
                yield Refuse(liar, "residue")
            self._asking.came(("batches", lane.number))
            self._claims.forget(lane.number, header.height)
            lane.come.append(_Come(hash_, batch, size))
            lane.bytes += size
            lane.top = Tip(lane.number, header.height, hash_)
            lane.top_time, lane.top_epoch = header.time, header.epoch

    def _claim(self, lane: _Walk, peer: int, batches: Sequence[AnyBatch]) -> None:
        """What a peer says of residues that too few have vouched for. Where nobody is left to ask,
        the next question waits until this one's time has run out."""
        for batch in batches:
            if isinstance(batch, Remains):
                name = header_hash(self._config.chain, batch.header)
                self._claims.add(peer, batch, name)
        if self._others(lane):
            self._asking.came(("batches", lane.number))

    def _others(self, lane: _Walk) -> set[int]:
        """Which members may be asked, and have claimed nothing of a lane's next batch."""
        claimants = self._claims.peers(lane.number, lane.top.height + 1)
        return (self._asking.peers() & self._members) - claimants

    def _is_vouched(self, peer: int, remains: Remains, hash_: bytes) -> bool:
        return self._claims.are_vouched(peer, remains, hash_, self._witnesses)

    def _fault(self, lane: _Walk, batch: AnyBatch, hash_: bytes, size: int) -> str:
        """The code of the rule that a batch breaks, or nothing (consensus.gate)."""
        config, header, bounds = self._config, batch.header, self._config.bounds
        if hash_ != self._reader.get(lane_key(lane.number, header.height)):
            return "snapshot_batch"
        if header.previous != lane.top.hash:
            raise Unfit(f"lane row {lane.number}/{header.height} does not follow the one below it")
        if header.count != len(batch.submissions) or header.count > bounds.batch_records_max:
            return "batch_count"
        more = RESIDUE_BYTES_MORE_MAX * header.count if isinstance(batch, Remains) else 0
        if size > bounds.batch_bytes_max + more:
            return "batch_bytes"
        if header.time <= lane.top_time:
            return "batch_time"
        if not max(1, lane.top_epoch) <= header.epoch <= self._last_epoch:
            return "batch_epoch"
        seat = seats_of(self._sets, header.epoch).by_number.get(header.lane)
        message = header_message(config.chain, header)
        if seat is None or not config.verify(seat.lane_key, message, batch.signature):
            return "batch_signature"
        return "" if header.root == batch.payload_root else "batch_root"

    # --- block by block ---

    def advance(self) -> Iterator[Opened]:
        """Take in the next blocks' batches, as far as they are there.

        Raises:
            Unfit, StoreDamaged: the state's rows are none that a quorum has signed.
        """
        for _ in range(BLOCKS_AT_ONCE_MAX):
            if self.opened == self.height:
                return
            row = need_row(self._reader, BlockRow, block_key(self.opened + 1))
            tips = row.block.tips
            if any(self._lane(tip.lane).top.height < tip.height for tip in tips):
                return
            yield self._open(row)

    def _take(self, tip: Tip) -> Iterator[_Come]:
        """The batches that a block adds to a lane."""
        lane, come = self._lane(tip.lane), None
        for _ in range(tip.height - lane.at.height):
            come = lane.come.popleft()
            lane.bytes -= come.bytes
            yield come
        if come is None or come.hash != tip.hash:
            raise Unfit(f"block {self.opened + 1} does not lead on in lane {tip.lane}")
        lane.at = tip

    def _open(self, row: BlockRow) -> Opened:
        block, changes = row.block, dict[bytes, bytes | None]()
        batches: list[AnyBatch] = []
        for tip in block.tips:
            for each in self._take(tip):
                batches.append(each.batch)
                _add_rows(changes, each)
        try:
            erased = self._compare(row, batches)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Unfit(f"a leaf row of block {block.height} cannot be read: {error}") from error
        self.opened = block.height
        return Opened(block.height, changes, tuple(batches), tuple(erased))

    def _compare(
        self, row: BlockRow, batches: Sequence[AnyBatch]
    ) -> list[tuple[int, int, int, int]]:
        """Demand that the batches' commitments are the block's leaves and refusals, in order; the
        openings among them that the state says are erased."""
        refused = {(each.lane, each.height, each.position): each for each in row.refusals}
        leaves = self._reader.scan(leaf_key(row.first), leaf_key(row.size - 1))
        erased: list[tuple[int, int, int, int]] = []
        read_leaf = decoder(LeafRow).decode  # its one form is demanded later (adopting)
        for batch in batches:
            lane, height = batch.header.lane, batch.header.height
            for position, commitment in enumerate(batch.commitments):
                place = lane, height, position
                refusal = refused.pop(place, None)
                if refusal is not None:
                    if refusal.commitment != commitment:
                        raise Unfit(f"block {row.block.height} refuses what is not at {place}")
                    continue
                found = next(leaves, None)
                leaf = read_leaf(found[1]) if found is not None else None
                if leaf is None or (*place, commitment) != (
                    leaf.lane,
                    leaf.height,
                    leaf.position,
                    leaf.commitment,
                ):
                    raise Unfit(f"the log's leaves of block {row.block.height} differ at {place}")
                if leaf.erasure is not None and isinstance(batch.submissions[position], Submission):
                    erased.append((*place, leaf.erasure))
        if refused or next(leaves, None) is not None:
            raise Unfit(f"block {row.block.height} has more leaves than its batches")
        return erased


def _add_rows(changes: Changes, come: _Come) -> None:
    batch = come.batch
    changes[header_key(come.hash)] = encode(HeaderRow(batch.header, batch.signature))
    for position, each in enumerate(batch.submissions):
        key = submission_key if isinstance(each, Submission) else residue_key
        changes[key(come.hash, position)] = encode(each)
