"""Scores in an audit: those that stored rows yield, and those that a running node serves."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from ledger.bundle import Verified, verify_bundle
from ledger.bureau.answer import Answer, Question
from ledger.bureau.model import Q16_ONE
from ledger.bureau.reading import answer
from ledger.errors import StandingError
from ledger.policy import Policy
from ledger.rows import HEAD_KEY, HeadRow, need_row
from ledger.source import Finding
from ledger.store import HEADER, RESIDUE, SUBMISSION, Reader
from node.audit.remote import RemoteLedger
from node.client import ProblemAnswered, StrangeAnswer

Subject = tuple[int, bytes]

ROUNDS: Final = 3
"""How often a bundle and a score are asked for until no block has come between the two."""


def sample(subjects: list[Subject], wanted: int | None) -> Iterator[Subject]:
    """At most `wanted` of them, evenly spread; all for None."""
    if wanted is None or wanted >= len(subjects):
        yield from subjects
        return
    for at in range(wanted):
        yield subjects[at * len(subjects) // wanted]


def rescore(recomputed: Reader, stored: Reader, subjects: Sequence[Subject]) -> Iterator[Finding]:
    """Of a folder: the stored rows yield the scores that the recomputed rows yield."""
    head = need_row(recomputed, HeadRow, HEAD_KEY)
    at = _Place(head.height, head.size)
    replayed = _Replayed(recomputed, stored)
    for platform, handle in subjects:
        question = Question(platform, handle, "worker", "", head.time)
        where = f"score of {platform}:{handle.hex()}"
        try:
            expected = answer(replayed, at, question)
            found = answer(stored, at, question)
        except StandingError as error:
            yield Finding("score", where, str(error))
            continue
        if found != expected:
            yield Finding("score", where, "the stored rows yield another answer")


def check_served(
    ledger: RemoteLedger, policy: Policy, platform: int, handle: bytes
) -> Iterator[Finding]:
    """Of a running node: its bundle holds and answers what was asked; its score is the bundle's."""
    subject = f"{platform}:{handle.hex()}"
    for left in reversed(range(ROUNDS)):
        try:
            verified = verify_bundle(ledger.ask(ledger.client.bundle(subject)), policy)
            wrong = _bundle_fault(verified, platform, handle, ledger.size())
            if wrong or verified.answer is None:
                yield Finding("bundle", f"bundle of {subject}", wrong)
                return
            as_of = str(verified.answer.question.as_of)
            served = ledger.ask(ledger.client.score(subject, as_of=as_of))
            agrees, size = _agrees(served, verified.answer), served["checkpoint"]["size"]
        except ProblemAnswered as error:
            yield Finding("score", f"score of {subject}", f"the node answers: {error}")
            return
        except (StrangeAnswer, KeyError, TypeError, ValueError):
            yield Finding("score", f"score of {subject}", "what is served is no score document")
            return
        if agrees:
            return
        if size == verified.size or not left:
            yield Finding("score", f"score of {subject}", "is not the one that its bundle proves")
            return


def _bundle_fault(verified: Verified, platform: int, handle: bytes, size_min: int) -> str:
    """What is wrong with a bundle that was asked for just now, or nothing."""
    if verified.answer is None or verified.size is None or verified.seal_time is None:
        step = verified.steps[-1]
        return f"{step.name}: {step.detail}"
    if verified.answer.question != Question(platform, handle, "worker", "", verified.seal_time):
        return "answers another question than was asked"
    if verified.size < size_min:
        return f"is of {verified.size} entries; the node's checkpoint has {size_min}"
    return ""


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
        payload = key[:1] in (SUBMISSION, HEADER, RESIDUE)
        return (self._stored if payload else self._recomputed).get(key)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Recomputed rows with start ≤ key < stop."""
        return self._recomputed.scan(start, stop, reverse=reverse)
