"""Epochs: which heights an epoch has, who votes in it, and how the next one begins.

Epoch 0 is genesis alone. Epoch e ≥ 1 is heights E(e−1)+1 … E(e), E(e) = e · `epoch_blocks`. After
its last block E, the views of the epoch may only repeat E's cut: such a *tail* block has E's
height, E's time, no tips and E itself for its parent. It finalizes E when it is final, and is
dropped: it has no height of its own and no seal. Epoch e+1 begins at view 1 with parent E, once E
is executed and its checkpoint has q cosignatures of epoch e's set.

All look-ups of a set go through `seats_of`. As long as no membership change is ledgered, every
epoch's set is genesis's.
"""

from consensus.certificate import Seats
from consensus.config import Config
from ledger.block import Block


def seats_of(config: Config, epoch: int) -> Seats:
    """The validators of an epoch."""
    assert epoch >= 0, "epochs are counted from 0"
    return Seats.of(config.validators)


def epoch_end(config: Config, epoch: int) -> int:
    """The height of an epoch's last block."""
    return epoch * config.bounds.epoch_blocks


def ends_epoch(config: Config, epoch: int, block: Block) -> bool:
    """Whether the block is the epoch's last: its children in that epoch can only be tail blocks."""
    return block.height == epoch_end(config, epoch)
