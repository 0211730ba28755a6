"""The audit: replay a node's ledger from genesis and find whatever is not as it should be.

1. *Policy*: the members of genesis are those whose keys the policy names.
2. *Replay* (`ledger/replay.py`): links, batches, signatures, execution, roots; and of a folder
   every stored row against the recomputed one.
3. *Checkpoints*: each certified one has the size and root of its block and the quorum's
   cosignatures; a running node's note holds under the policy and is one of the replayed roots.
4. *Scores*: of a folder, a sample of subjects scored from the stored and from the recomputed rows;
   of a running node, a sample's bundles verified, and compared with the scores that it serves.

What a node stores besides, for its own use (its votes, aliases, hints), binds nobody and is not
audited. Each finding names the row or the thing, and the command that shows it again.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Literal

import msgspec

from consensus.quorum import quorum
from ledger.bundle import verify_bundle
from ledger.bureau.answer import Answer, Question
from ledger.bureau.model import Q16_ONE
from ledger.bureau.reading import answer
from ledger.checkpoint import Checkpoint, verify_checkpoint_strict, verify_cosignature
from ledger.errors import InvalidInput, StandingError, StoreDamaged
from ledger.membership import Validator
from ledger.policy import Policy
from ledger.replay import replay
from ledger.rows import HEAD_KEY, CheckpointRow, HeadRow, need_row
from ledger.store import CHECKPOINT, HEADER, SUBJECT, SUBMISSION, MemoryStore, Reader, after
from node.audit_folder import FolderLedger
from node.audit_remote import RemoteLedger
from node.client import ProblemAnswered
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
    """What an audit found. `size` and `root` are the recomputed log's."""

    records: int
    blocks: int
    checkpoints: int
    scores: int
    erased: int
    size: int
    root: bytes
    findings: tuple[Finding, ...]


def audit(
    ledger: Ledger,
    policy: Policy,
    *,
    command: str,
    scores: int | None = None,
    on_progress: Progress = lambda _done, _total: None,
) -> Report:
    """Audit a ledger. `scores`: how many subjects are scored anew, None for all. `command` is how
    the audit was called, for the findings.

    Raises:
        StandingError: the ledger cannot be read at all.
    """
    return Audit(ledger, policy, command).run(scores, on_progress)


class Audit:
    """One audit under way. `recomputed` holds the rows that the replay yields."""

    def __init__(self, ledger: Ledger, policy: Policy, command: str) -> None:
        self._ledger = ledger
        self._policy = policy
        self._command = command
        self._findings: list[Finding] = []
        self._roots: dict[int, tuple[int, bytes]] = {}  # by height
        self.recomputed = MemoryStore()
        self.records = 0

    def run(self, scores: int | None, on_progress: Progress) -> Report:
        """All steps, in order."""
        genesis = self._ledger.genesis()
        foundation = genesis.foundation
        self._check_policy(foundation.origin, foundation.validators)
        self._attempt("format", self._ledger.check_format)
        total = self._ledger.size()
        steps = replay(
            genesis, self._ledger.source, stored=self._ledger.stored, store=self.recomputed
        )
        for step in steps:
            for each in step.findings:
                self._find(each.kind, each.where, each.detail)
            self.records += step.records
            if step.applied is not None:
                self._roots[step.height] = (step.applied.size, step.applied.root)
            on_progress(step.size, total)
        checkpoints = self._check_checkpoints(foundation.origin, foundation.validators)
        scored = self._check_scores(scores)
        size, root = self._roots[max(self._roots)] if self._roots else (0, b"")
        return Report(
            records=self.records,
            blocks=len(self._roots),
            checkpoints=checkpoints,
            scores=scored,
            erased=0,
            size=size,
            root=root,
            findings=tuple(self._findings),
        )

    # --- findings ---

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
            self._check_note(self._ledger.note)
        return len(certificates.rows)

    def _checkpoint_faults(
        self, height: int, row: CheckpointRow, origin: str, validators: tuple[Validator, ...]
    ) -> Iterator[str]:
        known = self._roots.get(height)
        if row.height != height:
            yield f"is of height {row.height}"
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

    def _check_note(self, note: bytes) -> None:
        """The checkpoint that a running node serves."""
        try:
            checkpoint = verify_checkpoint_strict(note, self._policy)
        except InvalidInput as error:
            self._find("checkpoint", "/log/checkpoint", str(error))
            return
        if (checkpoint.size, checkpoint.root) not in self._roots.values():
            detail = f"its root at size {checkpoint.size} is not the replayed one"
            self._find("checkpoint", "/log/checkpoint", detail)

    # --- scores ---

    def _check_scores(self, wanted: int | None) -> int:
        subjects = list(_sample(self._subjects(), wanted))
        if isinstance(self._ledger, RemoteLedger):
            for subject in subjects:
                self._check_served(self._ledger, *subject)
        elif subjects:
            self._rescore(self._ledger.stored, subjects)
        return len(subjects)

    def _subjects(self) -> list[tuple[int, bytes]]:
        keys = (key for key, _ in self.recomputed.scan(SUBJECT, after(SUBJECT)))
        return [(int.from_bytes(key[1:5]), key[5:]) for key in keys]

    def _rescore(self, stored: Reader, subjects: list[tuple[int, bytes]]) -> None:
        """The stored rows yield the score that the recomputed rows yield."""
        head = need_row(self.recomputed, HeadRow, HEAD_KEY)
        at = _Place(head.height, head.size)
        replayed = _Replayed(self.recomputed, stored)
        for platform, handle in subjects:
            question = Question(platform, handle, "worker", "", head.time)
            where = f"score of {platform}:{handle.hex()}"
            try:
                expected = answer(replayed, at, question)
                found = answer(stored, at, question)
            except StandingError as error:
                self._find("score", where, str(error))
                continue
            if found != expected:
                self._find("score", where, "the stored rows yield another answer")

    def _check_served(self, ledger: RemoteLedger, platform: int, handle: bytes) -> None:
        """A running node's bundle holds, and its score is the bundle's."""
        subject = f"{platform}:{handle.hex()}"
        where = f"bundle of {subject}"
        try:
            verified = verify_bundle(ledger.ask(ledger.client.bundle(subject)), self._policy)
        except ProblemAnswered as error:
            self._find("score", where, f"the node answers: {error}")
            return
        if verified.answer is None:
            step = verified.steps[-1]
            self._find("bundle", where, f"{step.name}: {step.detail}")
            return
        served = ledger.ask(ledger.client.score(subject, as_of=str(verified.answer.question.as_of)))
        if served["checkpoint"]["size"] == verified.size and not _agrees(served, verified.answer):
            self._find("score", f"score of {subject}", "is not the one that its bundle proves")


class _Place:
    """A height and size to read at; certified or not, no note is needed for a score."""

    note = b""

    def __init__(self, height: int, size: int) -> None:
        self.height = height
        self.size = size


class _Replayed:
    """Recomputed rows, with the payloads of the store: replay has checked them under the roots."""

    def __init__(self, recomputed: Reader, stored: Reader) -> None:
        self._recomputed = recomputed
        self._stored = stored

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        payload = key[:1] in (SUBMISSION, HEADER)
        return (self._stored if payload else self._recomputed).get(key)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Recomputed rows with start ≤ key < stop."""
        return self._recomputed.scan(start, stop, reverse=reverse)


def _sample(subjects: list[tuple[int, bytes]], wanted: int | None) -> Iterator[tuple[int, bytes]]:
    """At most `wanted` of them, evenly spread; all for None."""
    if wanted is None or wanted >= len(subjects):
        yield from subjects
        return
    for at in range(wanted):
        yield subjects[at * len(subjects) // wanted]


def _agrees(served: dict[str, Any], proven: Answer) -> bool:
    """Whether a node's score document says what the proven answer says."""
    probability = proven.probability_q16
    return (
        served["points"] == proven.points
        and served["probability_q16"] == probability
        and tuple(served["interval_q16"]) == (proven.low_q16, proven.high_q16)
        and (probability is None or abs(served["probability"] - probability / Q16_ONE) < 1e-5)
        and [(each["code"], each["points"]) for each in served["reasons"]]
        == [(each.code, each.points) for each in proven.reasons]
    )
