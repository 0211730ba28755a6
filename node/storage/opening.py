"""Opening a LevelDB: nothing is taken for a new or whole store that is not, and how it is set."""

from pathlib import Path
from typing import Any

import plyvel

from ledger.errors import Misconfigured, StoreDamaged
from node.bounds import Bounds
from node.storage.faults import REPAIR, unopened
from node.storage.merging import open_to_give_way


def open_db(folder: Path, bounds: Bounds) -> Any:
    """The LevelDB of a data folder, which is made where there is none.

    Raises:
        StoreDamaged: files are missing, or LevelDB cannot read them.
        Misconfigured: the folder cannot be used, or is in use.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        where = error.filename or folder
        raise Misconfigured(f"the data folder {where} cannot be made: {error.strerror}") from error
    try:
        _check_files(folder)
        return open_to_give_way(
            lambda: plyvel.DB(
                str(folder),
                create_if_missing=True,
                paranoid_checks=True,
                write_buffer_size=bounds.write_buffer_bytes,
                lru_cache_size=bounds.block_cache_bytes,
                max_open_files=bounds.open_files_max,
                max_file_size=bounds.table_bytes_max,
                bloom_filter_bits=10,
                compression=None,  # keys, hashes and sealed rows do not shrink; trying costs twice
            )
        )
    except (plyvel.Error, OSError) as error:
        raise unopened(folder, error) from error


def _check_files(folder: Path) -> None:
    """Refuse what LevelDB would take for a new or whole store, and then clear away.

    Raises:
        StoreDamaged: names the file that is missing.
    """
    names = {path.name for path in folder.iterdir()}
    has_log = any(name.endswith(".log") for name in names)
    others = any(name.endswith(".ldb") or name.startswith("MANIFEST-") for name in names)
    if "CURRENT" not in names and (has_log or others):
        raise StoreDamaged(str(folder), f"the file CURRENT is missing; {REPAIR}")
    if "CURRENT" in names and not has_log:
        raise StoreDamaged(str(folder), f"the newest rows (a file *.log) are missing; {REPAIR}")
