"""What the rules of membership and evidence read, and the rows that each block and epoch leave.

`Governance` is part of a registry of the rules: tables of changes, names and evidence, and the
`Footing` of the block under way: its epoch, that epoch's set, and the log before the block.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from ledger.binding import PROPOSE, Bound, Open, Outlook, bind, lapsed, outlook
from ledger.certificate import link_key
from ledger.encoding import encode
from ledger.errors import InvalidInput, StoreDamaged
from ledger.governance_rows import (
    ACCUSED,
    CHANGE,
    ENDED,
    OPEN,
    RECENT,
    USED,
    ChangeRow,
    EvidenceRow,
    OpenRow,
    UsedRow,
    certificate_name,
    change_id_key,
    change_key,
    code_name,
    ended_key,
    key_name,
    number_name,
    recent_key,
)
from ledger.membership import PURPOSES, Validator
from ledger.rows import (
    REPAIR,
    ValidatorsRow,
    decode_row,
    describe_key,
    need_row,
    read_row,
    validators_key,
)
from ledger.statements import Evidence
from ledger.store import Changes, Reader, after

Row = TypeVar("Row")

_NO_KEY: Final = b""
_SLOT_BYTES: Final = 21


class Table(Protocol[Row]):
    """Live rows by key. A row that is changed in place must be `put` again."""

    def get(self, key: bytes) -> Row | None:
        """The row, or None."""
        ...

    def put(self, key: bytes, row: Row) -> None:
        """Keep a new or changed row."""
        ...


@dataclass(frozen=True, slots=True)
class Footing:
    """Where a block stands: `epoch` is its own, `validators` the set of that, `size` the log's
    before it, `parameters` the hash of those in force."""

    chain: bytes
    origin: str
    epoch: int
    validators: tuple[Validator, ...]
    size: int
    parameters: bytes

    def member(self, number: int) -> Validator | None:
        """The member of this number, or None."""
        return next((each for each in self.validators if each.number == number), None)


@dataclass(slots=True)
class Governance:
    """Changes by log index (u64), taken names, the open changes (key: no byte), evidence by slot.

    `fresh`: changes of records that are not in the store yet, by record id.
    """

    reader: Reader
    footing: Footing
    changes: Table[ChangeRow]
    used: Table[UsedRow]
    open: Table[OpenRow]
    accused: Table[EvidenceRow]
    fresh: dict[bytes, int]

    def log_index_of(self, change: bytes) -> int | None:
        """The log index of a change by its record id, or None."""
        found = self.fresh.get(change)
        if found is None:
            data = self.reader.get(change_id_key(change))
            found = None if data is None else int.from_bytes(data)
        return found

    def need(self, log_index: int) -> ChangeRow:
        """The row of a change.

        Raises:
            StoreDamaged: it is missing.
        """
        row = self.changes.get(log_index.to_bytes(8))
        if row is None:
            raise StoreDamaged(describe_key(change_key(log_index)), f"is missing; {REPAIR}")
        return row

    def open_changes(self) -> list[tuple[int, ChangeRow]]:
        """The open changes, ascending by log index."""
        row = self.open.get(_NO_KEY)
        return [(each, self.need(each)) for each in row.changes] if row is not None else []

    def keep_open(self, log_indices: tuple[int, ...]) -> None:
        """Say which changes are open."""
        self.open.put(_NO_KEY, OpenRow(log_indices))

    def root_at(self, size: int) -> bytes | None:
        """The root of a checkpoint of this epoch, or of the one it began with, or None."""
        return self.reader.get(recent_key(size))

    def epoch_of_size(self, size: int) -> int | None:
        """Whose epoch's cosigners sign a checkpoint of this size: that of the first block after
        which the log has so many entries. None while it has fewer."""
        if size > self.footing.size:
            return None
        for _, value in self.reader.scan(ended_key(size), after(ENDED)):
            return max(1, int.from_bytes(value))
        return self.footing.epoch

    def key_of(self, number: int, purpose: str, epoch: int) -> bytes | None:
        """A platform's key in the set of an epoch, or None if it was no member or the epoch has
        not begun."""
        if not 1 <= epoch <= self.footing.epoch:
            return None
        members = self.footing.validators
        if epoch != self.footing.epoch:
            members = need_row(self.reader, ValidatorsRow, validators_key(epoch)).validators
        found = next((each for each in members if each.number == number), None)
        return None if found is None else found.key(purpose)

    def taken(self, name: bytes) -> UsedRow | None:
        """Who has a name, or None if nobody has it, or has had it in vain."""
        row = self.used.get(name)
        if row is None or _is_in_vain(self.changes.get(row.log_index.to_bytes(8))):
            return None
        return row

    def end_epoch(self, time_ms: int) -> Bound:
        """Bind what binds, and close it, and what has lapsed; by the last block's time."""
        epoch = self.footing.epoch
        changes = self.open_changes()
        result = bind(self.footing.validators, changes, epoch)
        late = lapsed(self.footing.validators, changes, time_ms)
        closed = {*result.bound, *result.void, *late}
        for log_index, row in changes:
            if log_index in closed:
                if log_index in result.bound:
                    row.bound = epoch + 1
                else:
                    row.void = epoch
                self.changes.put(log_index.to_bytes(8), row)
        if closed:
            self.keep_open(tuple(at for at, _ in changes if at not in closed))
        return result

    def outlook(self, validators: tuple[Validator, ...], epoch: int) -> Outlook:
        """What this epoch, with this set, may end with."""
        return outlook(validators, self.open_changes(), epoch)


def _is_in_vain(asked: ChangeRow | None) -> bool:
    """Whether what took a name is a join that will never be (genesis's names: no change)."""
    return asked is not None and asked.type == PROPOSE and asked.void is not None


# --- rows that are written beside the tables ---


def found_names(changes: Changes, validators: tuple[Validator, ...]) -> None:
    """Take the names of genesis's members; link keys only of certificates in the one form."""
    for each in validators:
        names = [number_name(each.number), code_name(each.code)]
        names += [key_name(each.key(purpose)) for purpose in PURPOSES]
        names.append(certificate_name(each.certificate))
        with suppress(InvalidInput):
            names.append(key_name(link_key(each.certificate, each.code)))
        for name in names:
            changes[USED + name] = encode(UsedRow(each.number, 0))


def mark_checkpoint(
    reader: Reader, changes: Changes, size: int, root: bytes, ended: int | None
) -> None:
    """Remember a block's checkpoint while its epoch lasts; `ended`: the epoch whose last it is."""
    if ended is not None:
        for key, _ in reader.scan(RECENT, after(RECENT)):
            changes[key] = None
        changes[ended_key(size)] = ended.to_bytes(8)
    changes[recent_key(size)] = root


# --- reading ---


def read_changes(reader: Reader) -> Iterator[tuple[int, ChangeRow]]:
    """All changes that were ever asked for, open and closed, ascending by log index.

    Raises:
        StoreDamaged: a row cannot be read.
    """
    for key, data in reader.scan(CHANGE, after(CHANGE)):
        yield int.from_bytes(key[len(CHANGE) :]), decode_row(ChangeRow, key, data)


def read_taken(reader: Reader, name: bytes) -> UsedRow | None:
    """Who has a name by stored rows, as `Governance.taken`.

    Raises:
        StoreDamaged: a row cannot be read.
    """
    row = read_row(reader, UsedRow, USED + name)
    if row is None or _is_in_vain(read_row(reader, ChangeRow, change_key(row.log_index))):
        return None
    return row


def read_open(reader: Reader) -> Open:
    """The open changes, ascending by log index.

    Raises:
        StoreDamaged: a row is missing or cannot be read.
    """
    row = read_row(reader, OpenRow, OPEN)
    named = row.changes if row is not None else ()
    return [(each, need_row(reader, ChangeRow, change_key(each))) for each in named]


def read_outlook(reader: Reader, validators: tuple[Validator, ...], epoch: int) -> Outlook:
    """What an epoch with this set may end with, from stored rows.

    Raises:
        StoreDamaged: as `read_open`.
    """
    return outlook(validators, read_open(reader), epoch)


@dataclass(frozen=True, slots=True)
class Accusation:
    """Evidence that stands on the ledger: every node has verified it. `teller`: who told it."""

    evidence: Evidence
    log_index: int
    teller: int


def read_evidence(reader: Reader, number: int | None = None) -> Iterator[Accusation]:
    """All evidence on the ledger (or that against one platform), by platform, kind and slot.

    Raises:
        StoreDamaged: a row cannot be read.
    """
    prefix = ACCUSED if number is None else ACCUSED + number.to_bytes(4)
    for key, data in reader.scan(prefix, after(prefix)):
        row = decode_row(EvidenceRow, key, data)
        name = key[len(ACCUSED) :]
        if len(name) != _SLOT_BYTES:
            raise StoreDamaged(describe_key(key), f"is no evidence's; {REPAIR}")
        told = Evidence(
            name[4],
            int.from_bytes(name[:4]),
            int.from_bytes(name[5:13]),
            int.from_bytes(name[13:]),
            row.first,
            row.second,
        )
        yield Accusation(told, row.log_index, row.platform)
