"""What validators sign besides batches and checkpoints, and what two such messages prove.

    statement   = [epoch, view, block hash]              nullify: 32 zero bytes for the hash
    signature   = vote key over "standing/<kind>/v1\\0" ‖ chain id ‖ statement
    kinds       = propose (0), notarize (1), nullify (2), finalize (3)

*Evidence* is two messages of one key that no honest platform signs both. Each part is the canonical
MessagePack of what was signed, then the 64-byte signature. A closed list:

| kind | statements | slot | epoch | key |
|---|---|---|---|---|
| 1 two batches | two headers of one lane and height | height | 0 | lane |
| 2 two proposals | propose, two block hashes | view | theirs | vote |
| 3 two notarizes | notarize, two block hashes | view | theirs | vote |
| 4 finalize and nullify | finalize (first), nullify (second) | view | theirs | vote |
| 5 two roots | [size, root, Unix seconds], one size, two roots | size | 0 | cosigner |

Of kinds 1, 2, 3 and 5 the smaller part (by bytes) stands first, so that a pair has one form. What
proves nothing: one statement signed twice (a vote that is sent again, an edge of Ed25519), one root
cosigned at two times, and two batches at a height under two keys (a rotated platform reseals).
"""

from typing import Annotated, Final, NamedTuple

import msgspec

from ledger.batch import Header, header_message
from ledger.checkpoint import Checkpoint, cosignature_message
from ledger.encoding import Hash, PlatformNumber, Small, Uint, Value, decode, encode
from ledger.errors import Malformed
from ledger.hashing import ZERO_HASH
from ledger.note import TIME_S_MAX
from ledger.signing import SIGNATURE_BYTES, signed_message

PROPOSE: Final = 0
NOTARIZE: Final = 1
NULLIFY: Final = 2
FINALIZE: Final = 3
KIND_NAMES: Final = ("propose", "notarize", "nullify", "finalize")

TWO_BATCHES: Final = 1
TWO_PROPOSALS: Final = 2
TWO_NOTARIZES: Final = 3
FINALIZE_AND_NULLIFY: Final = 4
TWO_ROOTS: Final = 5
EVIDENCE_KIND_MAX: Final = TWO_ROOTS
EVIDENCE_NAMES: Final = {
    TWO_BATCHES: "two batches",
    TWO_PROPOSALS: "two proposals",
    TWO_NOTARIZES: "two notarizes",
    FINALIZE_AND_NULLIFY: "finalize and nullify",
    TWO_ROOTS: "two roots",
}

PART_BYTES_MIN: Final = SIGNATURE_BYTES + 1
PART_BYTES_MAX: Final = 256
"""The longest is a header: at most 104 bytes, and its signature."""

AnyPart = Annotated[bytes, msgspec.Meta(max_length=65_535)]


class Evidence(Value):
    """What a platform signed twice; see the module's table."""

    kind: Small
    number: PlatformNumber
    epoch: Uint
    slot: Uint
    first: AnyPart
    second: AnyPart


class Statement(Value):
    """What a vote key signs in a view."""

    epoch: Uint
    view: Uint
    hash: Hash


class RootStatement(Value):
    """What a cosigner key has signed: a checkpoint's size and root, at a time."""

    size: Uint
    root: Hash
    time_s: Annotated[int, msgspec.Meta(ge=0, le=TIME_S_MAX)]


class Signed(NamedTuple):
    """One side of evidence: by the key for `purpose`, in the set of `epoch` (None: by `size`)."""

    purpose: str
    epoch: int | None
    message: bytes
    signature: bytes


def statement_message(chain: bytes, kind: int, epoch: int, view: int, hash_: bytes) -> bytes:
    """The bytes that a vote key signs."""
    return signed_message(KIND_NAMES[kind], chain, encode((epoch, view, hash_)))


def part(statement: object, signature: bytes) -> bytes:
    """One signed message as evidence keeps it."""
    return encode(statement) + signature


def conflict(chain: bytes, origin: str, evidence: Evidence) -> tuple[Signed, Signed]:
    """The two signed messages of evidence that, if both signatures hold under one key, convicts.

    Whose keys these are, and whether the signatures hold, is left to the caller.

    Raises:
        Malformed: the parts are not two statements that conflict as the kind says, in one form.
    """
    first, second = evidence.first, evidence.second
    if evidence.kind != FINALIZE_AND_NULLIFY and first >= second:
        raise Malformed("does not come before the second part", field="first")
    match evidence.kind:
        case 1:
            return _two_batches(chain, evidence)
        case 2:
            return _two_votes(chain, evidence, PROPOSE, PROPOSE)
        case 3:
            return _two_votes(chain, evidence, NOTARIZE, NOTARIZE)
        case 4:
            return _two_votes(chain, evidence, FINALIZE, NULLIFY)
        case 5:
            return _two_roots(origin, evidence)
    raise Malformed("is no kind of evidence", field="kind")


def _split(data: bytes, field: str) -> tuple[bytes, bytes]:
    if not PART_BYTES_MIN <= len(data) <= PART_BYTES_MAX:
        raise Malformed(f"has not {PART_BYTES_MIN} to {PART_BYTES_MAX} bytes", field=field)
    return data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:]


def _two_batches(chain: bytes, evidence: Evidence) -> tuple[Signed, Signed]:
    sides = []
    headers = []
    for field, data in (("first", evidence.first), ("second", evidence.second)):
        statement, signature = _split(data, field)
        header = decode(Header, statement, bytes_max=PART_BYTES_MAX, what="header")
        if (header.lane, header.height) != (evidence.number, evidence.slot):
            raise Malformed("is of another lane or height", field=field)
        headers.append(header)
        sides.append(Signed("lane", header.epoch, header_message(chain, header), signature))
    if headers[0] == headers[1]:
        raise Malformed("is the same batch as the first", field="second")
    if evidence.epoch:
        raise Malformed("is 0 for batches", field="epoch")
    return sides[0], sides[1]


def _two_votes(
    chain: bytes, evidence: Evidence, kind: int, other_kind: int
) -> tuple[Signed, Signed]:
    sides = []
    hashes = []
    for field, data, kind_ in (
        ("first", evidence.first, kind),
        ("second", evidence.second, other_kind),
    ):
        bytes_, signature = _split(data, field)
        statement = decode(Statement, bytes_, bytes_max=PART_BYTES_MAX, what="statement")
        if (statement.epoch, statement.view) != (evidence.epoch, evidence.slot):
            raise Malformed("is of another epoch or view", field=field)
        if kind_ == NULLIFY and statement.hash != ZERO_HASH:
            raise Malformed("nullifies a block, not a view", field=field)
        hashes.append(statement.hash)
        message = statement_message(chain, kind_, statement.epoch, statement.view, statement.hash)
        sides.append(Signed("vote", statement.epoch, message, signature))
    if kind == other_kind and hashes[0] == hashes[1]:
        raise Malformed("is the same statement as the first", field="second")
    return sides[0], sides[1]


def _two_roots(origin: str, evidence: Evidence) -> tuple[Signed, Signed]:
    sides = []
    roots = []
    for field, data in (("first", evidence.first), ("second", evidence.second)):
        bytes_, signature = _split(data, field)
        said = decode(RootStatement, bytes_, bytes_max=PART_BYTES_MAX, what="statement")
        if said.size != evidence.slot:
            raise Malformed("is of another size", field=field)
        roots.append(said.root)
        text = Checkpoint(origin, said.size, said.root).text()
        sides.append(Signed("cosigner", None, cosignature_message(said.time_s, text), signature))
    if roots[0] == roots[1]:
        raise Malformed("has the same root as the first", field="second")
    if evidence.epoch:
        raise Malformed("is 0 for roots", field="epoch")
    return sides[0], sides[1]
