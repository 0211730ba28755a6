"""The mappings in configs/ over the real data sets, in a dry run, with exact counts."""

import asyncio
from pathlib import Path

import pytest

from node.importing.dry_run import DryRun
from node.importing.mapping import read_mapping
from node.importing.rejects import Rejects
from node.importing.run import Import, load_lookups
from node.importing.state import State, Tally

MAPPINGS = Path(__file__).resolve().parents[3] / "configs" / "mappings"

# set → file's stem, rows, subjects (workers and the one requester)
CROWD = {
    "bluebird": ("bluebird", 4_212, 40),
    "dog": ("dog", 8_070, 110),
    "rte": ("rte", 8_000, 165),
    "web": ("web", 15_567, 178),
    "product": ("d_jn-product", 24_945, 177),
    "sentiment": ("d_sentiment", 20_000, 86),
    "trec": ("trec", 88_385, 763),
}


def dry(file: Path, mapping: str, tmp_path: Path, limit: int | None = None) -> Tally:
    read = read_mapping(MAPPINGS / mapping)
    lookups = load_lookups(read, file.parent)
    state = State("", Tally(), 0)
    with Rejects(tmp_path / "rejects") as rejects:
        work = Import(file, read, lookups, DryRun(), rejects=rejects, state=state, limit=limit)
        return asyncio.run(work.run())


@pytest.mark.parametrize("name", CROWD)
def test_crowd_gold(data_dir: Path, tmp_path: Path, name: str) -> None:
    stem, rows, subjects = CROWD[name]
    file = data_dir / "crowd-gold" / f"{stem}.label.csv"
    tally = dry(file, f"crowd-gold-{name}.toml", tmp_path)
    assert tally == Tally(rows=rows, applied=rows, records=2 * rows + subjects)


def test_bitcoin_otc(data_dir: Path, tmp_path: Path) -> None:
    tally = dry(data_dir / "bitcoin-otc" / "otc_network.csv", "bitcoin-otc.toml", tmp_path)
    assert tally == Tally(rows=35_592, applied=35_592, records=3 * 35_592 + 5_881)


def test_the_crowd_mappings_differ_in_the_set_alone() -> None:
    texts = {
        (MAPPINGS / f"crowd-gold-{name}.toml")
        .read_text()
        .replace(f"crowd-gold-{name}.toml", "crowd-gold-SET.toml")
        .replace(stem, "SET")
        for name, (stem, _, _) in CROWD.items()
    }
    assert len(texts) == 1
