"""One process of the pysyncobj cluster: a replicated list of values, and its two clients inside it.

Run by the Python of pysyncobj's own environment; imports nothing of Standing. It takes one JSON
object a line on stdin and answers each with one on stdout:

    {"do": "ready", "limit_s": S}                 once this process has caught up with a leader
    {"do": "lone", "samples": N, "limit_s": S}    N commands, each sent when the last one is final
    {"do": "load", "run_in_s": A, "seconds": B}   as many as the window lets; what is final in B
    {"do": "state"}                               how many values stand here, and their digest

A command is final when the library calls back with success: most processes have it, and it is
applied here. Between lines the process ticks. It ends when stdin does.
"""

import hashlib
import json
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pysyncobj import SyncObj, SyncObjConf, replicated  # type: ignore[import-not-found]
from pysyncobj.config import FAIL_REASON  # type: ignore[import-not-found]

IDLE_TICK_S: Final = 0.01
LOAD_TICK_S: Final = 0.001
DRAIN_S: Final = 30.0


class Values(SyncObj):  # type: ignore[misc]
    """The replicated object: values in the order that all processes agree on."""

    def __init__(self, own: str, others: list[str], settings: SyncObjConf) -> None:
        self.kept: list[bytes] = []
        self.digest = hashlib.sha256()
        super().__init__(own, others, conf=settings)

    @replicated  # type: ignore[untyped-decorator]
    def put(self, value: bytes) -> None:
        """Append a value, at each process."""
        self.kept.append(value)
        self.digest.update(value)


class Process:
    """This process's part in the cluster, and the load that it makes itself."""

    def __init__(self, plan: dict[str, Any]) -> None:
        settings = SyncObjConf(
            autoTick=False,
            journalFile=plan["journal"],
            appendEntriesPeriod=plan["append_period_s"],
        )
        self.values = Values(plan["own"], plan["others"], settings)
        self._records = read_records(Path(plan["records"]))
        self._place, self._places = plan["place"], len(plan["others"]) + 1
        self._window = plan["window_records"]
        self._sent = self._final = self._failed = 0

    def answer(self, line: str) -> None:
        """Do what one line asks for, and say what came of it."""
        asked = json.loads(line)
        doing: dict[str, Callable[..., dict[str, Any]]]
        doing = {"ready": self.ready, "lone": self.lone, "load": self.load, "state": self.state}
        print(json.dumps(doing[asked.pop("do")](**asked)), flush=True)

    def ready(self, limit_s: float) -> dict[str, Any]:
        """Tick until there is a leader and its log is here."""
        deadline = time.monotonic() + limit_s
        while not self.values.isReady() and time.monotonic() < deadline:
            self.values.doTick(IDLE_TICK_S)
        return {"ready": self.values.isReady()}

    def lone(self, samples: int, limit_s: float) -> dict[str, Any]:
        """The times of single commands, in ms."""
        deadline = time.monotonic() + limit_s
        taken_ms: list[float] = []
        while len(taken_ms) < samples and time.monotonic() < deadline:
            begun = time.perf_counter()
            self._send()
            while self._under_way() and time.monotonic() < deadline:
                self.values.doTick(IDLE_TICK_S)
            taken_ms.append((time.perf_counter() - begun) * 1_000)
        return {"lone_ms": taken_ms, "failed": self._failed + self._under_way()}

    def load(self, run_in_s: float, seconds: float) -> dict[str, Any]:
        """What becomes final of this process's own commands in the measured time."""
        self._feed(run_in_s)
        final, clock, used = self._final, time.perf_counter(), time.process_time()
        self._feed(seconds)
        final, took = self._final - final, time.perf_counter() - clock
        used = time.process_time() - used
        deadline = time.monotonic() + DRAIN_S
        while self._under_way() and time.monotonic() < deadline:
            self.values.doTick(IDLE_TICK_S)
        failed = self._failed + self._under_way()
        return {"final": final, "seconds": took, "cpu_s": used, "failed": failed}

    def state(self) -> dict[str, Any]:
        """What all processes should agree on."""
        return {"values": len(self.values.kept), "digest": self.values.digest.hexdigest()}

    def _feed(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for _ in range(self._window - self._under_way()):
                self._send()
            self.values.doTick(LOAD_TICK_S)

    def _send(self) -> None:
        at = (self._place + self._sent * self._places) % len(self._records)
        self._sent += 1
        self.values.put(self._records[at], callback=self._heard)

    def _heard(self, _result: object, reason: int) -> None:
        if reason == FAIL_REASON.SUCCESS:
            self._final += 1
        else:
            self._failed += 1

    def _under_way(self) -> int:
        return self._sent - self._final - self._failed


def read_records(path: Path) -> list[bytes]:
    """The records of a file: each a 4-byte big-endian length and its bytes."""
    data, at = path.read_bytes(), 0
    found: list[bytes] = []
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return found


def main() -> None:
    """Tick and answer until stdin ends."""
    process = Process(json.loads(sys.argv[1]))
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        process.values.doTick(IDLE_TICK_S)
        if not lines.empty():
            line = lines.get()
            if line is None:
                return
            process.answer(line)


if __name__ == "__main__":
    main()
