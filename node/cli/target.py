"""Which node a command talks to, and with which token: the same options for every command.

`--node URL` or STANDING_NODE; `--token-file FILE`, or the token itself in STANDING_TOKEN (never on
the command line, where every process of the machine could read it).
"""

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from ledger.errors import StandingError
from node.cli.output import fail
from node.client import Client

T = TypeVar("T")

NODE_URL: Final = "http://127.0.0.1:8440"
TOKEN_BYTES_MAX: Final = 512

NodeOption = Annotated[
    str, typer.Option("--node", envvar="STANDING_NODE", help="The node's address.")
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file", help="A file with the node's token; without it STANDING_TOKEN is taken."
    ),
]
SizeOption = Annotated[
    int | None,
    typer.Option(
        "--size", min=1, help="Of the checkpoint with so many entries; without it, the newest."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def at_size(size: int | None) -> dict[str, str]:
    """The part of a query that names an older checkpoint."""
    return {} if size is None else {"size": str(size)}


def read_token(token_file: Path | None) -> str:
    """The token of the file, or of STANDING_TOKEN, or none."""
    if token_file is None:
        return os.environ.get("STANDING_TOKEN", "").strip()
    try:
        with token_file.open("rb") as file:
            return file.read(TOKEN_BYTES_MAX).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"the token file {token_file} cannot be read: {error}")


def ask(
    url: str, token_file: Path | None, question: Callable[[Client], Coroutine[Any, Any, T]]
) -> T:
    """Ask a node one thing; on an error say what to do next and exit."""

    async def whole() -> T:
        async with Client(url, read_token(token_file)) as client:
            return await question(client)

    try:
        return asyncio.run(whole())
    except StandingError as error:
        fail(str(error))
