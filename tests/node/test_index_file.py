"""What a stopped node leaves of its index: taken once, and passed over where it does not hold."""

import pytest

from ledger.index import Index
from node.index_file import IMAGE_NAME, keep_index, take_index


def some_index():
    index = Index(4)
    for at in range(6):
        index.apply(at, {bytes([n]) * 32: bytes([at]) * 32 for n in range(9)})
    return index


def test_the_index_is_taken_once(tmp_path):
    index = some_index()
    keep_index(tmp_path, index)
    assert (tmp_path / IMAGE_NAME).stat().st_mode & 0o777 == 0o600
    found = take_index(tmp_path, 4)
    assert found is not None
    assert {v: found.root(v) for v in found.versions()} == {
        v: index.root(v) for v in index.versions()
    }
    assert list(tmp_path.iterdir()) == []
    assert take_index(tmp_path, 4) is None


def test_the_newest_replaces_what_is_left(tmp_path):
    (tmp_path / f"{IMAGE_NAME}.new").write_bytes(b"torn")
    keep_index(tmp_path, Index(4))
    keep_index(tmp_path, some_index())
    found = take_index(tmp_path, 4)
    assert found is not None
    assert found.root() == some_index().root()


@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d[:0], lambda d: d[:9] + d[10:]])
def test_what_is_damaged_is_passed_over_and_removed(tmp_path, caplog, change):
    keep_index(tmp_path, some_index())
    path = tmp_path / IMAGE_NAME
    path.write_bytes(change(path.read_bytes()))
    assert take_index(tmp_path, 4) is None
    assert "passed over" in caplog.text
    assert not path.exists()


def test_a_disk_that_takes_none_is_told_of_and_nothing_else(tmp_path, caplog):
    keep_index(tmp_path / "not there", some_index())
    assert "not kept" in caplog.text
