"""A dry run: everything that can be judged on this machine, without a node.

Shapes, types, bounds, vocabularies and the stateless rules are judged as a node would; so are
twins inside the file (the same record again: a duplicate; another under the same name: a
conflict). What only a ledger knows, such as what was imported before, is not.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from ledger.bureau.model import FIRST_MODEL
from ledger.errors import InvalidInput
from ledger.parameters import FIRST_DOMAINS, FIRST_SCALES, Parameters
from ledger.records import Record, decode_record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.rating import Rating
from ledger.records.subject import SubjectRegister
from node.importing.plan import Reference
from node.importing.target import Answer

DRY_PLATFORM: Final = 1
_PARAMETERS: Final = Parameters(1, FIRST_MODEL, FIRST_SCALES, FIRST_DOMAINS)
_KIND: Final = {"subject": b"\0", "engagement": b"\1"}


class DryRun:
    """A target that writes nothing. Its handles are hashes, which a real node's never are."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, bytes, str], bytes] = {}

    @property
    def platform(self) -> int:
        """A stand-in for the number of the platform: the first."""
        return DRY_PLATFORM

    async def handles(self, references: Sequence[Reference]) -> list[bytes]:
        """A handle for each reference, the same for the same one."""
        return [sha256(_KIND[kind] + text.encode()).digest() for kind, text in references]

    async def offer(self, records: Sequence[bytes]) -> list[Answer]:
        """Judge records."""
        return [self._judge(data) for data in records]

    async def settle(self, record_ids: Sequence[str]) -> dict[str, str]:
        """Nothing is executed, nothing refused later."""
        del record_ids
        return {}

    def _judge(self, data: bytes) -> Answer:
        digest = sha256(data).digest()
        try:
            record = decode_record(data)
        except InvalidInput as error:
            return Answer("refused", reason=str(error))
        known = self._seen.setdefault(_name_of(record), digest)
        if known is digest:
            return Answer("accepted", digest.hex())
        if known == digest:
            return Answer("duplicate", digest.hex())
        return Answer("conflict", known.hex(), "another record stands under this name already")


def _name_of(record: Record) -> tuple[str, bytes, str]:
    match record:
        case SubjectRegister():
            return "register", record.handle, ""
        case EngagementOpen():
            return "open", record.reference, ""
        case EngagementOutcome():
            return "outcome", record.reference, ""
        case Rating():
            return "rating", record.reference, record.direction
        case _:
            raise AssertionError(f"a mapping makes no {type(record).__name__}")
