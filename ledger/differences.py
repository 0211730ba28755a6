"""Comparing stored rows with recomputed ones: each difference names its row by key.

*Settled* rows are written once and stay: leaves, files, lanes, blocks, full tiles, parameters,
validator sets. They can be compared block by block. All others (subjects, tallies, tiles at
the right edge, head, …) are compared when the replay has come to the store's newest block.

One field of a settled row is written later: the erasure in a record's leaf row. A stored row that
differs in nothing but that it names one is *marked later* (`is_marked_later`): right if an erasure
up to the newest block writes the same.

Rows of openings (`S`) and residues (`Y`) are not execution's: a batch is read from what is held of
both. Rows of refused records (`J`) go when an erasure takes them, so at a block's end they are the
same whether a record was executed from its opening or from its residue.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ledger.block import SEAL_KIND
from ledger.encoding import Uint, decode
from ledger.errors import Malformed, StoreDamaged
from ledger.rows import HEAD_KEY, describe_key
from ledger.store import (
    BLOCK,
    DIRTY,
    DUE,
    ENGAGEMENT,
    ERASURE,
    FILE,
    GOVERNANCE,
    LANE,
    LEAF,
    META,
    PAIR,
    PLATFORM,
    RATER,
    RECORD,
    REFUSED,
    SUBJECT,
    SUMMARY,
    TILE,
    Changes,
    Reader,
    after,
)
from ledger.tiles import TILE_BYTES

EXECUTED: Final = (
    META,
    LANE,
    BLOCK,
    LEAF,
    TILE,
    FILE,
    SUBJECT,
    ENGAGEMENT,
    PAIR,
    RATER,
    PLATFORM,
    DIRTY,
    SUMMARY,
    DUE,
    RECORD,
    ERASURE,
    REFUSED,
    GOVERNANCE,
)
"""The prefixes of all rows that execution writes."""

_NIL: Final = b"\xc0"
_UINT_BYTES_MAX: Final = 9

_SETTLED: Final = frozenset({LANE, BLOCK, LEAF, FILE})


@dataclass(frozen=True, slots=True)
class Difference:
    """A stored row that is not what execution yields. `expected` or `found` is None where there is
    no row; `unreadable` tells how a row could not be read at all."""

    key: bytes
    expected: bytes | None
    found: bytes | None
    unreadable: str = ""

    @property
    def where(self) -> str:
        """The row's name for people."""
        return describe_key(self.key)

    @property
    def detail(self) -> str:
        """What is wrong, in one sentence."""
        if self.unreadable:
            return f"cannot be read: {self.unreadable}"
        if self.found is None:
            return "is missing"
        if self.expected is None:
            return "should not be there"
        pairs = zip(self.expected, self.found, strict=False)
        shorter = min(len(self.expected), len(self.found))
        at = next((at for at, (a, b) in enumerate(pairs) if a != b), shorter)
        return f"differs from what execution yields, first at byte {at}"


def is_settled(key: bytes, value: bytes | None) -> bool:
    """Whether a row will never be written again, but for a leaf row's erasure."""
    if key[:1] == TILE:
        return value is not None and len(value) == TILE_BYTES
    return key[:1] in _SETTLED or (key[:1] == META and key != HEAD_KEY)


def settled(changes: Changes) -> Changes:
    """Those of a block's rows that no later block writes again."""
    return {key: value for key, value in changes.items() if is_settled(key, value)}


def is_marked_later(difference: Difference) -> bool:
    """Whether the row is a record's leaf row and differs only by an erasure that it names."""
    expected, found = difference.expected, difference.found
    if difference.key[:1] != LEAF or expected is None or found is None:
        return False
    if (
        expected[:1] == SEAL_KIND
        or expected[-1:] != _NIL
        or found[: len(expected) - 1] != (expected[:-1])
    ):
        return False
    try:
        decode(Uint, found[len(expected) - 1 :], bytes_max=_UINT_BYTES_MAX)
    except Malformed:
        return False
    return True


def compare(
    recomputed: Mapping[bytes, bytes | None] | Iterable[tuple[bytes, bytes | None]], reader: Reader
) -> Iterator[Difference]:
    """The recomputed rows that the store does not hold in the same form."""
    rows = recomputed.items() if isinstance(recomputed, Mapping) else recomputed
    for key, expected in rows:
        try:
            found = reader.get(key)
        except StoreDamaged as error:
            yield Difference(key, expected, None, str(error))
            continue
        if found != expected:
            yield Difference(key, expected, found)


def executed_rows(reader: Reader) -> Iterator[tuple[bytes, bytes]]:
    """All rows that execution has written, prefix by prefix."""
    for prefix in EXECUTED:
        yield from reader.scan(prefix, after(prefix))


def surplus(recomputed: Reader, reader: Reader) -> Iterator[Difference]:
    """Rows of execution's prefixes that are stored and that execution does not yield."""
    for prefix in EXECUTED:
        try:
            for key, found in reader.scan(prefix, after(prefix)):
                if recomputed.get(key) is None:
                    yield Difference(key, None, found)
        except StoreDamaged as error:
            yield Difference(prefix, None, None, str(error))
