"""`standing import`: rows of a CSV or JSONL file become records, by a mapping.

Exit 0: every row was applied or was there already. Exit 1: rows were rejected; they stand with line
and reason in the rejects file, the others are imported. Exit 2: wrong usage, mapping or file.

An interrupted import goes on where it was when it is called again; a finished one, called again,
finds only duplicates.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ledger.errors import Malformed, Misconfigured, StandingError
from node.cli.output import fail, print_json, stderr, stdout
from node.cli.target import NODE_URL, JsonOption, NodeOption, TokenFileOption, read_token
from node.importing.dry_run import DryRun
from node.importing.mapping import Mapping, read_mapping
from node.importing.node_target import NodeTarget
from node.importing.progress import Progress
from node.importing.rejects import Rejects
from node.importing.run import Import, load_lookups
from node.importing.state import Tally, identity_of, load_state
from node.importing.target import Target

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, slots=True)
class _Task:
    file: Path
    mapping: Mapping
    rejects: Path
    node: str
    token: str
    dry_run: bool
    limit: int | None

    @property
    def where(self) -> str:
        """What the state of the import is bound to."""
        return "a dry run" if self.dry_run else self.node


@app.command()
def import_(
    file: Annotated[Path, typer.Argument(help="The CSV or JSONL file.", metavar="FILE")],
    *,
    mapping: Annotated[Path, typer.Option(help="How its rows become records (TOML).")],
    node: NodeOption = NODE_URL,
    token_file: TokenFileOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Judge everything here, send nothing.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many rows.")] = None,
    rejects: Annotated[
        Path | None, typer.Option(help="Where rejected rows go (default: here, by FILE's name).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Import a file of a platform's own history: worker, client, engagement, outcome, rating."""
    if not file.is_file():
        fail(f"there is no file {file}")
    task = _Task(
        file,
        read_mapping(mapping),
        rejects or Path(f"{file.name}.rejects.jsonl"),
        node.rstrip("/"),
        _token(token_file, dry_run=dry_run),
        dry_run,
        limit,
    )
    started = time.monotonic()
    try:
        tally = asyncio.run(_import(task))
    except KeyboardInterrupt:
        stderr.print("interrupted: call the same command again and it goes on from there")
        raise typer.Exit(130) from None
    except (Malformed, Misconfigured) as error:
        fail(str(error))
    except (OSError, StandingError) as error:
        fail(f"{error} (what was imported stands; call the same command again to go on)")
    _report(task, tally, time.monotonic() - started, as_json=as_json)
    raise typer.Exit(1 if tally.rejected else 0)


def _token(token_file: Path | None, *, dry_run: bool) -> str:
    token = "" if dry_run else read_token(token_file)
    if not token and not dry_run:
        fail("a node's token is needed: --token-file FILE, or STANDING_TOKEN (or try --dry-run)")
    return token


async def _import(task: _Task) -> Tally:
    lookups = load_lookups(task.mapping, task.file.parent)
    state_path = task.rejects.with_name(task.rejects.name + ".state")
    state = load_state(state_path, identity_of(task.file, task.mapping.digest, task.where))
    if state.tally.rows:
        stderr.print(f"going on after row {state.tally.rows} of an interrupted import")
    with Rejects(task.rejects, keep_bytes=state.rejects_bytes) as rejects:
        async with _target(task) as target:
            with Progress(task.file.stat().st_size, already=state.tally.rows) as progress:
                return await Import(
                    task.file,
                    task.mapping,
                    lookups,
                    target,
                    rejects=rejects,
                    state=state,
                    state_path=None if task.dry_run else state_path,
                    limit=task.limit,
                    on_progress=progress.show,
                ).run()


@asynccontextmanager
async def _target(task: _Task) -> AsyncIterator[Target]:
    if task.dry_run:
        yield DryRun()
        return
    async with NodeTarget.connect(task.node, task.token) as target:
        yield target


def _report(task: _Task, tally: Tally, seconds: float, *, as_json: bool) -> None:
    rejects_file = str(task.rejects) if tally.rejected else None
    if tally.rejected:
        stderr.print(
            f"{tally.rejected} rows were rejected: see {task.rejects}",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
    if as_json:
        figures: dict[str, Any] = {
            "rows": tally.rows,
            "applied": tally.applied,
            "rejected": tally.rejected,
            "duplicates": tally.duplicates,
            "records": tally.records,
            "rejects_file": rejects_file,
            "seconds": round(seconds, 3),
            "dry_run": task.dry_run,
            "title": task.mapping.title,
            "note": task.mapping.note,
        }
        print_json(figures)
        return
    verb = "would be applied" if task.dry_run else "applied"
    stdout.print(task.mapping.title or task.file.name, markup=False, soft_wrap=True)
    stdout.print(
        f"{tally.rows} rows = {tally.applied} {verb} + {tally.rejected} rejected + "
        f"{tally.duplicates} duplicates; {tally.records} records in {seconds:.1f} s",
        markup=False,
        soft_wrap=True,
    )
    if task.mapping.note:
        stdout.print(f"Note: {task.mapping.note}", markup=False, soft_wrap=True)
