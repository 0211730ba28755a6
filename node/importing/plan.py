"""From a row to the records that it means, in two steps.

`Planner.plan` makes drafts: records whose handles are still the platform's own references. The
node is asked for the handles of all references of many rows at once; `RowPlan.build` then yields
canonical record bytes. Everything in a draft is a function of the file and the mapping, so a second
import of the same rows makes the same bytes, which the node knows already.

A subject is registered by the first good row that names it, at that row's time and with that row's
key, if the mapping knows one.
"""

from collections.abc import Mapping as Map
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from ledger.encoding import Value, encode
from ledger.errors import Malformed
from ledger.hashing import ZERO_HASH
from ledger.records import decode_record
from ledger.records.subject import SubjectRegister
from node.importing.fields import Shape, public_key
from node.importing.mapping import Mapping, Person
from node.importing.rows import Row
from node.importing.terms import RowRejected, Scope, Term

REFERENCE_BYTES_MAX: Final = 256
Kind = Literal["subject", "engagement"]


class Reference(NamedTuple):
    """The platform's own name of a subject or an engagement."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A record whose `references` (field, reference) still wait for their handles."""

    name: str
    kind: type[Value]
    fields: dict[str, Any]
    references: tuple[tuple[str, Reference], ...]

    def build(self, handles: Map[Reference, bytes]) -> bytes:
        """The canonical record bytes."""
        filled = {field: handles[reference] for field, reference in self.references}
        return encode(self.kind(**self.fields, **filled))

    def check(self) -> None:
        """Demand that the record's own types accept its values, whatever its handles will be.

        Raises:
            RowRejected: says which record and field.
        """
        filled = dict.fromkeys((field for field, _ in self.references), ZERO_HASH)
        try:
            decode_record(encode(self.kind(**self.fields, **filled)))
        except Malformed as error:
            raise RowRejected(f"{self.name}: {error}") from error


@dataclass(frozen=True, slots=True)
class RowPlan:
    """The drafts of one row, in the order in which they must reach the ledger."""

    row: Row
    drafts: tuple[Draft, ...]

    @property
    def references(self) -> set[Reference]:
        """All references that need handles."""
        return {reference for draft in self.drafts for _, reference in draft.references}


class Planner:
    """Plans the rows of one file, in their order; remembers which subjects it has registered."""

    def __init__(
        self, mapping: Mapping, lookups: Map[str, Map[str, str]], *, platform: int
    ) -> None:
        self._mapping = mapping
        self._lookups = lookups
        self._platform = platform
        self._registered: set[str] = set()

    def plan(self, row: Row) -> RowPlan:
        """The drafts of a row.

        Raises:
            RowRejected: with the reason.
        """
        mapping = self._mapping
        scope = Scope(row.cells, mapping.values, self._lookups)
        shapes = [
            shape for shape in mapping.shapes if shape.when is None or shape.when.of(scope) == "yes"
        ]
        if not shapes:
            raise RowRejected("the mapping makes no record of this row")
        people = {
            name: _reference("subject", mapping.subjects[name].reference, scope)
            for name in dict.fromkeys(name for shape in shapes for _, name in shape.subjects)
        }
        times = {
            name: mapping.times[name].at(scope, row.index) for name in self._times(shapes, people)
        }
        engagement = _reference("engagement", mapping.engagement, scope)
        records = [self._record(shape, scope, times, people, engagement) for shape in shapes]
        registrations = self._registrations(people, times, scope)
        for draft in (*registrations, *records):
            draft.check()
        self._registered.update(
            reference.text for draft in registrations for _, reference in draft.references
        )
        return RowPlan(row, (*registrations, *records))

    def _times(self, shapes: Sequence[Shape], people: Map[str, Reference]) -> set[str]:
        """The times that these records use: a job under way has no end to be read."""
        used = {time for shape in shapes for _, time in shape.times}
        return used | {self._mapping.subjects[name].registered for name in people}

    def _record(
        self,
        shape: Shape,
        scope: Scope,
        times: Map[str, int],
        people: Map[str, Reference],
        engagement: Reference,
    ) -> Draft:
        fields: dict[str, Any] = {"platform": self._platform, **shape.constants}
        for field, time in shape.times:
            fields[field] = times[time]
        try:
            for field, maker in shape.makers:
                fields[field] = maker(scope)
        except RowRejected as error:
            raise RowRejected(f"{shape.name}: {error}") from error
        subjects = tuple((field, people[name]) for field, name in shape.subjects)
        return Draft(shape.name, shape.kind, fields, (("reference", engagement), *subjects))

    def _registrations(
        self, people: Map[str, Reference], times: Map[str, int], scope: Scope
    ) -> list[Draft]:
        new = {
            reference: name
            for name, reference in people.items()
            if reference.text not in self._registered
        }
        return [
            self._registration(self._mapping.subjects[name], reference, times, scope)
            for reference, name in new.items()
        ]

    def _registration(
        self, person: Person, reference: Reference, times: Map[str, int], scope: Scope
    ) -> Draft:
        fields = {
            "platform": self._platform,
            "at": times[person.registered],
            "key": b"" if person.key is None else public_key(person.key.of(scope)),
            "assurance": person.assurance.of(scope),
        }
        return Draft("subject.register", SubjectRegister, fields, (("handle", reference),))


def _reference(kind: Kind, term: Term, scope: Scope) -> Reference:
    text = str(term.of(scope))
    if not 1 <= len(text.encode()) <= REFERENCE_BYTES_MAX:
        raise RowRejected(f"a reference must have 1 to {REFERENCE_BYTES_MAX} bytes")
    return Reference(kind, text)
