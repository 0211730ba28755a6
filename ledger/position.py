"""The ledger's state after a block, and what applying a block yields. Values, but for the index."""

from collections.abc import Mapping
from dataclasses import dataclass

from ledger.block import Refusal, Seal, Tip
from ledger.genesis import Foundation
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
    `validators`: those of the epoch that the next block belongs to.
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

    @property
    def size(self) -> int:
        """How many leaves the log has."""
        return self.log.size


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying a block yields.

    `changes`: all rows to write, at once. `size`, `root`: the checkpoint after the seal.
    `first`: the log index of the block's first leaf. `records`: for each submission in order, its
    id, its log index or None, and the rule that it broke or an empty string.
    """

    changes: Changes
    first: int
    size: int
    root: bytes
    seal: Seal
    refusals: tuple[Refusal, ...]
    records: tuple[tuple[bytes, int | None, str], ...]
