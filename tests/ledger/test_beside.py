"""What stands beside the log: paths in one form, and a walk that nothing wrong survives."""

import msgspec
import pytest

from ledger import beside
from ledger.beside import BlockFile, Walk, decode_headers, encode_block_file, encode_headers
from ledger.encoding import encode
from ledger.errors import BadProof, BadSignature, InvalidInput, Malformed
from ledger.files import entry_at
from ledger.rows import BlockRow, HeaderRow, block_key, header_key, lane_key, need_row
from tests.ledger.world import DAY, World, genesis_of, key_of


@pytest.fixture
def world():
    made = World(genesis_of(4))
    made.run(made.register("w"), made.register("c"))
    made.run(made.open("e"), made.open("e"), made.outcome("never"))  # two are refused
    made.put(2, [made.register("x", platform=2)])
    made.put(2, [])
    made.put(1, [])
    made.block()
    made.time += DAY
    made.run(made.outcome("e"), made.rating("e"))
    return made


def header_at(world, lane, height):
    return need_row(world.store, HeaderRow, header_key(world.store.get(lane_key(lane, height))))


def headers(world):
    return lambda lane, first, last: [
        header_at(world, lane, height) for height in range(first, last + 1)
    ]


def steps(world):
    for height in range(world.state.height + 1):
        row = need_row(world.store, BlockRow, block_key(height))
        entries = [entry_at(world.store, at) for at in range(row.first, row.size)]
        yield encode_block_file(row), entries


def walk_of(world, **changes):
    keys = {number: key_of(number, "lane").public for number in (1, 2, 3, 4)}
    fields = {"lane_keys": lambda _: keys, "read_headers": headers(world), **changes}
    return Walk(world.chain, **fields)


def test_a_walk_from_genesis_to_the_newest_block(world):
    walk = walk_of(world)
    seals = [walk.step(*step) for step in steps(world)]
    assert walk.height == world.state.height == 4
    assert walk.name == world.state.block_hash
    assert walk.tips == world.state.cut
    assert [seal.height for seal in seals] == [0, 1, 2, 3, 4]


def broken(world, change, at=2, **changes):
    walk = walk_of(world, **changes)
    for height, (data, entries) in enumerate(steps(world)):
        if height == at:
            before = (walk.height, walk.name, dict(walk.tips))
            with pytest.raises(InvalidInput) as caught:
                walk.step(*change(data, entries))
            assert (walk.height, walk.name, walk.tips) == before
            return caught
        walk.step(data, entries)
    raise AssertionError


def edit(**changes):
    def change(data, entries):
        file = beside.decode_block_file(data)
        return encode(msgspec.structs.replace(file, **changes)), entries

    return change


def test_what_does_not_follow_is_refused(world):
    row = need_row(world.store, BlockRow, block_key(2))
    assert len(row.refusals) == 2
    broken(world, edit(refusals=row.refusals[:1]))
    broken(world, edit(refusals=()))
    broken(world, edit(block=msgspec.structs.replace(row.block, time=row.block.time + 1)))
    broken(world, edit(block=msgspec.structs.replace(row.block, tips=())))
    broken(world, lambda data, entries: (data, entries[1:]))
    broken(world, lambda data, entries: (data, [entries[0], *entries]))
    broken(world, lambda data, entries: (data, [entries[0][:-1] + b"x", *entries[1:]]))
    broken(world, lambda data, entries: (data, [entries[0] + b"x", *entries[1:]]))
    broken(world, lambda data, entries: (data, entries[:-1]))
    broken(world, lambda data, entries: (data + b"\0", entries))
    skipped = list(steps(world))[3]
    broken(world, lambda *_: skipped)


def test_headers_must_link_be_signed_and_come_from_a_known_lane(world):
    def reading(change):
        def read(lane, first, last):
            return change(headers(world)(lane, first, last), lane)

        return {"read_headers": read}

    def same(data, entries):
        return data, entries

    broken(world, same, at=1, **reading(lambda rows, _: rows[:-1]))
    broken(world, same, at=1, **reading(lambda rows, _: [*rows, *rows]))

    def forged(rows, lane):
        return [msgspec.structs.replace(row, signature=bytes(64)) for row in rows]

    caught = broken(world, same, at=1, **reading(forged))
    assert isinstance(caught.value, BadSignature)

    def later(rows, lane):
        made = [
            msgspec.structs.replace(row, header=msgspec.structs.replace(row.header, time=1))
            for row in rows
        ]
        return made if lane == 2 else rows

    broken(world, same, at=3, **reading(later))
    caught = broken(world, same, at=1, lane_keys=lambda _: {})
    assert "does not lead" in str(caught.value)
    other = {number: key_of(number, "vote").public for number in (1, 2)}
    broken(world, same, at=1, lane_keys=lambda _: other)


def test_files_have_one_form(world):
    row = need_row(world.store, BlockRow, block_key(2))
    data = encode_block_file(row)
    assert beside.decode_block_file(data) == BlockFile(row.block, row.refusals)
    for wrong in (b"", data[:-1], data + b"\xc0", b"\x92\xc0\x90"):
        with pytest.raises(Malformed):
            beside.decode_block_file(wrong)
    rows = headers(world)(1, 1, 3)
    data = encode_headers(rows)
    assert decode_headers(data) == rows
    assert int.from_bytes(data[:2]) == len(encode(rows[0]))
    for wrong in (b"", data[:-1], data + b"\0", b"\0\1\xc0"):
        with pytest.raises(Malformed):
            decode_headers(wrong)


@pytest.mark.parametrize(
    ("path", "height"),
    [("block/000", 0), ("block/007", 7), ("block/x001/x234/067", 1_234_067)],
)
def test_paths_of_blocks(path, height):
    assert beside.block_path(height) == path
    assert beside.parse_block_path(path) == height


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("lane/1/000", (1, 0, 256)),
        ("lane/4294967295/x001/000.p/9", (4_294_967_295, 1_000, 9)),
    ],
)
def test_paths_of_lanes(path, parts):
    assert beside.lane_path(*parts) == path
    assert beside.parse_lane_path(path) == parts


@pytest.mark.parametrize(
    "path",
    ["", "block/", "block/0", "block/1", "block/0001", "block/x000/001", "block/001/",
     "block/001\n", "block/001.p/1", "block/-01", "block/٠٠١", "block/" + "x999/" * 20 + "001",
     "lane/0/000", "lane/01/000", "lane/1/0", "lane/1/000.p/256", "lane/1/000.p/0",
     "lane/1/000.p/01", "lane/1/", "lane/4294967296/000", "lane/1/x000/000", "lane/1/000\n",
     "lane/-1/000"],
)  # fmt: skip
def test_other_paths_are_none(path):
    with pytest.raises(Malformed):
        beside.parse_block_path(path if path.startswith("block") else "block/" + path)
    with pytest.raises(Malformed):
        beside.parse_lane_path(path)


def test_two_records_at_one_place_are_refused(world):
    refusal = need_row(world.store, BlockRow, block_key(2)).refusals[0]
    with pytest.raises(BadProof, match="twice"):
        beside._by_batch([], [refusal, refusal])
