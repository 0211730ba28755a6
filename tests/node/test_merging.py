"""LevelDB's own thread runs at a lower priority than the node's."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import plyvel
import pytest

from node.storage.merging import MERGING_NICE, open_to_give_way

LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads are Linux's")


def niceness() -> dict[int, int]:
    """The niceness of each thread of this process."""
    numbers = [int(path.name) for path in Path("/proc/self/task").iterdir()]
    return {number: os.getpriority(os.PRIO_PROCESS, number) for number in numbers}


@LINUX_ONLY
def test_a_database_merges_in_a_thread_that_gives_way(tmp_path: Path) -> None:
    """In a process of its own: LevelDB has one such thread for all databases of a process."""
    program = f"""
import plyvel
from node.storage.merging import open_to_give_way
from tests.node.test_merging import niceness
assert set(niceness().values()) == {{0}}
database = open_to_give_way(lambda: plyvel.DB({str(tmp_path / "d")!r}, create_if_missing=True))
print(set(niceness().values()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == f"{{0, {MERGING_NICE}}}"


@LINUX_ONLY
def test_the_caller_keeps_its_own_priority(tmp_path: Path) -> None:
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    database = open_to_give_way(lambda: plyvel.DB(str(tmp_path / "d"), create_if_missing=True))
    database.close()
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_what_opening_raises_is_raised(tmp_path: Path) -> None:
    with pytest.raises(plyvel.Error):
        open_to_give_way(lambda: plyvel.DB(str(tmp_path / "none"), create_if_missing=False))
