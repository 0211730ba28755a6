"""Which leaves of a file are erased: told by the file's own leaves, never by what is held or not.

An *erasure leaf* is a leaf of type 30 with a target: the log index of the record of this file that
it erases. All other leaves are *records' own*, an erasure's own (type 30, no target) among them.
Several leaves may have one log index: an erasure's own and its erasure leaves. What execution
makes, and so what every reader of a file demands:

1. the log index of a record's own leaf is above all log indices that stand before it;
2. the target of an erasure leaf is the log index of a record's own leaf that stands before it, lies
   below the erasure's log index, and is neither an erasure (30) nor an acknowledgement (31);
3. no two erasure leaves have one target;
4. leaves of one log index agree in type, time, commitment and annotation hash.

A leaf of a type that the score reads is opened, unless an erasure leaf of the same file targets it:
then it stays closed, and counts for nothing but the number of erased leaves.
"""

from collections.abc import Iterable
from typing import Final

from ledger.errors import BadProof
from ledger.files import FileLeaf
from ledger.records import TAGS
from ledger.records.erasure import Erasure, ErasureAck

ERASURE_TYPE: Final = TAGS[Erasure]
ACK_TYPE: Final = TAGS[ErasureAck]


def check_erasures(leaves: Iterable[FileLeaf]) -> set[int]:
    """The log indices of a file's erased leaves; `leaves` are all of the file's, in its order.

    Raises:
        BadProof: leaves as no execution makes them.
    """
    standing: dict[int, FileLeaf] = {}  # by log index, the first leaf that has it
    owned: set[int] = set()
    erased: set[int] = set()
    highest = -1
    for leaf in leaves:
        log_index = leaf.log_index
        first = standing.setdefault(log_index, leaf)
        if leaf.type == ERASURE_TYPE and leaf.target is not None:
            _check_target(leaf, standing, owned, erased)
            erased.add(leaf.target)
        elif log_index > highest:
            owned.add(log_index)
        else:
            raise BadProof(f"leaf {log_index} does not stand above all before it")
        if first is not leaf and _said(first) != _said(leaf):
            raise BadProof(f"two leaves of log index {log_index} are not of one record")
        highest = max(highest, log_index)
    return erased


def _check_target(
    leaf: FileLeaf, standing: dict[int, FileLeaf], owned: set[int], erased: set[int]
) -> None:
    target = leaf.target
    assert target is not None, "an erasure leaf has a target"
    what = f"the target {target} of erasure {leaf.log_index}"
    if target not in owned:
        raise BadProof(f"{what} does not stand before it")
    if target >= leaf.log_index:
        raise BadProof(f"{what} is not older than it")
    if standing[target].type in {ERASURE_TYPE, ACK_TYPE}:
        raise BadProof(f"{what} is of a type that is never erased")
    if target in erased:
        raise BadProof(f"{what} is erased already")


def _said(leaf: FileLeaf) -> tuple[int, int, bytes, bytes]:
    return leaf.type, leaf.time, leaf.commitment, leaf.annotation_hash
