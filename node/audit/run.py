"""The audit: replay a node's ledger from genesis and find whatever is not as it should be.

1. *Policy*: the members of genesis are those whose keys the policy names; a running node's note
   holds under it, or nothing else that it serves is read.
2. *Replay* (`ledger/replay.py`): links, batches, signatures, execution, roots; and of a folder
   every stored row against the recomputed one. A folder is first replayed quickly, with all rows
   compared at once (`node/audit/fast.py`); only if that finds anything amiss, row by row.
3. *Checkpoints*: each certified one has the size and root of its block and the quorum's
   cosignatures; a running node's note is one of the replayed roots, and so is the checkpoint that
   the auditor has kept from earlier, if there is one (else the ledger was rolled back or forked).
4. *Scores*: of a folder, a sample of subjects scored from the stored and from the recomputed rows;
   of a running node, a sample's bundles verified, and compared with the scores that it serves
   (`node/audit/scores.py`).
5. *Own rows* of a folder (`node/audit/own.py`): consensus' rows, and that the disk holds the rest.

Aliases and what else a node notes for itself binds nobody: it is read, not judged. Each finding
names the row or the thing, and the command that shows it again.
"""

import re
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from pathlib import Path
from typing import Final, Self

from ledger.checkpoint import Checkpoint, verify_checkpoint, verify_checkpoint_strict
from ledger.differences import compare, executed_rows
from ledger.errors import InvalidInput, Misconfigured, StoreDamaged
from ledger.genesis import Foundation, Genesis, chain_id
from ledger.index_image import image_of
from ledger.policy import Policy
from ledger.replay import Replay
from ledger.source import Finding as Found
from ledger.store import CHECKPOINT, SUBJECT, MemoryStore, after
from ledger.trust import ReplayOn, Trust, policy_hash, trust_of
from node.audit.accused import accusations
from node.audit.checkpoints import CheckpointCheck, Sets, policy_faults, sets_of
from node.audit.erasures import Destruction, overdue
from node.audit.fast import replay_fast
from node.audit.folder import FolderLedger
from node.audit.furnishers import furnishers, told_by, told_in
from node.audit.indexing import FarIndex
from node.audit.live import LiveRows
from node.audit.outcome import Outcome, RecomputedRows
from node.audit.own import check_others, check_own
from node.audit.remote import RemoteLedger
from node.audit.report import Finding, Report, Severity
from node.audit.scores import Subject, check_served, rescore, sample
from node.audit.spill import RowStore, store_for
from node.audit.state import KeptRows, containment_fault, is_kept, keep, read_trust
from node.audit.workers import Inline

Ledger = FolderLedger | RemoteLedger
Progress = Callable[[int, int], None]

FINDINGS_MAX: Final = 10_000
UNCERTIFIED_HEIGHTS_MAX: Final = 64

_KEY: Final = re.compile(r"\(key ([0-9a-f]+)\)")


def audit(
    ledger: Ledger,
    policy: Policy,
    *,
    command: str,
    scores: int | None = None,
    kept: bytes | None = None,
    on_progress: Progress = lambda _done, _total: None,
    executor: Executor | None = None,
) -> Report:
    """Audit a ledger. `scores`: how many subjects are scored anew, None for all; `kept`: the note
    of a checkpoint that the ledger must contain. `command` is how the audit was called, for the
    findings.

    Raises:
        StandingError: the ledger cannot be read at all, or `kept` does not hold.
    """
    with Audit(ledger, policy, command, kept=kept, executor=executor) as run:
        return run.run(scores, on_progress)


class Audit:
    """One audit under way. `recomputed` holds the rows that the replay yields, until it is left."""

    def __init__(
        self,
        ledger: Ledger,
        policy: Policy,
        command: str,
        *,
        kept: bytes | None = None,
        executor: Executor | None = None,
        thorough: bool = False,
        state: Path | None = None,
    ) -> None:
        """`executor`: where the quick replay of a folder has work done (here, if None); `thorough`:
        without it, row by row, so that `recomputed` holds every row; `state`: the file in which
        the auditor keeps how far it has come (`node/audit/state.py`)."""
        self._ledger = ledger
        self._policy = policy
        self._command = command
        self._findings: list[Finding] = []
        self._kept = None if kept is None else verify_checkpoint(kept, policy)
        self._outcome = Outcome(MemoryStore())
        self._executor = executor or Inline()
        self._thorough = thorough
        self._state = state
        self._trust = None if state is None else read_trust(state)
        self._since = 0
        self._unchecked: list[str] = []

    @property
    def recomputed(self) -> RecomputedRows:
        """The rows that the replay has yielded."""
        return self._outcome.rows

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.recomputed.close()

    def run(self, scores: int | None, on_progress: Progress) -> Report:
        """All steps, in order."""
        genesis = self._ledger.genesis()
        foundation = genesis.foundation
        self._attempt("format", self._ledger.check_format)
        checkpoints = scored = 0
        if self._note_holds():
            if not self._trust_holds(genesis):
                return self._report(foundation, 0, 0)
            if not self._replay_on(genesis, on_progress) and not self._replay_fast(
                genesis, on_progress
            ):
                self._replay(genesis, on_progress)
            self._check_audited()
            self._check_conduct()
            checkpoints = self._check_checkpoints(sets_of(foundation, self._outcome.replay))
            scored = self._check_scores(scores)
        found = self._outcome
        sets = sets_of(foundation, found.replay)
        self._take(policy_faults(self._policy, sets))
        if isinstance(self._ledger, FolderLedger) and not self._since:
            stored = self._ledger.stored
            self._take(check_own(stored, sets, found.roots, found.names, found.newest))
            self._take(check_others(stored) if found.others is None else found.others)
        self._keep_state()
        return self._report(foundation, checkpoints, scored)

    def _report(self, foundation: Foundation, checkpoints: int, scored: int) -> Report:
        found = self._outcome
        height = max(found.roots, default=0)
        size, root = found.roots.get(height, (0, b""))
        members = sets_of(foundation, found.replay).everybody()
        return Report(
            records=found.records,
            blocks=len(found.roots) - bool(self._since),
            checkpoints=checkpoints,
            scores=scored,
            erased=found.erased,
            size=size,
            root=root,
            time=found.time,
            findings=tuple(self._findings),
            furnishers=furnishers(members, found.rows, found.told, found.refused),
            height=height,
            since=self._since,
            unchecked=tuple(self._unchecked),
        )

    # --- replay ---

    def _replay_fast(self, genesis: Genesis, on_progress: Progress) -> bool:
        """Of a folder: whether all rows are what execution yields; if not, nothing is known."""
        if self._thorough or not isinstance(self._ledger, FolderLedger):
            return False
        whole = replay_fast(self._ledger, genesis, self._executor, on_progress=on_progress)
        if whole is not None:
            self._outcome = whole
        return whole is not None

    def _replay(self, genesis: Genesis, on_progress: Progress) -> None:
        rows = store_for(self._ledger.size())
        found = self._outcome = Outcome(rows)
        source = found.source(self._ledger.source)
        self._follow(Replay(genesis, source, self._ledger.stored, rows), on_progress)
        found.told = told_in(rows)

    def _follow(self, replay: Replay, on_progress: Progress) -> None:
        total, self._outcome.replay = self._ledger.size(), replay
        for step in replay.steps(None):
            self._take(step.findings)
            self._outcome.note(step)
            on_progress(step.size, total)

    # --- an earlier audit's state ---

    def _trust_holds(self, genesis: Genesis) -> bool:
        """The ledger is the one that was audited before, by the same policy, and contains it."""
        trust, where = self._trust, f"the audit state {self._state}"
        if trust is None:
            return True
        detail = ""
        if trust.chain != chain_id(genesis.foundation):
            detail = f"is of chain {trust.chain.hex()}, not of this ledger's"
        elif trust.policy != policy_hash(self._policy):
            detail = "was made under another policy"
        else:
            detail = containment_fault(self._ledger, trust)
        if detail:
            self._find("state", where, detail, "critical")
        return not detail

    def _replay_on(self, genesis: Genesis, on_progress: Progress) -> bool:
        """Replay what is above the audited block only; False if there is nothing to go on from."""
        trust, ledger = self._trust, self._ledger
        if trust is None or self._state is None or self._thorough:
            return False
        try:
            kept = KeptRows(self._state, trust, ledger.stored)
        except Misconfigured as error:
            self._unchecked.append(f"{error}: the whole ledger was replayed")
            return False
        self._since = trust.height
        findings = len(self._findings)
        try:
            self._replay_above(genesis, trust, kept, on_progress)
        except Misconfigured as error:
            kept.close()
            ledger.go_on(dict.fromkeys((each.tip.lane for each in trust.lanes), 0))
            del self._findings[findings:]
            self._since = 0
            self._unchecked.append(f"{error}: the whole ledger was replayed")
            return False
        if ledger.stored is not None:
            for each in compare(kept.as_stored(), ledger.stored):
                self._find("row", each.where, each.detail)
        if kept.recalled:
            self._unchecked.append(
                f"{kept.recalled} rows of earlier blocks that erasures asked for, but by what the "
                "new blocks seal"
            )
        self._unchecked += [
            f"what an earlier audit compared, up to block {trust.height}, was not read again",
            "consensus' own rows",
        ]
        return True

    def _replay_above(
        self, genesis: Genesis, trust: Trust, kept: KeptRows, on_progress: Progress
    ) -> None:
        ledger = self._ledger
        reached = {each.tip.lane: each.tip.height for each in trust.lanes}
        ledger.go_on(reached)
        found = self._outcome = Outcome(
            kept,
            roots={trust.height: (trust.size, trust.root)},
            names={trust.height: trust.block_hash},
            newest=trust.height,
            time=trust.time,
            destruction=Destruction(reached),
        )
        source, stored = found.source(ledger.source), ledger.stored
        replay = ReplayOn(genesis, source, stored=stored, store=kept, trust=trust, index=kept.index)
        self._follow(replay, on_progress)
        found.told = told_by(kept.leaves)

    def _check_audited(self) -> None:
        """A whole replay has come by the audited block."""
        trust = self._trust
        if trust is not None and self._outcome.roots.get(trust.height) != (trust.size, trust.root):
            detail = f"the ledger does not contain the audited block {trust.height}"
            self._find("state", f"the audit state {self._state}", detail, "critical")

    # --- erasures ---

    def _check_conduct(self) -> None:
        """That erasures were carried out, and acknowledged; and who signed what they may not."""
        if (found := self._outcome).replay is None:
            return
        late = overdue(found.rows, found.replay.state.validators, self._time_of, found.time)
        kept = found.destruction.kept(found.residues, self._ledger.stored or found.rows, found.time)
        members = sets_of(found.replay.state.foundation, found.replay).everybody()
        for each in (*late, *kept, *accusations(found.rows, members)):
            self._find(each.kind, each.where, each.detail, "warning")

    def _time_of(self, height: int) -> int | None:
        """A block's time (ms), as its row tells it."""
        try:
            row = self._ledger.source.block(height)
        except StoreDamaged:
            return None
        return None if row is None else row.block.time

    def _keep_state(self) -> None:
        """Keep how far this audit has come, if all was well up to there."""
        replay, rows = self._outcome.replay, self._outcome.rows
        if self._state is None or replay is None:
            return
        if any(each.severity != "warning" for each in self._findings):
            return
        trust = trust_of(replay, self._policy)
        if isinstance(rows, KeptRows):
            rows.commit(trust)
            return
        index = replay.state.index
        image = index.image() if isinstance(index, FarIndex) else image_of(index)
        whole = rows.rows() if isinstance(rows, LiveRows) else executed_rows(rows)
        keep(self._state, trust, (row for row in whole if is_kept(*row)), image)

    # --- findings ---

    def _take(self, findings: Iterable[Found]) -> None:
        for each in findings:
            self._find(each.kind, each.where, each.detail)

    def _find(
        self,
        kind: str,
        where: str,
        detail: str,
        severity: Severity = "error",
    ) -> None:
        if len(self._findings) >= FINDINGS_MAX:
            return
        key = _KEY.search(where)
        reproduce = f"{self._command} --row {key.group(1)}" if key else self._command
        self._findings.append(Finding(severity, kind, where, detail, reproduce))

    def _attempt(self, kind: str, check: Callable[[], None]) -> None:
        try:
            check()
        except StoreDamaged as error:
            self._find(kind, error.where, str(error))

    # --- policy and checkpoints ---

    def _check_checkpoints(self, sets: Sets) -> int:
        certificates = self._ledger.certificates(self._since)
        for error in certificates.damaged:
            self._find("checkpoint", error.where, str(error))
        check = CheckpointCheck.of(self._policy, sets, self._outcome.roots, self._outcome.newest)
        for height, row in certificates.rows.items():
            where = f"checkpoint row {height} (key {(CHECKPOINT + height.to_bytes(8)).hex()})"
            for detail in check.faults(height, row):
                self._find("checkpoint", where, detail)
        newest = max(certificates.rows, default=self._since)
        reached = max(self._outcome.roots, default=0)
        if reached > newest + UNCERTIFIED_HEIGHTS_MAX:
            detail = f"{reached - newest} blocks above it have no certified checkpoint"
            self._find("checkpoint", f"checkpoint row {newest}", detail, "warning")
        if isinstance(self._ledger, RemoteLedger):
            checkpoint = verify_checkpoint_strict(self._ledger.note, self._policy)
            self._check_contained("/log/checkpoint", checkpoint)
        if self._kept is not None:
            self._check_contained("the checkpoint that was kept", self._kept)
        return len(certificates.rows)

    def _note_holds(self) -> bool:
        """A running node's checkpoint, which bounds what is fetched from it, is a quorum's."""
        if not isinstance(self._ledger, RemoteLedger):
            return True
        try:
            verify_checkpoint_strict(self._ledger.note, self._policy)
        except InvalidInput as error:
            detail = f"{error}; nothing else that the node serves was read"
            self._find("checkpoint", "/log/checkpoint", detail)
            return False
        return True

    def _check_contained(self, where: str, checkpoint: Checkpoint) -> None:
        """The replayed log contains a checkpoint that a quorum has cosigned."""
        if (checkpoint.size, checkpoint.root) in self._outcome.roots.values():
            return
        last = max((size for size, _ in self._outcome.roots.values()), default=0)
        if checkpoint.size > last:
            detail = f"has {checkpoint.size} entries, the replayed log {last}: it was rolled back"
        else:
            detail = f"its root at size {checkpoint.size} is not the replayed one"
        self._find("checkpoint", where, detail)

    # --- scores ---

    def _check_scores(self, wanted: int | None) -> int:
        subjects = list(sample(self._subjects(), wanted))
        if isinstance(self._ledger, RemoteLedger):
            for subject in subjects:
                self._take(check_served(self._ledger, self._policy, *subject))
        elif subjects and isinstance(self.recomputed, RowStore):  # else equal rows, equal scores
            self._take(rescore(self.recomputed, self._ledger.stored, subjects))
        return len(subjects)

    def _subjects(self) -> list[Subject]:
        rows = self.recomputed
        if isinstance(rows, KeptRows):  # those whom the new blocks are about
            keys = iter(sorted(key for key in rows.changed if key[:1] == SUBJECT))
        else:
            keys = (key for key, _ in rows.scan(SUBJECT, after(SUBJECT)))
        return [(int.from_bytes(key[1:5]), key[5:]) for key in keys]
