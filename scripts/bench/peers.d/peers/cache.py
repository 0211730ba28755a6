"""What other people's programs are built into: a folder outside the tree, kept between runs.

`$XDG_CACHE_HOME/standing-bench`, or the same under ~/.cache. Each thing stands in a folder of its
own that has its version in its name, and is there whole or not at all.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

DONE = "made-whole"


def root() -> Path:
    """The cache folder; it need not be there yet."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "standing-bench"


def made(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of that name, made by `make` unless an earlier run has finished it."""
    folder = root() / name
    if (folder / DONE).is_file():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        make(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    (folder / DONE).touch()
    return folder
