"""A view of a stopped node's LevelDB: read without touching a byte of it, by several processes.

LevelDB admits one process to a folder, and writes there when it opens it. Its tables, though, never
change once they are written. So a view is a temporary folder (TMPDIR) with links to the tables and
copies of LevelDB's few small files beside them; what it moves or tidies up, it does there. The keys
of sealed rows are never copied. While
any view is open, `Hold` keeps the folder's own lock, so that no node starts and changes it.
"""

import fcntl
import os
import shutil
import struct
import tempfile
from pathlib import Path
from typing import Any, Final

import plyvel

from ledger.errors import Misconfigured
from node.storage.vault import VAULT_NAME

OPEN_FILES_MAX: Final = 100
"""LevelDB maps each open table (2 MiB) into memory: so many of them, not the whole store."""

_TABLES: Final = frozenset({".ldb", ".sst"})
_LOCK: Final = "LOCK"
_BLOOM_BITS: Final = 10
_OWN_LOCK: Final = getattr(fcntl, "F_OFD_SETLK", None)
_WHOLE_FILE: Final = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


class Hold:
    """Holds a LevelDB's lock, as a process does that has it open."""

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises:
            Misconfigured: another process has the store open.
            OSError: there is no folder, or it may not be written.
        """
        self._file = (folder / _LOCK).open("ab")
        try:
            if _OWN_LOCK is None:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            else:
                fcntl.fcntl(self._file, _OWN_LOCK, _WHOLE_FILE)
        except OSError as error:
            self._file.close()
            raise Misconfigured(
                f"{folder} is open in another process: stop that node, or audit it by its URL"
            ) from error

    def close(self) -> None:
        """Give the store free."""
        self._file.close()


class View:
    """A LevelDB over the tables of `folder`, which somebody holds. `db` reads it."""

    def __init__(self, folder: Path, place: Path | None = None) -> None:
        """Open a view; `place`: where its temporary folder is made.

        Raises:
            plyvel.Error, OSError: as LevelDB and the disk say.
        """
        self.folder = folder
        self._folder = Path(tempfile.mkdtemp(prefix="standing-view-", dir=place))
        try:
            for path in folder.resolve().iterdir():
                if path.suffix in _TABLES:
                    (self._folder / path.name).symlink_to(path)
                elif not path.name.startswith((_LOCK, VAULT_NAME)) and path.is_file():
                    shutil.copyfile(path, self._folder / path.name)
            self.db: Any = plyvel.DB(
                str(self._folder),
                create_if_missing=False,
                paranoid_checks=True,
                max_open_files=OPEN_FILES_MAX,
                bloom_filter_bits=_BLOOM_BITS,
            )
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def close(self) -> None:
        """Close it and remove its folder."""
        self.db.close()
        shutil.rmtree(self._folder, ignore_errors=True)
