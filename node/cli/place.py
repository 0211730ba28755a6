"""Where a command about the membership is handed in, and a person's yes before it is.

`--home DIR` (or STANDING_HOME) is the platform's own folder: the node's address stands in its
node.toml, the token that may govern in `govern-token`. Without it, `--node` and `--token-file` say
both, as for every command.
"""

import sys
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer

from ledger.errors import StandingError
from node.cli.output import fail, stdout
from node.config import Address, load_config, parse_address
from node.home import CONFIG_FILE, GOVERN_TOKEN_FILE

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="STANDING_HOME",
        help="The platform's folder, instead of --node and --token-file: its node's address and "
        "its govern-token are taken.",
    ),
]
YesOption = Annotated[
    bool, typer.Option("--yes", help="Do not ask; needed with --json and without a terminal.")
]
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - dialled, not listened on


class Place(NamedTuple):
    """A node's address, and the file of the token to use there (None: STANDING_TOKEN)."""

    node: str
    token_file: Path | None


def place_of(home: Path | None, node: str, token_file: Path | None) -> Place:
    """The place that the options name. Exit 2 if the folder is no platform's."""
    if home is None:
        return Place(node, token_file)
    try:
        config = load_config(home / CONFIG_FILE if home.is_dir() else home)
    except StandingError as error:
        fail(str(error))
    token = token_file or folder_of(home) / GOVERN_TOKEN_FILE
    if not token.exists():
        fail(f"there is no {token}: give --token-file FILE, a token that may govern")
    return Place(f"http://{_dialled(config.api_listen)}", token)


def folder_of(home: Path) -> Path:
    """The platform's folder, where it may have been named by its node.toml."""
    return home if home.is_dir() else home.parent


def peer_of(text: str) -> tuple[str, Address]:
    """The code and the address of `--peer CODE=HOST:PORT`.

    Raises:
        StandingError: it has another form.
    """
    code, mark, address = text.partition("=")
    if not mark or not code:
        raise StandingError(f"--peer {text}: write CODE=HOST:PORT, as in --peer a=10.0.0.1:9440")
    return code, parse_address(address)


def _dialled(listening: Address) -> Address:
    return Address(_EVERYWHERE.get(listening.host, listening.host), listening.port)


def is_terminal() -> bool:
    """Whether a person can answer."""
    return sys.stdin.isatty()


def confirm(lines: list[str], question: str, *, yes: bool, as_json: bool) -> None:
    """Show what is about to be said, and ask whether it is to be. Exit 1 if not, 2 if nobody can
    answer and `--yes` was not given."""
    if not as_json:
        for line in lines:
            stdout.print(line, markup=False, soft_wrap=True)
    if yes:
        return
    if as_json or not is_terminal():
        fail("nobody can be asked here: say --yes if that is what you want; nothing was handed in")
    if not typer.confirm(question):
        fail("nothing was handed in", code=1)
