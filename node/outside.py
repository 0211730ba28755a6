"""Having this node's checkpoints cosigned by outside witnesses (C2SP tlog-witness, as a client).

Every few seconds, if the newest certified checkpoint is larger than the last one that was offered,
it is offered to every configured witness at once: this node's note, and a consistency proof from
the size that the witness is known to be at. A witness that is elsewhere says so (409), and is asked
again from there. The lines that hold are kept with the note, and the note with them is what
/log/witnessed serves; /log/checkpoint stays as it is.

A witness that takes one key for an origin takes the log line of one node only: name it at the node
whose vkey it was given (the federation's clerk, where there is one). A witness that was given the
vkeys of all validators may be fed by all: each learns from 409 how far the others have come.

Rows: `N "o" ‖ key id ‖ name` = [size] that the witness has cosigned; `N "o"` = [size, note].
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable, Sequence
from typing import Final

import aiohttp

from ledger.encoding import Uint, Value, encode
from ledger.errors import InvalidInput
from ledger.note import SIGNATURE_LINES_MAX, SignatureLine, parse_note, parse_signature_line
from ledger.rows import read_row
from ledger.store import NODE
from ledger.witnessing import format_request
from node.config import OutsideWitness
from node.publiclog import PublicLog
from node.view import Certificate
from node.witness import Store

log = logging.getLogger(__name__)

PACE_S: Final = 5.0
TRIES: Final = 3
"""For one checkpoint: from where the witness is known to be, and twice from where it says."""
ANSWER_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 16 * 1_024
OUTSIDE: Final = NODE + b"o"
_SIZE: Final = re.compile(rb"(?:0|[1-9][0-9]{0,18})\n\Z")


class WitnessedRow(Value):
    """The newest checkpoint that an outside witness has cosigned: its note with their lines."""

    size: Uint
    note: bytes


class ReachedRow(Value):
    """How far a witness is known to have come."""

    size: Uint


class Outside:
    """Offers checkpoints to outside witnesses at a bounded pace, and keeps what they sign."""

    def __init__(
        self,
        witnesses: Sequence[OutsideWitness],
        public: PublicLog,
        newest: Callable[[], Certificate | None],
        store: Store,
        pace_s: float = PACE_S,
    ) -> None:
        self._witnesses, self._public, self._newest = witnesses, public, newest
        self._store, self._pace_s = store, pace_s
        row = read_row(store, WitnessedRow, OUTSIDE)
        self.note: bytes | None = row.note if row else None
        self._size = row.size if row else 0
        self._task: asyncio.Task[None] | None = None
        self._said: dict[str, str] = {}

    def start(self) -> None:
        """Begin, if there are witnesses to ask."""
        if self._witnesses:
            self._task = asyncio.create_task(self._run(), name="outside witnesses")

    async def stop(self) -> None:
        """Stop; nothing is lost: the next round offers what is newest then."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                try:
                    await self.round(session)
                except Exception:
                    log.exception("a round of outside witnesses failed")
                await asyncio.sleep(self._pace_s)

    async def round(self, session: aiohttp.ClientSession) -> int:
        """Offer the newest checkpoint, if it is larger than the last; how many have signed it."""
        certified = self._newest()
        if certified is None or certified.size <= self._size:
            return 0
        asked = [self._ask(session, each, certified) for each in self._witnesses]
        lines = [line for line in await asyncio.gather(*asked) if line is not None]
        if not lines:
            return 0
        free = SIGNATURE_LINES_MAX - len(parse_note(certified.note).lines)
        note = certified.note + b"".join(line.format() for line in lines[:free])
        self._size = certified.size
        await self._keep({OUTSIDE: encode(WitnessedRow(certified.size, note))})
        self.note = note
        return len(lines)

    async def _ask(
        self, session: aiohttp.ClientSession, witness: OutsideWitness, certified: Certificate
    ) -> SignatureLine | None:
        """A witness's line for a checkpoint, or None if it gives none now."""
        key = OUTSIDE + witness.key.key_id + witness.key.name.encode()
        row = read_row(self._store, ReachedRow, key)
        old = row.size if row else 0
        for _ in range(TRIES):
            if old > certified.size:
                return None  # another node was quicker; the next checkpoint is larger
            proof = self._public.consistency(old, certified.size) if old else []
            try:
                status, body = await _post(
                    session, witness, format_request(old, proof, certified.note)
                )
            except (aiohttp.ClientError, TimeoutError) as error:
                self._say(witness, f"does not answer: {error or type(error).__name__}")
                return None
            if status == 200:
                line = _line_of(witness, certified, body)
                if line is None:
                    self._say(witness, "has sent no line that holds")
                    return None
                self._say(witness, "")
                await self._keep({key: encode(ReachedRow(certified.size))})
                return line
            if status != 409 or not _SIZE.match(body) or int(body) == old:
                self._say(witness, f"answers {status}: {body[:200].decode('utf-8', 'replace')}")
                return None
            old = int(body)
        return None

    def _say(self, witness: OutsideWitness, trouble: str) -> None:
        """Log a witness's trouble once, until it is another or over."""
        name = witness.key.name
        if trouble and self._said.get(name) != trouble:
            log.warning("the witness %s %s", name, trouble)
        self._said[name] = trouble

    async def _keep(self, changes: dict[bytes, bytes | None]) -> None:
        on_disk: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def tell() -> None:
            if not on_disk.done():
                on_disk.set_result(None)

        self._store.submit(changes, tell)
        await on_disk


async def _post(
    session: aiohttp.ClientSession, witness: OutsideWitness, body: bytes
) -> tuple[int, bytes]:
    url = f"{witness.url}/add-checkpoint"
    async with session.post(url, data=body, allow_redirects=False) as response:
        parts, size = list[bytes](), 0
        async for part in response.content.iter_any():
            parts.append(part)
            size += len(part)
            if size > ANSWER_BYTES_MAX:
                break
        return response.status, b"".join(parts)


def _line_of(witness: OutsideWitness, certified: Certificate, body: bytes) -> SignatureLine | None:
    """The witness's own line of an answer, if it holds."""
    text = parse_note(certified.note).text
    for raw in body.split(b"\n")[:SIGNATURE_LINES_MAX]:
        with contextlib.suppress(InvalidInput):
            line = parse_signature_line(raw)
            if witness.key.signs(line) and witness.key.holds(text, line):
                return line
    return None
