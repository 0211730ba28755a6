"""The quick replay of a folder: executes everything, and compares all rows at once.

It is `ledger.replay` with two rooms exchanged. Batches come from `AheadSource`, which reads blocks
ahead and has their payloads checked elsewhere (`node/audit/tasks.py`); what execution writes goes
to `LiveRows`, which keeps only rows that execution may read again, and has all others digested. At
the end the digest of all recomputed rows must be that of all stored ones. So it says yes or no: if
anything whatsoever is not as it should be, the caller replays at leisure and names it.

Work for other processes goes through a `concurrent.futures.Executor`: a pool of processes here, or
one that reaches a cluster on which all workers see the store's folder. State stays in this process.
"""

import gc
import itertools
import multiprocessing
import secrets
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import plyvel

from ledger.batch import Batch, Submission
from ledger.encoding import decoder
from ledger.errors import StandingError
from ledger.genesis import Bounds, Genesis, chain_id
from ledger.replay import Replay
from ledger.rows import BlockRow, HeaderRow, block_key, header_key, read_row, submission_key
from ledger.source import Finding
from ledger.store import BLOCK, FILE, LANE, LEAF, META, RECORD, TILE, Reader, after
from ledger.tiles import TILE_BYTES
from node.audit.folder import FolderLedger
from node.audit.furnishers import Told, add_told
from node.audit.tasks import (
    SECRET_BYTES,
    Checked,
    SetDigest,
    check_batches,
    close_views,
    digest,
    merge,
    ranges,
    scan_others,
    scan_rows,
)

BLOCKS_AHEAD: Final = 4
ROWS_AT_ONCE: Final = 50_000

_ONCE: Final = frozenset(LEAF + FILE + LANE + BLOCK)
_RECORD: Final = RECORD[0]
_TILE: Final = TILE[0]
_ACCEPTED_KEY_BYTES: Final = 33

Progress = Callable[[int, int], None]


class Unfit(Exception):
    """Something is not as it should be; the thorough replay says what."""


@dataclass(slots=True)
class Whole:
    """A ledger in which every row is what execution yields. By height: `roots` (size and root) and
    `names` (block hashes). `live` holds the recomputed rows that execution may still change."""

    live: "LiveRows"
    replayed: Replay | None = None
    others: tuple[Finding, ...] = ()
    roots: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    names: dict[int, bytes] = field(default_factory=dict)
    newest: int = 0
    time: int = 0
    records: int = 0
    refused: dict[int, int] = field(default_factory=dict)
    told: Told = field(default_factory=dict)


def replay_fast(
    ledger: FolderLedger,
    genesis: Genesis,
    executor: Executor,
    *,
    on_progress: Progress = lambda _done, _total: None,
) -> Whole | None:
    """Replay and compare; None if anything is not as it should be."""
    with tempfile.TemporaryDirectory(prefix="standing-audit-") as place:
        run = _Run(ledger, genesis, executor, Path(place))
        # Rows are bytes: there is nothing in cycles, and much to look through in vain.
        collecting = gc.isenabled()
        gc.disable()
        try:
            return run.run(on_progress)
        except (Unfit, StandingError, BrokenExecutor, plyvel.Error, OSError):
            return None
        finally:
            run.cancel()
            close_views()
            if collecting:
                gc.enable()


class _Run:
    def __init__(
        self, ledger: FolderLedger, genesis: Genesis, executor: Executor, place: Path
    ) -> None:
        self._ledger = ledger
        self._genesis = genesis
        self._executor = executor
        self._place = place
        self._secret = secrets.token_bytes(SECRET_BYTES)
        self._size = ledger.size()
        self._executed: list[SetDigest] = []
        self._digests: deque[Future[SetDigest]] = deque()
        self._scans: list[Future[tuple[SetDigest, Told] | None]] = []
        self._others: Future[tuple[Finding, ...]] | None = None

    def run(self, on_progress: Progress) -> Whole:
        foundation = self._genesis.foundation
        source = AheadSource(
            self._ledger.stored, chain_id(foundation), foundation.bounds, self._executor
        )
        whole = Whole(LiveRows(self._take))
        scans = self._scanning()
        whole.replayed = Replay(self._genesis, source, None, whole.live)
        for step in whole.replayed.steps(None):
            if step.findings:
                raise Unfit
            whole.records += step.records
            if step.applied is not None:
                applied = step.applied
                whole.newest = step.height
                whole.roots[step.height] = (applied.size, applied.root)
                whole.names[step.height] = applied.seal.block
                whole.time = applied.seal.time
                for refusal in applied.refusals:
                    whole.refused[refusal.lane] = whole.refused.get(refusal.lane, 0) + 1
            for scan in itertools.islice(scans, self._scans_due(step.size)):
                self._scans.append(scan)
            on_progress(step.size, self._size)
        self._scans.extend(scans)
        self._compare(whole)
        return whole

    def cancel(self) -> None:
        """Begin nothing more of what was asked for."""
        for digested in self._digests:
            digested.cancel()
        for scan in self._scans:
            scan.cancel()

    # --- what is executed ---

    def _take(self, settled: list[tuple[bytes, bytes]]) -> None:
        while len(self._digests) >= BLOCKS_AHEAD:
            self._executed.append(self._digests.popleft().result())
        self._digests.append(self._executor.submit(digest, self._secret, settled))

    # --- what is stored ---

    def _scanning(self) -> Iterator[Future[tuple[SetDigest, Told] | None]]:
        """Asks for one scan after the other."""
        submit, folder = self._executor.submit, self._ledger.stored.folder
        numbers = [each.number for each in self._genesis.foundation.validators]
        self._others = submit(scan_others, folder, self._place)
        self._parts = ranges(numbers, self._size)
        for start, stop in self._parts:
            yield submit(scan_rows, folder, self._place, self._secret, start, stop)

    def _scans_due(self, size: int) -> int:
        """How many scans to ask for now, so that they spread evenly over the replay."""
        share = len(self._parts) * size // max(1, self._size) if self._scans else 1
        return max(0, share - len(self._scans))

    def _compare(self, whole: Whole) -> None:
        rows = iter(whole.live.rows())
        while chunk := list(itertools.islice(rows, ROWS_AT_ONCE)):
            self._take(chunk)
        stored = [digest(self._secret, self._ledger.stored.scan(META, after(META)))]
        for scan in self._scans:
            found = scan.result()
            if found is None:
                raise Unfit
            stored.append(found[0])
            add_told(whole.told, found[1])
        self._executed += [future.result() for future in self._digests]
        self._digests.clear()
        if merge(self._executed) != merge(stored):
            raise Unfit
        if self._others is not None:
            whole.others = self._others.result()


class LiveRows:
    """A store that keeps the rows which execution may read or change again, in memory; all others
    are handed to `take`, once."""

    def __init__(self, take: Callable[[list[tuple[bytes, bytes]]], None]) -> None:
        self._take = take
        self._rows: dict[int, dict[bytes, bytes]] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None; None, too, for a row that was handed on."""
        rows = self._rows.get(key[0])
        return None if rows is None else rows.get(key)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start ≤ key < stop, all of one prefix, in key order (or against it)."""
        rows = self._rows.get(start[0], {})
        for key in sorted((key for key in rows if start <= key < stop), reverse=reverse):
            yield key, rows[key]

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Apply changes; None removes."""
        settled: list[tuple[bytes, bytes]] = []
        kept, once = self._rows, _ONCE
        for key, value in changes.items():
            kind = key[0]
            if value is None:
                kept.get(kind, {}).pop(key, None)
            elif kind in once or (kind == _RECORD and len(key) == _ACCEPTED_KEY_BYTES):
                settled.append((key, value))
            elif kind == _TILE and len(value) == TILE_BYTES:
                kept.get(kind, {}).pop(key, None)
                settled.append((key, value))
            else:
                rows = kept.get(kind)
                if rows is None:
                    rows = kept[kind] = {}
                rows[key] = value
        self._take(settled)

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """All rows that are kept, in no order."""
        for rows in self._rows.values():
            yield from rows.items()

    def close(self) -> None:
        """Nothing is held but memory."""


class AheadSource:
    """Blocks and batches from a store, read ahead, with payloads that other processes check."""

    def __init__(self, stored: Reader, chain: bytes, bounds: Bounds, executor: Executor) -> None:
        self._stored = stored
        self._chain = chain
        self._bounds = bounds
        self._executor = executor
        self._next = 1
        self._cut: dict[int, int] = {}
        self._ahead: deque[tuple[int, BlockRow | None]] = deque()
        self._waiting: dict[bytes, tuple[HeaderRow, Sequence[bytes], int, int]] = {}
        self._checks: dict[int, Future[list[Checked | None]]] = {}
        self._decode = decoder(Submission).decode

    def block(self, height: int) -> BlockRow | None:
        """An executed block's row, or None behind the newest."""
        while len(self._ahead) <= BLOCKS_AHEAD:
            self._look()
        found, row = self._ahead.popleft()
        if found != height:
            raise Unfit
        self._checks.pop(height - 1, None)
        return row

    def _look(self) -> None:
        """Read the next block, and ask for what its batches yield."""
        height = self._next
        self._next += 1
        row = read_row(self._stored, BlockRow, block_key(height))
        self._ahead.append((height, row))
        if row is None:
            return
        batches: list[Sequence[bytes]] = []
        for tip in row.block.tips:
            name, below = tip.hash, self._cut.get(tip.lane, 0)
            for _ in range(below, tip.height):
                found = read_row(self._stored, HeaderRow, header_key(name))
                if found is None:
                    raise Unfit
                payloads = self._payloads(name, found.header.count)
                self._waiting[name] = (found, payloads, height, len(batches))
                batches.append(payloads)
                name = found.header.previous
            self._cut[tip.lane] = tip.height
        self._checks[height] = self._executor.submit(
            check_batches, self._chain, self._bounds, batches
        )

    def _payloads(self, name: bytes, count: int) -> list[bytes]:
        if not count:
            return []
        first, last = submission_key(name, 0), submission_key(name, count - 1)
        rows = [value for _, value in self._stored.scan(first, last + b"\0")]
        if len(rows) != count:
            raise Unfit
        return rows

    def batch(self, lane: int, height: int, name: bytes) -> Batch | None:
        """The batch with this header hash, with what was computed of it."""
        del lane, height
        waiting = self._waiting.pop(name, None)
        if waiting is None:
            raise Unfit
        row, payloads, block, at = waiting
        checked = self._checks[block].result()[at]
        if checked is None:
            raise Unfit
        blob, root, is_checked = checked
        ids = tuple([blob[start : start + 32] for start in range(0, len(blob), 32)])
        items = tuple(map(self._decode, payloads))
        return Batch(row.header, row.signature, items).knowing(ids, root, is_checked=is_checked)


class Inline(Executor):
    """Runs everything at once and here: for ledgers too small to be worth other processes."""

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        """The outcome of a call that has been made."""
        future: Future[object] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


POOLED_ENTRIES: Final = 20_000
"""Smaller ledgers are audited before other processes have started."""


@contextmanager
def executor_for(entries: int, processes: int) -> Iterator[Executor]:
    """Where to have work done for a ledger of so many entries."""
    if entries < POOLED_ENTRIES:
        yield Inline()
        return
    # Not a fork of this process: it holds an open store, and may hold threads.
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield pool
