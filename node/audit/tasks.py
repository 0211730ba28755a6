"""The parts of an audit that need no state, as plain functions over bytes for any `Executor`.

- `check_batches`: what the bytes of batches alone tell: canonical form, commitments, root, and the
  stateless rules of their records, signatures included.
- `digest`, `scan_rows`: a *set digest* of rows, whatever their order: per prefix how many they are,
  and the sum modulo 2^256 of SHA-256(secret ‖ u32be(length of the key) ‖ key ‖ value). The secret
  is drawn anew by each audit, after the store was written, so nobody can make up rows whose digests
  cancel out: two sets with equal digests are equal. `scan_rows` takes the store's rows from a view
  of its own in each process (`node/audit/view.py`); all processes must see the store's folder.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

import plyvel

from ledger.batch import Submission, commitment
from ledger.batch import batch_root as root_of
from ledger.differences import EXECUTED
from ledger.encoding import decode, decoder
from ledger.errors import InvalidInput, StandingError
from ledger.genesis import Bounds
from ledger.residue import Residue
from ledger.rows import ROW_BYTES_MAX, residue_key, submission_key
from ledger.rules import check_stateless, read_record
from ledger.source import Finding
from ledger.store import ENGAGEMENT, FILE, LEAF, META, RECORD, SUBJECT, after
from node.audit.folder import ViewReader
from node.audit.furnishers import Told, told_by
from node.audit.own import check_others
from node.audit.view import View

DIGEST_MODULUS: Final = 1 << 256
SECRET_BYTES: Final = 32
LEAVES_AT_ONCE: Final = 16_384
ROWS_AT_ONCE: Final = 4_096
QUARTERS: Final = (0, 64, 128, 192)

_ARRAY: Final = b"\xdc"
"""How a MessagePack array begins whose length follows in two bytes."""

SetDigest = dict[bytes, tuple[int, int]]
"""Prefix → how many rows, and the sum of their hashes."""

Checked = tuple[bytes, bytes, bool, bytes, list[tuple[int, bytes]]]
"""Of a batch: commitments laid end to end, root, whether every record keeps the stateless rules,
its submissions as one MessagePack array, and positions and rows of residues between them."""


# --- batches ---


def check_batches(
    folder: Path, place: Path, chain: bytes, bounds: Bounds, batches: Sequence[tuple[bytes, int]]
) -> list[Checked | None]:
    """For each batch, named by header hash and count, what its stored submissions yield; None where
    one is missing, cannot be read or is not in its one form."""
    try:
        reader = _reader(folder, place)
        return [_check_batch(reader, chain, bounds, *each) for each in batches]
    except (plyvel.Error, OSError, StandingError):
        return [None] * len(batches)


def _check_batch(
    reader: ViewReader, chain: bytes, bounds: Bounds, name: bytes, count: int
) -> Checked | None:
    rows = _submissions(reader, name, count)
    residues: list[tuple[int, bytes]] = []
    for position in range(count) if len(rows) != count else ():
        if position not in rows:
            left = reader.get(residue_key(name, position))
            if left is None:
                return None
            residues.append((position, left))
    items = [decode(Submission, row, bytes_max=ROW_BYTES_MAX, what="row") for row in rows.values()]
    ids = [commitment(item) for item in items]
    for position, left in residues:
        residue = decode(Residue, left, bytes_max=ROW_BYTES_MAX, what="row")
        ids.insert(position, residue.commitment)
    checked = all(_keeps_rules(chain, bounds, item) for item in items)
    array = _ARRAY + len(items).to_bytes(2) + b"".join(rows.values())
    return b"".join(ids), root_of(ids), checked, array, residues


def _submissions(reader: ViewReader, name: bytes, count: int) -> dict[int, bytes]:
    """The submission rows that are left of a batch, by position."""
    if not count:
        return {}
    first, last = submission_key(name, 0), submission_key(name, count - 1)
    rows = reader.scan(first, last + b"\0")
    return {int.from_bytes(key[33:]): row for key, row in rows if len(key) == len(first)}


def _keeps_rules(chain: bytes, bounds: Bounds, item: Submission) -> bool:
    try:
        check_stateless(chain, read_record(item.record, bounds), item.signatures)
    except InvalidInput:
        return False
    return True


# --- rows ---


def digest(secret: bytes, rows: Iterable[tuple[bytes, bytes]]) -> SetDigest:
    """The set digest of rows."""
    found: SetDigest = {}
    ordered = iter(rows)
    while chunk := list(itertools.islice(ordered, ROWS_AT_ONCE)):
        kinds: dict[tuple[bytes, int], list[bytes]] = {}
        for key, value in chunk:
            kind = key[:1], len(key)
            texts = kinds.get(kind)
            if texts is None:
                texts = kinds[kind] = []
            texts.append(key + value)
        for (prefix, length), texts in kinds.items():
            _add(found, prefix, len(texts), _sum(secret + length.to_bytes(4), texts))
    return found


def _sum(head: bytes, texts: list[bytes]) -> int:
    """The sum of the hashes of texts, each behind the same head."""
    hashed = [each.digest() for each in map(sha256, map(head.__add__, texts))]
    return sum(map(int.from_bytes, hashed))


def _add(whole: SetDigest, prefix: bytes, count: int, total: int) -> None:
    known = whole.get(prefix, (0, 0))
    whole[prefix] = (known[0] + count, (known[1] + total) % DIGEST_MODULUS)


def negative(taken: Mapping[bytes, tuple[int, int]]) -> SetDigest:
    """What takes the rows of a digest back when both are merged."""
    return {prefix: (-count, -total % DIGEST_MODULUS) for prefix, (count, total) in taken.items()}


def digest_packed(secret: bytes, packed: bytes) -> SetDigest:
    """The set digest of rows as they come from another process: a MessagePack array of pairs."""
    return digest(secret, decoder(list[tuple[bytes, bytes]]).decode(packed))


def merge(parts: Iterable[Mapping[bytes, tuple[int, int]]]) -> SetDigest:
    """The digest of all sets together; they have no row in common."""
    whole: SetDigest = {}
    for part in parts:
        for prefix, (count, total) in part.items():
            _add(whole, prefix, count, total)
    return whole


def scan_rows(
    folder: Path, place: Path, secret: bytes, start: bytes, stop: bytes
) -> tuple[SetDigest, Told] | None:
    """The set digest of the stored rows start ≤ key < stop, and what leaf rows among them tell of
    furnishers; None if the disk does not hold them all."""
    try:
        told: Told = {}
        with _reader(folder, place).raw(start, stop) as rows:
            if start[:1] != LEAF:
                return digest(secret, rows), told
            kept = list(rows)
            return digest(secret, kept), told_by(value for _, value in kept)
    except (plyvel.Error, OSError, ValueError):  # of msgspec, too
        return None


def scan_others(folder: Path, place: Path) -> tuple[Finding, ...]:
    """What is wrong with submissions that no header counts, and whether the disk holds the rows
    that nobody else reads."""
    return tuple(check_others(_reader(folder, place)))


_readers: dict[tuple[Path, Path], ViewReader] = {}


def _reader(folder: Path, place: Path) -> ViewReader:
    """This process's reader, kept for its later tasks; `place` is removed when the audit ends."""
    reader = _readers.get((folder, place))
    if reader is None:
        reader = _readers[folder, place] = ViewReader(View(folder, place))
    return reader


def close_views() -> None:
    """Close what tasks have opened in this process."""
    while _readers:
        _readers.popitem()[1].close()


def ranges(platforms: Sequence[int], size: int) -> list[tuple[bytes, bytes]]:
    """Key ranges that cover all rows of execution but the meta rows, in parts of moderate size."""
    parts = [
        bytes([*platform.to_bytes(4), quarter]) for platform in platforms for quarter in QUARTERS
    ]
    found: list[tuple[bytes, bytes]] = []
    for prefix in EXECUTED:
        if prefix == LEAF:
            edges = [prefix + at.to_bytes(8) for at in range(0, size, LEAVES_AT_ONCE)]
        elif prefix in {FILE, SUBJECT, ENGAGEMENT}:
            edges = [prefix, *(prefix + part for part in parts)]
        elif prefix == RECORD:
            edges = [prefix, *(prefix + bytes([quarter]) for quarter in QUARTERS)]
        else:
            edges = [prefix]
        edges.append(after(prefix))
        found += [pair for pair in itertools.pairwise(edges) if prefix != META]
    return found
