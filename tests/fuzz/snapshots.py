"""Targets: what a giver of a snapshot sends. A chunk's hash is granted: f + 1 may have lied."""

from functools import cache

from ledger.encoding import decode, encode
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
)
from tests.fuzz import ground
from tests.fuzz.target import Target


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


def snapshots() -> list[Target]:
    """The two decoders of the taking side."""
    return [
        Target("snapshot-manifest", _read_manifest, lambda: [encode(made())], encode),
        Target(
            "snapshot-chunk",
            _read_chunk,
            lambda: [read_chunk(ground.world().store, made(), 0)],
            encode_chunk,
        ),
    ]
