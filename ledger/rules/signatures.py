"""Rules about keys and signatures that records carry."""

from collections.abc import Sequence

from ledger.errors import Refused
from ledger.hashing import sha256
from ledger.rows import SubjectRow
from ledger.rules.codes import (
    BAD_KEY,
    BAD_SIGNATURE,
    KEY_NOT_REGISTERED,
    SIGNATURE_COUNT,
    SUBJECT_HAS_NO_KEY,
)
from ledger.signing import SIGNATURE_BYTES, is_valid_public_key, signed_message, verify


def record_message(chain: bytes, record: bytes) -> bytes:
    """What a subject's or rater's key signs: the record bytes' hash under its own context."""
    return signed_message("record", chain, sha256(record))


def check_no_signatures(signatures: bytes) -> None:
    """A record that its platform's batch signs carries no signature.

    Raises:
        Refused: it does.
    """
    if signatures:
        raise Refused(
            SIGNATURE_COUNT, "the batch signs this record: it has no others", field="signatures"
        )


def check_signatures(chain: bytes, record: bytes, signatures: bytes, keys: Sequence[bytes]) -> None:
    """One good signature by each key, in order, end to end, and nothing else.

    Raises:
        Refused: another number of signatures, or one does not hold.
    """
    if len(signatures) != len(keys) * SIGNATURE_BYTES:
        raise Refused(
            SIGNATURE_COUNT,
            f"are {len(signatures)} bytes, {len(keys)} × {SIGNATURE_BYTES} are needed",
            field="signatures",
        )
    message = record_message(chain, record)
    for at, key in enumerate(keys):
        start = at * SIGNATURE_BYTES
        if not verify(key, message, signatures[start : start + SIGNATURE_BYTES]):
            raise Refused(BAD_SIGNATURE, f"number {at + 1} does not hold", field="signatures")


def check_key(key: bytes, *, field: str) -> None:
    """A key that is to be registered is a valid point.

    Raises:
        Refused: it is not.
    """
    if not is_valid_public_key(key):
        raise Refused(BAD_KEY, "is not a valid Ed25519 key", field=field)


def check_registered(row: SubjectRow, key: bytes, *, field: str) -> None:
    """The key is the one that the subject has registered.

    Raises:
        Refused: it is another, or the subject has none.
    """
    if not row.key:
        raise Refused(SUBJECT_HAS_NO_KEY, "its subject has registered no key", field=field)
    if row.key != key:
        raise Refused(KEY_NOT_REGISTERED, "its subject has registered another key", field=field)
