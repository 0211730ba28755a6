"""The command line `standing`: one module per command, imported only when it is called."""

import sys
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup

from ledger.errors import StandingError

# command → module, which holds a Typer application called `app`
COMMANDS: Final = {
    "demo": "node.cli.demo",
    "network": "node.cli.network",
    "node": "node.cli.node",
    "import": "node.cli.import_",
    "submit": "node.cli.submit",
    "key": "node.cli.key",
    "erase": "node.cli.erase",
    "score": "node.cli.score",
    "compare": "node.cli.compare",
    "file": "node.cli.file",
    "bundle": "node.cli.bundle",
    "verify": "node.cli.verify",
    "audit": "node.cli.audit",
    "model": "node.cli.model",
    "export": "node.cli.export",
    "bench": "node.cli.bench",
}


class Commands(TyperGroup):
    """A group that imports a command's module when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """All commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """The command of a name, from its module's `app`."""
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command = typer.main.get_command(import_module(module).app)
        command.name = cmd_name
        return command


app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False)


@app.callback()
def _standing() -> None:
    """Standing: a ledger of work, and the credit bureau that stands on it."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. Exit 0: done; 1: a check inside failed; 2: wrong usage or input."""
    try:
        app(args=arguments, prog_name="standing")
    except StandingError as error:
        typer.echo(f"standing: {error}", err=True)
        sys.exit(2)
