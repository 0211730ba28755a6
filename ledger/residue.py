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
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import msgspec

from ledger.batch import Batch, Header, Submission, batch_root, commitment
from ledger.encoding import Hash, Signature, Uint, Value


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
