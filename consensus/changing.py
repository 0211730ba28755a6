"""A mapping that tells whether it has changed: what follows from it is then found anew, and else
not, however often it is asked for."""

from collections.abc import Iterator, MutableMapping
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Changing(MutableMapping[Key, Value]):
    """`has_changed` is set by every change, and cleared by who has seen to it."""

    __slots__ = ("_entries", "has_changed")

    def __init__(self) -> None:
        self._entries: dict[Key, Value] = {}
        self.has_changed = False

    def __getitem__(self, key: Key) -> Value:
        return self._entries[key]

    def __setitem__(self, key: Key, value: Value) -> None:
        self.has_changed = True
        self._entries[key] = value

    def __delitem__(self, key: Key) -> None:
        del self._entries[key]
        self.has_changed = True

    def __iter__(self) -> Iterator[Key]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries
