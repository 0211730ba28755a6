"""What the rules read and what an accepted record changes in it: subjects, engagements, erasures,
and what concerns the network itself.

Two rooms hold such a registry: execution (`ledger/overlay.py`), whose word is final, and intake
(in the node), which looks ahead over a platform's own records that are still under way.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self

from ledger.bureau.model import Model
from ledger.erasure_rows import ErasureRow
from ledger.errors import Refused
from ledger.genesis import Bounds
from ledger.governing import Governance, Table
from ledger.parameters import Parameters, Scale
from ledger.rows import EngagementRow, SubjectRow
from ledger.rules.codes import DATED_BEFORE_ERASURE, UNKNOWN_SUBJECT
from ledger.store import subject_key


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The closed words in force, ready to be looked up, with the model and the genesis bounds."""

    scales: Mapping[str, Scale]
    domains: frozenset[str]
    model: Model
    bounds: Bounds

    @classmethod
    def of(cls, parameters: Parameters, bounds: Bounds) -> Self:
        """The vocabulary of these parameters."""
        return cls(
            {scale.code: scale for scale in parameters.scales},
            frozenset(domain.code for domain in parameters.domains),
            parameters.model,
            bounds,
        )


class Registry(Protocol):
    """Subjects by subject key (36 bytes), engagements by platform (u32) ‖ reference (32), erasures
    by log index (u64)."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The closed words in force."""
        ...

    @property
    def subjects(self) -> Table[SubjectRow]:
        """Registered subjects."""
        ...

    @property
    def engagements(self) -> Table[EngagementRow]:
        """Opened engagements."""
        ...

    @property
    def erasures(self) -> Table[ErasureRow]:
        """Accepted erasures."""
        ...

    @property
    def governance(self) -> Governance:
        """Changes of the membership, names, evidence."""
        ...

    def log_index_of(self, record_id: bytes) -> int | None:
        """The log index of an accepted record, or None."""
        ...


def need_subject(registry: Registry, platform: int, handle: bytes, *, field: str) -> SubjectRow:
    """The row of a subject that a record names.

    Raises:
        Refused: nobody has registered it.
    """
    row = registry.subjects.get(subject_key(platform, handle))
    if row is None:
        raise Refused(
            UNKNOWN_SUBJECT, f"platform {platform} has registered no such handle", field=field
        )
    return row


def need_dated_after_erasure(row: SubjectRow, at: int) -> None:
    """A signed record of this date (ms) about the subject is not an old one, handed in again.

    Raises:
        Refused: the subject's file has been erased at that time or later.
    """
    if row.erased_at >= at:
        raise Refused(
            DATED_BEFORE_ERASURE, "is not later than the last erasure: sign a new one", field="at"
        )
