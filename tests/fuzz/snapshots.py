"""Targets: what a giver of a snapshot sends. A chunk's hash is granted: f + 1 may have lied.

The last check is fuzzed row by row: a whole state that holds, in which one row has another value or
another key. What it accepts then is a state with the same log, sets and index.
"""

from functools import cache

from msgspec.structs import replace

from consensus.adopting import check_taken
from consensus.config import Config
from consensus.proofs import Unfit
from consensus.steps import HELD_HEAD
from ledger.checkpoint import Checkpoint, cosignature_message
from ledger.encoding import decode, encode
from ledger.errors import Malformed
from ledger.genesis import FIRST_BOUNDS
from ledger.rows import HEAD_KEY, CheckpointRow, CosignatureRow
from ledger.signing import verify
from ledger.snapshot import (
    CHUNK_BYTES_MAX,
    MANIFEST_BYTES_MAX,
    Chunk,
    Manifest,
    Row,
    check_manifest,
    chunk_hash,
    decode_chunk,
    encode_chunk,
    make_manifest,
    read_chunk,
    state_rows,
)
from ledger.store import CHECKPOINT, MemoryStore, after
from tests.fuzz import ground
from tests.fuzz.target import Target
from tests.ledger.world import World, genesis_of, key_of


@cache
def made() -> Manifest:
    """The manifest of the small world's state."""
    world = ground.world()
    state = world.state
    turns = make_manifest(world.store, state.chain, state.height, state.size, state.log.root())
    while True:
        try:
            next(turns)
        except StopIteration as end:
            manifest: Manifest = end.value
            return manifest


def _read_manifest(data: bytes) -> Manifest:
    manifest = decode(Manifest, data, bytes_max=MANIFEST_BYTES_MAX)
    check_manifest(manifest, manifest.chain, manifest.height, manifest.size, manifest.root)
    return manifest


def _read_chunk(data: bytes) -> list[Row]:
    """The chunk, under a manifest that tells of it what the bytes themselves tell."""
    rows = decode(list[tuple[bytes, bytes]], data, bytes_max=CHUNK_BYTES_MAX)
    first = rows[0][0] if rows else b"A"
    size = sum(len(key) + len(value) for key, value in rows)
    named = Chunk(first, size, max(1, len(rows)), chunk_hash(made().chain, data))
    manifest = Manifest(made().chain, 1, 1, bytes(32), (named,))
    return decode_chunk(manifest, 0, data)


# --- the last check ---

EPOCH_BLOCKS = 3


@cache
def certified() -> World:
    """A ledger at its second epoch's end, with what certifies both ends."""
    world = World(genesis_of(4, replace(FIRST_BOUNDS, epoch_blocks=EPOCH_BLOCKS)))
    world.run(*(world.register(name, key=True) for name in ("w", "c")), world.register("w"))
    world.run(world.open("e"), world.outcome("e"), world.rating("e"))
    while world.state.height < 2 * EPOCH_BLOCKS:
        world.run(world.outcome("nothing"), lane=1 + world.state.height % 4)
        if world.state.height % EPOCH_BLOCKS == 0:
            world.store.write(_checkpoint_row(world))
    return world


def _checkpoint_row(world: World) -> dict[bytes, bytes]:
    foundation, state = world.genesis.foundation, world.state
    checkpoint = Checkpoint(foundation.origin, state.size, state.log.root())
    message = cosignature_message(9, checkpoint.text())
    signed = tuple(
        CosignatureRow(number, 9, key_of(number, "cosigner").sign(message)) for number in (1, 2, 4)
    )
    row = CheckpointRow(state.height, state.size, state.log.root(), signed)
    return {CHECKPOINT + state.height.to_bytes(8): encode(row)}


@cache
def taken() -> tuple[Row, ...]:
    """The rows of a store that has taken it all, but for batches and proofs."""
    store = certified().store
    rows = dict([*state_rows(store), *store.scan(CHECKPOINT, after(CHECKPOINT))])
    rows[HELD_HEAD] = rows.pop(HEAD_KEY)
    return tuple(sorted(rows.items()))


def _check_taken(data: bytes) -> None:
    at, key, value = decode(tuple[int, bytes, bytes], data, bytes_max=CHUNK_BYTES_MAX)
    rows = dict(taken())
    if not 0 <= at < len(rows) or not key:
        raise Malformed("names no row")
    del rows[taken()[at][0]]
    rows[key] = value
    store = MemoryStore()
    store.write(rows)
    genesis = certified().genesis
    config = Config(
        chain=certified().chain,
        origin=genesis.foundation.origin,
        me=1,
        validators=genesis.foundation.validators,
        keys=None,
        verify=verify,
        bounds=genesis.foundation.bounds,
    )
    for _ in check_taken(store, genesis, config):
        pass


def snapshots() -> list[Target]:
    """The decoders of the taking side, and its last check."""
    return [
        Target("snapshot-manifest", _read_manifest, lambda: [encode(made())], encode),
        Target(
            "snapshot-chunk",
            _read_chunk,
            lambda: [read_chunk(ground.world().store, made(), 0)],
            encode_chunk,
        ),
        Target(
            "snapshot-taken",
            _check_taken,
            lambda: [encode((at, *row)) for at, row in enumerate(taken())],
            errors=(Unfit, Malformed),
            cases=600,
        ),
    ]
