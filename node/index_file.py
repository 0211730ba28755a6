"""A stopped node's index, beside its store: the next start reads it and need not hash anything.

    index-image    the image of `ledger/window_image.py`, mode 0600

Written when a node stops, behind its last block; read and removed by the next start. It is a
shortcut only: what is no image, or is not that of the newest block in the store (a node that was
killed leaves none, one whose disk lied an older one), is passed over, and the index is built from
its rows. Nothing stands in it that does not stand in those rows, too.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ledger.errors import Malformed
from ledger.index import Index
from ledger.window_image import image_pieces, read_image

log = logging.getLogger(__name__)

IMAGE_NAME: Final = "index-image"
_NEW: Final = ".new"
_MODE: Final = 0o600


def keep_index(folder: Path, index: Index) -> None:
    """Write the index beside a store. Where the disk does not take it, there is none."""
    path = folder / IMAGE_NAME
    new = path.with_name(IMAGE_NAME + _NEW)
    try:
        new.unlink(missing_ok=True)
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
        with os.fdopen(handle, "wb", buffering=0) as file:
            for piece in image_pieces(index):
                _write(file.fileno(), piece)
        new.rename(path)
    except OSError as error:
        log.warning("the index is not kept for the next start: %s", error)
        _remove(new)


def take_index(folder: Path, window_blocks: int) -> Index | None:
    """The index that was kept beside a store, if there is one; afterwards there is none."""
    path = folder / IMAGE_NAME
    _remove(path.with_name(IMAGE_NAME + _NEW))
    try:
        with path.open("rb", buffering=0) as file:
            return read_image(
                lambda view: _fill(file.readinto, view), path.stat().st_size, window_blocks
            )
    except FileNotFoundError:
        return None
    except (Malformed, OSError) as error:
        log.warning("%s is passed over: %s", path, error)
        return None
    finally:
        _remove(path)


def _write(handle: int, piece: bytes | memoryview) -> None:
    while piece:
        piece = piece[os.write(handle, piece) :]


def _fill(readinto: Callable[[memoryview], int | None], view: memoryview) -> int:
    done = 0
    while done < len(view) and (count := readinto(view[done:])):
        done += count
    return done


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s cannot be removed: %s", path, error)
