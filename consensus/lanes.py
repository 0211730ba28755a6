"""Lanes: which batches are held, who holds how much, and how far a proposal may reach.

Batches are held by hash. A lane has a *base* (its tip under the last executed cut), and above it a
*branch*: the batches that this node hints, each the successor of the one below. Of two siblings the
first that came is on the branch, until a final cut names the other (`settle`). Other held batches
lie *off* the branch: they may still be proposed, fetched and executed, and they are evidence.

A peer's hint 'I durably hold lane i up to height h, hash x' counts for batch x and all its
ancestors. A hint whose batch is not held here is kept apart (`ahead`) until the batch comes.
*Covered* is the highest batch of a lane, held here, that q hints (the own included) cover.

What is asked of all lanes after every input (is anything covered that is not final, short of hints,
missing?) is kept as sets of lanes, renewed when a lane changes: an input costs no more where there
are many lanes.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum

from consensus.changing import Changing
from consensus.config import Limits
from consensus.lane import Held, Lane
from ledger.batch import Batch, Header
from ledger.block import Tip


class Path(Enum):
    """Why there is no path between two tips."""

    MISSING = 1
    """A batch on it is not held."""
    ASTRAY = 2
    """The upper tip does not descend from the lower."""


class Lanes:
    """All lanes of a node. Arithmetic only: what is persisted and sent is decided in `gate`."""

    def __init__(
        self, me: int, quorum: int, lanes: Iterable[Lane], members: Iterable[int] | None = None
    ) -> None:
        """`members`: whose hints count; if not given, those who have a lane."""
        self.me = me
        self.quorum = quorum
        given = list(lanes)
        self.lanes: dict[int, Lane] = {}
        self.members = frozenset((lane.number for lane in given) if members is None else members)
        self.held: dict[bytes, Held] = {}
        self.orphans: dict[bytes, tuple[int, Batch]] = {}
        self.pulls: Changing[int, int] = Changing()
        """Lane → when (steady ms) hinted batches that did not come are to be pulled."""
        self.uncut: set[int] = set()
        """Lanes whose covered tip is not under the last final cut."""
        self.uncovered: set[int] = set()
        """Lanes whose top is not covered."""
        self.astray: set[int] = set()
        """Lanes whose final tip is not on the branch: batches of it are missing."""
        for lane in given:
            self.add(lane)

    def __iter__(self) -> Iterator[Lane]:
        return iter(self.lanes.values())

    def get(self, number: int) -> Lane | None:
        """A lane by its platform's number."""
        return self.lanes.get(number)

    def add(self, lane: Lane) -> None:
        """A further lane."""
        self.lanes[lane.number] = lane
        lane.hints.seat(self.members)
        self._sort(lane)

    def _sort(self, lane: Lane) -> None:
        """Upon a change: what the lane waits for."""
        for lanes, waits in (
            (self.uncut, lane.covered.height > lane.final.height),
            (self.uncovered, lane.top.height > lane.covered.height),
            (self.astray, not lane.on_branch(lane.final)),
        ):
            if waits:
                lanes.add(lane.number)
            else:
                lanes.discard(lane.number)

    def time_of(self, tip: Tip) -> int:
        """The time of a held or executed tip's batch, in ms; 0 where a lane has no batch."""
        held = self.held.get(tip.hash)
        return held.header.time if held else self.lanes[tip.lane].base_time

    def successor_of(self, lane: Lane, header: Header) -> tuple[int, int] | None:
        """(time, epoch) of the batch below a header, if that is held or the base."""
        if header.previous == lane.base.hash and header.height == lane.base.height + 1:
            return lane.base_time, lane.base_epoch
        below = self.held.get(header.previous)
        if below is None or below.header.lane != lane.number:
            return None
        if below.header.height + 1 != header.height:
            return None
        return below.header.time, below.header.epoch

    def hold(self, lane: Lane, held: Held) -> bool:
        """Take in a batch whose predecessor is held; True if it is now on the branch."""
        self.held[held.hash] = held
        lane.bytes += held.bytes
        on_branch = held.header.previous == lane.top.hash
        if on_branch:
            self._climb(lane, held)
        else:
            lane.off.add(held.hash)
        for peer, tip in [*lane.ahead.items()]:
            if tip.hash == held.hash:
                del lane.ahead[peer]
                self._set_hint(lane, peer, tip)
        if lane.final.hash == held.hash and not on_branch:
            self.settle(lane)
        self.cover(lane)
        return on_branch

    def _climb(self, lane: Lane, held: Held) -> None:
        lane.branch[held.header.height] = held.hash
        lane.off.discard(held.hash)
        lane.top = held.tip
        lane.hints.put(self.me, lane.top)

    # --- hints ---

    def pull(self, lane: Lane, at: int) -> None:
        """Hinted batches of a lane are to be pulled then (steady ms), unless they come before."""
        if lane.number not in self.pulls:
            self.pulls[lane.number] = at

    def hint(self, peer: int, tip: Tip) -> bool:
        """Note a peer's hint; True if its batch is not held here and so may have to be pulled."""
        lane = self.lanes.get(tip.lane)
        if lane is None or lane.closed or tip.height <= lane.final.height:
            return False
        if tip.hash in self.held:
            before = lane.covered.height
            if self._set_hint(lane, peer, tip) and self._cover(lane) != before:
                self._sort(lane)
            return False
        known = lane.ahead.get(peer)
        if known is None or known.height < tip.height:
            lane.ahead[peer] = tip
        return True

    def _set_hint(self, lane: Lane, peer: int, tip: Tip) -> bool:
        """The newest hint counts, unless it is below one of the same branch (it came late)."""
        known = lane.hints.get(peer)
        is_newer = known is None or known.height < tip.height or self._leaves(lane, known, tip)
        if is_newer:
            lane.hints.put(peer, tip)
        return is_newer

    def _leaves(self, lane: Lane, known: Tip, tip: Tip) -> bool:
        if lane.on_branch(known) and lane.on_branch(tip):
            return False
        return isinstance(self.path(tip, known), Path)

    def forget_peer(self, peer: int) -> None:
        """Forget which batches a peer has that are not held here (it may never send them)."""
        for lane in self:
            lane.ahead.pop(peer, None)
            lane.early.pop(peer, None)
            lane.unmet.pop(peer, None)

    def cover(self, lane: Lane) -> None:
        """Recompute the highest batch that q hints cover."""
        self._cover(lane)
        self._sort(lane)

    def _cover(self, lane: Lane) -> int:
        found = lane.covered_by(self.quorum)
        lane.covered = found if found is not None else self._covered_astray(lane)
        return lane.covered.height

    def _covered_astray(self, lane: Lane) -> Tip:
        """The highest that q hints cover, where some hint what is off the branch here."""
        counts: dict[bytes, int] = {}
        for (_, hash_), count in lane.hints.counts.items():
            for held in self._down(hash_, lane.final.height):
                counts[held.hash] = counts.get(held.hash, 0) + count
        enough = [self.held[hash_].tip for hash_, count in counts.items() if count >= self.quorum]
        return max(enough, key=lambda tip: tip.height, default=lane.final)

    def is_short(self) -> bool:
        """Whether a lane's top batch lacks hints that may still come."""
        short = (self.short_of_quorum(self.lanes[number]) for number in self.uncovered)
        return any(next(peers, None) is not None for peers in short)

    def short_of_quorum(self, lane: Lane) -> Iterator[int]:
        """The peers that have not hinted this node's top batch, if too few have.

        A peer that is known to hold a sibling will never hint it and is left in peace.
        """
        if lane.top.height > lane.covered.height:
            yield from (
                peer for peer in self.members if peer != self.me and self._lacks(lane, peer)
            )

    def _lacks(self, lane: Lane, peer: int) -> bool:
        for tip in (lane.hints.get(peer), lane.ahead.get(peer)):
            if tip is not None and tip.height > lane.final.height:
                beyond = tip.height > lane.top.height
                if (beyond and tip.hash not in self.held) or not lane.on_branch(tip):
                    return False
        known = lane.hints.get(peer)
        return known is None or known.height < lane.top.height

    # --- paths ---

    def _down(self, hash_: bytes, floor: int) -> Iterator[Held]:
        held = self.held.get(hash_)
        while held is not None and held.header.height > floor:
            yield held
            held = self.held.get(held.header.previous)

    def path(self, low: Tip, high: Tip) -> list[Held] | Path:
        """The batches above `low` up to `high`, ascending; `low` is at the base or above it."""
        lane = self.lanes[high.lane]
        if high.height < low.height:
            return Path.ASTRAY
        if lane.on_branch(low) and lane.branch.get(high.height) == high.hash:
            return [
                self.held[lane.branch[height]] for height in range(low.height + 1, high.height + 1)
            ]
        found: list[Held] = []
        at = high.hash
        for height in range(high.height, low.height, -1):
            held = self.held.get(at)
            if held is None:
                return Path.ASTRAY if at == lane.base.hash else Path.MISSING
            if held.header.height != height or held.header.lane != high.lane:
                return Path.ASTRAY
            found.append(held)
            at = held.header.previous
        return found[::-1] if at == low.hash else Path.ASTRAY

    def held_above(self, tip: Tip) -> int:
        """The height above which the batches up to a tip that is not held have to be fetched.

        That is the top of the branch or just below the tip; where batches came that do not fit
        there, the tip is of another branch, and everything above the base is fetched.
        """
        lane = self.lanes[tip.lane]
        for _, batch in self.orphans.values():
            header = batch.header
            if header.lane == tip.lane and header.height <= lane.top.height + 1:
                return lane.base.height
        return min(lane.top.height, tip.height - 1)

    # --- epochs ---

    def clear(self, lane: Lane) -> list[Held]:
        """Forget everything above an executed lane's base; the batches, lowest first."""
        assert lane.final == lane.base, "all that is final is executed"
        gone = [held for held in self.held.values() if held.header.lane == lane.number]
        for held in gone:
            del self.held[held.hash]
        for previous, (_, batch) in [*self.orphans.items()]:
            if batch.header.lane == lane.number:
                del self.orphans[previous]
        for known in (lane.branch, lane.hints, lane.ahead, lane.unmet, lane.off):
            known.clear()
        lane.top = lane.covered = lane.base
        lane.bytes = 0
        self.pulls.pop(lane.number, None)
        self._sort(lane)
        return sorted(gone, key=lambda held: held.header.height)

    def seat(self, quorum: int, members: Iterable[int]) -> None:
        """Another set: q of these count from now on."""
        self.quorum, self.members = quorum, frozenset(members)
        for lane in self:
            for peer in [*lane.hints, *lane.ahead]:
                if peer not in self.members and peer != self.me:
                    lane.hints.drop(peer)
                    lane.ahead.pop(peer, None)
            lane.hints.seat(self.members)
            self.cover(lane)

    # --- final and executed cuts ---

    def finalize(self, cut: Mapping[int, Tip]) -> None:
        """Note the last final cut."""
        for number, tip in cut.items():
            lane = self.lanes.get(number)
            if lane is None or tip.height <= lane.final.height:
                continue
            lane.final = tip
            self.settle(lane)
            lane.hints.drop_through(tip.height, but=self.me)
            for peer in [p for p, t in lane.ahead.items() if t.height <= tip.height]:
                del lane.ahead[peer]
            self.cover(lane)

    def settle(self, lane: Lane) -> None:
        """Turn the branch to the final tip, once that is held."""
        if not lane.on_branch(lane.final):
            self._turn(lane, lane.final)

    def _turn(self, lane: Lane, tip: Tip) -> None:
        path = self.path(lane.base, tip)
        if isinstance(path, Path):
            return
        lane.off.update(lane.branch.values())
        lane.branch.clear()
        for held in path:
            self._climb(lane, held)
        for held in self._off(lane):
            if held.header.previous == lane.top.hash:
                self._climb(lane, held)

    def _off(self, lane: Lane) -> list[Held]:
        """What lies off the branch, lowest first, siblings by hash (alike in every run)."""
        off = (self.held[hash_] for hash_ in lane.off)
        return sorted(off, key=lambda held: (held.header.height, held.hash))

    def prune(self, lane: Lane, siblings_max: int, named: Iterable[bytes] = ()) -> list[Held]:
        """Drop what lies off the branch and can no longer become final; what was dropped.

        Where more than `siblings_max` remain (a forger's blocks had them fetched), those stay that
        lie under a hint or under a batch of `named`, which stands in a block that is under way.
        """
        if not lane.on_branch(lane.final):
            return []
        self._drop_orphans(lane)
        if not lane.off:
            return []
        dropped: list[Held] = []
        for held in self._off(lane):
            header = held.header
            alive = header.height > lane.final.height and (
                header.previous in self.held or header.previous == lane.base.hash
            )
            if not alive:
                dropped.append(self._drop(lane, held))
        if len(lane.off) > siblings_max:
            tips = {*named, *(tip.hash for tip in lane.hints.tips())}
            keep = {held.hash for tip in tips for held in self._down(tip, lane.final.height)}
            dropped += [self._drop(lane, self.held[each]) for each in sorted(lane.off - keep)]
        return dropped

    def _drop(self, lane: Lane, held: Held) -> Held:
        del self.held[held.hash]
        lane.off.discard(held.hash)
        lane.bytes -= held.bytes
        return held

    def keep_orphan(self, peer: int, batch: Batch, limits: Limits) -> None:
        """Keep a batch whose predecessor is missing; who sends many displaces nobody else's."""
        own = [previous for previous, (number, _) in self.orphans.items() if number == peer]
        if len(own) >= limits.orphans_per_peer_max:
            del self.orphans[own[0]]
        elif len(self.orphans) >= limits.orphans_max:
            del self.orphans[next(iter(self.orphans))]
        self.orphans[batch.header.previous] = (peer, batch)

    def _drop_orphans(self, lane: Lane) -> None:
        """Forget batches that can no longer find their predecessor on the final branch."""
        for previous, (_, batch) in [*self.orphans.items()]:
            header = batch.header
            over = header.height - lane.final.height
            if header.lane == lane.number and (
                over <= 0 or (over == 1 and previous != lane.final.hash)
            ):
                del self.orphans[previous]

    def execute(self, cut: Mapping[int, Tip]) -> list[Held]:
        """Move the bases to an executed cut; the batches that it executed.

        A later final tip may be missing here, so that the branch is not turned to it yet.
        """
        done: list[Held] = []
        for number, tip in cut.items():
            lane = self.lanes.get(number)
            if lane is None or tip.height <= lane.base.height:
                continue
            if not lane.on_branch(tip):
                self._turn(lane, tip)
            for height in range(lane.base.height + 1, tip.height + 1):
                held = self.held.pop(lane.branch.pop(height))
                lane.bytes -= held.bytes
                lane.base_time, lane.base_epoch = held.header.time, held.header.epoch
                done.append(held)
            lane.base = tip
            if lane.top.height <= tip.height:
                lane.top = tip
            self._sort(lane)
        return done
