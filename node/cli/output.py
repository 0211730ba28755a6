"""What commands print: one JSON object on stdout with `--json`, people's text otherwise.

Progress and errors go to stderr, always. What a program or a file gets is not broken into lines of
a terminal's width: a path or a name stays whole.
"""

import os
import platform
import sys
from importlib.metadata import version
from typing import Any, Final, NoReturn

import msgspec
import typer
from rich.console import Console

stderr: Final = Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
stdout: Final = Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def machine() -> dict[str, Any]:
    """Cores, memory and Python of this machine, as every figure carries them."""
    memory_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return {
        "cores": os.cpu_count(),
        "memory_mib": memory_mib,
        "python": platform.python_version(),
    }


def print_json(figures: dict[str, Any]) -> None:
    """Print one JSON object with `machine` and `version` added."""
    whole = {**figures, "machine": machine(), "version": version("standing-ledger")}
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(whole), indent=2).decode() + "\n")
    sys.stdout.flush()


def fail(message: str, *, code: int = 2) -> NoReturn:
    """Print an error that says what to do next, and exit (2: wrong usage or input, 1: failed)."""
    stderr.print(f"standing: {message}", style="red", markup=False)
    raise typer.Exit(code)
