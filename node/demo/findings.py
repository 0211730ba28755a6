"""What the demo measures on the running federation: checkpoints, scores, and their order.

The generator knows each worker's true reliability, the ledger does not. Spearman's rank correlation
says how well the scores' order agrees with the true one, over the workers who have a score: for a
thin file the bureau abstains.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Final

from ledger.checkpoint import verify_checkpoint_strict
from ledger.errors import StandingError
from ledger.note import parse_note
from ledger.policy import Policy
from node.client import Client
from node.demo.market import PLATFORMS, Worker

AGREE_TIMEOUT_S: Final = 30.0
AGREE_POLL_S: Final = 0.1
ASKED_AT_ONCE: Final = 8


class FindingFailed(StandingError):
    """The nodes do not come to one checkpoint in time."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """The newest checkpoint of every node: one size; equal roots or not; fewest cosignatures."""

    size: int
    root: bytes
    roots_equal: bool
    cosignatures_min: int


async def agreement(clients: Sequence[Client], policy: Policy) -> Agreement:
    """Wait until all nodes serve a checkpoint of one size, and compare. Every note is verified.

    Raises:
        FindingFailed: the sizes stay apart.
        InvalidInput: a checkpoint that the policy does not hold to be final.
    """
    deadline = time.monotonic() + AGREE_TIMEOUT_S
    while True:
        notes = [await client.checkpoint() for client in clients]
        found = [verify_checkpoint_strict(note, policy) for note in notes]
        if len({checkpoint.size for checkpoint in found}) == 1:
            roots = {checkpoint.root for checkpoint in found}
            lines = [len(parse_note(note).lines) - 1 for note in notes]
            return Agreement(found[0].size, found[0].root, len(roots) == 1, min(lines))
        if time.monotonic() > deadline:
            sizes = ", ".join(str(checkpoint.size) for checkpoint in found)
            raise FindingFailed(f"the nodes' checkpoints stay apart: {sizes}")
        await asyncio.sleep(AGREE_POLL_S)


@dataclass(frozen=True, slots=True)
class Scored:
    """A worker with the bureau's answer about the first account (a link leads to the others)."""

    worker: Worker
    subject: str
    answer: dict[str, Any]

    @property
    def points(self) -> int | None:
        """The score, or None where the bureau abstains."""
        points: int | None = self.answer["points"]
        return points


async def all_scores(
    workers: Sequence[Worker],
    clients: Sequence[Client],
    subject_of: Callable[[Worker], str],
    on_score: Callable[[], None],
) -> list[Scored]:
    """Ask for every worker's score, at the node of the worker's first platform."""
    limit = asyncio.Semaphore(ASKED_AT_ONCE)
    by_number = dict(zip((platform.number for platform in PLATFORMS), clients, strict=True))

    async def ask(worker: Worker) -> Scored:
        subject = subject_of(worker)
        async with limit:
            answer = await by_number[worker.accounts[0].platform.number].score(subject)
        on_score()
        return Scored(worker, subject, answer)

    return list(await asyncio.gather(*(ask(worker) for worker in workers)))


def pick_sample(scored: Sequence[Scored]) -> Scored:
    """The linked worker with a score and most to tell: bad results too, and many engagements."""
    telling = [each for each in scored if each.worker.is_linked and each.points is not None]
    if not telling:
        raise FindingFailed("no linked worker has a score")

    def tells(each: Scored) -> tuple[bool, int]:
        counts = each.answer["counts"]
        return counts["bad"] > 0, counts["engagements"]

    return max(telling, key=tells)


def retrospective(scored: Sequence[Scored]) -> tuple[int, int]:
    """How many of the workers' closed engagements the nodes call retrospective, how many not."""
    counts = [each.answer["counts"] for each in scored]
    hindsight = sum(each["retrospective"] for each in counts)
    closed = sum(each["good"] + each["bad"] + each["neutral"] for each in counts)
    return hindsight, closed - hindsight


def rank_correlation(scored: Sequence[Scored]) -> tuple[float, int]:
    """Spearman's ρ of points and true reliability, and over how many workers."""
    pairs = [(each.points, each.worker.reliability) for each in scored if each.points is not None]
    points = [float(each) for each, _ in pairs]
    return spearman(points, [truth for _, truth in pairs]), len(pairs)


def spearman(left: Sequence[float], right: Sequence[float]) -> float:
    """Rank correlation (ties share their mean rank); 0 where one side does not vary."""
    return _pearson(_ranks(left), _ranks(right))


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    at = 0
    while at < len(order):
        end = at
        while end < len(order) and values[order[end]] == values[order[at]]:
            end += 1
        for position in order[at:end]:
            ranks[position] = (at + end - 1) / 2
        at = end
    return ranks


def _pearson(left: Sequence[float], right: Sequence[float]) -> float:
    count = len(left)
    if count == 0:
        return 0.0
    mean_left, mean_right = sum(left) / count, sum(right) / count
    both = sum((a - mean_left) * (b - mean_right) for a, b in zip(left, right, strict=True))
    spread = sqrt(
        sum((a - mean_left) ** 2 for a in left) * sum((b - mean_right) ** 2 for b in right)
    )
    return both / spread if spread else 0.0
