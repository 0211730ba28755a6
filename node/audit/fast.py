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
import secrets
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Final

import plyvel

from ledger.encoding import encode
from ledger.errors import StandingError
from ledger.genesis import Genesis, chain_id
from ledger.mapproof import EMPTY_ROOT
from ledger.replay import Replay
from ledger.source import Finding
from ledger.store import META, after
from node.audit.ahead import BLOCKS_AHEAD, AheadSource, Place, Unfit
from node.audit.folder import FolderLedger
from node.audit.furnishers import Told, add_told
from node.audit.indexing import FarIndex
from node.audit.live import LiveRows
from node.audit.outcome import Outcome
from node.audit.tasks import (
    SECRET_BYTES,
    SetDigest,
    close_views,
    digest,
    digest_packed,
    merge,
    negative,
    ranges,
    scan_others,
    scan_rows,
)
from node.audit.workers import Workers

ROWS_AT_ONCE: Final = 20_000

Progress = Callable[[int, int], None]


def replay_fast(
    ledger: FolderLedger,
    genesis: Genesis,
    executor: Executor,
    *,
    on_progress: Progress = lambda _done, _total: None,
) -> Outcome | None:
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

    def run(self, on_progress: Progress) -> Outcome:
        foundation = self._genesis.foundation
        source = AheadSource(
            self._ledger.stored,
            Place(self._ledger.stored.folder, self._place),
            chain_id(foundation),
            foundation.bounds,
            self._executor,
        )
        rows = LiveRows(self._take, self._take_back, self._ledger.stored)
        whole = Outcome(rows)
        scans = self._scanning()
        whole.replay = replayed = Replay(self._genesis, whole.source(source), None, rows)
        source.index_roots[0] = EMPTY_ROOT
        self._have_index_kept(replayed, source)
        for step in replayed.steps(None):
            if step.findings:
                raise Unfit
            whole.note(step)
            for scan in itertools.islice(scans, self._scans_due(step.size)):
                self._scans.append(scan)
            on_progress(step.size, self._size)
        self._scans.extend(scans)
        self._compare(whole, replayed, rows)
        return whole

    def cancel(self) -> None:
        """Begin nothing more of what was asked for."""
        for digested in self._digests:
            digested.cancel()
        for scan in self._scans:
            scan.cancel()

    # --- what is executed ---

    def _have_index_kept(self, replayed: Replay, source: AheadSource) -> None:
        """Let a process of its own keep the index, if there is one for such things."""
        if isinstance(self._executor, Workers):
            claimed = source.index_roots.__getitem__
            index = FarIndex(self._executor.in_order, self._secret, claimed)
            replayed.state = replace(replayed.state, index=index)

    def _take(self, settled: list[tuple[bytes, bytes]]) -> None:
        while len(self._digests) >= BLOCKS_AHEAD:
            self._executed.append(self._digests.popleft().result())
        self._digests.append(self._executor.submit(digest_packed, self._secret, encode(settled)))

    def _take_back(self, rows: list[tuple[bytes, bytes]]) -> None:
        """Rows that were digested as settled are none."""
        self._executed.append(negative(digest(self._secret, rows)))

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

    def _compare(self, whole: Outcome, replayed: Replay, live: LiveRows) -> None:
        rows = iter(live.rows())
        while chunk := list(itertools.islice(rows, ROWS_AT_ONCE)):
            self._take(chunk)
        stored = [digest(self._secret, self._ledger.stored.scan(META, after(META)))]
        for scan in self._scans:
            found = scan.result()
            if found is None:
                raise Unfit
            stored.append(found[0])
            add_told(whole.told, found[1])
        if isinstance(replayed.state.index, FarIndex):
            replayed.state.index.check()  # that its roots are those which the seals claim
        self._executed += [future.result() for future in self._digests]
        self._digests.clear()
        if merge(self._executed) != merge(stored):
            raise Unfit
        if self._others is not None:
            whole.others = self._others.result()
