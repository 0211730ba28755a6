"""What a stopped node stores beside the executed ledger, as far as it can be judged.

- *Consensus rows* (`K`, tables in `consensus/safety.py`): each is read as what its key says. Final
  blocks (`Kf`) are the executed ones, without a gap, each under a finalization or below one;
  certificates (`Kc`) and own cosignatures (`Ks`) hold. Own votes, proposals, what is pending and
  evidence bind by their signatures, which peers check: here only their form is.
- *Roll-back*: an own cosignature, or more final blocks than may wait for execution, above the
  newest block row show that executed rows were lost or an older copy was put in their place.
- *Submissions* (`S`) that no stored header counts should not be there.
- *Node rows* (`N`) are this node's own affair: that the disk still holds them is all that is asked.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from consensus import safety
from consensus.certificate import FINALIZE, Certificate, Seats, check_certificate
from consensus.evidence import Evidence
from ledger.block import block_hash
from ledger.checkpoint import Checkpoint, cosignature_message
from ledger.errors import InvalidInput, Malformed, StoreDamaged
from ledger.genesis import chain_id
from ledger.rows import HeaderRow, decode_row, describe_key, header_key, read_row
from ledger.signing import verify
from ledger.source import Finding
from ledger.store import CONSENSUS, HEADER, NODE, SUBMISSION, UNDO, Reader, after
from node.audit.checkpoints import Sets
from node.audit.folder import ViewReader

FINAL_AHEAD_MAX: Final = 64
"""How many final blocks may wait for execution (consensus: heights past the last checkpoint)."""

_ROWS: Final[Mapping[bytes, Any]] = {
    safety.VOTE: safety.VoteRow,
    safety.PROPOSAL: safety.ProposalRow,
    safety.CERTIFICATE: Certificate,
    safety.FINAL: safety.FinalRow,
    safety.COSIGNED: safety.CosignedRow,
    safety.EVIDENCE: Evidence,
    safety.NEWEST: safety.NewestRow,
}

Roots = Mapping[int, tuple[int, bytes]]


def check_own(
    stored: Reader, sets: Sets, roots: Roots, names: Mapping[int, bytes], newest: int
) -> Iterator[Finding]:
    """What is wrong with rows that replay does not reach.

    `roots`: height → (size, root) as replayed; `names`: height → block hash; `newest`: the height
    of the newest block row.
    """
    yield from _OwnRows(stored, sets, roots, names, newest).check()


def check_others(stored: ViewReader) -> Iterator[Finding]:
    """Submissions that no header counts, and that the disk holds what nobody else reads."""
    yield from _stray_submissions(stored)
    for prefix in (HEADER, UNDO, NODE):
        yield from _readable(stored, prefix)


class _OwnRows:
    """The consensus rows of one store against what was replayed."""

    def __init__(
        self,
        stored: Reader,
        sets: Sets,
        roots: Roots,
        names: Mapping[int, bytes],
        newest: int,
    ) -> None:
        self._stored = stored
        self._sets = sets
        self._chain = chain_id(sets.foundation)
        self._roots = roots
        self._names = names
        self._newest = newest
        self._final = b""  # key of the newest final block's row so far
        self._is_finalized = True

    def check(self) -> Iterator[Finding]:
        try:
            for key, data in self._stored.scan(CONSENSUS, after(CONSENSUS)):
                for detail in self._faults(key, data):
                    yield Finding("consensus", describe_key(key), detail)
        except StoreDamaged as error:
            yield Finding("consensus", error.where, str(error))
        yield from self._check_end()

    def _faults(self, key: bytes, data: bytes) -> Iterator[str]:
        kind = _ROWS.get(key[:2])
        if key[:2] == safety.PENDING:
            if len(data) != 8:
                yield "is no order of arrival"
            return
        if kind is None:
            yield "should not be there"
            return
        if key[:2] == safety.FINAL:
            yield from self._place_faults(key)
        try:
            row = decode_row(kind, key, data)
        except StoreDamaged as error:
            yield str(error)
            return
        match row:
            case safety.FinalRow():
                yield from self._final_faults(key, row)
            case Certificate():
                yield from self._certificate_faults(row)
            case safety.CosignedRow():
                yield from self._cosigned_faults(int.from_bytes(key[2:]), row)
            case _:
                pass

    def _place_faults(self, key: bytes) -> Iterator[str]:
        if self._final and int.from_bytes(key[2:]) != int.from_bytes(self._final[2:]) + 1:
            yield "follows a gap: the final block below it is missing"
        self._final, self._is_finalized = key, True

    def _final_faults(self, key: bytes, row: safety.FinalRow) -> Iterator[str]:
        height = int.from_bytes(key[2:])
        name = block_hash(self._chain, row.block)
        if row.block.height != height:
            yield f"holds a block of height {row.block.height}"
        if self._names.get(height, name) != name:
            yield "holds another block than the executed one"
        self._is_finalized = row.finalization is not None
        names = {name} | ({block_hash(self._chain, row.tail)} if row.tail is not None else set())
        if row.finalization is not None:
            if row.finalization.kind != FINALIZE or row.finalization.hash not in names:
                yield "its finalization is of another block"
            yield from self._certificate_faults(row.finalization)

    def _certificate_faults(self, certificate: Certificate) -> Iterator[str]:
        try:
            if not 1 <= certificate.epoch <= self._sets.epoch:
                raise Malformed("is of an epoch that has not begun", field="epoch")
            seats = Seats.of(self._sets.of(certificate.epoch))
            check_certificate(self._chain, seats, verify, certificate)
        except InvalidInput as error:
            yield str(error)

    def _cosigned_faults(self, height: int, row: safety.CosignedRow) -> Iterator[str]:
        if height > self._newest:
            yield f"this node has executed that block, and now ends at block {self._newest}"
        elif self._roots.get(height, (row.size, row.root)) != (row.size, row.root):
            yield "is for another size or root than the block yields"
        text = Checkpoint(self._sets.foundation.origin, row.size, row.root).text()
        message = cosignature_message(row.time_s, text)
        keys = [each.cosigner_key for each in self._sets.at(height)]
        if not any(verify(key, message, row.signature) for key in keys):
            yield "the cosignature does not hold"

    def _check_end(self) -> Iterator[Finding]:
        if not self._final:
            return
        key, height = self._final, int.from_bytes(self._final[2:])
        if not self._is_finalized:
            detail = "is the newest final block and has no finalization"
            yield Finding("consensus", describe_key(key), detail)
        if height < self._newest:
            detail = f"is the newest final block, and block {self._newest} is executed"
            yield Finding("consensus", describe_key(key), detail)
        if height > self._newest + FINAL_AHEAD_MAX:
            detail = f"is final, and the newest executed block is {self._newest}: rolled back?"
            yield Finding("rollback", describe_key(key), detail)


def _stray_submissions(stored: ViewReader) -> Iterator[Finding]:
    """Submissions that no header counts; those that one counts are opened by the replay."""
    name, count = b"", 0
    try:
        for key in stored.keys(SUBMISSION, after(SUBMISSION)):
            if key[1:33] != name:
                name, count = key[1:33], _count(stored, key[1:33])
            if len(key) != 35 or int.from_bytes(key[33:]) >= count:
                yield Finding("row", describe_key(key), "should not be there")
    except StoreDamaged as error:
        yield Finding("row", error.where, str(error))


def _count(stored: Reader, name: bytes) -> int:
    """How many submissions a header counts; any number where it cannot be read (told elsewhere)."""
    try:
        row = read_row(stored, HeaderRow, header_key(name))
    except StoreDamaged:
        return 1 << 16
    return 0 if row is None else row.header.count


def _readable(stored: Reader, prefix: bytes) -> Sequence[Finding]:
    """That the disk holds every row of a prefix as it was written."""
    try:
        for _ in stored.scan(prefix, after(prefix)):
            pass
    except StoreDamaged as error:
        return (Finding("row", error.where, str(error)),)
    return ()
