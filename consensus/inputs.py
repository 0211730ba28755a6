"""What happens to a node's consensus: everything that `handle` can be told."""

from dataclasses import dataclass

from consensus.messages import Message
from ledger.batch import Submission
from ledger.membership import Validator


@dataclass(frozen=True, slots=True)
class Now:
    """The time of an input: a steady clock for timers, the wall clock for dates; both in ms."""

    steady_ms: int
    wall_ms: int


@dataclass(frozen=True, slots=True)
class LinkUp:
    """An authenticated link to a peer stands. `observes`: it was let in as a candidate, or only to
    follow, and is no member as far as this node's ledger tells."""

    peer: int
    observes: bool = False


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The link to a peer is gone; what was sent on it may be lost."""

    peer: int


@dataclass(frozen=True, slots=True)
class Received:
    """A decoded message from an authenticated peer."""

    peer: int
    message: Message


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer that was asked for by `SetTimer` has run out."""

    timer: str


@dataclass(frozen=True, slots=True)
class SealBatch:
    """The platform's own submissions, to become its lane's next batch."""

    submissions: tuple[Submission, ...]


@dataclass(frozen=True, slots=True)
class Executed:
    """A final block has been applied to the ledger, and the result is in the same write queue.

    `is_erasing`: an accepted erasure still lacks leaves, which only further blocks can hold.
    `is_changing`: an approved change of membership can bind at the end of the epoch that the next
    block belongs to. `validators`: with an epoch's last block, and only then, the next epoch's set,
    as the block's seal names it.
    """

    height: int
    size: int
    root: bytes
    is_erasing: bool = False
    is_changing: bool = False
    validators: tuple[Validator, ...] | None = None


Input = LinkUp | LinkDown | Received | TimerFired | SealBatch | Executed
