"""LevelDB's own thread, which writes tables and merges them, gives way to the threads of the node.

Merging comes in bursts of seconds, and nobody waits for it before the next buffer is full: at the
priority of the event loop it would only hold up finality. Linux gives priorities to threads, and a
thread inherits that of the one which started it. So the database is opened in a thread of lower
priority that has it start its own at once, by a merge of nothing, and ends.
"""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

MERGING_NICE: Final = 5

_NO_KEYS: Final = (b"\xff", b"\xff\xff")
"""No row has such a key."""


def open_to_give_way(opened: Callable[[], Any]) -> Any:
    """Open a database (`opened` makes it); raises what that raises."""
    if sys.platform != "linux":
        return opened()
    with ThreadPoolExecutor(1, "store-opener") as one:
        return one.submit(_open, opened).result()


def _open(opened: Callable[[], Any]) -> Any:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), MERGING_NICE)
    database = opened()
    start, stop = _NO_KEYS
    database.compact_range(start=start, stop=stop)
    return database
