"""`standing node run`: run one platform's node until it is told to stop. The group's other commands
are in node/cli/following.py."""

import asyncio
import contextlib
import ctypes
import gc
import logging
import signal
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop

from ledger.errors import StandingError
from node.cli import following
from node.cli.output import fail
from node.compose import build
from node.config import Config, load_config
from node.listening import raise_open_files
from node.sampling import sampler_of
from node.starting import open_store

app = typer.Typer(no_args_is_help=True, add_completion=False)
log = logging.getLogger("node")

LEVELS: Final = ("debug", "info", "warning", "error")


@app.callback()
def _group() -> None:
    """Run a node, make one that only observes, or tell one whom to trust."""


app.command()(following.observe)
app.command()(following.epochs)


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="The node's TOML file, or its folder.")],
    level: Annotated[str, typer.Option("--log", help=f"One of {', '.join(LEVELS)}.")] = "info",
) -> None:
    """Run a node. SIGTERM or Ctrl-C stops it cleanly (exit 0); a failure, with its reason (1)."""
    if level not in LEVELS:
        fail(f"--log {level}: choose one of {', '.join(LEVELS)}")
    logging.basicConfig(
        stream=sys.stderr,
        level=level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        settings = load_config(config / "node.toml" if config.is_dir() else config)
        raise_open_files()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            reason = runner.run(_run(settings))
    except StandingError as error:
        fail(str(error))
    if reason:
        fail(reason, code=1)


async def _run(config: Config) -> str:
    """Run until a signal (no reason) or a failure (its reason)."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    store = await open_store(config, told)
    if store is None:
        log.info("stopped")
        return ""
    node = await build(config, store=store)
    sampler = sampler_of(node.metrics)
    try:
        await node.start()
        _settle()
        if sampler is not None:
            sampler.start()
        stop, failure = asyncio.ensure_future(told.wait()), asyncio.ensure_future(node.failure())
        await asyncio.wait([stop, failure], return_when=asyncio.FIRST_COMPLETED)
        reason = failure.result() if failure.done() else ""
        for task in (stop, failure):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    finally:
        if sampler is not None:
            sampler.stop()
        await node.stop()
    log.info("stopped%s", f": {reason}" if reason else "")
    return reason


def _settle() -> None:
    """What stands now stays: later collections need not look at it. What the start has used and
    freed goes back to the system, where the C library can do that."""
    gc.collect()
    gc.freeze()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
