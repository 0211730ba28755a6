"""pysyncobj: Raft in Python, four processes with a journal file each.

It is a library, so its clients stand inside its processes (raft_node.py): no network and no
interface between a client and its process, which spares it what every other system here pays. All
settings are the library's own but the journal; it writes that through a mapped file and never
syncs it. It is installed into an environment of its own, in the cache folder.
"""

import json
import select
import sys
from pathlib import Path
from typing import Any, Final

from node.bench.measure import percentiles
from node.federation import free_ports_from
from peers import cache, sample
from peers.figures import NODES, Failed, Measured, Missing, Say, System, Terms
from peers.processes import Processes, call, wait_until

VERSION: Final = "0.3.17"
PROGRAM: Final = Path(__file__).with_name("raft_node.py")
PORT: Final = 21_400
APPEND_PERIOD_S: Final = 0.1  # the library's own; shorter ones made it slower here
RECORDS: Final = 30_000
INSTALL_LIMIT_S: Final = 180.0
READY_LIMIT_S: Final = 30.0
LONE_LIMIT_S: Final = 60.0
EQUAL_LIMIT_S: Final = 30.0
HEAR_LIMIT_S: Final = 90.0  # beyond the load itself


def environment(say: Say) -> Path:
    """The Python of an environment that has the pinned pysyncobj.

    Raises:
        Missing: it cannot be installed.
    """

    def make(folder: Path) -> None:
        say(f"pysyncobj: installing {VERSION} into an environment of its own")
        call(sys.executable, "-m", "venv", folder, limit_s=INSTALL_LIMIT_S)
        python = folder / "bin" / "python"
        pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        call(*pip, f"pysyncobj=={VERSION}", limit_s=INSTALL_LIMIT_S)

    try:
        folder = cache.made(
            f"pysyncobj-{VERSION}-py{sys.version_info[0]}.{sys.version_info[1]}", make
        )
    except Failed as error:
        raise Missing(f"pysyncobj cannot be installed: {error}") from error
    return folder / "bin" / "python"


class Cluster:
    """The four processes; each is asked by a line and answers by one."""

    def __init__(self, running: Processes, python: Path, folder: Path, terms: Terms) -> None:
        path = folder / "records"
        sample.write(path, sample.records(RECORDS, terms.seed))
        base = free_ports_from(PORT, NODES)
        addresses = [f"127.0.0.1:{base + place}" for place in range(NODES)]
        self._processes = [
            running.start(
                python,
                "-P",
                PROGRAM,
                json.dumps(
                    {
                        "own": own,
                        "others": [each for each in addresses if each != own],
                        "journal": str(folder / f"journal-{place}"),
                        "append_period_s": APPEND_PERIOD_S,
                        "records": str(path),
                        "place": place,
                        "window_records": terms.window_records // NODES,
                    }
                ),
                log=folder / f"raft-{place}.log",
                piped=True,
            )
            for place, own in enumerate(addresses)
        ]
        self._running = running
        self._hear_limit_s = terms.run_in_seconds + terms.seconds + HEAR_LIMIT_S

    def ask(self, place: int, **what: Any) -> None:
        """Send one process a line."""
        pipe = self._processes[place].stdin
        assert pipe is not None
        self._running.check_alive()
        pipe.write(json.dumps(what) + "\n")
        pipe.flush()

    def hear(self, place: int) -> dict[str, Any]:
        """One process's answer: one line to each question, so none waits in our buffer."""
        pipe = self._processes[place].stdout
        assert pipe is not None
        if not select.select([pipe], [], [], self._hear_limit_s)[0]:
            raise Failed(f"a process of pysyncobj is silent for {self._hear_limit_s:g} s")
        line = pipe.readline()
        if not line:
            self._running.check_alive()
            raise Failed("a process of pysyncobj says nothing more")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask_all(self, **what: Any) -> list[dict[str, Any]]:
        """Ask all at once."""
        for place in range(NODES):
            self.ask(place, **what)
        return [self.hear(place) for place in range(NODES)]


def measure(terms: Terms, folder: Path, say: Say) -> Measured:
    """Four processes, lone commands in turn, then as many as the window lets."""
    python = environment(say)
    with Processes() as running:
        cluster = Cluster(running, python, folder, terms)
        if not all(each["ready"] for each in cluster.ask_all(do="ready", limit_s=READY_LIMIT_S)):
            raise Failed(f"no leader within {READY_LIMIT_S:g} s")
        say("pysyncobj: lone records")
        lone_ms: list[float] = []
        for place in range(NODES):
            cluster.ask(place, do="lone", samples=terms.lone_samples // NODES, limit_s=LONE_LIMIT_S)
            heard = cluster.hear(place)
            if heard["failed"]:
                raise Failed(f"{heard['failed']} lone commands are not final")
            lone_ms += heard["lone_ms"]
        say(f"pysyncobj: full load, {terms.seconds:g} s")
        told = cluster.ask_all(do="load", run_in_s=terms.run_in_seconds, seconds=terms.seconds)
        _demand_equal(cluster)
    final, failed = (sum(each[name] for each in told) for name in ("final", "failed"))
    return Measured(
        version=VERSION,
        operations=final,
        seconds=max(each["seconds"] for each in told),
        lone_ms=percentiles(lone_ms),
        processes=NODES,
        fsync=False,
        tls=False,
        cpu_us=int(sum(each["cpu_s"] for each in told) * 1_000_000),
        how=f"{terms.streams} clients inside the {NODES} processes, at most "
        f"{terms.window_records} commands not final; journal file on; CPU with the clients'; "
        f"{failed} commands failed, of which nothing is counted",
    )


def _demand_equal(cluster: Cluster) -> None:
    """Wait until all four processes hold the same values in the same order."""

    def equal() -> bool:
        told = cluster.ask_all(do="state")
        return all(each == told[0] for each in told)

    wait_until(equal, limit_s=EQUAL_LIMIT_S, what="the same values in all processes of pysyncobj")


SYSTEM: Final = System(
    name="pysyncobj",
    title="pysyncobj (Raft)",
    byzantine_tolerance=0,
    signed_records=False,
    what_it_does_not_do=(
        "bear a process that lies: the leader decides alone what is in the log and in what order",
        "sync its journal to the disk before it answers",
        "check, sign or deduplicate records; prove to an outsider that one is in the log",
        "encrypt or authenticate its links (unless given a shared password)",
        "offer a client interface: its clients are inside its processes",
    ),
    measure=measure,
)
