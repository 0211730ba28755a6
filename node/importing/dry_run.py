"""A dry run: everything that can be judged on this machine, without a node.

Records are judged by the ledger's own rules, stateless and stateful, over what the file itself has
said so far, with the vocabulary that genesis begins with. Twins inside the file are told as a node
would tell them: the same record again is a duplicate, another one under the same name a conflict.
What only a ledger knows, such as what was imported before, is not judged. It all stays in memory.
"""

import time
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, Generic, TypeVar

from ledger.bureau.model import FIRST_MODEL
from ledger.erasure_rows import ErasureRow
from ledger.errors import Refused
from ledger.genesis import FIRST_BOUNDS
from ledger.governance_rows import ChangeRow, EvidenceRow, OpenRow, UsedRow
from ledger.governing import Footing, Governance
from ledger.hashing import ZERO_HASH
from ledger.parameters import FIRST_DOMAINS, FIRST_SCALES, Parameters
from ledger.records import Record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.rating import Rating
from ledger.records.subject import SubjectRegister
from ledger.rows import EngagementRow, SubjectRow
from ledger.rules import Vocabulary, check_stateful, check_stateless, enact, read_record
from ledger.store import MemoryStore
from node.importing.plan import Reference
from node.importing.target import Answer

Row = TypeVar("Row")
Name = tuple[str, bytes, str]

DRY_PLATFORM: Final = 1
_PARAMETERS: Final = Parameters(1, FIRST_MODEL, FIRST_SCALES, FIRST_DOMAINS)
_KIND: Final = {"subject": b"\0", "engagement": b"\1"}


class _Table(Generic[Row]):
    """Rows in memory."""

    def __init__(self) -> None:
        self._rows: dict[bytes, Row] = {}

    def get(self, key: bytes) -> Row | None:
        return self._rows.get(key)

    def put(self, key: bytes, row: Row) -> None:
        self._rows[key] = row


class _Registry:
    """What the file has registered and opened so far."""

    def __init__(self) -> None:
        self.vocabulary = Vocabulary.of(_PARAMETERS, FIRST_BOUNDS)
        self.subjects: _Table[SubjectRow] = _Table()
        self.engagements: _Table[EngagementRow] = _Table()
        self.erasures: _Table[ErasureRow] = _Table()
        nowhere = Footing(ZERO_HASH, "", 1, (), 1, ZERO_HASH)
        tables = (_Table[ChangeRow](), _Table[UsedRow](), _Table[OpenRow](), _Table[EvidenceRow]())
        self.governance = Governance(MemoryStore(), nowhere, *tables, {})

    def log_index_of(self, record_id: bytes) -> int | None:
        """A file to be imported is in no log."""
        del record_id
        return None


class DryRun:
    """A target that writes nothing. Its handles are hashes, which a real node's never are."""

    def __init__(self, *, now_ms: int | None = None) -> None:
        """`now_ms`: the time of the batches that there are none of (default: this machine's)."""
        self._now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        self._registry = _Registry()
        self._seen: dict[Name, bytes] = {}

    @property
    def platform(self) -> int:
        """A stand-in for the number of the platform: the first."""
        return DRY_PLATFORM

    async def handles(self, references: Sequence[Reference]) -> list[bytes]:
        """A handle for each reference, the same for the same one."""
        return [sha256(_KIND[kind] + text.encode()).digest() for kind, text in references]

    async def offer(self, records: Sequence[bytes]) -> list[Answer]:
        """Judge records, each over those before it."""
        return [self._judge(data) for data in records]

    async def settle(self, record_ids: Sequence[str]) -> dict[str, str]:
        """Nothing is executed, nothing refused later."""
        del record_ids
        return {}

    def _judge(self, data: bytes) -> Answer:
        digest = sha256(data).digest()
        try:
            record = read_record(data, FIRST_BOUNDS)
            known = self._seen.get(name_of(record))
            if known is not None:
                return _twin(known, digest)
            check_stateless(ZERO_HASH, record, b"")
            check_stateful(self._registry, record, DRY_PLATFORM, self._now_ms)
        except Refused as error:
            return Answer("refused", reason=f"{error} (rule {error.rule})")
        enact(self._registry, record, 0, self._now_ms)
        self._seen[name_of(record)] = digest
        return Answer("accepted", digest.hex())


def _twin(known: bytes, digest: bytes) -> Answer:
    if known == digest:
        return Answer("duplicate", known.hex())
    return Answer("conflict", known.hex(), "another record stands under this name already")


def name_of(record: Record) -> Name:
    """What a record is known by on its platform: one record each."""
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
