"""A mapping that tells whether it has changed, by whichever way."""

from collections.abc import Callable

import pytest

from consensus.changing import Changing


def made() -> Changing[str, int]:
    mapping: Changing[str, int] = Changing()
    mapping["a"] = 1
    mapping.has_changed = False
    return mapping


@pytest.mark.parametrize(
    "change",
    [
        lambda mapping: mapping.update(b=2),
        lambda mapping: mapping.setdefault("b", 2),
        lambda mapping: mapping.pop("a"),
        lambda mapping: mapping.clear(),
        lambda mapping: mapping.__delitem__("a"),
        lambda mapping: mapping.__setitem__("a", 2),
    ],
)
def test_every_change_is_told(change: Callable[[Changing[str, int]], object]) -> None:
    mapping = made()
    change(mapping)
    assert mapping.has_changed


def test_reading_changes_nothing() -> None:
    mapping = made()
    assert (mapping["a"], mapping.get("b"), "a" in mapping, len(mapping)) == (1, None, True, 1)
    assert mapping.setdefault("a", 5) == 1 == mapping.pop("b", 1)
    assert [*mapping.items()] == [("a", 1)]
    assert not mapping.has_changed
