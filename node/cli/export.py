"""`standing export log DIR`: the public log as a folder. `standing export policy`: whose lines
count today, followed from genesis and trusting no node."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ledger.bundle_verify import show_time
from ledger.epochs import CHAIN_BYTES_MAX, EpochEnd, Trusted, decode_chain, follow
from ledger.errors import InvalidInput, StandingError
from ledger.genesis import Foundation, chain_id
from node.cli.output import fail, print_json, stderr, stdout
from node.cli.target import NodeOption
from node.cli.verify import read_bytes
from node.export.run import Exported, export_log
from node.export.run import Progress as OnProgress
from node.export.source import FolderSource, NodeSource, read_chain
from node.network import load_genesis

app = typer.Typer(no_args_is_help=True, add_completion=False)

DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Export from a stopped node's folder instead of a running node."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.callback()
def _group() -> None:
    """Take the public side of the ledger out of a node."""


@app.command()
def log(
    folder: Annotated[Path, typer.Argument(help="A new folder, or one that was exported before.")],
    *,
    node: NodeOption = "http://127.0.0.1:8440",
    data: DataOption = None,
    chain: Annotated[
        str, typer.Option(help="The chain id (hex) that the log must have; without it, any.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Write the log so that any web server can serve it: tiles, entries, checkpoint and what stands
    beside it, checked on the way. Run it again and it fetches only what is new. No token is needed.
    """
    began = time.monotonic()
    try:
        done = asyncio.run(_export(folder, node, data, chain))
    except InvalidInput as error:
        fail(f"what was to be exported does not hold: {error}", code=1)
    except StandingError as error:
        fail(str(error))
    seconds = time.monotonic() - began
    if as_json:
        print_json({**_figures(done), "folder": str(folder), "seconds": round(seconds, 3)})
        return
    stdout.print(
        f"{folder}: {done.size} entries, {done.height} blocks, root {done.root.hex()}", markup=False
    )
    stdout.print(
        f"{done.entries} entries and {done.blocks} blocks were new; wrote {done.files} files, "
        f"{done.size_bytes} bytes in {seconds:.1f} s; every hash and signature holds",
        markup=False,
    )


async def _export(folder: Path, node: str, data: Path | None, chain: str) -> Exported:
    source = NodeSource(node) if data is None else FolderSource(data)
    async with source:
        if chain and chain_id((await source.genesis()).foundation).hex() != chain:
            raise InvalidInput("the genesis is that of another network", field="chain")
        with _bar() as on_progress:
            return await export_log(source, folder, on_progress)


def _figures(done: Exported) -> dict[str, Any]:
    return {
        "chain": done.chain.hex(),
        "checkpoint_size": done.size,
        "root": done.root.hex(),
        "blocks": done.height,
        "new_entries": done.entries,
        "new_blocks": done.blocks,
        "files": done.files,
        "bytes": done.size_bytes,
    }


@app.command()
def policy(
    *,
    genesis: Annotated[Path, typer.Option(help="The genesis.json that you trust.")],
    node: NodeOption = "http://127.0.0.1:8440",
    log: Annotated[
        Path | None,
        typer.Option("--log", help="An exported log's folder, or its file `epochs`."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the policy of the newest validator set, proven from genesis: each set signs the next.

    Who serves the proofs need not be trusted; an old answer is the worst that it can give, so mind
    the date. Exit 1 if a proof does not hold.
    """
    try:
        foundation = load_genesis(genesis).foundation
        ends = _read_chain(log) if log is not None else asyncio.run(_chain_of(node, foundation))
    except StandingError as error:
        fail(str(error))
    try:
        found = follow(foundation, ends)
    except InvalidInput as error:
        fail(f"the proofs do not lead from this genesis to a newer set: {error}", code=1)
    if as_json:
        print_json(_trusted(found, foundation, len(ends)))
        return
    stderr.print(
        f"epoch {found.epoch}, proven by block {found.height} of {show_time(found.time)}, "
        f"{found.size} entries",
        markup=False,
    )
    stdout.print(found.policy.format(), markup=False, end="", soft_wrap=True)


def _trusted(found: Trusted, foundation: Foundation, ends: int) -> dict[str, Any]:
    return {
        "origin": found.origin,
        "chain": chain_id(foundation).hex(),
        "epoch": found.epoch,
        "height": found.height,
        "checkpoint_size": found.size,
        "root": found.root.hex(),
        "seal_time": found.time,
        "epoch_ends": ends,
        "validators": [{"number": each.number, "code": each.code} for each in found.validators],
        "policy": found.policy.format(),
    }


def _read_chain(place: Path) -> list[EpochEnd]:
    path = place / "epochs" if place.is_dir() else place
    return list(decode_chain(read_bytes(path, CHAIN_BYTES_MAX, what="chain of epoch ends")))


async def _chain_of(node: str, foundation: Foundation) -> list[EpochEnd]:
    async with NodeSource(node) as source:
        return await read_chain(source, foundation)


@contextmanager
def _bar() -> Iterator[OnProgress]:
    columns = (TextColumn("entries"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True) as progress:
        task = progress.add_task("export", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
