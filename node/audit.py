"""The audit: replay a node's ledger from genesis and find whatever is not as it should be.

1. *Policy*: the members of genesis are those whose keys the policy names; a running node's note
   holds under it, or nothing else that it serves is read.
2. *Replay* (`ledger/replay.py`): links, batches, signatures, execution, roots; and of a folder
   every stored row against the recomputed one. A folder is first replayed quickly, with all rows
   compared at once (`node/audit_fast.py`); only if that finds anything amiss, row by row.
3. *Checkpoints*: each certified one has the size and root of its block and the quorum's
   cosignatures; a running node's note is one of the replayed roots, and so is the checkpoint that
   the auditor has kept from earlier, if there is one (else the ledger was rolled back or forked).
4. *Scores*: of a folder, a sample of subjects scored from the stored and from the recomputed rows;
   of a running node, a sample's bundles verified, and compared with the scores that it serves
   (`node/audit_scores.py`).
5. *Own rows* of a folder (`node/audit_own.py`): consensus' rows, and that the disk holds the rest.

Aliases and what else a node notes for itself binds nobody: it is read, not judged. Each finding
names the row or the thing, and the command that shows it again.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Final, Literal, Self

import msgspec

from consensus.quorum import quorum
from ledger.checkpoint import (
    Checkpoint,
    verify_checkpoint,
    verify_checkpoint_strict,
    verify_cosignature,
)
from ledger.errors import InvalidInput, StoreDamaged
from ledger.genesis import Genesis
from ledger.membership import Validator
from ledger.policy import Policy
from ledger.replay import replay
from ledger.rows import CheckpointRow
from ledger.source import Finding as Found
from ledger.store import CHECKPOINT, SUBJECT, MemoryStore, after
from node.audit_fast import Inline, LiveRows, Whole, replay_fast
from node.audit_folder import FolderLedger
from node.audit_furnishers import Furnisher, Told, furnishers, told_in
from node.audit_own import check_others, check_own
from node.audit_remote import RemoteLedger
from node.audit_scores import Subject, check_served, rescore, sample
from node.audit_spill import RowStore, store_for
from node.view import cosignature_line, policy_of

Ledger = FolderLedger | RemoteLedger
Progress = Callable[[int, int], None]

FINDINGS_MAX: Final = 10_000
UNCERTIFIED_HEIGHTS_MAX: Final = 64

_KEY: Final = re.compile(r"\(key ([0-9a-f]+)\)")


class Finding(msgspec.Struct, frozen=True):
    """Something that is not right, where it stands, and the command that shows it again."""

    severity: Literal["error", "warning"]
    kind: str
    where: str
    detail: str
    reproduce: str


class Report(msgspec.Struct, frozen=True):
    """What an audit found. `size` and `root` are the recomputed log's, `time` its newest seal's.
    `since`: the height up to which an earlier audit is relied on (0: none); `unchecked`: what this
    kind of audit cannot judge."""

    records: int
    blocks: int
    checkpoints: int
    scores: int
    erased: int
    size: int
    root: bytes
    time: int
    findings: tuple[Finding, ...]
    furnishers: tuple[Furnisher, ...] = ()
    height: int = 0
    since: int = 0
    unchecked: tuple[str, ...] = ()


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
    ) -> None:
        """`executor`: where the quick replay of a folder has work done (here, if None); `thorough`:
        without it, row by row, so that `recomputed` holds every row."""
        self._ledger = ledger
        self._policy = policy
        self._command = command
        self._findings: list[Finding] = []
        self._roots: dict[int, tuple[int, bytes]] = {}  # by height
        self._names: dict[int, bytes] = {}  # block hashes by height
        self._newest = 0  # block row
        self._time = 0
        self._kept = None if kept is None else verify_checkpoint(kept, policy)
        self.recomputed: RowStore | LiveRows = MemoryStore()
        self.records = 0
        self._executor = executor or Inline()
        self._thorough = thorough
        self._whole: Whole | None = None
        self._told: Told = {}
        self._refused: dict[int, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.recomputed.close()

    def run(self, scores: int | None, on_progress: Progress) -> Report:
        """All steps, in order."""
        genesis = self._ledger.genesis()
        foundation = genesis.foundation
        self._check_policy(foundation.origin, foundation.validators)
        self._attempt("format", self._ledger.check_format)
        checkpoints = scored = 0
        if self._note_holds():
            if not self._replay_fast(genesis, on_progress):
                self._replay(genesis, on_progress)
            checkpoints = self._check_checkpoints(foundation.origin, foundation.validators)
            scored = self._check_scores(scores)
        if isinstance(self._ledger, FolderLedger):
            stored, places = self._ledger.stored, (self._roots, self._names, self._newest)
            self._take(check_own(stored, foundation, *places))
            self._take(check_others(stored) if self._whole is None else self._whole.others)
        size, root = self._roots[max(self._roots)] if self._roots else (0, b"")
        return Report(
            records=self.records,
            blocks=len(self._roots),
            checkpoints=checkpoints,
            scores=scored,
            erased=0,
            size=size,
            root=root,
            time=self._time,
            findings=tuple(self._findings),
            furnishers=furnishers(
                foundation.validators, self.recomputed, self._told, self._refused
            ),
            height=max(self._roots, default=0),
        )

    def _replay_fast(self, genesis: Genesis, on_progress: Progress) -> bool:
        """Of a folder: whether all rows are what execution yields; if not, nothing is known."""
        if self._thorough or not isinstance(self._ledger, FolderLedger):
            return False
        whole = replay_fast(self._ledger, genesis, self._executor, on_progress=on_progress)
        if whole is None:
            return False
        self._whole, self.recomputed = whole, whole.live
        self._roots, self._names = whole.roots, whole.names
        self._newest, self._time, self.records = whole.newest, whole.time, whole.records
        self._told, self._refused = whole.told, whole.refused
        return True

    def _replay(self, genesis: Genesis, on_progress: Progress) -> None:
        total = self._ledger.size()
        recomputed = self.recomputed = store_for(total)
        steps = replay(genesis, self._ledger.source, stored=self._ledger.stored, store=recomputed)
        for step in steps:
            self._take(step.findings)
            self.records += step.records
            if not step.closing:
                self._newest = step.height
            if step.applied is not None:
                self._roots[step.height] = (step.applied.size, step.applied.root)
                self._names[step.height] = step.applied.seal.block
                self._time = step.applied.seal.time
                for refusal in step.applied.refusals:
                    self._refused[refusal.lane] = self._refused.get(refusal.lane, 0) + 1
            on_progress(step.size, total)
        self._told = told_in(recomputed)

    # --- findings ---

    def _take(self, findings: Iterable[Found]) -> None:
        for each in findings:
            self._find(each.kind, each.where, each.detail)

    def _find(
        self,
        kind: str,
        where: str,
        detail: str,
        severity: Literal["error", "warning"] = "error",
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

    def _check_policy(self, origin: str, validators: Iterable[Validator]) -> None:
        """The policy is the one that follows from genesis."""
        expected = policy_of(origin, tuple(validators))
        if expected.origin != self._policy.origin:
            detail = f"is for {self._policy.origin}, the ledger's origin is {expected.origin}"
            self._find("policy", "policy", detail)
            return
        trusted = {each.public_key: each for each in self._policy.verifiers}
        for verifier in expected.verifiers:
            if trusted.pop(verifier.public_key, None) != verifier:
                self._find("policy", f"key of {verifier.name}", "is not in the policy")
        for verifier in trusted.values():
            self._find("policy", f"key of {verifier.name}", "is in the policy and not a member's")
        if self._policy.quorum != expected.quorum:
            detail = f"asks for {self._policy.quorum} cosignatures, the quorum is {expected.quorum}"
            self._find("policy", "policy", detail)

    def _check_checkpoints(self, origin: str, validators: tuple[Validator, ...]) -> int:
        certificates = self._ledger.certificates()
        for error in certificates.damaged:
            self._find("checkpoint", error.where, str(error))
        for height, row in certificates.rows.items():
            where = f"checkpoint row {height} (key {(CHECKPOINT + height.to_bytes(8)).hex()})"
            for detail in self._checkpoint_faults(height, row, origin, validators):
                self._find("checkpoint", where, detail)
        newest = max(certificates.rows, default=0)
        reached = max(self._roots, default=0)
        if reached > newest + UNCERTIFIED_HEIGHTS_MAX:
            detail = f"{reached - newest} blocks above it have no certified checkpoint"
            self._find("checkpoint", f"checkpoint row {newest}", detail, "warning")
        if isinstance(self._ledger, RemoteLedger):
            checkpoint = verify_checkpoint_strict(self._ledger.note, self._policy)
            self._check_contained("/log/checkpoint", checkpoint)
        if self._kept is not None:
            self._check_contained("the checkpoint that was kept", self._kept)
        return len(certificates.rows)

    def _checkpoint_faults(
        self, height: int, row: CheckpointRow, origin: str, validators: tuple[Validator, ...]
    ) -> Iterator[str]:
        known = self._roots.get(height)
        if row.height != height:
            yield f"is of height {row.height}"
        if height > self._newest:
            yield f"is above the newest block, {self._newest}: the ledger was rolled back"
        if known is not None and (row.size, row.root) != known:
            yield "has another size or root than its block yields"
        numbers = [each.number for each in row.cosignatures]
        if numbers != sorted(set(numbers)) or len(numbers) != quorum(len(validators)):
            yield "has not exactly a quorum of cosignatures, ascending by platform"
        members = {each.number: each for each in validators}
        trusted = {verifier.public_key: verifier for _, verifier in self._policy.witnesses}
        checkpoint = Checkpoint(origin, row.size, row.root)
        for each in row.cosignatures:
            member = members.get(each.number)
            verifier = None if member is None else trusted.get(member.cosigner_key)
            if member is None or verifier is None:
                yield f"is cosigned by platform {each.number}, whom the policy does not know"
                continue
            line = cosignature_line(origin, member, each.time_s, each.signature)
            try:
                verify_cosignature(verifier, checkpoint, line)
            except InvalidInput as error:
                yield f"{error}"

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
        if (checkpoint.size, checkpoint.root) in self._roots.values():
            return
        last = max((size for size, _ in self._roots.values()), default=0)
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
        elif subjects and self._whole is None:  # equal rows yield equal scores
            self._take(rescore(self.recomputed, self._ledger.stored, subjects))
        return len(subjects)

    def _subjects(self) -> list[Subject]:
        keys = (key for key, _ in self.recomputed.scan(SUBJECT, after(SUBJECT)))
        return [(int.from_bytes(key[1:5]), key[5:]) for key in keys]
