"""The index: the map that every seal commits to, with proofs at recent blocks.

Format, hashes and proofs are those of ledger.mapproof; the tree is kept in ledger.patricia. What
this room adds is time: each block's updates make one *version* (its number is the block's height),
and the states after each of the last `window_blocks` versions stay readable and provable while
newer blocks are executed. An older version is refused; it comes back only by replay.

A version is not a copy: it is the current tree with what later blocks overwrote laid over it, so
asking for a version costs more the further it lies back, and memory is bounded by how much was
overwritten, too. Only keys and values are worth storing outside: `Index.build` makes the tree anew
from them in ascending order of keys (`ledger/window.py` does so with the versions).
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Final, Self

from ledger.errors import InvalidInput, Malformed
from ledger.mapproof import (
    BIT_BYTE,
    EMPTY_ROOT,
    KEY_BYTES,
    LEAF_BYTES,
    PROOF_BYTES_MAX,
    VALUE_BYTES,
    verify_absence,
    verify_presence,
)
from ledger.overwritten import Overwritten
from ledger.patricia import NONE, Tree, update

__all__ = ["EMPTY_ROOT", "PROOF_BYTES_MAX", "Index", "verify_absence", "verify_presence"]

UPDATES_MAX: Final = 131_072
"""So many updates are kept over all versions, however many versions that is: some 50 MiB."""


class Index:
    """The map, now and after each of the last `window_blocks` versions.

    `stored`: the versions of which the caller's store tells what they overwrote.
    Changed in place: while `apply` runs, no other thread may read.
    """

    def __init__(self, window_blocks: int) -> None:
        if window_blocks < 1:
            raise ValueError("the window holds at least one version")
        self.window_blocks = window_blocks
        self._tree = Tree()
        self._versions: dict[int, bytes] = {}
        self._overwritten: dict[int, Overwritten] = {}
        self._updates = 0
        self.stored: frozenset[int] = frozenset()

    @classmethod
    def build(
        cls,
        items: Iterable[tuple[bytes, bytes]],
        window_blocks: int,
        *,
        version: int | None = None,
    ) -> Self:
        """The map of (key, value) pairs in ascending order of keys, read once, built bottom-up.

        With `version`, the state can be asked for under that number; without, it is the current
        state until the first `apply`.

        Raises:
            Malformed: keys do not strictly ascend, or a length is wrong.
        """
        index = cls(window_blocks)
        index._tree.plant(items)
        if version is not None:
            index._versions[version] = index._tree.root
        return index

    @classmethod
    def of_leaves(cls, leaves: bytearray, window_blocks: int, version: int) -> Self:
        """The map of leaves (key ‖ value) in ascending order of keys, end to end, as the state of a
        version. It keeps them.

        Raises:
            Malformed: keys do not strictly ascend.
        """
        tree = Tree()
        tree.plant_leaves(leaves)
        return cls.of_tree(tree, window_blocks, version)

    @classmethod
    def of_tree(cls, tree: Tree, window_blocks: int, version: int) -> Self:
        """The map in a tree, as the state of a version."""
        index = cls(window_blocks)
        index._tree = tree
        index._versions[version] = tree.root
        return index

    @classmethod
    def resumed(
        cls,
        tree: Tree,
        window_blocks: int,
        versions: Mapping[int, bytes],
        overwritten: Mapping[int, Overwritten],
        stored: frozenset[int],
    ) -> Self:
        """The map with the roots of its versions, oldest first, and what each has overwritten."""
        index = cls(window_blocks)
        index._tree = tree
        index._versions = dict(versions)
        index._overwritten = dict(list(overwritten.items())[1:])
        index._updates = sum(map(len, index._overwritten.values()))
        index.stored = stored
        index._forget(0)
        return index

    @property
    def overwritten(self) -> Mapping[int, Overwritten]:
        """What each version but the oldest has overwritten, to be read only."""
        return self._overwritten

    @property
    def tree(self) -> Tree:
        """The tree of the current state, to be read only."""
        return self._tree

    def __len__(self) -> int:
        """How many keys the current state holds."""
        return len(self._tree)

    def versions(self) -> list[int]:
        """The versions that can be asked for, oldest first."""
        return list(self._versions)

    def root(self, version: int | None = None) -> bytes:
        """The root hash of a version, or of the current state.

        Raises:
            InvalidInput: the version is not (or no longer) kept.
        """
        return self._root_of(version)

    def get(self, key: bytes, version: int | None = None) -> bytes | None:
        """The value under a key, or None.

        Raises:
            InvalidInput: the version is not (or no longer) kept.
            Malformed: the key has not 32 bytes.
        """
        leaf, _ = self._find(key, version)
        return leaf[KEY_BYTES:] if leaf[:KEY_BYTES] == key else None

    def prove(self, key: bytes, version: int | None = None) -> bytes:
        """The presence proof of a key that the version holds, else its absence proof.

        Raises:
            InvalidInput: the version is not (or no longer) kept.
            Malformed: the key has not 32 bytes.
        """
        leaf, places = self._find(key, version)
        tree, logs = self._tree, self._logs_after(version)
        parts = [b"" if leaf[:KEY_BYTES] == key else leaf]
        for place in reversed(places):
            parts.append(BIT_BYTE[tree.bits[place >> 1]])
            parts.append(tree.child_hash(place ^ 1, logs))
        return b"".join(parts)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All keys of the current state with their values, in no order."""
        leaves = self._tree.leaves
        for at in range(0, len(leaves), LEAF_BYTES):
            middle = at + KEY_BYTES
            yield bytes(leaves[at:middle]), bytes(leaves[middle : middle + VALUE_BYTES])

    def undo(self, version: int) -> tuple[int, bytes, bytes]:
        """What a version, which is not the oldest kept, overwrote: the width of keys' starts,
        start ‖ earlier value of each key that was there before, and the starts of the keys that
        were not, laid end to end. No other key of the current state begins like one of them."""
        log, tree = self._overwritten[version], self._tree
        first, leaves, old = log.leaves_from, tree.leaves, log.values.values
        refs = log.values.places
        width = tree.width(refs)
        changed = [
            leaves[(begin := (ref << 5) - KEY_BYTES) : begin + width] + old[at : at + VALUE_BYTES]
            for at, ref in zip(count(0, VALUE_BYTES), refs)
            if ref >> 1 < first
        ]
        inserted = [key[:width] for key in tree.keys(first, log.leaves_to)]
        return width, b"".join(changed), b"".join(inserted)

    def apply(self, version: int, updates: Mapping[bytes, bytes], oldest: int = 0) -> bytes:
        """Insert or replace the values of one block and make its version; the new root hash.

        Versions before `oldest` are given up, as are those that the window has no room for.

        Raises:
            Malformed: a key or a value has not 32 bytes; nothing is changed.
            ValueError: the version does not follow the newest; nothing is changed.
        """
        newest = next(reversed(self._versions), None)
        if newest is not None and version <= newest:
            raise ValueError(f"version {version} does not follow version {newest}")
        if not set(map(len, updates)) <= {KEY_BYTES}:
            raise Malformed(f"a key of the index has {KEY_BYTES} bytes")
        if not set(map(len, updates.values())) <= {VALUE_BYTES}:
            raise Malformed(f"a value of the index has {VALUE_BYTES} bytes")
        keys = sorted(updates)
        log = update(self._tree, keys, [updates[key] for key in keys])
        if self._versions:
            self._overwritten[version] = log
        root = self._versions[version] = self._tree.root
        self._updates += len(updates) if version in self._overwritten else 0
        self._forget(oldest)
        return root

    def _forget(self, before: int) -> None:
        """Give up the oldest versions as long as there are too many; the newest stays."""
        while len(self._versions) > 1 and (
            len(self._versions) > self.window_blocks
            or self._updates > UPDATES_MAX
            or next(iter(self._versions)) < before
        ):
            oldest, follower, *_ = self._versions
            del self._versions[oldest]
            self._updates -= len(self._overwritten.pop(follower))

    def _root_of(self, version: int | None) -> bytes:
        if version is None:
            return self._tree.root
        found = self._versions.get(version)
        if found is None:
            kept = f"{min(self._versions)} to {max(self._versions)}" if self._versions else "none"
            raise InvalidInput(f"version {version} of the index is not kept (kept: {kept})")
        return found

    def _logs_after(self, version: int | None) -> list[Overwritten]:
        if version is None:
            return []
        return [log for later, log in self._overwritten.items() if later > version]

    def _find(self, key: bytes, version: int | None) -> tuple[bytes, list[int]]:
        """The leaf where the key stands or would have to stand (empty in the empty map), and the
        children on the way to it."""
        if len(key) != KEY_BYTES:
            raise Malformed(f"a key of the index has {KEY_BYTES} bytes")
        self._root_of(version)
        logs = self._logs_after(version)
        ref, places = self._tree.walk(key, logs)
        return b"" if ref == NONE else self._tree.leaf(ref, logs), places
