"""Federations whose ledger holds many records before anything is measured.

The ledger is made once, by the ledger's own code straight into a LevelDB
(`node/bench/ledger_folder.py`), and kept in a folder by its parameters:

    KEPT/<population>/network/          genesis, and each platform's keys and configuration
    KEPT/<population>/<records>/data/   the store that each node begins with
    KEPT/<population>/<records>/made.json

A federation is laid out from it in no time: LevelDB never writes a table twice, so tables are hard
links; what it or the vault writes again is copied. All nodes have the same store, that of platform
1's node. Several sizes are made in one go: the smaller ones are stops on the way.
"""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from ledger.errors import Misconfigured
from ledger.membership import PURPOSES
from ledger.signing import SigningKey
from node.bench.ledger_folder import (
    BATCH_RECORDS,
    PLATFORMS,
    SPAN_DAYS,
    Founders,
    Made,
    make_ledger,
)
from node.bench.load import DAY_MS, Population
from node.federation import API_PORT, PEER_PORT, free_ports_from
from node.home import CONFIG_FILE
from node.keystore import key_path, read_seed
from node.network import GENESIS_FILE, LOOPBACK, found_network, load_genesis

CODES: Final = tuple("abcd"[:PLATFORMS])
NETWORK: Final = "network"
DATA: Final = "data"
MADE: Final = "made.json"
_LINKED: Final = ".ldb"
_OF_A_PROCESS: Final = frozenset({"LOCK", "LOG", "LOG.old"})

Progress = Callable[[str, float], None]


class Preloaded(msgspec.Struct, frozen=True):
    """What a kept ledger holds; `engagements` of each platform's load, by platform number − 1."""

    records: int
    size: int
    blocks: int
    engagements: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Kept:
    """The folder in which the ledgers of one population and seed are kept."""

    folder: Path
    population: Population
    seed: int = 1

    @classmethod
    def under(cls, folder: Path, population: Population, seed: int) -> "Kept":
        """The place of a population in a folder of kept ledgers."""
        signed = "-signed" if population.rater_signed else ""
        name = f"workers-{population.workers}-clients-{population.clients}-seed-{seed}{signed}"
        return cls(folder / name, population, seed)

    def at_least(self, records: int) -> int:
        """How many records the ledger of so many has: everybody is registered in it."""
        population = self.population
        largest = -(-population.workers // PLATFORMS) + -(-population.clients // PLATFORMS)
        return max(records, -(-largest // BATCH_RECORDS) * BATCH_RECORDS * PLATFORMS)

    def make(self, sizes: Sequence[int], progress: Progress) -> None:
        """Make the ledgers of these sizes that are not there yet.

        Raises:
            Misconfigured: the folder cannot be written.
        """
        missing = sorted({self.at_least(size) for size in sizes} - set(self._sizes()))
        if not missing:
            return
        network = self.folder / NETWORK
        if not (network / GENESIS_FILE).exists():
            created_ms = time.time_ns() // 1_000_000 - (SPAN_DAYS + 1) * DAY_MS
            found_network(
                network,
                CODES,
                origin="standing.local/bench",
                api_port=API_PORT,
                peer_port=PEER_PORT,
                created_ms=created_ms,
            )
        making = self.folder / "making"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
        begun = time.perf_counter()
        make_ledger(
            making,
            missing[-1],
            seed=self.seed,
            population=self.population,
            founders=founders_of(network),
            on_progress=lambda done, total: progress("making a ledger", done / total),
            stops={size: lambda made: self._keep(making, made, begun) for size in missing},
        )
        shutil.rmtree(making)

    def _sizes(self) -> Iterator[int]:
        for path in self.folder.glob(f"*/{MADE}"):
            yield int(path.parent.name)

    def _keep(self, making: Path, made: Made, begun: float) -> None:
        place = self.folder / str(made.records)
        shutil.rmtree(place, ignore_errors=True)
        copy_store(making, place / DATA)
        told = Preloaded(
            made.records,
            made.size,
            made.blocks,
            made.engagements,
            round(time.perf_counter() - begun, 1),
        )
        (place / MADE).write_bytes(msgspec.json.encode(told))

    def lay_out(self, records: int, place: Path) -> Preloaded:
        """A new federation's folder, each node with the ledger of so many records, on free ports.

        Raises:
            Misconfigured: no such ledger is kept.
        """
        source = self.folder / str(self.at_least(records))
        try:
            told = msgspec.json.decode((source / MADE).read_bytes(), type=Preloaded)
        except (OSError, msgspec.DecodeError) as error:
            raise Misconfigured(f"{source} holds no whole ledger: {error}") from error
        shutil.copytree(self.folder / NETWORK, place, dirs_exist_ok=True)
        api, peers = (free_ports_from(port, len(CODES)) for port in (API_PORT, PEER_PORT))
        for code in CODES:
            move_ports(place / code / CONFIG_FILE, {API_PORT: api, PEER_PORT: peers})
            copy_store(source / DATA, place / code / DATA)
        return told


def founders_of(network: Path) -> Founders:
    """The genesis of a network's folder, and its platforms' keys."""
    genesis = load_genesis(network / GENESIS_FILE)
    keys = {}
    for member in genesis.foundation.validators:
        for purpose in PURPOSES:
            home = network / member.code
            path = key_path(home if purpose == "root" else home / "keys", purpose)
            keys[member.number, purpose] = SigningKey.from_seed(read_seed(path))
    return Founders(genesis, keys)


def copy_store(source: Path, target: Path) -> None:
    """Another store with the same rows; nobody may have the source open."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.name in _OF_A_PROCESS:
            continue
        if path.suffix == _LINKED and _link(path, target / path.name):
            continue
        shutil.copy2(path, target / path.name)


def _link(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except OSError:  # another file system
        return False
    return True


def move_ports(config: Path, bases: dict[int, int]) -> None:
    """Count a configuration's ports from other numbers up."""

    def moved(found: re.Match[str]) -> str:
        port = int(found[1])
        base = next(base for base in sorted(bases, reverse=True) if base <= port)
        return f'{LOOPBACK}:{bases[base] + port - base}"'

    text = config.read_text(encoding="utf-8")
    config.write_text(re.sub(rf'{re.escape(LOOPBACK)}:(\d+)"', moved, text), encoding="utf-8")
