"""What a node must do for its consensus, in the order given.

The rule that makes it safe: whatever stands behind a `Persist` in the order of all effects ever
returned may be done only when that `Persist` is durable (fsync). The shell may group many. Timers
and refusals promise nothing to anybody and may be done at once; so may an execution that
`is_due`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from consensus.messages import Message
from ledger.batch import Submission
from ledger.block import Block
from ledger.residue import AnyBatch
from ledger.rows import CheckpointRow
from ledger.store import Changes


@dataclass(frozen=True, slots=True)
class Persist:
    """Write these rows, durably, before anything that follows."""

    changes: Changes


@dataclass(frozen=True, slots=True)
class Send:
    """Send to one peer, if its link stands."""

    peer: int
    message: Message


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send to every peer whose link stands."""

    message: Message


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Ask for `TimerFired(timer)` at a steady time; replaces the timer of that name."""

    timer: str
    at_steady_ms: int


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Forget a timer."""

    timer: str


@dataclass(frozen=True, slots=True)
class Execute:
    """A block is final: apply it with the batches that it adds, in order (lane, height).

    Blocks come in order of height, each once since the start; answer each with `Executed`.
    `is_told`: it is final whatever becomes of what this node has not made durable. (A finalization
    that was put together here may hold an own vote that a crash takes back.)
    """

    block: Block
    hash: bytes
    batches: tuple[tuple[bytes, AnyBatch], ...]
    is_told: bool = False


@dataclass(frozen=True, slots=True)
class BatchSealed:
    """An own batch has its place: submission i of the `SealBatch` stands at position i."""

    hash: bytes
    height: int
    count: int


@dataclass(frozen=True, slots=True)
class BatchVoid:
    """An own batch never becomes final: the lane key was rotated or the membership ended before a
    cut reached it. Its submissions are sealed again under the new key (`BatchResealed`, later), or
    have no place any more (`is_lost`)."""

    hash: bytes
    height: int
    count: int
    root: bytes
    """Of its submissions: that of the batch in which they are sealed again too."""
    is_lost: bool


@dataclass(frozen=True, slots=True)
class BatchResealed:
    """The submissions of a void batch stand, in their order, in another under the new key."""

    void: bytes
    void_height: int
    hash: bytes
    height: int
    count: int


@dataclass(frozen=True, slots=True)
class Unsealed:
    """A `SealBatch` came while this node may not seal (`silence.may_seal`): nothing was done."""

    submissions: tuple[Submission, ...]


@dataclass(frozen=True, slots=True)
class Certified:
    """A checkpoint has q cosignatures and may be served. Heights only rise."""

    row: CheckpointRow


@dataclass(frozen=True, slots=True)
class Refuse:
    """A peer's message was refused: count it under this reason (a short code)."""

    peer: int
    reason: str


@dataclass(frozen=True, slots=True)
class Halt:
    """Stop at once: going on could break safety. The reason is for the operator."""

    reason: str


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A peer showed what this node's keys signed and its store does not know: they never sign
    again. The node follows as an observer; the reason is for the operator."""

    reason: str


Effect = (
    Persist
    | Send
    | Broadcast
    | SetTimer
    | CancelTimer
    | Execute
    | BatchSealed
    | BatchVoid
    | BatchResealed
    | Unsealed
    | Certified
    | Refuse
    | Halt
    | Forgotten
)

_BEFORE_EXECUTION: Final = (Execute, BatchSealed, BatchVoid, BatchResealed, Unsealed)


def is_due(effect: Effect, waiting: Iterable[Effect]) -> bool:
    """Whether an effect need not wait until what stands before it is durable, given the effects
    that do: the execution of a block that others have told to be final, whose rows are to be
    written behind what they told. It comes after earlier executions, and after news of own batches,
    which may be in its block."""
    if not isinstance(effect, Execute) or not effect.is_told:
        return False
    return not any(isinstance(each, _BEFORE_EXECUTION) for each in waiting)
