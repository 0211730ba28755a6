"""One lane as a node sees it: what is held of it, who hints what, how far it is final and executed.

Hints of members are counted by batch: a network that runs well has few tips of a lane under way,
and as many who hint them as members, so coverage costs a hundred members no more than four.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ledger.batch import Header
from ledger.block import Tip
from ledger.residue import AnyBatch


@dataclass(frozen=True, slots=True)
class Held:
    """A batch that passed the first gate and is durable; `bytes` is its encoded length.

    Under a final cut it may be what remains of a batch, above it never."""

    hash: bytes
    batch: AnyBatch
    bytes: int

    @property
    def header(self) -> Header:
        """Its header."""
        return self.batch.header

    @property
    def tip(self) -> Tip:
        """The batch as a tip."""
        return Tip(self.header.lane, self.header.height, self.hash)


@dataclass(slots=True)
class Hints:
    """Peer → the highest batch that it says it holds (and all below). Who is no member may be one
    soon: it is remembered, and does not count."""

    _tips: dict[int, Tip] = field(default_factory=dict)
    _members: frozenset[int] = frozenset()
    counts: dict[tuple[int, bytes], int] = field(default_factory=dict)
    """(Height, hash) of a batch → how many members hint it."""
    counted: int = 0
    """How many members hint any."""

    def __iter__(self) -> Iterator[int]:
        return iter(self._tips)

    def get(self, peer: int) -> Tip | None:
        """A peer's hint."""
        return self._tips.get(peer)

    def tips(self) -> Iterable[Tip]:
        """All that is hinted."""
        return self._tips.values()

    def put(self, peer: int, tip: Tip) -> None:
        """A peer hints this, and nothing else any more."""
        self.drop(peer)
        self._tips[peer] = tip
        if peer in self._members:
            batch = tip.height, tip.hash
            self.counts[batch] = self.counts.get(batch, 0) + 1
            self.counted += 1

    def drop(self, peer: int) -> None:
        """Forget a peer's hint, if it has one."""
        tip = self._tips.pop(peer, None)
        if tip is None or peer not in self._members:
            return
        self.counted -= 1
        batch = tip.height, tip.hash
        self.counts[batch] -= 1
        if not self.counts[batch]:
            del self.counts[batch]

    def drop_through(self, height: int, *, but: int) -> None:
        """Forget all up to a height, but one peer's."""
        for peer in [each for each, tip in self._tips.items() if tip.height <= height]:
            if peer != but:
                self.drop(peer)

    def clear(self) -> None:
        """Forget all."""
        self._tips.clear()
        self.counts.clear()
        self.counted = 0

    def seat(self, members: frozenset[int]) -> None:
        """These are the members from now on."""
        tips = self._tips
        self._tips, self._members, self.counts, self.counted = {}, members, {}, 0
        for peer, tip in tips.items():
            self.put(peer, tip)


@dataclass(slots=True)
class Lane:
    """One platform's lane, above its last executed batch."""

    number: int
    base: Tip
    base_time: int
    base_epoch: int
    final: Tip
    covered: Tip
    top: Tip
    branch: dict[int, bytes] = field(default_factory=dict)
    hints: Hints = field(default_factory=Hints)
    ahead: dict[int, Tip] = field(default_factory=dict)
    early: dict[int, int] = field(default_factory=dict)
    """Peer → the newest epoch of batches that it gave before that epoch's set was known here."""
    unmet: dict[int, int] = field(default_factory=dict)
    """Peer → how often it was asked for what it hinted, and gave nothing, since it last gave."""
    off: set[bytes] = field(default_factory=set)
    bytes: int = 0
    closed: bool = False
    """A former member's: it ends at its base."""

    def covered_by(self, quorum: int) -> Tip | None:
        """The highest batch that so many members' hints cover, or the final one; None: some hint
        what is off the branch."""
        if self.hints.counted < quorum:
            return self.final
        above, final, branch = 0, self.final.height, self.branch
        found = self.final
        for (height, hash_), count in sorted(self.hints.counts.items(), reverse=True):
            if height > final and branch.get(height) != hash_:
                return None
            above += count
            if above >= quorum and found is self.final and height > final:
                found = Tip(self.number, height, hash_)
        return found

    def on_branch(self, tip: Tip) -> bool:
        """Whether the tip is this node's branch at its height (executed tips are)."""
        if tip.height <= self.base.height:
            return tip.height < self.base.height or tip.hash == self.base.hash
        return self.branch.get(tip.height) == tip.hash


def new_lane(number: int, chain: bytes) -> Lane:
    """A lane without a batch: its tip has height 0 and the chain id for a hash."""
    zero = Tip(number, 0, chain)
    return Lane(number, zero, 0, 0, zero, zero, zero)
