"""Tiles: the published log, the published arithmetic, and growth against the reference."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import merkle, tiles
from ledger.checkpoint import Checkpoint
from ledger.errors import BadProof, Malformed
from ledger.note import parse_note
from ledger.tiles import TilePath, TileReader


def grow(sizes):
    """A log that grew from size to size, and its rows."""
    rows, size = {}, 0
    for target in sizes:
        leaves = [merkle.leaf_hash(b"%d" % n) for n in range(size, target)]
        rows.update(tiles.append_to_tiles(lambda *at: rows[at], size, leaves))
        size = target
    return rows


def test_the_published_log(vectors_dir):
    folder = vectors_dir / "tessera-testlog/testdata/log"
    roots = {
        size: Checkpoint.parse(parse_note((folder / f"checkpoint.{size}").read_bytes()).text).root
        for size in range(16)
    }
    rows = {}
    for size in range(1, 16):
        bundle = (folder / tiles.entries_path(0, size)).read_bytes()
        entries = tiles.decode_entry_bundle(bundle)
        assert len(entries) == size
        assert tiles.encode_entry_bundle(entries) == bundle
        leaf = merkle.leaf_hash(entries[-1])
        rows.update(tiles.append_to_tiles(lambda *at: rows[at], size - 1, [leaf]))
        assert rows == {(0, 0): (folder / tiles.tile_path(0, 0, size)).read_bytes()}
        assert merkle.root([merkle.leaf_hash(entry) for entry in entries]) == roots[size]
    reader = TileReader(lambda *at: rows[at])
    for size in range(1, 16):
        for index in range(size):
            proof = merkle.inclusion_proof(reader.read_node, index, size)
            leaf = rows[0, 0][32 * index : 32 * index + 32]
            merkle.verify_inclusion(leaf, index, size, proof, roots[size])
        proof = merkle.consistency_proof(reader.read_node, size, 15)
        merkle.verify_consistency(size, 15, roots[size], roots[15], proof)


@pytest.mark.parametrize(
    ("path", "tile"),
    [
        ("tile/0/x001/x234/067", TilePath(0, 1_234_067, 256)),
        ("tile/0/000", TilePath(0, 0, 256)),
        ("tile/63/999.p/255", TilePath(63, 999, 255)),
        ("tile/1/x001/000.p/1", TilePath(1, 1_000, 1)),
        ("tile/entries/x123/456", TilePath(None, 123_456, 256)),
        ("tile/entries/007.p/16", TilePath(None, 7, 16)),
    ],
)
def test_paths(path, tile):
    assert tiles.parse_tile_path(path) == tile
    assert tile.format() == path
    if tile.level is None:
        assert tiles.entries_path(tile.index, tile.width) == path
    else:
        assert tiles.tile_path(tile.level, tile.index, tile.width) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/001",
        "tile/0/001/067",
        "tile/0/x01/067",
        "tile/0/x001/x067",
        "tile/0/001.p/0",
        "tile/0/001.p/01",
        "tile/0/001.p/256",
        "tile/0/001.p/",
        "tile/0/001.p/1/",
        "tile/0/001\n",
        "/tile/0/001",
        "tile/0/\u0660\u0660\u0661",
        "tile/data/000",
        "tile/0/" + "x999/" * 40 + "999",
    ],
)
def test_what_is_no_path(path):
    with pytest.raises(Malformed):
        tiles.parse_tile_path(path)


@given(st.none() | st.integers(0, 63), st.integers(0, 2**55 - 1), st.integers(1, 256))
def test_every_path_comes_back(level, index, width):
    tile = TilePath(level, index, width)
    assert tiles.parse_tile_path(tile.format()) == tile


def test_the_published_arithmetic():
    """70,000 leaves, as the C2SP page counts them."""
    found = list(tiles.tiles_of(70_000))
    full = [tile for tile in found if tile.width == 256]
    assert [sum(tile.level == level for tile in full) for level in range(3)] == [273, 1, 0]
    partial = [(tile.level, tile.index, tile.width) for tile in found if tile.width < 256]
    assert partial == [(0, 273, 112), (1, 1, 17), (2, 0, 1)]


def test_which_tiles_may_be_asked_for():
    for path, size, exists in (
        (TilePath(0, 0, 256), 255, False),
        (TilePath(0, 0, 255), 255, True),
        (TilePath(0, 0, 7), 255, True),
        (TilePath(0, 0, 256), 256, True),
        (TilePath(None, 1, 1), 256, False),
        (TilePath(None, 1, 1), 257, True),
        (TilePath(1, 0, 1), 255, False),
        (TilePath(1, 0, 1), 256, True),
        (TilePath(1, 0, 2), 511, False),
        (TilePath(63, 0, 1), 2**40, False),
    ):
        assert tiles.tile_exists(path, size) == exists, (path, size)
    assert list(tiles.tiles_of(0)) == []


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 900), min_size=1, max_size=6))
def test_rows_do_not_depend_on_how_the_log_grew(sizes):
    sizes = sorted(sizes)
    size = sizes[-1]
    rows = grow(sizes)
    assert rows == grow([size])
    assert {at: len(row) // 32 for at, row in rows.items()} == {
        (tile.level, tile.index): tile.width for tile in tiles.tiles_of(size)
    }


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 511, 512, 1_000, 65_535, 65_536, 66_000])
def test_the_frontier_stands_in_the_right_edge(size):
    rows = grow([size])
    leaves = [merkle.leaf_hash(b"%d" % n) for n in range(size)]
    expected = merkle.Frontier().extend(leaves)
    assert tiles.frontier_of(lambda *at: rows[at], size) == expected
    assert expected.root() == merkle.root(leaves)
    if size % 256:
        with pytest.raises(BadProof, match="has"):
            tiles.frontier_of(lambda *at: rows[at][:-32], size)


def test_proofs_out_of_three_levels_of_tiles():
    size = 66_000
    rows = grow([1, 255, 256, 257, 40_000, 65_535, 65_537, size])
    assert {level for level, _ in rows} == {0, 1, 2}
    leaves = [merkle.leaf_hash(b"%d" % n) for n in range(size)]
    root = merkle.root(leaves)
    reads = []
    for index in (0, 255, 256, 65_535, 65_536, size - 1):
        reader = TileReader(lambda *at: (reads.append(at), rows[at])[1])
        proof = merkle.inclusion_proof(reader.read_node, index, size)
        merkle.verify_inclusion(leaves[index], index, size, proof, root)
    assert len(reads) < 40
    for older in (1, 256, 300, 65_536, 65_999):
        reader = TileReader(lambda *at: rows[at])
        proof = merkle.consistency_proof(reader.read_node, older, size)
        merkle.verify_consistency(older, size, merkle.root(leaves[:older]), root, proof)


def test_rows_that_are_too_short_are_noticed():
    rows = grow([300])
    short = {at: row[:-32] for at, row in rows.items()}
    reader = TileReader(lambda *at: short[at])
    with pytest.raises(BadProof, match=r"tile/0/001 has no hash 43"):
        reader.read_node(0, 299)
    with pytest.raises(BadProof, match=r"tile/0/001 has"):
        tiles.append_to_tiles(lambda *at: short[at], 300, [bytes(32)])
    assert tiles.append_to_tiles(lambda *at: short[at], 300, []) == {}


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_bundles_come_back(entries):
    assert tiles.decode_entry_bundle(tiles.encode_entry_bundle(entries)) == entries


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\2a", b"\0\1a\0", b"\0\1a\0\1", b"\0\0" * 257])
def test_what_is_no_bundle(data):
    with pytest.raises(Malformed):
        tiles.decode_entry_bundle(data)


@pytest.mark.parametrize("entries", [[], [b""] * 257, [bytes(65_536)]])
def test_what_makes_no_bundle(entries):
    with pytest.raises(Malformed):
        tiles.encode_entry_bundle(entries)
