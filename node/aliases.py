"""Aliases: the platform's own references for its people and engagements, as random handles.

A handle is 32 random bytes, drawn at the first time a reference is named and kept on this node
only: row `N` ‖ "a" ‖ kind ("s" or "e") ‖ the store's name for (kind ‖ reference in UTF-8), and the
way back from it: row `N` ‖ "h" ‖ handle → the first row's key. So no handle can be guessed from an
e-mail address or a person's name, and neither of these stands in the store: the store's name for it
is computed with a key of the vault's, and both rows are sealed. A handle is on disk before anybody
is told of it.

`forget` destroys what joins references to their handles, and so does an erasure for the handles of
what it erases (`rows_of`). Nothing remembers then that there was such a reference: its next use
draws another handle.
"""

import asyncio
import os
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final, Literal

from ledger.errors import Malformed
from ledger.store import Changes
from node.bounds import Bounds
from node.storage.leveldb import Erased, LevelStore
from node.storage.sealing import ALIASES, HANDLES

Kind = Literal["subject", "engagement"]

HANDLE_BYTES: Final = 32
YIELD_REFERENCES: Final = 256
"""After so many references the event loop gets its turn."""
_KINDS: Final[dict[str, bytes]] = {"subject": b"s", "engagement": b"e"}


class Aliases:
    """The handles of one platform's references."""

    def __init__(self, store: LevelStore, bounds: Bounds) -> None:
        self._store, self._bounds = store, bounds
        self._forgetting: set[bytes] = set()

    async def handles(self, kind: str, references: Sequence[str]) -> list[bytes]:
        """The handle of each reference, made where there was none; durable when this returns.

        Raises:
            Malformed: an unknown kind, too many references, or one empty or too long.
        """
        if len(references) > self._bounds.aliases_max:
            most = self._bounds.aliases_max
            raise Malformed(f"are {len(references)}, at most {most} at once", field="references")
        found: list[bytes] = []
        for start in range(0, len(references), YIELD_REFERENCES):
            keys = await self._settled(kind, references[start : start + YIELD_REFERENCES])
            found += self._found_or_drawn(keys)
            await asyncio.sleep(0)
        # Another caller may have drawn one just now: whoever is told of it waits for the disk.
        if self._store.queued_rows:
            await self._durable()
        return found

    def _found_or_drawn(self, keys: Sequence[bytes]) -> list[bytes]:
        """The handle under each key; the new ones are submitted together."""
        handles: list[bytes] = []
        rows: Changes = {}
        for key in keys:
            handle = rows.get(key) or self._store.get(key)
            if handle is None:
                handle = os.urandom(HANDLE_BYTES)
                rows[key], rows[HANDLES + handle] = handle, key
            handles.append(handle)
        if rows:
            self._store.submit(rows)
        return handles

    def handle_of(self, reference: str, kind: str = "subject") -> bytes | None:
        """The handle of a reference, or None if it has none. None is made."""
        return self._store.get(self._key(kind, reference))

    def _key(self, kind: str, reference: str) -> bytes:
        letter = _KINDS.get(kind)
        if letter is None:
            raise Malformed(f"is none of {', '.join(_KINDS)}", field="kind")
        try:
            name = reference.encode()
        except UnicodeEncodeError as error:
            raise Malformed("is not text", field="references") from error
        if not 0 < len(name) <= self._bounds.alias_bytes_max:
            most = self._bounds.alias_bytes_max
            raise Malformed(f"has not 1 to {most} bytes", field="references")
        return ALIASES + letter + self._store.name(letter + name)

    async def forget(self, kind: str, references: Sequence[str]) -> None:
        """Destroy the handles of references, for good; on disk when this returns.

        Raises:
            Malformed: as `handles`.
        """
        keys = await self._settled(kind, references)
        self._forgetting.update(keys)
        handles = [handle for handle in map(self._store.get, keys) if handle is not None]
        # The way back first: without the other row, nobody would know of it.
        for rows in (self.ways_of(handles), dict.fromkeys(keys)):
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._store.erase(rows, partial(_settle, done))
            await done
        self._forgetting.difference_update(keys)

    def rows_of(self, handles: Iterable[bytes]) -> Erased:
        """The rows that lead from this platform's references to handles, for `LevelStore.erase`.

        They are found by the rows of `ways_of`, which are to be erased after them.
        """
        found = ((self._store.get(HANDLES + handle), handle) for handle in handles)
        return {key: handle for key, handle in found if key is not None}

    def ways_of(self, handles: Iterable[bytes]) -> Erased:
        """The rows that lead back from handles to references, for `LevelStore.erase`."""
        return {HANDLES + handle: None for handle in handles}

    async def _settled(self, kind: str, references: Sequence[str]) -> list[bytes]:
        """The keys of references, once none of them is being forgotten."""
        keys = [self._key(kind, reference) for reference in references]
        while not self._forgetting.isdisjoint(keys):
            await self._durable()
        return keys

    async def _durable(self) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._store.submit({}, partial(_settle, done))
        await done


def _settle(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_result(None)
