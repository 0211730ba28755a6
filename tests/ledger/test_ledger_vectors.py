"""The frozen ledger: executed block by block from its openings, and from what erasures leave."""

import json
from pathlib import Path
from typing import Any

from ledger.batch import Batch, header_hash
from ledger.block import Block, block_hash
from ledger.encoding import decode, encode
from ledger.genesis import Genesis, chain_id
from ledger.residue import AnyBatch, Remains, Residue
from ledger.state import apply_block, found
from ledger.store import MemoryStore

Case = dict[str, Any]
CASES: list[Case] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "ledger.json").read_text("utf-8")
)["cases"]
BYTES_MAX = 1_000_000


def _read(kind: type[Any], data: str) -> Any:
    return decode(kind, bytes.fromhex(data), bytes_max=BYTES_MAX)


def _execute(residues: dict[tuple[int, int, int], Residue]) -> list[Case]:
    """What each block yields, with residues in the place of openings."""
    genesis = _read(Genesis, CASES[0]["genesis"])
    chain = chain_id(genesis.foundation)
    assert chain.hex() == CASES[0]["chain"]
    state, changes = found(genesis)
    store = MemoryStore()
    store.write(changes)
    assert state.log.root().hex() == CASES[0]["root"]
    yielded: list[Case] = []
    for case in CASES[1:-1]:
        block = _read(Block, case["block"])
        assert block_hash(chain, block).hex() == case["hash"]
        batches: list[tuple[bytes, AnyBatch]] = []
        for data in case["batches"]:
            batch = _read(Batch, data)
            name = header_hash(chain, batch.header)
            batches.append((name, _remains(batch, residues)))
        state, applied = apply_block(state, store, block, bytes.fromhex(case["hash"]), batches)
        store.write(applied.changes)
        yielded.append(
            {
                "size": applied.size,
                "root": applied.root.hex(),
                "parameters": applied.seal.parameters.hex(),
                "index_root": applied.seal.index_root.hex(),
                "refusals": applied.seal.refusals.hex(),
                "rules": [rule for *_, rule in applied.records],
                "erased": [list(each) for each in applied.erased],
            }
        )
    return yielded


def _remains(batch: Batch, residues: dict[tuple[int, int, int], Residue]) -> AnyBatch:
    lane, height = batch.header.lane, batch.header.height
    items = tuple(
        residues.get((lane, height, position), item)
        for position, item in enumerate(batch.submissions)
    )
    return Remains(batch.header, batch.signature, items)


def test_the_frozen_ledger_yields_what_it_says() -> None:
    for case, yielded in zip(CASES[1:-1], _execute({}), strict=True):
        assert yielded == {name: case[name] for name in yielded}, case["name"]


def test_it_yields_the_same_from_what_erasures_leave() -> None:
    erased = [tuple(each) for case in CASES[1:-1] for each in case["erased"]]
    residues = [_read(Residue, each) for each in CASES[-1]["residues"]]
    assert len(erased) == len(residues) > 15
    assert any(each.rule for each in residues)
    by_place = {
        (lane, height, position): residue
        for (lane, height, position, _), residue in zip(erased, residues, strict=True)
    }
    for case, yielded in zip(CASES[1:-1], _execute(by_place), strict=True):
        names = set(yielded) - {"erased"}
        assert {name: yielded[name] for name in names} == {name: case[name] for name in names}
        assert sorted(yielded["erased"]) == sorted(case["erased"])
    assert all(
        encode(each).hex() == told
        for each, told in zip(residues, CASES[-1]["residues"], strict=True)
    )
