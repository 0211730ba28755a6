"""How fast a whole ledger is audited: a made one, and `standing audit` on it as a process."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from ledger.errors import Misconfigured
from node.bench.ledger_folder import make_ledger
from node.bench.measure import rss_max_mib

SAMPLE_S: Final = 0.2

Progress = Callable[[str, float], None]


def measure_audit(
    folder: Path, records: int, *, rater_signed: bool, options: Sequence[str], progress: Progress
) -> dict[str, Any]:
    """Make a ledger of so many records in `folder`, audit it, and say what that took.

    `rss_mib_max` adds up the largest memory that each of the audit's processes ever held.
    """
    made = make_ledger(
        folder / "data",
        records,
        rater_signed=rater_signed,
        on_progress=lambda done, total: progress("making a ledger", done / total),
    )
    policy = folder / "policy"
    policy.write_text(made.policy.format())
    progress("auditing", 0.0)
    figures = _audit(folder / "data", policy, options)
    progress("auditing", 1.0)
    return {**figures, "blocks": made.blocks, "entries": made.size}


def _audit(data: Path, policy: Path, options: Sequence[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "node", "audit", str(data), "--policy", str(policy)]
    before, began = os.times(), time.monotonic()
    # Not a pipe: it would stay open with whatever else the audit has started.
    with (
        tempfile.TemporaryFile() as report,
        subprocess.Popen([*command, "--json", *options], stdout=report) as process,  # noqa: S603
    ):
        watch = _Watch(process.pid)
        process.wait()
        report.seek(0)
        out = report.read()
    seconds = time.monotonic() - began
    after = os.times()
    try:
        found = msgspec.json.decode(out, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise Misconfigured(f"the audit ended with {process.returncode} and no report") from error
    cpu_s = after.children_user + after.children_system
    cpu_s -= before.children_user + before.children_system
    return {
        "records": found["records"],
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_s, 2),
        "records_per_s": round(found["records"] / seconds),
        "rss_mib_max": round(watch.stop(), 1),
        "findings": len(found["findings"]),
    }


class _Watch:
    """Looks again and again how much memory a process and its children have held."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._seen: dict[int, float] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """The sum of what each process held at most, in MiB."""
        self._done.set()
        self._thread.join()
        return sum(self._seen.values())

    def _run(self) -> None:
        while not self._done.wait(SAMPLE_S):
            for pid in _family(self._pid):
                try:
                    self._seen[pid] = max(self._seen.get(pid, 0.0), rss_max_mib(pid))
                except OSError:
                    continue


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    found, at = [pid], 0
    while at < len(found):
        try:
            text = Path(f"/proc/{found[at]}/task/{found[at]}/children").read_text(encoding="ascii")
        except OSError:
            text = ""
        found += [int(each) for each in text.split()]
        at += 1
    return found
