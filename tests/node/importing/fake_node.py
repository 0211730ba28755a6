"""A target that behaves as a node does: intake's answers at once, execution's refusals later."""

import secrets
from collections.abc import Callable, Sequence
from hashlib import sha256

from ledger.records import Record, decode_record
from ledger.records.subject import SubjectRegister
from node.importing.dry_run import name_of
from node.importing.plan import Reference
from node.importing.target import Answer

Judge = Callable[[Record], bool]


class Broken(Exception):
    """The node went away."""


class FakeNode:
    """Keeps handles and records over several imports, as a node's store does."""

    platform = 3

    def __init__(
        self,
        *,
        refuse_early: Judge = lambda _: False,
        refuse_late: Judge = lambda _: False,
        break_after: int | None = None,
    ) -> None:
        self.refuse_early = refuse_early
        self.refuse_late = refuse_late
        self.break_after = break_after
        self.offered = 0
        self.known: dict[tuple[str, bytes, str], bytes] = {}
        self.records: list[Record] = []
        self._handles: dict[Reference, bytes] = {}
        self._late: set[str] = set()

    async def handles(self, references: Sequence[Reference]) -> list[bytes]:
        assert len(set(references)) == len(references)
        return [self._handles.setdefault(each, secrets.token_bytes(32)) for each in references]

    async def offer(self, records: Sequence[bytes]) -> list[Answer]:
        return [self._judge(data) for data in records]

    async def settle(self, record_ids: Sequence[str]) -> dict[str, str]:
        return {each: "late-rule: refused late" for each in record_ids if each in self._late}

    def _judge(self, data: bytes) -> Answer:
        self.offered += 1
        if self.break_after is not None and self.offered > self.break_after:
            raise Broken
        record = decode_record(data)
        digest = sha256(data).digest()
        if self.refuse_early(record):
            return Answer("refused", reason="early-rule: refused early")
        name = name_of(record)
        known = self.known.get(name)
        if known is not None:
            return Answer(
                "duplicate" if known == digest else "conflict", digest.hex(), "other bytes"
            )
        if not isinstance(record, SubjectRegister) and self.refuse_late(record):
            self._late.add(digest.hex())
        self.known[name] = digest
        self.records.append(record)
        return Answer("accepted", digest.hex())
