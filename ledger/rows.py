"""Rows of the store that more than one room reads. Each is a canonical MessagePack array.

`ledger/store.py` has the table of keys. Rows that are values are frozen. Three rows are *live*
(`SubjectRow`, `EngagementRow`, `PairRow`): execution changes them in place within one block's
overlay and writes them once at its end; whoever reads one from a store gets a fresh copy.

| key | row |
|---|---|
| `M` "genesis" | Genesis |
| `M` "head" | HeadRow |
| `M` "parameters/" ‖ hash | Parameters |
| `M` "validators/" ‖ u64 epoch | ValidatorsRow |
| `H` header hash | HeaderRow |
| `S` header hash ‖ u16 position | Submission |
| `Y` header hash ‖ u16 position | Residue (`ledger/residue.py`), where the submission is erased |
| `L` u32 lane ‖ u64 height | header hash (32 bytes) |
| `B` u64 block height | BlockRow |
| `C` u64 block height | CheckpointRow |
| `E` u64 log index | LeafRow, or a seal entry (begins with 0x01) |
| `F` subject ‖ u32 position | log index (u64); of an erasure leaf: ‖ target (u64) ‖ since (u64) |
| `W` subject | SubjectRow |
| `G` u32 platform ‖ reference | EngagementRow |
| `P` subject ‖ subject | PairRow: first rates second |
| `R` subject | RaterTally |
| `Q` u32 platform | PlatformTally |
| `D` kind ‖ u32 platform ‖ handle | empty: this summary changed since the epoch's start |
| `U` kind ‖ u32 platform ‖ handle | SummaryRow |
| `V` u32 day ‖ u32 platform | open engagements that are due on that day (u64) |
| `X` … | where a record stands (`ledger/record_rows.py`) |
| `O` u64 log index | ErasureRow (`ledger/erasure_rows.py`) |
| `J` subject ‖ u64 log size ‖ place | the subject keys that a refused record is about, end to end |
| `J` u32 0 ‖ u64 erasure ‖ place | empty: executed as the residue of a refused record |

`A` rows: `ledger/governance_rows.py`. *place*: u32 lane ‖ u64 height ‖ u16 position. *since*: the
log's size before the block that appended the erasure leaf.
"""

from typing import Final, TypeVar

import msgspec

from ledger.batch import Header
from ledger.block import Block, Refusal, Seal, Tip
from ledger.encoding import Handle, Hash, PlatformNumber, Signature, TimeMs, Uint, Value, decode
from ledger.errors import KEYS_LOST, Malformed, StoreDamaged
from ledger.membership import Validator
from ledger.store import (
    BLOCK,
    ERASURE,
    HEADER,
    LANE,
    LEAF,
    META,
    PAIR,
    RESIDUE,
    SUBMISSION,
    TILE,
    Reader,
)

T = TypeVar("T")

ROW_BYTES_MAX: Final = 64 * 1_024 * 1_024

GENESIS_KEY: Final = META + b"genesis"
HEAD_KEY: Final = META + b"head"
REPAIR: Final = (
    "move the node's data folder away and start the node again: "
    f"it fetches everything from its peers. {KEYS_LOST}"
)


class CosignatureRow(Value):
    """One validator's cosignature/v1 of a checkpoint; `time_s` is in seconds since 1970."""

    number: PlatformNumber
    time_s: Uint
    signature: Signature


class CheckpointRow(Value):
    """A certified checkpoint: exactly q cosignatures, ascending by validator number."""

    height: Uint
    size: Uint
    root: Hash
    cosignatures: tuple[CosignatureRow, ...]


class HeaderRow(Value):
    """A batch without its submissions."""

    header: Header
    signature: Signature


class HeadRow(Value):
    """How far execution is: the newest block, the log after it, and the lanes under it."""

    height: Uint
    block_hash: Hash
    time: TimeMs
    epoch: Uint
    size: Uint
    frontier: bytes
    index_root: Hash
    parameters: Hash
    cut: tuple[Tip, ...]


class ValidatorsRow(Value):
    """The validator set of an epoch."""

    validators: tuple[Validator, ...]


class BlockRow(Value):
    """An executed block: its leaves are `first` … `size` − 1, the last one its seal."""

    block: Block
    hash: Hash
    first: Uint
    size: Uint
    root: Hash
    seal: Seal
    refusals: tuple[Refusal, ...]


class LeafRow(Value):
    """A record's leaf of the log, and what execution added to it.

    `time` is the block's time; `target` the log index of the record that this one is about;
    `annotation_hash` SHA-256(salt ‖ annotation). `kept` tells, without the opening, which files it
    stands in and what its residue needs: of a register the subject key (36 bytes), of a link or an
    open the log indices of both subjects' registers, of an outcome how many its worker had before;
    what is about an engagement stands in the files of its target. `erasure` is the log index of the
    erasure that took it.
    """

    lane: PlatformNumber
    height: Uint
    position: Uint
    time: TimeMs
    type: Uint
    commitment: Hash
    target: Uint | None
    annotation_hash: Hash
    annotation: bytes
    kept: bytes | tuple[Uint, ...]
    erasure: Uint | None


class SummaryRow(Value):
    """The two newest epoch-end copies of a summary, as the index holds them.

    The index holds `data` from block `height` on, and before that `earlier` (empty: none).
    """

    height: Uint
    data: bytes
    earlier: bytes

    def at(self, height: int) -> bytes | None:
        """The copy that the index of a block held, or None."""
        return (self.data if height >= self.height else self.earlier) or None


class LiveRow(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """Base of the rows that execution changes in place."""


class SubjectRow(LiveRow):
    """A registered subject: its key (or empty), and its file's length, frontier and links.

    `results` counts outcomes that it had as a worker. `links` are the subject keys (36 bytes) that
    it is linked to directly by links that are not erased, ascending. `erasing` is the log index of
    the erasure that is under way in its file; `erased` counts the file's erasure leaves; below
    position `cleared` nothing is left that an erasure could take; `erased_at` is the time (ms) of
    the batch of the file's last erasure, or 0.

    Of late, in Q16 as of an hour of block time counted from 1970: `lately_good`, `lately_bad` as a
    worker (`ledger/bureau/offset.py`), and the ratings it has `given`. `compared`: the platforms
    whose evidence has been compared with its results (`ledger/bureau/transfer.py`).
    """

    registered: Uint
    key: bytes
    assurance: str
    results: Uint
    length: Uint
    frontier: bytes
    links: tuple[bytes, ...]
    erasing: Uint | None
    erased: Uint
    cleared: Uint
    erased_at: Uint
    lately_good: Uint = 0
    lately_bad: Uint = 0
    lately_hour: Uint = 0
    given: Uint = 0
    given_hour: Uint = 0
    compared: tuple[PlatformNumber, ...] = ()


Elsewhere = tuple[tuple[PlatformNumber, Uint, Uint], ...]


class EngagementRow(LiveRow):
    """An engagement by its open (`open`: log index, `known`: its batch's time), and what followed.

    `outcome`, `of_worker`, `of_client` are the log indices of its live outcome and ratings.
    `elsewhere`, until its outcome: what files on other platforms that are linked with the worker's
    held of late when it was opened, [platform, good, bad (Q16)] each, ascending.
    """

    open: Uint
    worker: Handle
    client: Handle
    at: TimeMs
    known: TimeMs
    due_until: TimeMs
    outcome: Uint | None
    of_worker: Uint | None
    of_client: Uint | None
    elsewhere: Elsewhere = ()


class PairRow(LiveRow):
    """How many outcomes the second subject had with the first, and ratings by it."""

    outcomes: Uint
    ratings: Uint


def parameters_key(parameters_hash: bytes) -> bytes:
    """The key of the parameters with this hash."""
    return META + b"parameters/" + parameters_hash


def validators_key(epoch: int) -> bytes:
    """The key of an epoch's validator set."""
    return META + b"validators/" + epoch.to_bytes(8)


def header_key(header_hash: bytes) -> bytes:
    """The key of a batch's header."""
    return HEADER + header_hash


def submission_key(header_hash: bytes, position: int) -> bytes:
    """The key of one submission of a batch."""
    return SUBMISSION + header_hash + position.to_bytes(2)


def residue_key(header_hash: bytes, position: int) -> bytes:
    """The key of what is left of an erased submission of a batch."""
    return RESIDUE + header_hash + position.to_bytes(2)


def lane_key(lane: int, height: int) -> bytes:
    """The key of the header hash at a lane's height."""
    return LANE + lane.to_bytes(4) + height.to_bytes(8)


def block_key(height: int) -> bytes:
    """The key of a block row."""
    return BLOCK + height.to_bytes(8)


def leaf_key(log_index: int) -> bytes:
    """The key of a leaf of the log."""
    return LEAF + log_index.to_bytes(8)


def tile_key(level: int, index: int) -> bytes:
    """The key of a tile (`ledger/tiles.py`)."""
    return TILE + level.to_bytes(1) + index.to_bytes(8)


def place_bytes(lane: int, height: int, position: int) -> bytes:
    """A record's place as keys end with it (14 bytes)."""
    return lane.to_bytes(4) + height.to_bytes(8) + position.to_bytes(2)


def pair_key(first: bytes, second: bytes) -> bytes:
    """The key of a pair tally; both are subject keys (36 bytes)."""
    return PAIR + first + second


def decode_row(kind: type[T], key: bytes, data: bytes) -> T:
    """Read a row that was found under `key`.

    Raises:
        StoreDamaged: it is not a row of this kind in its one form.
    """
    try:
        return decode(kind, data, bytes_max=ROW_BYTES_MAX, what="row")
    except Malformed as error:
        raise StoreDamaged(describe_key(key), f"{error}; {REPAIR}") from error


def read_row(reader: Reader, kind: type[T], key: bytes) -> T | None:
    """The row under a key, or None.

    Raises:
        StoreDamaged: as `decode_row`.
    """
    data = reader.get(key)
    return None if data is None else decode_row(kind, key, data)


def need_row(reader: Reader, kind: type[T], key: bytes) -> T:
    """The row under a key, which must be there.

    Raises:
        StoreDamaged: it is missing, or as `decode_row`.
    """
    row = read_row(reader, kind, key)
    if row is None:
        raise StoreDamaged(describe_key(key), f"is missing; {REPAIR}")
    return row


_NAMES: Final = {
    b"M": "meta row",
    b"H": "batch header",
    b"S": "submission",
    b"Y": "residue",
    b"L": "lane row",
    b"B": "block row",
    b"C": "checkpoint row",
    b"E": "leaf row",
    b"T": "tile",
    b"F": "file row",
    b"W": "subject row",
    b"G": "engagement row",
    b"P": "pair row",
    b"R": "rater tally",
    b"Q": "platform tally",
    b"D": "changed-summary row",
    b"U": "summary row",
    b"V": "due row",
    b"X": "record row",
    b"O": "erasure row",
    b"J": "refused-record row",
    b"A": "governance row",
    b"Z": "undo row",
    b"K": "consensus row",
    b"N": "node row",
}


def kind_of(key: bytes) -> str:
    """The kind of row that stands under a key, or nothing."""
    return _NAMES.get(key[:1], "")


def describe_key(key: bytes) -> str:
    """A row's name for people: kind, its numbers in decimal where they are numbers, and the key."""
    kind, rest = key[:1], key[1:]
    name = kind_of(key) or "row"
    if kind == META:
        label = rest.split(b"/")[0].decode("ascii", "replace")
        return f"{name} {label} (key {key.hex()})"
    if kind in {BLOCK, LEAF, ERASURE, b"C", b"Z"}:
        return f"{name} {int.from_bytes(rest)} (key {key.hex()})"
    if kind in {SUBMISSION, RESIDUE}:
        return f"{name} {int.from_bytes(rest[32:])} of batch {rest[:32].hex()} (key {key.hex()})"
    if kind == LANE:
        lane, height = int.from_bytes(rest[:4]), int.from_bytes(rest[4:])
        return f"{name} {lane}/{height} (key {key.hex()})"
    if kind == b"T":
        return f"{name} {rest[:1].hex()}/{int.from_bytes(rest[1:])} (key {key.hex()})"
    return f"{name} {rest.hex()} (key {key.hex()})"
