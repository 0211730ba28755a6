"""Where a node's processor time goes, by room: a sampling profiler for `standing bench cluster`.

Off unless the environment variable STANDING_SAMPLE_MS says after how much processor time to look.
Each time, what every Python thread has used since the last look (its own clock) counts for the room
that it is in now: that of the innermost frame whose code belongs to one. Threads that run no Python
(LevelDB's) are what the process has used besides; they count for `merging`.

It looks in a signal's handler, which interrupts the event loop wherever it is. A thread that looks
would be let in mostly where the event loop lets go of the interpreter, which is in reads of the
store: half of all seemed to be spent there.

| room | is |
|---|---|
| intake | HTTP, and offered records becoming own batches |
| links | peers, frames; the event loop itself with its sockets and TLS, of HTTP, too |
| consensus | the protocol's rules, and the pump that feeds them |
| checks | rules of records, the first gate, what is verified ahead |
| execution | blocks: entries, files, tallies, the log |
| index | the verifiable map |
| store | rows to be written, encryption at rest, reads |
| merging | threads that run no Python: tables written and merged |
| other | all else |

Served at /metrics as `standing_cpu_seconds_total{room=…}`. Looking 200 times a second costs some
1 % of a core.
"""

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Final

from prometheus_client import CollectorRegistry, Counter

VARIABLE: Final = "STANDING_SAMPLE_MS"
SAMPLE_MS_MAX: Final = 1_000
METRIC: Final = "standing_cpu_seconds"
FRAMES_MAX: Final = 64
OTHER: Final = "other"
_OF_ONE_THREAD: Final = 0b110
MERGING: Final = "merging"

# The longest beginning of a module's name decides; None: whoever called it.
PLACES: Final[dict[str, str | None]] = {
    "ledger": "execution",
    "ledger.bureau": None,
    "ledger.encoding": None,
    "ledger.hashing": None,
    "ledger.merkle": None,
    "ledger.signing": None,
    "ledger.store": None,
    "ledger.rows": None,
    "ledger.batch": "checks",
    "ledger.records": "checks",
    "ledger.rules": "checks",
    "ledger.index": "index",
    "ledger.leaftable": "index",
    "ledger.mapproof": "index",
    "ledger.overwritten": "index",
    "ledger.patricia": "index",
    "ledger.window": "index",
    "consensus": "consensus",
    "consensus.gate": "checks",
    "node": OTHER,
    "node.api": "intake",
    "node.cli": "links",
    "node.driver": "consensus",
    "node.foresight": "checks",
    "node.hearing": "consensus",
    "node.intake": "intake",
    "node.links": "links",
    "node.naming": "intake",
    "node.open_batch": "intake",
    "node.relaying": "links",
    "node.shares": "intake",
    "node.storage": "store",
    "node.timers": "consensus",
    "node.watching": "consensus",
    "aiohttp.client": "links",
    "aiohttp.http_websocket": "links",
    "aiohttp._websocket": "links",
    "aiohttp.web": "intake",
    "aiohttp.web_ws": "links",
}
ROOMS: Final = tuple(sorted({room for room in PLACES.values() if room} | {MERGING}))


def room_of(module: str) -> str | None:
    """The room that a module's code works in, or None: it works for whoever called it."""
    name = module
    while name:
        if name in PLACES:
            return PLACES[name]
        name = name.rpartition(".")[0]
    prefixes = [each for each in PLACES if each.startswith("aiohttp.") and module.startswith(each)]
    return PLACES[max(prefixes, key=len)] if prefixes else None


class Sampler:
    """Counts from `start` to `stop`, both called in the main thread, in which it looks, too."""

    def __init__(self, registry: CollectorRegistry, sample_ms: int) -> None:
        self._counter = Counter(METRIC, "Processor time by room", ("room",), registry=registry)
        self._sample_s = sample_ms / 1_000
        self._used: dict[int, float] = {}
        self._rooms: dict[str, str | None] = {}
        self._process_s = 0.0

    def start(self) -> None:
        """Begin to look."""
        for room in ROOMS:
            self._counter.labels(room)
        self._process_s = time.process_time()
        self._used = {
            each.native_id: used
            for each in threading.enumerate()
            if each.native_id is not None and (used := _thread_s(each.native_id)) is not None
        }
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, self._sample_s, self._sample_s)

    def stop(self) -> None:
        """End looking."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, signal.SIG_IGN)

    def _look(self, _number: int, main: FrameType | None) -> None:
        frames = sys._current_frames()  # noqa: SLF001 - the interpreter's name for it
        process_s = time.process_time()
        elsewhere_s, self._process_s = process_s - self._process_s, process_s
        used: dict[int, float] = {}
        for thread in threading.enumerate():
            now_s = _thread_s(thread.native_id)
            if now_s is None or thread.native_id is None:
                continue
            used[thread.native_id] = now_s
            spent_s = now_s - self._used.get(thread.native_id, now_s)
            elsewhere_s -= spent_s
            if spent_s > 0:
                is_main = thread is threading.main_thread()
                frame = main if is_main else frames.get(thread.ident or 0)
                self._counter.labels(self._room(frame)).inc(spent_s)
        if elsewhere_s > 0:
            self._counter.labels(MERGING).inc(elsewhere_s)
        self._used = used

    def _room(self, frame: FrameType | None) -> str:
        for _ in range(FRAMES_MAX):
            if frame is None:
                break
            module = frame.f_globals.get("__name__", "")
            if module not in self._rooms:
                self._rooms[module] = room_of(module)
            if room := self._rooms[module]:
                return room
            frame = frame.f_back
        return OTHER


def _thread_s(native: int | None) -> float | None:
    """What a thread has used of the processor; None where it has ended, or the system cannot tell.

    Linux makes the number of a thread's clock from the thread's own number; one that has ended is
    refused.
    """
    if native is None or sys.platform != "linux":
        return None
    try:
        return time.clock_gettime((~native << 3) | _OF_ONE_THREAD)
    except OSError:
        return None


def sampler_of(registry: CollectorRegistry) -> Sampler | None:
    """The sampler that the environment asks for, if it does."""
    wanted = os.environ.get(VARIABLE, "")
    if not wanted.isdecimal() or not 0 < int(wanted) <= SAMPLE_MS_MAX:
        return None
    return Sampler(registry, int(wanted))
