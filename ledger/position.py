"""The ledger's state after a block, and what applying a block yields. Values, but for the index."""

from collections.abc import Mapping
from dataclasses import dataclass

from ledger.binding import NOTHING_AHEAD, Candidate, Outlook
from ledger.block import Refusal, Seal, Tip
from ledger.genesis import Foundation, epoch_of
from ledger.governing import Footing
from ledger.index import Index
from ledger.membership import Validator
from ledger.merkle import Frontier
from ledger.parameters import Parameters
from ledger.rules import Vocabulary
from ledger.store import Changes


@dataclass(frozen=True, slots=True)
class State:
    """The ledger after a block. A value, but for the index, which all states of a node share.

    `cut`: lane → the tip under the newest block. `time`: the block's, in ms. `epoch`: the block's;
    `validators`, `parameters`: those of the epoch that the next block belongs to. `oldest_erasure`:
    the log index of the first erasure that is not done, or None; all behind it are not done either.
    `outlook`: what changes of the network the epoch of the next block may end with.
    """

    chain: bytes
    foundation: Foundation
    parameters: Parameters
    parameters_hash: bytes
    vocabulary: Vocabulary
    height: int
    block_hash: bytes
    time: int
    epoch: int
    validators: tuple[Validator, ...]
    cut: Mapping[int, Tip]
    log: Frontier
    index: Index
    oldest_erasure: int | None = None
    outlook: Outlook = NOTHING_AHEAD

    @property
    def footing(self) -> Footing:
        """Where the next block stands."""
        epoch = epoch_of(self.height + 1, self.foundation.bounds.epoch_blocks)
        return Footing(
            self.chain,
            self.foundation.origin,
            epoch,
            self.validators,
            self.log.size,
            self.parameters_hash,
        )

    @property
    def change_waits(self) -> bool:
        """Whether a change would bind if the epoch of the next block ended: blocks must go on."""
        return self.outlook.waits

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Whose joining or rotation is approved and has not bound: they may follow the ledger."""
        return self.outlook.candidates

    @property
    def erasing(self) -> bool:
        """Whether an erasure is under way: blocks must go on, empty if need be."""
        return self.oldest_erasure is not None

    @property
    def size(self) -> int:
        """How many leaves the log has."""
        return self.log.size


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying a block yields.

    `changes`: all rows to write, at once. `size`, `root`: the checkpoint after the seal.
    `first`: the log index of the block's first leaf. `records`: for each submission in order, its
    id, its log index or None, and the rule that it broke or an empty string. `erased`: lane, batch
    height and position of each record, accepted or refused, whose opening is to be destroyed from
    now on, with the erasure's log index; in the order of erasing, whether or not this node still
    holds the opening. `bound`: the log indices of the changes that bind with this block, an epoch's
    last; the set that follows stands in the seal. `moves_erasures`: whether the row of an erasure
    is among the changes.
    """

    changes: Changes
    first: int
    size: int
    root: bytes
    seal: Seal
    refusals: tuple[Refusal, ...]
    records: tuple[tuple[bytes, int | None, str], ...]
    erased: tuple[tuple[int, int, int, int], ...] = ()
    bound: tuple[int, ...] = ()
    moves_erasures: bool = False
