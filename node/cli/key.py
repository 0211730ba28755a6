"""`standing key new|show FILE`: a subject's own key, with which it links, rates and erases.

The file is what `standing erase --key` reads: the Ed25519 seed as 64 hex digits and a newline, mode
0600 (`node/keystore.py`). The public key goes to the platform, which registers it for the handle.
"""

import secrets
from pathlib import Path
from typing import Annotated

import typer

from ledger.signing import SEED_BYTES, SigningKey
from node.cli.output import print_json, stderr
from node.cli.target import JsonOption
from node.keystore import read_seed, write_seed

FileArgument = Annotated[Path, typer.Argument(help="The key file: a seed of 64 hex digits, 0600.")]

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def _group() -> None:
    """A subject's own key: without one registered for its handle it cannot erase."""


@app.command()
def new(file: FileArgument, *, as_json: JsonOption = False) -> None:
    """Make a key in a new file, and print its public half: 64 hex digits for the platform.

    A file that exists is never overwritten. Keep a copy: nobody can register another key later.
    """
    write_seed(file, secrets.token_bytes(SEED_BYTES))
    _print(file, as_json=as_json)
    if not as_json:
        stderr.print(
            f"{file} is secret: keep it, and a copy. The platform registers the line above with "
            "the handle; it cannot be added or changed later.",
            markup=False,
            soft_wrap=True,
        )


@app.command()
def show(file: FileArgument, *, as_json: JsonOption = False) -> None:
    """Print the public key of a key file."""
    _print(file, as_json=as_json)


def _print(file: Path, *, as_json: bool) -> None:
    public = SigningKey.from_seed(read_seed(file)).public.hex()
    if as_json:
        print_json({"file": str(file), "public_key": public})
    else:
        typer.echo(public)
