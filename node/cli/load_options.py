"""Options of the commands that put a federation under the fixed load."""

from pathlib import Path
from typing import Annotated, Final

import typer

RECORDS_MAX: Final = 20_000_000
SEED_MAX: Final = 2**63 - 1
_PEOPLE_MAX: Final = 5_000_000
_PEOPLE_MIN: Final = 26  # one on each platform of the largest federation

SecondsOption = Annotated[float, typer.Option(min=1.0, help="Measured time at full load.")]
SeedOption = Annotated[int, typer.Option(min=0, max=SEED_MAX, help="Seed of the load.")]
PeopleOption = Annotated[
    int, typer.Option(min=_PEOPLE_MIN, max=_PEOPLE_MAX, help="Not the fixed load if changed.")
]
KeptOption = Annotated[
    Path | None,
    typer.Option("--kept", help="Folder of made ledgers: a later run takes them again."),
]
NewFolderOption = Annotated[
    Path | None, typer.Option("--dir", help="New folder for the nodes, kept afterwards.")
]
RaterSignedOption = Annotated[
    bool, typer.Option("--rater-signed", help="Ratings carry the rater's own signature.")
]
WORKERS: Final = 100_000
CLIENTS: Final = 20_000
