"""The image of an index with its window: read again, each version has the same root and proofs."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import Malformed
from ledger.index import Index
from ledger.state import load
from ledger.window_image import MAGIC, image_pieces, read_image
from tests.ledger.test_index import contents
from tests.ledger.test_state import busy
from tests.ledger.test_window import check_same
from tests.ledger.world import World


def image_of(index):
    return b"".join(image_pieces(index))


def read(image, window_blocks=4):
    return read_image(io.BytesIO(image).readinto, len(image), window_blocks)


def some_index(blocks=6, window=4):
    index = Index(window)
    for at in range(blocks):
        index.apply(at, {bytes([at * n % 251]) * 32: bytes([at]) * 32 for n in range(9)})
    return index


@settings(max_examples=60)
@given(st.lists(contents, min_size=1, max_size=8), st.integers(1, 6), st.integers(1, 6), contents)
def test_an_index_stands_again_with_its_window(blocks, window, later_window, more):
    live = Index(window)
    for height, updates in enumerate(blocks):
        live.apply(height, updates)
    live.stored = frozenset(live.versions()[1:])
    image = image_of(live)
    found = read(image, later_window)
    assert found.versions() == live.versions()[-later_window:]
    assert found.stored == live.stored
    assert dict(found.items()) == dict(live.items())
    if later_window >= window:
        assert image_of(found) == image
    for index in (live, found):
        index.apply(len(blocks), more)
    check_same(found, live, {key for block in [*blocks, more] for key in block})


def test_any_other_byte_is_refused():
    image = image_of(some_index())
    for at in range(0, len(image), 7):
        changed = bytearray(image)
        changed[at] ^= 1
        with pytest.raises(Malformed):
            read(bytes(changed))


@pytest.mark.parametrize("cut", [0, 1, len(MAGIC), len(MAGIC) + 3, 60, -33, -1])
def test_what_is_cut_short_is_refused(cut):
    image = image_of(some_index())[:cut]
    with pytest.raises(Malformed):
        read(image)


def test_what_is_longer_is_refused():
    with pytest.raises(Malformed):
        read(image_of(some_index()) + b"\0")


def test_a_start_takes_the_index_that_was_kept():
    world = World()
    busy(world)
    kept = read(image_of(world.state.index), 128)
    assert load(world.store, 128, kept=kept).index is kept


def test_a_start_passes_over_the_index_of_another_block():
    world = World()
    busy(world)
    kept = read(image_of(world.state.index), 128)
    world.run(world.register("one more"))
    state = load(world.store, 128, kept=kept)
    assert state.index is not kept
    assert state.index.root() == world.state.index.root()


def test_a_start_passes_over_an_index_with_another_root():
    world = World()
    busy(world)
    other = Index(128)
    other.apply(world.state.height, {bytes(32): bytes(32)})
    assert load(world.store, 128, kept=other).index.root() == world.state.index.root()
