"""Forks proven: two final checkpoints of one log that no single log can have.

    fork = ["standing-fork/v1", first note: bin, second note: bin, root: bin 32, [hash, …]]

Canonical MessagePack. Both notes hold under the policy, and the first is not the larger one.

- *Same size*: the roots differ. `root` is the second's, and there are no hashes.
- *Other sizes*: `root` is what the second log had at the first's size: the hashes are the
  consistency proof (RFC 9162 §2.1.4) from (first size, root) to the second checkpoint. It is not
  the first's root. An append-only log has one root at each size; so these are two logs.

*Two sets*: where the set changed in between, each note holds under the policy of its own; the
members of the later set that signed the earlier note with the same keys are the culprits by name.
(Of a set without any such member the proof shows the fork, and names nobody.)

Whoever signed both is guilty of the fork, whatever node it was shown by: of two quorums at least
f + 1 members, and each log key that is in both notes. Nobody can make such a proof about a
validator that signs one log only: it needs two of its signatures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from ledger.checkpoint import Checkpoint, verify_checkpoint
from ledger.encoding import Hash, Value, decode, encode
from ledger.errors import BadProof
from ledger.merkle import PROOF_HASHES_MAX, verify_consistency
from ledger.note import NOTE_BYTES_MAX, open_note
from ledger.policy import Policy

FORK_BYTES_MAX: Final = 2 * NOTE_BYTES_MAX + 64 * 1_024
_FORMAT: Final = "standing-fork/v1"

Note = Annotated[bytes, msgspec.Meta(max_length=NOTE_BYTES_MAX)]
Proof = Annotated[tuple[Hash, ...], msgspec.Meta(max_length=PROOF_HASHES_MAX)]


class Fork(Value):
    """Two checkpoints that contradict each other, and why."""

    format: Literal["standing-fork/v1"]
    first: Note
    second: Note
    root: Hash
    proof: Proof


@dataclass(frozen=True, slots=True)
class Proven:
    """A fork that holds: its two checkpoints, and the names of the keys that signed both."""

    first: Checkpoint
    second: Checkpoint
    culprits: tuple[str, ...]


def fork_of(first: bytes, second: bytes, root: bytes, proof: Sequence[bytes] = ()) -> Fork:
    """The fork that two notes and a consistency proof show; nothing is verified."""
    return Fork(_FORMAT, first, second, root, tuple(proof))


def encode_fork(fork: Fork) -> bytes:
    """The bytes of a fork's proof."""
    return encode(fork)


def decode_fork(data: bytes) -> Fork:
    """The fork of a proof's bytes; nothing is verified.

    Raises:
        Malformed: not in its one form.
    """
    return decode(Fork, data, bytes_max=FORK_BYTES_MAX, what="proof of a fork")


def verify_fork(fork: Fork, policy: Policy, later: Policy | None = None) -> Proven:
    """Demand that the fork is one. `later`: the policy of the second note, where another set had
    cosigned it (both policies followed from one genesis, `ledger/epochs.py`).

    Raises:
        Malformed, BadSignature, BadProof: says what does not hold.
    """
    shown = (fork.first, policy), (fork.second, later or policy)
    first, second = (verify_checkpoint(note, each) for note, each in shown)
    if first.size > second.size:
        raise BadProof("the first checkpoint is the larger one")
    if not first.size:
        raise BadProof("an empty log contradicts none")
    verify_consistency(first.size, second.size, fork.root, second.root, fork.proof)
    if fork.root == first.root:
        raise BadProof("the two checkpoints are of one log")
    signers = [
        {(line.name, line.key_id) for line in open_note(note, each.verifiers).verified}
        for note, each in shown
    ]
    both = sorted(signers[0] & signers[1])
    return Proven(first, second, tuple(f"{name} (key {key.hex()})" for name, key in both))
