"""Ledgers that are made once: kept by their sizes, and laid out for a federation of four."""

import pytest

from ledger.errors import Misconfigured
from ledger.rows import HEAD_KEY, HeadRow, need_row
from ledger.state import load
from node.bench.load import PlatformLoad, Population
from node.bench.preload import CODES, DATA, Kept, move_ports
from node.bounds import BOUNDS
from node.config import load_config
from node.federation import Federation
from node.storage.leveldb import LevelStore

POPULATION = Population(workers=40, clients=12)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    kept = Kept.under(tmp_path_factory.mktemp("kept"), POPULATION, 1)
    kept.make([0, 3_000], lambda *_: None)
    return kept


def opened(folder):
    return LevelStore(folder, BOUNDS, lambda call: call())


def test_in_the_smallest_everybody_is_registered(kept, tmp_path):
    made = kept.lay_out(0, tmp_path)
    assert made.records == kept.at_least(0) == 1_024
    store = opened(tmp_path / "a" / DATA)
    try:
        for number, place in ((1, 0), (4, 3)):
            chain = load(store).chain
            load_ = PlatformLoad(chain, number, (place, 4), POPULATION, 1)
            for handle in (*load_.workers, *load_.clients):
                assert store.get(b"W" + number.to_bytes(4) + handle) is not None
    finally:
        store.close()


def test_all_nodes_begin_with_the_same_ledger_in_files_of_their_own(kept, tmp_path):
    made = kept.lay_out(3_000, tmp_path)
    heads = set()
    for code in CODES:
        store = opened(tmp_path / code / DATA)
        heads.add(store.get(HEAD_KEY))
        head = need_row(store, HeadRow, HEAD_KEY)
        assert (head.size, head.height) == (made.size, made.blocks)
        store.submit({b"Nx": code.encode()})
        store.close()
    assert len(heads) == 1
    for code in CODES:
        store = opened(tmp_path / code / DATA)
        assert store.get(b"Nx") == code.encode()
        store.close()
    assert len({(tmp_path / code / DATA / "openings.keys").stat().st_ino for code in CODES}) == 4


def test_the_load_goes_on_where_the_ledger_ends(kept, tmp_path):
    made = kept.lay_out(3_000, tmp_path)
    store = opened(tmp_path / "a" / DATA)
    try:
        one, two = (PlatformLoad(load(store).chain, 2, (1, 4), POPULATION, 1) for _ in range(2))
        one.skip(made.engagements[1])
        before, later = two.engagements(made.engagements[1])[-1], one.engagements(1)[0]
        key = b"G" + (2).to_bytes(4)
        assert store.get(key + before.reference) is not None
        assert store.get(key + later.reference) is None
    finally:
        store.close()


def test_what_is_kept_is_not_made_again(kept, monkeypatch):
    monkeypatch.setattr("node.bench.preload.make_ledger", None)
    kept.make([3_000, 0], lambda *_: None)


def test_a_size_that_is_not_kept_is_refused(kept, tmp_path):
    with pytest.raises(Misconfigured, match="no whole ledger"):
        kept.lay_out(5_000, tmp_path / "there")


def test_ports_are_moved_together(kept, tmp_path):
    kept.lay_out(0, tmp_path)
    seats = Federation.at(tmp_path).seats
    ports = [seat.config.api_listen.port for seat in seats]
    assert ports == list(range(ports[0], ports[0] + 4))
    listen = {seat.code: seat.config.peers_listen.port for seat in seats}
    for seat in seats:
        for code, address in seat.config.peer_addresses.items():
            assert address.port == listen[code]
    config = tmp_path / "c" / "node.toml"
    move_ports(config, {ports[0]: 20_000, listen["a"]: 30_000})
    moved = load_config(config)
    assert (moved.api_listen.port, moved.peers_listen.port) == (20_002, 30_002)
    assert moved.peer_addresses["b"].port == 30_001
