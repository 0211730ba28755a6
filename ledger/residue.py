"""Residues: what stands in the place of an opening that is erased, so that execution goes on alike.

    residue = [commitment, erasure: log index, hash, rule: str, stand-in: bin]

Of an accepted record, `rule` is "", `hash` is SHA-256(salt ‖ annotation) and the *stand-in* is a
record in canonical form that makes the same state writes and says as little besides as it can
(`ledger/erasing.py`). Of a refused record there is no stand-in, and `hash` is SHA-256(salt ‖ rule).

A stand-in carries no signature and is not asked for one; it is judged by the stateful rules like
any other record. Whether it is true, the roots in the seals say: a stand-in that makes another
state write yields another index root (a tally's at the epoch's end), one that breaks a rule yields
another refusal list. What no root covers is taken on the word of whoever gives the residue: the
name of the rule that a refused record broke.

Among others a batch of which something is erased travels as its *remains form*:

    remains form = [header, signature, [submission, …], [[position, residue], …]]

The submissions are those that are left, in order; positions ascend, and each is below the number
of both together. Without a residue it is a whole batch.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Final

import msgspec

from ledger.batch import Batch, Header, Submission, batch_root, commitment
from ledger.encoding import Hash, Signature, Uint, Value

COUNT_MAX: Final = 65_535
"""Submissions of a batch: as many as its header can count."""

Position = Annotated[int, msgspec.Meta(ge=0, lt=COUNT_MAX)]


class Residue(Value):
    """What an erased submission leaves."""

    commitment: Hash
    erasure: Uint
    hash: Hash
    rule: Annotated[str, msgspec.Meta(max_length=48)]
    stand_in: bytes


@dataclass(frozen=True)
class Remains:
    """A batch of which some submissions are erased: read like a `ledger.batch.Batch`."""

    header: Header
    signature: Signature
    submissions: tuple[Submission | Residue, ...]
    is_checked: bool = False

    @cached_property
    def commitments(self) -> tuple[bytes, ...]:
        """The commitments under the header's root, those of residues by their own word."""
        return tuple(
            each.commitment if isinstance(each, Residue) else commitment(each)
            for each in self.submissions
        )

    @cached_property
    def payload_root(self) -> bytes:
        """The root over the commitments: the header's, if what is here belongs to it."""
        return batch_root(self.commitments)


AnyBatch = Batch | Remains


class RemainsForm(Value):
    """A batch as it travels where something of it, or of one that goes with it, is erased.

    Raises ValueError where positions do not ascend, or reach beyond the batch.
    """

    header: Header
    signature: Signature
    submissions: Annotated[tuple[Submission, ...], msgspec.Meta(max_length=COUNT_MAX)]
    residues: Annotated[tuple[tuple[Position, Residue], ...], msgspec.Meta(max_length=COUNT_MAX)]

    def __post_init__(self) -> None:
        last, count = -1, len(self.submissions) + len(self.residues)
        for position, _ in self.residues:
            if not last < position < count:
                raise ValueError("residues stand at no ascending positions of their batch")
            last = position

    def opened(self) -> AnyBatch:
        """The batch, or what remains of it."""
        if not self.residues:
            return Batch(self.header, self.signature, self.submissions)
        residues, left = dict(self.residues), iter(self.submissions)
        count = len(self.submissions) + len(residues)
        items = tuple(residues.get(at) or next(left) for at in range(count))
        return Remains(self.header, self.signature, items)


def form_of(batch: AnyBatch) -> RemainsForm:
    """The form in which a batch, or what remains of it, travels."""
    submissions = tuple(each for each in batch.submissions if isinstance(each, Submission))
    residues = tuple(
        (at, each) for at, each in enumerate(batch.submissions) if isinstance(each, Residue)
    )
    return RemainsForm(batch.header, batch.signature, submissions, residues)
