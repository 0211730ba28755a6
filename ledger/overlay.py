"""What one block's execution reads and changes: rows read through to the store, each decoded once.

A table keeps every row that was asked for in the block and remembers which were changed; `flush`
encodes each changed row once, however often it changed. The store itself is not written.
"""

from collections.abc import Callable, ItemsView, Iterator
from itertools import islice
from typing import Final, Generic, TypeVar

import msgspec

from ledger.bureau.standing import PlatformTally, RaterTally
from ledger.encoding import decoder, encode
from ledger.erasure_rows import ErasureRow
from ledger.errors import Malformed, StoreDamaged
from ledger.governance_rows import (
    ACCUSED,
    CHANGE,
    OPEN,
    USED,
    ChangeRow,
    EvidenceRow,
    OpenRow,
    UsedRow,
    change_id_key,
)
from ledger.governing import Footing, Governance
from ledger.merkle import frontier_append
from ledger.record_rows import log_index_of
from ledger.rows import (
    REPAIR,
    EngagementRow,
    PairRow,
    SubjectRow,
    describe_key,
)
from ledger.rules.registry import Vocabulary
from ledger.store import (
    DUE,
    ENGAGEMENT,
    ERASURE,
    FILE,
    PAIR,
    PLATFORM,
    RATER,
    SUBJECT,
    Changes,
    Reader,
)

Row = TypeVar("Row")

DAY_MS: Final = 86_400_000
TURN_ROWS: Final = 1_024
"""After so many rows whoever executes may do other things."""


class _Rows(dict[bytes, Row | None], Generic[Row]):
    """The rows that were asked for, each read and decoded when it is asked for first."""

    __slots__ = ("_decoder", "_prefix", "_reader")

    def __init__(self, reader: Reader, prefix: bytes, kind: type[Row]) -> None:
        super().__init__()
        self._reader = reader
        self._prefix = prefix
        self._decoder = decoder(kind)

    def __missing__(self, asked: bytes) -> Row | None:
        key = self._prefix + asked
        data = self._reader.get(key)
        row: Row | None = None
        if data is not None:
            try:
                row = self._decoder.decode(data)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                what = f"cannot be read: {error}; {REPAIR}"
                raise StoreDamaged(describe_key(key), what) from error
        self[asked] = row
        return row


class OverlayTable(Generic[Row]):
    """The rows of one prefix, as this block sees them.

    `get(key)` is the row as the block has left it so far, or None; it raises StoreDamaged where the
    stored row cannot be read. (It is the look-up itself: execution asks some ten times a record.)
    """

    __slots__ = ("_changed", "_prefix", "_rows", "get")

    def __init__(self, reader: Reader, prefix: bytes, kind: type[Row]) -> None:
        self._prefix = prefix
        self._rows = _Rows(reader, prefix, kind)
        self._changed: dict[bytes, Row] = {}  # in the order of first change, as they lie in memory
        self.get: Callable[[bytes], Row | None] = self._rows.__getitem__

    def put(self, key: bytes, row: Row) -> None:
        """Keep a new or changed row."""
        self._rows[key] = self._changed[key] = row

    def changed(self) -> ItemsView[bytes, Row]:
        """Keys and rows that the block has changed, in the order of their first change."""
        return self._changed.items()

    def flush(self, changes: Changes) -> Iterator[None]:
        """Write each changed row once, in turns of at most TURN_ROWS."""
        prefix, rows = self._prefix, iter(self._changed.items())
        while turn := list(islice(rows, TURN_ROWS)):
            for key, row in turn:
                changes[prefix + key] = encode(row)
            if len(turn) == TURN_ROWS:
                yield


class DueDays:
    """How many open engagements are due on a day, per platform; `V` rows.

    What is due on a day before today's (by block time) and still open is overdue. Days are counted
    from 1970.
    """

    __slots__ = ("_counts", "_reader")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._counts: dict[bytes, int] = {}

    @staticmethod
    def key(platform: int, day: int) -> bytes:
        """The key of a platform's day."""
        return DUE + day.to_bytes(4) + platform.to_bytes(4)

    def add(self, platform: int, day: int, change: int) -> None:
        """Count one more (or less) open engagement due on a day."""
        key = self.key(platform, day)
        count = self._counts.get(key)
        if count is None:
            count = int.from_bytes(self._reader.get(key) or b"")
        self._counts[key] = count + change

    def pass_days(self, first: int, stop: int) -> dict[int, int]:
        """Let the days first ≤ day < stop pass: per platform, how many are overdue from now on."""
        overdue: dict[int, int] = {}
        rows = self._reader.scan(DUE + first.to_bytes(4), DUE + stop.to_bytes(4))
        for key, value in rows:
            platform = int.from_bytes(key[5:9])
            overdue[platform] = overdue.get(platform, 0) + int.from_bytes(value)
            self._counts[key] = 0
        return overdue

    def flush(self, changes: Changes) -> None:
        """Write the changed counts; a day without any has no row."""
        for key, count in self._counts.items():
            assert count >= 0, "only what was counted is taken away"
            changes[key] = count.to_bytes(8) if count else None


class Overlay:
    """All tables of one block's execution. It is a Registry of the rules."""

    __slots__ = (
        "accepted_erasures",
        "dues",
        "engagements",
        "erasures",
        "governance",
        "governance_tables",
        "pairs",
        "platforms",
        "raters",
        "reader",
        "subjects",
        "vocabulary",
    )

    def __init__(self, reader: Reader, vocabulary: Vocabulary, footing: Footing) -> None:
        self.reader = reader
        self.vocabulary = vocabulary
        self.subjects = OverlayTable(reader, SUBJECT, SubjectRow)
        self.engagements = OverlayTable(reader, ENGAGEMENT, EngagementRow)
        self.pairs = OverlayTable(reader, PAIR, PairRow)
        self.raters = OverlayTable(reader, RATER, RaterTally)
        self.platforms = OverlayTable(reader, PLATFORM, PlatformTally)
        self.erasures = OverlayTable(reader, ERASURE, ErasureRow)
        self.dues = DueDays(reader)
        self.accepted_erasures: dict[bytes, int] = {}
        changes = OverlayTable(reader, CHANGE, ChangeRow)
        used = OverlayTable(reader, USED, UsedRow)
        open_ = OverlayTable(reader, OPEN, OpenRow)
        accused = OverlayTable(reader, ACCUSED, EvidenceRow)
        self.governance_tables = (changes, used, open_, accused)
        self.governance = Governance(reader, footing, changes, used, open_, accused, {})

    def log_index_of(self, record_id: bytes) -> int | None:
        """The log index of a record that an earlier block has accepted, or of an erasure that this
        one has."""
        found = self.accepted_erasures.get(record_id)
        if found is None:
            found = log_index_of(self.reader, record_id)
        return found

    def need_subject(self, subject: bytes) -> SubjectRow:
        """The row of a subject (36 bytes) whose file something stands in.

        Raises:
            StoreDamaged: it is missing, or cannot be read.
        """
        row = self.subjects.get(subject)
        if row is None:
            raise StoreDamaged(describe_key(SUBJECT + subject), f"is missing; {REPAIR}")
        return row

    def append_leaf(
        self, changes: Changes, subject: bytes, value: bytes, leaf_hash: bytes
    ) -> SubjectRow:
        """Append a leaf to a subject's file: its `F` row's value, and its hash.

        Raises:
            StoreDamaged: the subject's row is missing or not what was written.
        """
        row = self.need_subject(subject)
        length = row.length
        changes[FILE + subject + length.to_bytes(4)] = value
        try:
            row.frontier = frontier_append(length, row.frontier, leaf_hash)
        except Malformed as error:
            where = describe_key(SUBJECT + subject)
            raise StoreDamaged(where, f"{error}; {REPAIR}") from error
        row.length = length + 1
        self.subjects.put(subject, row)
        return row

    def flush(self, changes: Changes) -> Iterator[None]:
        """Write every changed row once, in turns."""
        for subjects in (self.subjects, self.engagements, self.pairs, self.raters):
            yield from subjects.flush(changes)
        for others in (self.platforms, self.erasures, *self.governance_tables):
            yield from others.flush(changes)
        for record_id, log_index in self.governance.fresh.items():
            changes[change_id_key(record_id)] = log_index.to_bytes(8)
        self.dues.flush(changes)
