"""A view of a stopped node's LevelDB: read without touching a byte of it, by several processes.

LevelDB admits one process to a folder, and writes there when it opens it. Its tables, though, never
change once they are written. So a view is a temporary folder (TMPDIR) with links to the tables and
copies of LevelDB's few small files beside them; what it moves or tidies up, it does there. The keys
of sealed rows are never copied. While
any view is open, `Hold` keeps the folder's own lock, so that no node starts and changes it.

Only tables that the store's manifest names are linked. A file that a stopped compaction has left
behind has a number that LevelDB may give out again, and it would be written through the link.
"""

import fcntl
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import plyvel

from ledger.errors import Misconfigured
from node.storage.vault import VAULT_NAME

OPEN_FILES_MAX: Final = 74
"""LevelDB maps each open table (2 MiB) into memory: ten less than this, which is the least that it
takes, and not the whole store."""

_TABLES: Final = frozenset({".ldb", ".sst"})
_LOCK: Final = "LOCK"
_BLOOM_BITS: Final = 10
_OWN_LOCK: Final = getattr(fcntl, "F_OFD_SETLK", None)
_BLOCK_BYTES: Final = 32_768
_FRAGMENT_BYTES: Final = 7
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
            source = folder.resolve()
            live = live_tables(_manifest(source))
            for path in source.iterdir():
                if path.suffix in _TABLES:
                    if path.stem.isdecimal() and int(path.stem) in live:
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


# --- the manifest ---


def _manifest(folder: Path) -> bytes:
    """The bytes of the manifest that a store's CURRENT names; none if it names none."""
    name = (folder / "CURRENT").read_bytes()[:64].strip().decode("ascii", "replace")
    path = folder / name
    if not name.startswith("MANIFEST-") or "/" in name or not path.is_file():
        return b""
    return path.read_bytes()


def live_tables(manifest: bytes) -> set[int]:
    """The numbers of the tables that a LevelDB manifest names, as far as it can be read: LevelDB
    itself judges whether it is whole.

    A manifest is a journal (LevelDB's log format) of edits; each is a row of tagged fields.
    """
    live: set[int] = set()
    try:
        for edit in _records(manifest):
            _apply(edit, live)
    except (IndexError, ValueError):
        pass
    return live


def _records(journal: bytes) -> Iterator[bytes]:
    """Records of a journal: blocks of 32 KiB, fragments of checksum, length, type and bytes."""
    parts = b""
    for start in range(0, len(journal), _BLOCK_BYTES):
        block, at = journal[start : start + _BLOCK_BYTES], 0
        while at + _FRAGMENT_BYTES <= len(block):
            length = int.from_bytes(block[at + 4 : at + 6], "little")
            kind = block[at + 6]
            at += _FRAGMENT_BYTES + length
            if kind not in {1, 2, 3, 4}:  # whole, first, middle, last
                break
            fragment = block[at - length : at]
            parts = fragment if kind in {1, 2} else parts + fragment
            if kind in {1, 4}:
                yield parts


def _apply(edit: bytes, live: set[int]) -> None:
    at = 0

    def number() -> int:
        nonlocal at
        found = shift = 0
        while True:
            byte = edit[at]
            at += 1
            found |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return found

    def skip() -> None:
        nonlocal at
        length = number()
        at += length

    while at < len(edit):
        match number():
            case 1:  # comparator
                skip()
            case 2 | 3 | 4 | 9:  # journal, next file, sequence, earlier journal
                number()
            case 5:  # where a level is to be compacted next
                number()
                skip()
            case 6:  # a table goes: level, number
                number()
                live.discard(number())
            case 7:  # a table comes: level, number, size, first and last key
                number()
                live.add(number())
                number()
                skip()
                skip()
            case tag:
                raise ValueError(f"a manifest has no field {tag}")
