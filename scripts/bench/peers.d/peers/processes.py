"""Other people's programs as processes: started apart, bounded in time, ended whatever happens.

Each stands in a session of its own, so that Ctrl-C reaches us alone and we end them in order; what
they started themselves ends with them.
"""

import contextlib
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from peers.figures import Failed

STOP_TIMEOUT_S: Final = 15.0
POLL_S: Final = 0.1
TAIL_CHARS: Final = 400


def call(
    *command: str | Path,
    limit_s: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    account: str | None = None,
) -> str:
    """Run a command to its end; its stdout.

    Raises:
        Failed: it said no, or was not done in time; with the end of what it said.
    """
    process: subprocess.Popen[str] = subprocess.Popen(
        [str(each) for each in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **_as(account),
    )
    name = Path(command[0]).name
    try:
        said, complained = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise Failed(f"{name} was not done after {limit_s:g} s") from None
    finally:
        _end(process, signal.SIGKILL)
    if process.returncode:
        tail = (complained or said).strip().splitlines()[-4:]
        raise Failed(f"{name}: {' / '.join(tail)[-TAIL_CHARS:] or f'exit {process.returncode}'}")
    return said


def _as(account: str | None) -> dict[str, Any]:
    if account is None:
        return {}
    entry = pwd.getpwnam(account)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def wait_until(true: Callable[[], bool], *, limit_s: float, what: str) -> None:
    """Poll until something holds.

    Raises:
        Failed: it did not within the time; `what` says what was waited for.
    """
    deadline = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {limit_s:g} s")
        time.sleep(POLL_S)


class Processes:
    """The running processes of one system. Leaving the context ends them all."""

    def __init__(self, stop_signal: signal.Signals = signal.SIGTERM) -> None:
        self._signal = stop_signal
        self._running: list[tuple[subprocess.Popen[str], Path]] = []

    def start(
        self, *command: str | Path, log: Path, account: str | None = None, piped: bool = False
    ) -> "subprocess.Popen[str]":
        """Start one; it writes to `log`, or with `piped` only its complaints, and we talk to it."""
        with log.open("ab") as out:
            process = subprocess.Popen(
                [str(each) for each in command],
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else out,
                stderr=out,
                text=True,
                start_new_session=True,
                **_as(account),
            )
        self._running.append((process, log))
        return process

    def check_alive(self) -> None:
        """Demand that all still run.

        Raises:
            Failed: one ended; with the end of its log.
        """
        for process, log in self._running:
            if process.poll() is not None:
                tail = log.read_text(errors="replace").strip()[-TAIL_CHARS:]
                name = Path(str(process.args[0])).name  # type: ignore[index]
                raise Failed(f"{name} ended with code {process.returncode}: {tail}")

    def stop(self) -> None:
        """Ask all to end, and end those that do not within the time."""
        for process, _ in self._running:
            if process.poll() is None:
                process.send_signal(self._signal)
        for process, _ in self._running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_S)
            _end(process, signal.SIGKILL)
        self._running.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _end(process: "subprocess.Popen[str]", how: signal.Signals) -> None:
    """End a process and all of its session's group; one that is gone is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, how)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def tree_cpu_us(pid: int) -> int:
    """User and system time of a process, of its ended children and of those that it has now."""
    return sum(_cpu_ticks(each) for each in [pid, *_children(pid)]) * _TICK_US


_TICK_US: Final = 1_000_000 // os.sysconf("SC_CLK_TCK")


def _cpu_ticks(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(map(int, text.rpartition(")")[2].split()[11:15]))


def _children(pid: int) -> Sequence[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(each) for each in path.read_text(encoding="ascii").split()]
