"""`standing network create`: found a network of platforms in a new folder. The other commands of
the group, about who is a member, are in node/cli/members.py and node/cli/joining.py."""

from pathlib import Path
from typing import Annotated

import typer

from ledger.errors import StandingError
from ledger.genesis import FIRST_BOUNDS
from node.cli import joining, members
from node.cli.output import fail, print_json, stderr, stdout
from node.network import found_network

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def _group() -> None:
    """Found a network, join or leave one, approve who does; change a platform's keys."""


app.command()(joining.join)
app.command()(members.propose)
app.command()(members.approve)
app.command()(members.remove)
app.command()(members.leave)
app.command()(joining.rotate)
app.command()(members.changes)


@app.command()
def create(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    *,
    platforms: Annotated[str, typer.Option(help="Codes of the platforms: a,b,c,d.")],
    origin: Annotated[
        str, typer.Option(help="The log's name: a URL without its scheme.")
    ] = "standing.local/log",
    api_port: Annotated[int, typer.Option(help="The first node's HTTP port; then upwards.")] = 8440,
    peer_port: Annotated[int, typer.Option(help="The first node's peer port.")] = 9440,
    epoch_blocks: Annotated[
        int, typer.Option(min=1, help="Blocks after which changes of the membership bind.")
    ] = FIRST_BOUNDS.epoch_blocks,
    as_json: Annotated[bool, typer.Option("--json", help="Print figures as JSON.")] = False,
) -> None:
    """Write genesis, keys (mode 0600), tokens and one configuration for each platform."""
    codes = [code.strip() for code in platforms.split(",")]
    try:
        made = found_network(
            folder,
            codes,
            origin=origin,
            api_port=api_port,
            peer_port=peer_port,
            epoch_blocks=epoch_blocks,
        )
    except StandingError as error:
        fail(str(error))
    count = len(codes)
    faults = (count - 1) // 3
    if not faults:
        stderr.print(
            f"standing: a network of {count} tolerates no fault and cannot vote out a dead member; "
            "four platforms tolerate one",
            style="yellow",
            markup=False,
        )
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "chain": made.chain.hex(),
                "origin": origin,
                "platforms": list(codes),
                "quorum": count - faults,
                "faults_tolerated": faults,
                "configs": [str(folder / code / "node.toml") for code in codes],
            }
        )
        return
    stdout.print(f"A network of {count} in {folder}, chain {made.chain.hex()}", markup=False)
    stdout.print(f"{count - faults} of {count} must agree; {faults} may fail.", markup=False)
    stdout.print("Keep each root.key offline. Start the nodes:", markup=False)
    for code in codes:
        stdout.print(f"  standing node run {folder / code / 'node.toml'}", markup=False)
