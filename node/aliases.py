"""Aliases: the platform's own references for its people and engagements, as random handles.

A handle is 32 random bytes, drawn at the first time a reference is named and kept for ever, on this
node only: row `N` ‖ "a" ‖ kind ("s" or "e") ‖ reference in UTF-8. So no handle can be guessed from
an e-mail address or a name. A handle is on disk before anybody is told of it.
"""

import asyncio
import os
from collections.abc import Sequence
from typing import Final, Literal

from ledger.errors import Malformed
from ledger.store import NODE
from node.bounds import Bounds
from node.storage.leveldb import LevelStore

Kind = Literal["subject", "engagement"]

HANDLE_BYTES: Final = 32
YIELD_REFERENCES: Final = 256
"""After so many references the event loop gets its turn."""
_KINDS: Final[dict[str, bytes]] = {"subject": b"s", "engagement": b"e"}


class Aliases:
    """The handles of one platform's references."""

    def __init__(self, store: LevelStore, bounds: Bounds) -> None:
        self._store, self._bounds = store, bounds

    async def handles(self, kind: str, references: Sequence[str]) -> list[bytes]:
        """The handle of each reference, made where there was none; durable when this returns.

        Raises:
            Malformed: an unknown kind, too many references, or one empty or too long.
        """
        if len(references) > self._bounds.aliases_max:
            most = self._bounds.aliases_max
            raise Malformed(f"are {len(references)}, at most {most} at once", field="references")
        found: list[bytes] = []
        for nth, reference in enumerate(references, 1):
            key = self._key(kind, reference)
            handle = self._store.get(key)
            if handle is None:
                handle = os.urandom(HANDLE_BYTES)
                self._store.submit({key: handle})
            found.append(handle)
            if nth % YIELD_REFERENCES == 0:
                await asyncio.sleep(0)
        # Another caller may have drawn one just now: whoever is told of it waits for the disk.
        if self._store.queued_rows:
            await self._durable()
        return found

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
        return NODE + b"a" + letter + name

    async def _durable(self) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def tell() -> None:
            if not done.done():
                done.set_result(None)

        self._store.submit({}, tell)
        await done
