"""`standing demo`: four nodes, a made-up job market, a score, a proof, an audit.

Exit 0: every check held. Exit 1: one did not. Without `--exit` the nodes stay up until Ctrl-C.
"""

import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from ledger.errors import StandingError
from node.cli.output import fail, print_json, stderr, stdout
from node.cli.target import JsonOption
from node.demo.story import SEED, Figures, run_demo
from node.demo.telling import Telling

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    *,
    exit_: Annotated[
        bool, typer.Option("--exit", help="Stop the nodes when all is shown.")
    ] = False,
    as_json: JsonOption = False,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another market.")] = SEED,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="Keep the federation here (default: a folder that is removed)."),
    ] = None,
) -> None:
    """Run four platforms' nodes on this machine and show what a score is made of."""
    if folder is not None and folder.exists() and any(folder.iterdir()):
        fail(f"{folder} is not empty: name another --dir, or remove it")
    telling = Telling(stdout, stderr, quiet=as_json)

    def on_figures(figures: Figures) -> None:
        if as_json:
            print_json(figures.to_json())

    with ExitStack() as stack:
        home = folder or Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="standing-demo-", ignore_cleanup_errors=True)
            )
        )
        try:
            is_good = asyncio.run(
                run_demo(
                    home / "federation" if folder is None else home,
                    seed=seed,
                    stay=not exit_,
                    telling=telling,
                    on_figures=on_figures,
                )
            )
        except StandingError as error:
            fail(str(error), code=1)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except asyncio.CancelledError:  # SIGTERM
            raise typer.Exit(143) from None
    raise typer.Exit(0 if is_good else 1)
