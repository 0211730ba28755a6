"""The command line `standing`: one module per command, imported only when it is called."""

import sys
from importlib import import_module
from typing import Final

import click
import typer

from ledger.errors import Misconfigured, StandingError

# command → module, which holds a Typer application called `app`
COMMANDS: Final = {
    "demo": "node.cli.demo",
    "network": "node.cli.network",
    "node": "node.cli.node",
    "import": "node.cli.import_",
    "submit": "node.cli.submit",
    "score": "node.cli.score",
    "file": "node.cli.file",
    "bundle": "node.cli.bundle",
    "verify": "node.cli.verify",
    "audit": "node.cli.audit",
    "bench": "node.cli.bench",
}


class Commands(click.Group):
    """A group that imports a command's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """All commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of a name, from its module's `app`."""
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        application: typer.Typer = import_module(module).app
        command: click.Command = typer.main.get_command(application)
        command.name = cmd_name
        return command


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. Exit 0: done; 1: a check inside failed; 2: wrong usage or input."""
    group = Commands(
        "standing", help="Standing: a ledger of work, and the credit bureau that stands on it."
    )
    try:
        sys.exit(group.main(args=arguments, prog_name="standing", standalone_mode=True))
    except (StandingError, Misconfigured) as error:
        typer.echo(f"standing: {error}", err=True)
        sys.exit(2)
