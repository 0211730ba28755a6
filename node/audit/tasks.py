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
from ledger.encoding import decode
from ledger.errors import InvalidInput
from ledger.genesis import Bounds
from ledger.rows import ROW_BYTES_MAX
from ledger.rules import check_stateless, read_record
from ledger.source import Finding
from ledger.store import ENGAGEMENT, FILE, INDEX, LEAF, META, RECORD, SUBJECT, after
from node.audit.folder import ViewReader
from node.audit.furnishers import Told, told_by
from node.audit.own import check_others
from node.audit.view import View

DIGEST_MODULUS: Final = 1 << 256
SECRET_BYTES: Final = 32
LEAVES_AT_ONCE: Final = 65_536
QUARTERS: Final = (0, 64, 128, 192)

SetDigest = dict[bytes, tuple[int, int]]
"""Prefix → how many rows, and the sum of their hashes."""

Rows = Sequence[bytes]
Checked = tuple[bytes, bytes, bool]
"""Commitments laid end to end, root, whether every record keeps the stateless rules."""


# --- batches ---


def check_batches(chain: bytes, bounds: Bounds, batches: Sequence[Rows]) -> list[Checked | None]:
    """For each batch's submission rows what they yield; None where one is not in its one form."""
    return [_check_batch(chain, bounds, rows) for rows in batches]


def _check_batch(chain: bytes, bounds: Bounds, rows: Rows) -> Checked | None:
    try:
        items = [decode(Submission, row, bytes_max=ROW_BYTES_MAX, what="row") for row in rows]
    except InvalidInput:
        return None
    ids = [commitment(item) for item in items]
    checked = all(_keeps_rules(chain, bounds, item) for item in items)
    return b"".join(ids), root_of(ids), checked


def _keeps_rules(chain: bytes, bounds: Bounds, item: Submission) -> bool:
    try:
        check_stateless(chain, read_record(item.record, bounds), item.signatures)
    except InvalidInput:
        return False
    return True


# --- rows ---


def digest(secret: bytes, rows: Iterable[tuple[bytes, bytes]]) -> SetDigest:
    """The set digest of rows."""
    counts: dict[bytes, int] = {}
    sums: dict[bytes, int] = {}
    sha, number = sha256, int.from_bytes
    for key, value in rows:
        prefix = key[:1]
        hashed = number(sha(secret + len(key).to_bytes(4) + key + value).digest(), "big")
        counts[prefix] = counts.get(prefix, 0) + 1
        sums[prefix] = sums.get(prefix, 0) + hashed
    return {prefix: (count, sums[prefix] % DIGEST_MODULUS) for prefix, count in counts.items()}


def merge(parts: Iterable[Mapping[bytes, tuple[int, int]]]) -> SetDigest:
    """The digest of all sets together; they have no row in common."""
    whole: SetDigest = {}
    for part in parts:
        for prefix, (count, total) in part.items():
            known = whole.get(prefix, (0, 0))
            whole[prefix] = (known[0] + count, (known[1] + total) % DIGEST_MODULUS)
    return whole


def scan_rows(
    folder: Path, place: Path, secret: bytes, start: bytes, stop: bytes
) -> tuple[SetDigest, Told] | None:
    """The set digest of the stored rows start ≤ key < stop, and what leaf rows among them tell of
    furnishers; None if the disk does not hold them all."""
    try:
        view = _view(folder, place)
        told: Told = {}
        with view.db.iterator(start=start, stop=stop, verify_checksums=True) as rows:
            if start[:1] == LEAF:
                kept = list(rows)
                told = told_by(value for _, value in kept)
                return digest(secret, kept), told
            return digest(secret, rows), told
    except (plyvel.Error, OSError, ValueError):  # of msgspec, too
        return None


def scan_others(folder: Path, place: Path) -> tuple[Finding, ...]:
    """What is wrong with submissions that no header counts, and whether the disk holds the rows
    that nobody else reads."""
    return tuple(check_others(ViewReader(_view(folder, place))))


_views: dict[tuple[Path, Path], View] = {}


def _view(folder: Path, place: Path) -> View:
    """This process's view, kept for its later tasks; `place` is removed when the audit ends."""
    view = _views.get((folder, place))
    if view is None:
        view = _views[folder, place] = View(folder, place)
    return view


def close_views() -> None:
    """Close what tasks have opened in this process."""
    while _views:
        _views.popitem()[1].close()


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
        elif prefix in {RECORD, INDEX}:
            edges = [prefix, *(prefix + bytes([quarter]) for quarter in QUARTERS)]
        else:
            edges = [prefix]
        edges.append(after(prefix))
        found += [pair for pair in itertools.pairwise(edges) if prefix != META]
    return found
