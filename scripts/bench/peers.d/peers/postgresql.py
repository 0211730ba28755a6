"""Plain PostgreSQL: one server that everybody trusts, the limit of what a ledger can hope for.

A server of its own in a temporary folder, reached by a Unix socket, driven by pgbench with our own
scripts. Twice: each record a statement and a commit of its own, and as many records a statement and
commit as Standing takes in a request (multi-row INSERT). fsync and synchronous_commit are on.
"""

import contextlib
import os
import pwd
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.bench.measure import percentiles
from peers import sample
from peers.figures import Failed, Measured, Missing, Say, System, Terms
from peers.processes import Processes, call, tree_cpu_us, wait_until

PROGRAMS: Final = ("initdb", "postgres", "psql", "pgbench")
ACCOUNTS: Final = ("postgres", "nobody")  # the server refuses to run as root
ROW_SCRIPTS: Final = 120  # pgbench takes at most 128
BATCH_SCRIPTS: Final = 40
THREADS: Final = 2
LIMIT_S: Final = 60.0
SETTINGS: Final = (
    "listen_addresses=",
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "shared_buffers=512MB",
    "max_wal_size=4GB",
)
TABLE: Final = "CREATE TABLE records (seq bigserial PRIMARY KEY, body bytea NOT NULL)"


def find_programs() -> dict[str, Path]:
    """The server's and its clients' programs.

    Raises:
        Missing: one is nowhere.
    """
    folders = [
        *filter(None, [os.environ.get("STANDING_PG_BIN")]),
        *os.environ.get("PATH", "").split(os.pathsep),
        *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True),
    ]
    found = {name: shutil.which(name, path=os.pathsep.join(folders)) for name in PROGRAMS}
    absent = [name for name, path in found.items() if path is None]
    if absent:
        raise Missing(f"not found: {', '.join(absent)} (PATH, STANDING_PG_BIN)")
    return {name: Path(path) for name, path in found.items() if path is not None}


def find_account() -> str | None:
    """Whom the server runs as: us, or where we are root an account that is not.

    Raises:
        Missing: we are root and there is no such account.
    """
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise Missing("PostgreSQL does not run as root, and there is no account postgres or nobody")


@dataclass(frozen=True, slots=True)
class Server:
    """The running server: how it is asked and loaded."""

    programs: dict[str, Path]
    folder: Path
    pid: int

    def ask(self, statement: str) -> str:
        """One statement's first value."""
        return call(
            self.programs["psql"], "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1",
            "-h", self.folder, "-U", "standing", "-d", "postgres", "-c", statement,
            limit_s=LIMIT_S,
        ).strip()  # fmt: skip

    def load(self, scripts: Sequence[Path], *arguments: str, limit_s: float) -> str:
        """Run pgbench with scripts drawn at random; what it says."""
        files = [part for script in scripts for part in ("-f", str(script))]
        return call(
            self.programs["pgbench"], "-n", "-M", "simple", "-h", self.folder, "-U", "standing",
            *arguments, *files, "postgres", limit_s=limit_s,
        )  # fmt: skip

    def synced(self) -> int:
        """How often the journal was synced so far."""
        return int(self.ask("SELECT wal_sync FROM pg_stat_wal"))


@contextlib.contextmanager
def serving(programs: dict[str, Path]) -> Iterator[Server]:
    """A new server in a temporary folder; it and its folder are gone afterwards."""
    account = find_account()
    folder = Path(tempfile.mkdtemp(prefix="standing-pg-"))  # short: a socket's path is bounded
    try:
        if account is not None:
            shutil.chown(folder, account)
        data = folder / "data"
        call(
            programs["initdb"], "-D", data, "-U", "standing", "-A", "trust", "-E", "UTF8",
            "--no-locale", limit_s=LIMIT_S, cwd=folder, account=account,
        )  # fmt: skip
        options = [part for each in SETTINGS for part in ("-c", each)]
        with Processes(signal.SIGINT) as running:  # a fast shutdown
            postmaster = running.start(
                programs["postgres"], "-D", data, "-k", folder, *options,
                log=Path(os.devnull), account=account,
            )  # fmt: skip
            server = Server(programs, folder, postmaster.pid)

            def answers() -> bool:
                running.check_alive()
                with contextlib.suppress(Failed):
                    return server.ask("SELECT 1") == "1"
                return False

            wait_until(answers, limit_s=LIMIT_S, what="PostgreSQL answers")
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_scripts(folder: Path, values: Sequence[bytes], rows: int) -> list[Path]:
    """One INSERT of so many rows in each file of a new folder, until the values are used up."""
    folder.mkdir()
    paths = []
    for first in range(0, len(values) - rows + 1, rows):
        body = ",".join(f"('\\x{each.hex()}')" for each in values[first : first + rows])
        path = folder / f"insert-{first:06}.sql"
        path.write_text(f"INSERT INTO records (body) VALUES {body};\n")  # noqa: S608 - hex digits
        paths.append(path)
    return paths


def lone_ms(folder: Path) -> list[float]:
    """Each transaction's time, from the logs of pgbench in a folder."""
    lines = [
        line
        for path in sorted(folder.glob("lone.*"))
        for line in path.read_text(encoding="ascii").splitlines()
    ]
    return [int(line.split()[2]) / 1_000 for line in lines]


def transactions_of(said: str) -> tuple[int, float]:
    """How many transactions pgbench made, and in how many seconds.

    Raises:
        Failed: it does not say so, or some failed.
    """
    made = re.search(r"number of transactions actually processed: (\d+)", said)
    tps = re.search(r"tps = ([0-9.]+) \(without initial connection time\)", said)
    failed = re.search(r"number of failed transactions: (\d+)", said)
    if made is None or tps is None or (failed and int(failed[1])) or not float(tps[1]):
        raise Failed(f"pgbench says: {said[-300:]}")
    return int(made[1]), int(made[1]) / float(tps[1])


def measure_rows(terms: Terms, folder: Path, say: Say) -> Measured:
    """Each record in a commit of its own."""
    return _measure(terms, folder, say, 1)


def measure_batches(terms: Terms, folder: Path, say: Say) -> Measured:
    """As many records a commit as Standing takes in a request."""
    return _measure(terms, folder, say, terms.chunk_records)


def _measure(terms: Terms, folder: Path, say: Say, rows: int) -> Measured:
    programs = find_programs()
    count = rows * (ROW_SCRIPTS if rows == 1 else BATCH_SCRIPTS)
    scripts = write_scripts(folder / "crowd", sample.records(count, terms.seed), rows)
    with serving(programs) as server:
        server.ask(TABLE)
        _, version = server.ask("SELECT 'v', split_part(version(), ' ', 2)").split("|")
        say("PostgreSQL: lone records")
        samples = ("-c", "1", "-t", str(terms.lone_samples), "-l")
        alone = sample.records(ROW_SCRIPTS, terms.seed + 1)
        lone = write_scripts(folder / "alone", alone, 1)
        server.load(lone, *samples, f"--log-prefix={folder / 'lone'}", limit_s=LIMIT_S)
        say(f"PostgreSQL: {rows} row(s) a commit, {terms.seconds:g} s")
        crowd = ("-c", str(terms.streams), "-j", str(THREADS), "-T")
        limit_s = terms.seconds + LIMIT_S
        server.load(scripts, *crowd, str(round(terms.run_in_seconds) or 1), limit_s=limit_s)
        held, syncs, used = _count(server), server.synced(), tree_cpu_us(server.pid)
        said = server.load(scripts, *crowd, str(round(terms.seconds)), limit_s=limit_s)
        used = tree_cpu_us(server.pid) - used
        made, seconds = transactions_of(said)
        grown = _count(server) - held
        if grown != made * rows:
            raise Failed(f"pgbench tells {made * rows} rows, and the table grew by {grown}")
        on = {server.ask(f"SHOW {name}") for name in ("fsync", "synchronous_commit")} == {"on"}
        return Measured(
            version=version,
            operations=made * rows,
            seconds=seconds,
            lone_ms=percentiles(lone_ms(folder)),
            processes=1,
            fsync=on and server.synced() > syncs,
            tls=False,
            cpu_us=used,
            how=f"pgbench, {terms.streams} clients by Unix socket, "
            f"INSERT of {rows} row(s) a commit",
        )


def _count(server: Server) -> int:
    return int(server.ask("SELECT count(*) FROM records"))


NOT_DONE: Final = (
    "bear any fault: one server, one disk, and whoever runs it may change or remove what he likes",
    "agree between platforms, or keep a copy at each",
    "check, sign or deduplicate records; prove to an outsider that one is in the table",
    "encrypt: its clients are on the same machine, by Unix socket",
)
ROWS: Final = System("postgresql", "PostgreSQL, a commit each", 0, False, NOT_DONE, measure_rows)
BATCHES: Final = System(
    "postgresql_batches", "PostgreSQL, 250 a commit", 0, False, NOT_DONE, measure_batches
)
