"""An import, whole: a pipeline of three stages with bounded work between them.

    plan      read rows, draft their records, get handles, encode      (one batch ahead)
    submit    hand the batches to the target, one after the other, in the file's order
    settle    wait until they are final, count each row, write rejects, save the state

Order matters, since an outcome rests on its open and an open on registrations, so one batch is on
its way at a time; the other stages work meanwhile. A row is `rejected` if one of its records is
refused (by the mapping, at intake or at execution), a `duplicate` if the ledger has all of them
already, else `applied`. That a subject is registered already is no fault of a row.
"""

import asyncio
from collections.abc import Callable, Iterator
from collections.abc import Mapping as Map
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ledger.errors import Malformed, Misconfigured
from node.importing.mapping import Lookup, Mapping
from node.importing.plan import Planner, Reference, RowPlan
from node.importing.rejects import Rejects
from node.importing.rows import BadRow, Row, Source, read_rows
from node.importing.state import State, Tally, drop_state, save_state
from node.importing.target import Answer, Target
from node.importing.terms import RowRejected

BATCH_ROWS: Final = 256
SETTLING_BATCHES: Final = 8
LOOKUP_ROWS_MAX: Final = 10_000_000
HANDLES_KEPT_MAX: Final = 200_000

OnProgress = Callable[[int, Tally], None]


@dataclass(slots=True)
class _Fate:
    """What becomes of one row: its place, its records and what was answered."""

    line: int
    raw: bytes
    reason: str = ""
    names: tuple[str, ...] = ()
    records: tuple[bytes, ...] = ()
    answers: tuple[Answer, ...] = ()


@dataclass(slots=True)
class _Batch:
    """Rows on their way; `end` is the file offset behind them."""

    fates: list[_Fate] = field(default_factory=list)
    plans: dict[int, RowPlan] = field(default_factory=dict)
    end: int = 0


def load_lookups(mapping: Mapping, folder: Path) -> dict[str, dict[str, str]]:
    """Read the mapping's other files from the imported file's folder.

    Raises:
        Misconfigured: one cannot be read, or its columns are not there.
    """
    return {
        name: _load_lookup(name, lookup, mapping.source, folder)
        for name, lookup in mapping.lookups.items()
    }


def _load_lookup(name: str, lookup: Lookup, source: Source, folder: Path) -> dict[str, str]:
    path = folder / lookup.file
    columns = Source(source.format, (lookup.key, lookup.value), True, source.delimiter)
    found: dict[str, str] = {}
    try:
        for row in read_rows(path, columns):
            if isinstance(row, BadRow):
                raise Misconfigured(f"lookup {name!r}: {path}, line {row.line}: {row.reason}")
            key = row.cells.get(lookup.key)
            value = row.cells.get(lookup.value)
            if key is None or value is None:
                raise Misconfigured(f"lookup {name!r}: {path}, line {row.line}: no key or value")
            if found.setdefault(key, value) != value:
                raise Misconfigured(
                    f"lookup {name!r}: {path}, line {row.line}: {key!r} has two values"
                )
            if len(found) > LOOKUP_ROWS_MAX:
                raise Misconfigured(f"lookup {name!r}: {path} has more than {LOOKUP_ROWS_MAX} keys")
    except OSError as error:
        raise Misconfigured(f"lookup {name!r}: {path} cannot be read: {error.strerror}") from error
    except Malformed as error:
        raise Misconfigured(f"lookup {name!r}: {error}") from error
    return found


class Import:
    """One file on its way into one target."""

    def __init__(
        self,
        file: Path,
        mapping: Mapping,
        lookups: Map[str, Map[str, str]],
        target: Target,
        *,
        rejects: Rejects,
        state: State,
        state_path: Path | None = None,
        limit: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._file = file
        self._mapping = mapping
        self._planner = Planner(mapping, lookups, platform=target.platform)
        self._target = target
        self._rejects = rejects
        self._state = state
        self._state_path = state_path
        self._limit = limit
        self._on_progress = on_progress
        self._handles: dict[Reference, bytes] = {}

    async def run(self) -> Tally:
        """Import everything; the figures of the whole, earlier interrupted runs included.

        Raises:
            InvalidInput, StandingError: the file or the node fails; the state is kept.
        """
        planned: asyncio.Queue[_Batch | None] = asyncio.Queue(maxsize=1)
        submitted: asyncio.Queue[_Batch | None] = asyncio.Queue(maxsize=SETTLING_BATCHES)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._plan(planned))
                tasks.create_task(self._submit(planned, submitted))
                tasks.create_task(self._settle(submitted))
        except BaseExceptionGroup as group:
            raise _first(group) from None
        if self._state_path is not None:
            drop_state(self._state_path)
        return self._state.tally

    # -- plan -----------------------------------------------------------------------------------

    async def _plan(self, planned: "asyncio.Queue[_Batch | None]") -> None:
        batch = _Batch()
        for row in self._rows():
            self._take(row, batch)
            if len(batch.fates) == BATCH_ROWS:
                await self._encode(batch)
                await planned.put(batch)
                batch = _Batch()
        if batch.fates:
            await self._encode(batch)
            await planned.put(batch)
        await planned.put(None)

    def _rows(self) -> Iterator[Row | BadRow]:
        done = self._state.tally.rows
        for row in read_rows(self._file, self._mapping.source):
            if self._limit is not None and row.index >= self._limit:
                return
            if row.index >= done:
                yield row
            elif isinstance(row, Row):
                self._pass_over(row)

    def _pass_over(self, row: Row) -> None:
        """Plan a row that is done already, so that the planner knows whom it registered."""
        try:
            self._planner.plan(row)
        except RowRejected:
            return

    def _take(self, row: Row | BadRow, batch: _Batch) -> None:
        fate = _Fate(row.line, row.raw)
        if isinstance(row, BadRow):
            fate.reason = row.reason
        else:
            try:
                batch.plans[len(batch.fates)] = self._planner.plan(row)
            except RowRejected as error:
                fate.reason = str(error)
        batch.fates.append(fate)
        batch.end = row.end

    async def _encode(self, batch: _Batch) -> None:
        wanted = {each for plan in batch.plans.values() for each in plan.references}
        missing = sorted(wanted - self._handles.keys())
        if len(self._handles) > HANDLES_KEPT_MAX:
            self._handles = {each: self._handles[each] for each in wanted - set(missing)}
        if missing:
            found = await self._target.handles(missing)
            self._handles.update(zip(missing, found, strict=True))
        for position, plan in batch.plans.items():
            fate = batch.fates[position]
            fate.names = tuple(draft.name for draft in plan.drafts)
            fate.records = tuple(draft.build(self._handles) for draft in plan.drafts)
        for reference in wanted:
            if reference.kind == "engagement":  # rarely named again; subjects are
                del self._handles[reference]

    # -- submit ---------------------------------------------------------------------------------

    async def _submit(
        self,
        planned: "asyncio.Queue[_Batch | None]",
        submitted: "asyncio.Queue[_Batch | None]",
    ) -> None:
        while (batch := await planned.get()) is not None:
            records = [record for fate in batch.fates for record in fate.records]
            answers = iter(await self._target.offer(records) if records else ())
            for fate in batch.fates:
                fate.answers = tuple(next(answers) for _ in fate.records)
            await submitted.put(batch)
        await submitted.put(None)

    # -- settle ---------------------------------------------------------------------------------

    async def _settle(self, submitted: "asyncio.Queue[_Batch | None]") -> None:
        while (batch := await submitted.get()) is not None:
            accepted = [
                answer.record_id
                for fate in batch.fates
                for answer in fate.answers
                if answer.outcome == "accepted"
            ]
            refused = await self._target.settle(accepted) if accepted else {}
            for fate in batch.fates:
                self._count(fate, refused)
            self._state.rejects_bytes = self._rejects.flush()
            if self._state_path is not None:
                save_state(self._state_path, self._state)
            if self._on_progress is not None:
                self._on_progress(batch.end, self._state.tally)

    def _count(self, fate: _Fate, refused: Map[str, str]) -> None:
        tally = self._state.tally
        tally.rows += 1
        standing = sum(
            answer.outcome == "accepted" and answer.record_id not in refused
            for answer in fate.answers
        )
        tally.records += standing
        reason = fate.reason or _reason(fate, refused)
        if reason:
            tally.rejected += 1
            note = f" ({standing} of the row's records stand)" if standing else ""
            self._rejects.add(fate.line, reason + note, fate.raw)
        elif _is_duplicate(fate):
            tally.duplicates += 1
        else:
            tally.applied += 1


def _reason(fate: _Fate, refused: Map[str, str]) -> str:
    for name, answer in zip(fate.names, fate.answers, strict=True):
        if answer.outcome == "conflict" and name == "subject.register":
            continue
        if answer.outcome in ("refused", "conflict"):
            return f"{name}: {answer.reason}"
        if answer.outcome == "accepted" and answer.record_id in refused:
            return f"{name}: {refused[answer.record_id]}"
    return ""


def _is_duplicate(fate: _Fate) -> bool:
    return all(
        answer.outcome == "duplicate"
        for name, answer in zip(fate.names, fate.answers, strict=True)
        if name != "subject.register"
    )


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
