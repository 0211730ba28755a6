"""How the demo tells its story: people's text on stdout, progress bars on stderr.

With `quiet` only the progress is shown, since stdout belongs to the JSON object.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from ledger.bureau.model import FIRST_MODEL, Q16_ONE
from node.demo.findings import Agreement, Scored
from node.demo.market import PLATFORMS, Market
from node.federation import Federation


class Bar:
    """One progress bar."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, count: int) -> None:
        """So many more are done."""
        self._progress.advance(self._task, count)


class Telling:
    """Says what happens, step by step."""

    def __init__(self, stdout: Console, stderr: Console, *, quiet: bool) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self._quiet = quiet

    def _say(self, text: str = "", style: str = "") -> None:
        if not self._quiet:
            self._stdout.print(text, style=style, markup=False, soft_wrap=True)

    def nodes_up(self, federation: Federation, seconds: float) -> None:
        """The four nodes run."""
        self._say("Four platforms, one ledger. Everyone and everything in it is made up.", "bold")
        self._say()
        for platform, url in zip(PLATFORMS, federation.urls, strict=True):
            self._say(f"  {platform.code:<10} {url}   {platform.about}")
        self._say(f"\nFour nodes are up, as four processes, after {seconds:.1f} s.")

    def feeding(self, market: Market) -> AbstractContextManager[Bar]:
        """A bar over all records of the market."""
        return self._bar("records", _records_in(market))

    def scoring(self, market: Market) -> AbstractContextManager[Bar]:
        """A bar over all workers."""
        return self._bar("scores", len(market.workers))

    @contextmanager
    def _bar(self, what: str, total: int) -> Iterator[Bar]:
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        is_seen = self._stderr.is_terminal
        with Progress(
            *columns, console=self._stderr, transient=True, disable=not is_seen
        ) as progress:
            if not is_seen:
                self._stderr.print(f"{what}: {total:,}")
            yield Bar(progress, progress.add_task(what, total=total))

    def fed(self, market: Market, records: int, seconds: float) -> None:
        """All records are final."""
        linked = sum(worker.is_linked for worker in market.workers)
        history, live = len(market.history), len(market.live)
        self._say(
            f"{records:,} records are final, {seconds:.1f} s after the first was sent: "
            f"{len(market.workers)} workers ({linked} on two or more platforms, linked by their "
            f"own keys), {history + live:,} engagements."
        )

    def agreed(self, agreed: Agreement) -> None:
        """The nodes' checkpoints."""
        same = "the same root" if agreed.roots_equal else "DIFFERENT ROOTS"
        self._say(
            f"At size {agreed.size:,} the four nodes serve {same} ({agreed.root.hex()[:16]}…), "
            f"each with at least {agreed.cosignatures_min} valid cosignatures."
        )

    def honest(self, in_hindsight: int, in_foresight: int) -> None:
        """What of the market the nodes call retrospective."""
        weight = FIRST_MODEL.retrospective_weight / Q16_ONE
        self._say(
            f"Honestly: {in_hindsight:,} closed engagements are history, imported in hindsight. "
            f"The nodes mark them retrospective; the model gives them the weight {weight:g}. "
            f"Only {in_foresight} were opened on the ledger before their outcome was known."
        )

    def sample(self, sample: Scored) -> None:
        """One worker's score."""
        answer = sample.answer
        low, high = answer["interval"]
        counts = answer["counts"]
        where = " and ".join(account.platform.code for account in sample.worker.accounts)
        self._say(f"\nWorker {sample.subject[:26]}… (works on {where})", "bold")
        self._say(
            f"  The next engagement is completed, accepted and on time with probability "
            f"{answer['probability']:.2f} (90 % interval {low:.2f} to {high:.2f})."
        )
        self._say(
            f"  Score {answer['points']}, from {counts['good']} good and {counts['bad']} bad "
            f"results ({counts['neutral']} neutral) in {counts['files']} files:"
        )
        self._say(f"    {answer['base_points']:>5}  where a newcomer begins")
        for reason in answer["reasons"]:
            self._say(f"    {reason['points']:>+5}  {reason['code']}")
        self._say(f"    {answer['points']:>5}  model {answer['model']}")

    def verified(self, size: int, whole: dict[str, Any], changed: dict[str, Any]) -> None:
        """The bundle was verified offline."""
        steps = sum(step["ok"] for step in whole["steps"])
        verdict = "valid" if whole["valid"] else "NOT VALID"
        self._say(
            f"\nIts bundle ({size:,} bytes), checked offline with the policy alone: {verdict}, "
            f"{steps} steps hold, {whole.get('points')} points come out anew."
        )
        refused = "refused" if not changed["valid"] else "ACCEPTED, which is wrong"
        self._say(f"The same bundle with one bit changed: {refused}.")

    def audited(self, audit: dict[str, Any], records: int) -> None:
        """The ledger was audited."""
        findings = audit["findings"]
        self._say(
            f"Audit: the whole ledger executed anew, {audit['records']:,} of {records:,} records "
            f"in {audit['blocks']:,} blocks, every root and score derived again: "
            f"{len(findings)} findings."
        )
        for finding in findings[:5]:
            self._say(f"  {finding}", "red")

    def ranked(self, correlation: float, scored: int, workers: int) -> None:
        """How well the scores' order agrees with the truth."""
        self._say(
            f"Rank correlation of the scores with the workers' true reliability, which only the "
            f"generator knows: {correlation:.2f} over {scored} workers; for the other "
            f"{workers - scored} the bureau abstains (thin files)."
        )

    def end(self, seconds: float, *, is_good: bool) -> None:
        """The story is over."""
        verdict = "All checks hold" if is_good else "A CHECK FAILED (see above)"
        self._say(f"\n{verdict}, after {seconds:.1f} s.", "green" if is_good else "red")

    def staying(
        self, federation: Federation, links: Sequence[str], folder: Path, sample: Scored
    ) -> None:
        """The nodes stay up. Goes to stderr where stdout is the JSON object's."""
        console = self._stderr if self._quiet else self._stdout
        console.print("\nThe nodes stay up until Ctrl-C. Sign in by a link (each works once):")
        for seat, link in zip(federation.seats, links, strict=True):
            console.print(f"  {seat.code:<10} {link}", markup=False, soft_wrap=True)
        for account in sample.worker.accounts:
            known_as = f"{account.platform.code}'s own reference: {account.reference.text}"
            console.print(f"  the worker above by {known_as}", markup=False, soft_wrap=True)
        console.print(f"  or by handle: {sample.subject}", markup=False, soft_wrap=True)
        console.print(f"  policy, tokens, data: {folder}", markup=False, soft_wrap=True)


def _records_in(market: Market) -> int:
    accounts = sum(len(worker.accounts) for worker in market.workers)
    links = sum(len(worker.accounts) - 1 for worker in market.workers)
    jobs = sum(1 + len(job.close()) for job in (*market.history, *market.live))
    return accounts + len(market.clients) + links + jobs
