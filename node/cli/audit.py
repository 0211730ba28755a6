"""`standing audit URL|DIR --policy FILE`: replay a node's whole ledger, list what is not right."""

import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from ledger.bundle_verify import show_time
from ledger.checkpoint import parse_decimal, verify_checkpoint
from ledger.errors import InvalidInput, Malformed, StandingError, StoreDamaged
from ledger.note import NOTE_BYTES_MAX
from ledger.policy import Policy
from ledger.rows import describe_key
from node.audit.folder import FolderLedger
from node.audit.public import ExportedSource
from node.audit.remote import RemoteLedger
from node.audit.report import Finding, Report
from node.audit.run import Audit, Ledger
from node.audit.workers import executor_for
from node.cli.audit_kinds import against as compare_with
from node.cli.audit_kinds import check_proof, is_url, public_report
from node.cli.output import fail, print_json, stderr, stdout
from node.cli.target import TokenFileOption, read_token
from node.cli.verify import PolicyOption, read_bytes, read_policy

app = typer.Typer(add_completion=False)


@app.command()
def audit(
    target: Annotated[
        str, typer.Argument(help="A node's URL, a stopped node's folder, or an exported log.")
    ] = "",
    *,
    policy: PolicyOption,
    public: Annotated[
        bool, typer.Option("--public", help="Audit what is public only: no token is needed.")
    ] = False,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Compare with this node's checkpoint, too; may be given several times."),
    ] = None,
    proofs: Annotated[
        Path | None, typer.Option(help="Write proofs of forks that are found to this folder.")
    ] = None,
    proof: Annotated[
        Path | None, typer.Option(help="Only verify this proof of a fork again, offline.")
    ] = None,
    token_file: TokenFileOption = None,
    scores: Annotated[
        str, typer.Option(help="How many subjects to score anew: a number, or all.")
    ] = "all",
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="A checkpoint that you kept: demand that the ledger contains it."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="Your own file: go on from the audit in it, and keep this one."),
    ] = None,
    row: Annotated[
        str, typer.Option("--row", help="Show this row (key in hex), stored and recomputed.")
    ] = "",
    jobs: Annotated[
        int,
        typer.Option(min=0, max=256, help="Processes that work for a large audit; 0: a core each."),
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Re-execute a ledger from genesis and compare. Exit 0 if nothing is found, else 1.

    Of a folder every stored row is compared; of a running node all that it serves to members.
    """
    trusted = read_policy(policy)
    if proof is not None:
        raise typer.Exit(0 if check_proof(proof, trusted, as_json=as_json) else 1)
    asked = _Asked(
        target=target or fail("name what to audit: a node's URL, its folder, or an exported log"),
        policy=trusted,
        token_file=token_file,
        kept=_read_kept(checkpoint, trusted),
        command=_command(target, policy, token_file, checkpoint),
        scores=_read_count(scores),
        row=_read_row(row),
        state=state,
        jobs=jobs or os.cpu_count() or 1,
        public=public,
    )
    began = time.monotonic()
    report = _reported(asked)
    if against:
        found = compare_with(target, against, trusted, policy, proofs)
        report = msgspec.structs.replace(report, findings=(*report.findings, *found))
    seconds = time.monotonic() - began
    if as_json:
        print_json(figures(report, seconds))
    else:
        show(report, seconds)
    raise typer.Exit(1 if report.findings else 0)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the command line asks for."""

    target: str
    policy: Policy
    token_file: Path | None
    kept: bytes | None
    command: str
    scores: int | None
    row: bytes
    state: Path | None
    jobs: int
    public: bool

    @property
    def is_public(self) -> bool:
        """Whether only the public side can be audited, or shall be."""
        if self.public or (is_url(self.target) and not read_token(self.token_file)):
            return True
        return not is_url(self.target) and ExportedSource.is_at(Path(self.target))


def _reported(asked: _Asked) -> Report:
    """The audit's report, also on what cannot be read."""
    try:
        return _run(asked)
    except (StoreDamaged, Malformed) as error:
        return _unreadable(error, asked.command)
    except StandingError as error:
        fail(str(error))


def _run(asked: _Asked) -> Report:
    """Replay the ledger, and show a row if that is asked for; or audit the public side."""
    if asked.is_public:
        kept = None if asked.kept is None else verify_checkpoint(asked.kept, asked.policy)
        with _bar() as on_progress:
            return public_report(asked.target, asked.policy, asked.command, kept, on_progress)
    with (
        _opened(asked.target, asked.token_file) as ledger,
        executor_for(ledger.size(), asked.jobs) as executor,
        Audit(
            ledger,
            asked.policy,
            asked.command,
            kept=asked.kept,
            executor=executor,
            thorough=bool(asked.row),
            state=asked.state,
        ) as run,
    ):
        with _bar() as on_progress:
            report = run.run(asked.scores, on_progress)
        if asked.row:
            _show_row(asked.row, run, ledger)
    return report


def _read_count(text: str) -> int | None:
    try:
        return None if text == "all" else parse_decimal(text, what="--scores")
    except Malformed:
        fail("--scores takes a number or the word all")


def _read_row(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        fail("--row takes a key in hex digits")


def _read_kept(path: Path | None, policy: Policy) -> bytes | None:
    """The note of a checkpoint that the caller has kept, which must hold."""
    if path is None:
        return None
    data = read_bytes(path, NOTE_BYTES_MAX, what="checkpoint")
    try:
        verify_checkpoint(data, policy)
    except InvalidInput as error:
        fail(f"the checkpoint {path} does not hold under the policy: {error}")
    return data


def _command(target: str, policy: Path, token_file: Path | None, checkpoint: Path | None) -> str:
    """How to call the audit again, from the same folder."""
    parts = ["standing", "audit", target, "--policy", str(policy)]
    for option, path in (("--token-file", token_file), ("--checkpoint", checkpoint)):
        parts += [] if path is None else [option, str(path)]
    return shlex.join(parts)


def _opened(target: str, token_file: Path | None) -> Ledger:
    if is_url(target):
        return RemoteLedger(target, read_token(token_file))
    return FolderLedger(Path(target))


@contextmanager
def _bar() -> Iterator[Any]:
    """A progress bar over the log's entries, with the time that is left, on stderr."""
    columns = (
        TextColumn("audit"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr, transient=True) as bar:
        task = bar.add_task("audit", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


def _unreadable(error: StandingError, command: str) -> Report:
    """The report on a ledger that cannot even be opened."""
    where = error.where if isinstance(error, StoreDamaged) else "ledger"
    finding = Finding("error", "store", where, str(error), command)
    return Report(
        records=0,
        blocks=0,
        checkpoints=0,
        scores=0,
        erased=0,
        size=0,
        root=b"",
        time=0,
        findings=(finding,),
    )


def _show_row(key: bytes, run: Audit, ledger: Ledger) -> None:
    """Print a row as it is stored and as the replay yields it, on stderr."""
    expected = run.recomputed.get(key)
    stderr.print(describe_key(key), markup=False, soft_wrap=True)
    stderr.print(
        f"recomputed  {'-' if expected is None else expected.hex()}", markup=False, soft_wrap=True
    )
    if ledger.stored is not None:
        try:
            found = ledger.stored.get(key)
            shown = "-" if found is None else found.hex()
        except StoreDamaged as error:
            shown = f"cannot be read: {error}"
        stderr.print(f"stored      {shown}", markup=False, soft_wrap=True)


def figures(report: Report, seconds: float) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "records": report.records,
        "blocks": report.blocks,
        "checkpoints": report.checkpoints,
        "scores": report.scores,
        "since": report.since,
        "unchecked": list(report.unchecked),
        "erased": report.erased,
        "checkpoint_size": report.size,
        "root": report.root.hex(),
        "seal_time": report.time,
        "furnishers": [msgspec.to_builtins(each) for each in report.furnishers],
        "findings": [msgspec.to_builtins(each) for each in report.findings],
        "seconds": round(seconds, 3),
    }


def show(report: Report, seconds: float) -> None:
    """Print a report for people; no line is broken, so that commands can be pasted."""
    for each in report.findings:
        style = "yellow" if each.severity == "warning" else "red"
        stdout.print(
            f"{each.severity} {each.kind}: {each.where}", style=style, markup=False, soft_wrap=True
        )
        stdout.print(f"    {each.detail}", markup=False, soft_wrap=True)
        stdout.print(f"    again: {each.reproduce}", markup=False, soft_wrap=True)
    stdout.print(
        f"{report.records} records in {report.blocks} blocks, {report.checkpoints} certified "
        f"checkpoints, {report.scores} scores: {len(report.findings)} finding(s) "
        f"in {seconds:.1f} s",
        markup=False,
        soft_wrap=True,
    )
    if report.furnishers:
        stdout.print(_furnishers_table(report))
    if report.since:
        stdout.print(
            f"blocks up to {report.since} were audited before; of records, ratings, refusals and "
            "hindsight the table counts what came since",
            soft_wrap=True,
        )
    for each_part in report.unchecked:
        stdout.print(f"not checked: {each_part}", markup=False, soft_wrap=True)
    if report.blocks:
        stdout.print(
            f"the newest block was sealed {show_time(report.time)}; an older copy of a ledger is "
            "whole, too: that it is not one, a checkpoint that you kept shows (--checkpoint)",
            markup=False,
            soft_wrap=True,
        )


def _furnishers_table(report: Report) -> Table:
    """What each platform furnished, and what it did not."""
    table = Table(box=None, pad_edge=False)
    columns = ("platform", "records", "opens", "without outcome", "overdue", "ratings", "refused")
    for name in (*columns, "in hindsight", "corrections", "disputed"):
        table.add_column(name, justify="left" if name == "platform" else "right")
    for each in report.furnishers:
        counts = (each.records, each.opens, each.unclosed, each.overdue, each.ratings, each.refused)
        table.add_row(
            f"{each.number} {each.code}",
            *(f"{count:,}" for count in counts),
            f"{100 * each.retrospective_share:.1f} %",
            str(each.corrections),
            str(each.disputed),
        )
    return table
