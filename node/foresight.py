"""Looking ahead: the registry as it will be once this platform's records under way are executed.

Intake judges a record against what execution has written and, over it, what the own records before
it will change: so an outcome is accepted right behind its open, and a second open is refused before
the first is final. Only own records are looked ahead over; execution has the last word. Of records
about the network itself nothing is looked ahead over: they are few, and anybody's.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import msgspec

from ledger.encoding import decoder
from ledger.erasure_rows import ErasureRow
from ledger.errors import StoreDamaged
from ledger.governance_rows import (
    ACCUSED,
    CHANGE,
    OPEN,
    USED,
    ChangeRow,
    EvidenceRow,
    OpenRow,
    UsedRow,
)
from ledger.governing import Footing, Governance
from ledger.record_rows import log_index_of
from ledger.records import GOVERNANCE_TYPES, Record
from ledger.rows import (
    REPAIR,
    EngagementRow,
    SubjectRow,
    decode_row,
    describe_key,
)
from ledger.rules import Vocabulary, check_stateful, enact
from ledger.store import ENGAGEMENT, ERASURE, SUBJECT, Reader

Row = TypeVar("Row")

_NOT_YET: Final = 0
"""Stands for the log index that a record under way will get; no rule reads it."""


class AheadTable(Generic[Row]):
    """Rows of one prefix: those that records under way have changed, then the store's."""

    def __init__(self, reader: Reader, prefix: bytes, kind: type[Row]) -> None:
        self._reader, self._prefix, self._decoder = reader, prefix, decoder(kind)
        self._rows: dict[bytes, Row] = {}
        self._last: dict[bytes, int] = {}
        self._touched: deque[tuple[int, bytes]] = deque()
        self.batch = 1

    def get(self, key: bytes) -> Row | None:
        """The row, or None.

        Raises:
            StoreDamaged: the stored row cannot be read.
        """
        row = self._rows.get(key)
        if row is not None:
            return row
        data = self._reader.get(self._prefix + key)
        if data is None:
            return None
        try:
            return self._decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            where = describe_key(self._prefix + key)
            raise StoreDamaged(where, f"cannot be read: {error}; {REPAIR}") from error

    def put(self, key: bytes, row: Row) -> None:
        """Keep a row that a record under way has made or changed."""
        self._rows[key] = row
        if self._last.get(key) != self.batch:
            self._last[key] = self.batch
            self._touched.append((self.batch, key))

    def settle(self, batch: int) -> None:
        """Forget what batches up to this one changed and no later one: it is in the store now."""
        while self._touched and self._touched[0][0] <= batch:
            _, key = self._touched.popleft()
            if self._last.get(key, batch + 1) <= batch:
                del self._rows[key], self._last[key]


class StoredTable(Generic[Row]):
    """Rows of one prefix as the store has them; what would change them is let go."""

    def __init__(self, reader: Reader, prefix: bytes, kind: type[Row]) -> None:
        self._reader, self._prefix, self._kind = reader, prefix, kind

    def get(self, key: bytes) -> Row | None:
        """The row, or None.

        Raises:
            StoreDamaged: the stored row cannot be read.
        """
        data = self._reader.get(self._prefix + key)
        return None if data is None else decode_row(self._kind, self._prefix + key, data)

    def put(self, key: bytes, row: Row) -> None:
        """Nothing is looked ahead over."""


class Foresight:
    """A `ledger.rules.Registry` that is ahead of the ledger by the own records under way."""

    def __init__(
        self,
        reader: Reader,
        vocabulary: Callable[[], Vocabulary],
        lane: int,
        footing: Callable[[], Footing],
    ) -> None:
        """`vocabulary`: that of the next block; `footing`: where it will stand, asked for records
        about the network."""
        self._vocabulary = vocabulary
        self.subjects = AheadTable(reader, SUBJECT, SubjectRow)
        self.engagements = AheadTable(reader, ENGAGEMENT, EngagementRow)
        self.erasures = AheadTable(reader, ERASURE, ErasureRow)
        self._reader = reader
        self._lane = lane
        self._footing = footing
        self.governance = Governance(
            reader,
            footing(),
            StoredTable(reader, CHANGE, ChangeRow),
            StoredTable(reader, USED, UsedRow),
            StoredTable(reader, OPEN, OpenRow),
            StoredTable(reader, ACCUSED, EvidenceRow),
            {},
        )

    @property
    def vocabulary(self) -> Vocabulary:
        """The closed words in force."""
        return self._vocabulary()

    def admit(self, record: Record, time_ms: int, batch: int) -> None:
        """Judge a record that is to stand in the own batch of this number, and look ahead over it.

        Raises:
            Refused: names the rule and the field; nothing has changed.
        """
        if isinstance(record, GOVERNANCE_TYPES):
            self.governance.footing = self._footing()
        check_stateful(self, record, self._lane, time_ms)
        self.subjects.batch = self.engagements.batch = self.erasures.batch = batch
        if not isinstance(record, GOVERNANCE_TYPES):
            enact(self, record, _NOT_YET, time_ms)

    def log_index_of(self, record_id: bytes) -> int | None:
        """The log index of a record that execution has accepted, or None."""
        return log_index_of(self._reader, record_id)

    def settle(self, batch: int) -> None:
        """Own batches up to this number have been executed."""
        self.subjects.settle(batch)
        self.engagements.settle(batch)
        self.erasures.settle(batch)
