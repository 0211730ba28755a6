"""A mapping that tells whether it has changed: what follows from it is then found anew, and else
not, however often it is asked for."""

from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Changing(dict[Key, Value]):
    """It is changed by `[…] =`, `del` and `take` alone; `has_changed` is set then, and cleared by
    who has seen to it."""

    has_changed = True

    def __setitem__(self, key: Key, value: Value) -> None:
        self.has_changed = True
        super().__setitem__(key, value)

    def __delitem__(self, key: Key) -> None:
        self.has_changed = True
        super().__delitem__(key)

    def take(self, key: Key) -> Value | None:
        """Remove an entry, if it is there; its value."""
        found = self.get(key)
        if found is not None:
            del self[key]
        return found
