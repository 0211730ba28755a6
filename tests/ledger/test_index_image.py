"""An index read back from its image goes on like the one that it was made of."""

import random

import pytest

from ledger.encoding import decoder, encode
from ledger.errors import Malformed
from ledger.index import Index
from ledger.index_image import image_of, index_of


@pytest.mark.parametrize("count", [0, 1, 2, 700])
def test_an_image_goes_on_like_the_index(count):
    drawn = random.Random(count)
    first = {drawn.randbytes(32): drawn.randbytes(32) for _ in range(count)}
    index = Index(3)
    index.apply(4, first)
    index.apply(5, {drawn.randbytes(32): drawn.randbytes(32) for _ in range(count // 2)})
    image = image_of(index)
    other = index_of(image, 2, 5)
    assert (other.root(), len(other), other.versions()) == (index.root(), len(index), [5])
    assert dict(other.items()) == dict(index.items())
    assert image_of(other) == image
    update = {key: drawn.randbytes(32) for key in list(first)[: count // 3]}
    update |= {drawn.randbytes(32): drawn.randbytes(32) for _ in range(5)}
    assert other.apply(6, update) == index.apply(6, update)
    for key in (*update, bytes(32)):
        assert other.prove(key) == index.prove(key)
        assert other.prove(key, 5) == index.prove(key, 5)


@pytest.mark.parametrize("field", range(1, 7))
def test_arrays_of_other_lengths_are_refused(field):
    index = Index(1)
    index.apply(0, {bytes([n]) * 32: bytes(32) for n in range(9)})
    parts = decoder(list).decode(image_of(index))
    for changed in (parts[field][:-8], parts[field] + bytes(130)):
        with pytest.raises(Malformed, match="other lengths"):
            index_of(encode([*parts[:field], changed, *parts[field + 1 :]]), 1, 0)


@pytest.mark.parametrize("data", [b"", b"\xc0", encode(["standing-index/2"] + [b""] * 6)])
def test_what_is_no_image_is_refused(data):
    with pytest.raises(Malformed, match="cannot be decoded"):
        index_of(data, 1, 0)
