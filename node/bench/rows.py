"""`scripts/bench/rows FOLDER`: what a stopped node's store takes per record, by kind of row.

*keys* and *values* are bytes as written; *disk* is what LevelDB says that the kind's part of its
tables takes: with its own 8 bytes a row, checksums and filters, and with whatever was overwritten
and is not merged away yet. The folder's own size has the journal, the keys of sealed
rows and logs besides. A record is one of the log's entries that is no seal.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import plyvel
import typer
from rich.table import Table

from ledger.errors import StandingError
from ledger.rows import kind_of
from ledger.store import BLOCK, LEAF, after
from node.audit.view import Hold, View
from node.bench.measure import disk_bytes
from node.cli.output import fail, print_json, stdout

_OTHER: Final = "other"


@dataclass(slots=True)
class Kind:
    """One kind of row: how many, and bytes of keys, of values, on disk."""

    rows: int = 0
    keys: int = 0
    values: int = 0
    disk: int = 0


@dataclass(frozen=True, slots=True)
class Rows:
    """A store's rows. `folder_bytes`: of all files in it."""

    records: int
    folder_bytes: int
    kinds: dict[str, Kind]


def measure_rows(folder: Path) -> Rows:
    """Read a stopped node's store once, changing nothing.

    Raises:
        Misconfigured: a process has it open.
        plyvel.Error, OSError: it is no store, or not what was written.
    """
    hold = Hold(folder)
    try:
        view = View(folder)
        try:
            kinds = _kinds(view.db)
        finally:
            view.close()
    finally:
        hold.close()
    entries, blocks = kinds[LEAF.decode()].rows, kinds[BLOCK.decode()].rows
    return Rows(max(0, entries - blocks), disk_bytes(folder), dict(kinds))


def _kinds(database: Any) -> defaultdict[str, Kind]:
    kinds: defaultdict[str, Kind] = defaultdict(Kind)
    with database.iterator(verify_checksums=True, fill_cache=False) as rows:
        for key, value in rows:
            kind = kinds[key[:1].decode("latin-1")]
            kind.rows += 1
            kind.keys += len(key)
            kind.values += len(value)
    for name, kind in kinds.items():
        prefix = name.encode("latin-1")
        kind.disk = database.approximate_size(prefix, after(prefix))
    return kinds


def figures_of(rows: Rows) -> dict[str, Any]:
    """The figures as one object."""
    per_record = rows.folder_bytes / rows.records if rows.records else None
    return {
        "records": rows.records,
        "disk_bytes": rows.folder_bytes,
        "disk_bytes_per_record": per_record,
        "kinds": {name: asdict(kind) for name, kind in rows.kinds.items()},
    }


def table_of(rows: Rows) -> Table:
    """The kinds by what they take on disk, the largest first."""
    table = Table(box=None, pad_edge=False)
    table.add_column("rows")
    table.add_column("")
    for title in ("per record", "keys B", "values B", "disk B"):
        table.add_column(title, justify="right")
    for cells in _lines(rows):
        table.add_row(*cells)
    return table


def _lines(rows: Rows) -> Iterator[list[str]]:
    records = max(1, rows.records)
    whole = Kind()
    for name, kind in sorted(rows.kinds.items(), key=lambda item: -item[1].disk):
        whole.disk += kind.disk
        what = kind_of(name.encode("latin-1")) or _OTHER
        counts = (kind.keys, kind.values, kind.disk)
        yield [name, what, f"{kind.rows / records:.4f}", *(f"{n / records:.1f}" for n in counts)]
    yield ["", "all tables", "", "", "", f"{whole.disk / records:.1f}"]
    yield ["", "the folder", "", "", "", f"{rows.folder_bytes / records:.1f}"]


def main(
    folder: Annotated[Path, typer.Argument(help="Data folder of a stopped node.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """What a stopped node's store takes per record, by kind of row."""
    try:
        rows = measure_rows(folder)
    except (StandingError, plyvel.Error, OSError) as error:
        fail(f"{folder} cannot be read: {error}", code=1)
    if as_json:
        print_json(figures_of(rows))
    else:
        stdout.print(f"{rows.records:,} records; bytes per record:")
        stdout.print(table_of(rows))


if __name__ == "__main__":
    typer.run(main)
