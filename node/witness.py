"""The witness of a node: cosigns checkpoints of other logs, each log's one after the other.

Rules and form are in ledger/witnessing.py. What is promised is durable before the answer: the row
`N "w" ‖ origin` = [size, root] of the newest checkpoint cosigned is on disk first, and requests of
one log stand in line, so that check and write are one step. The key is the witness key, which signs
nothing else.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from ledger.encoding import Hash, Uint, Value, encode
from ledger.errors import BadProof, Misconfigured, StandingError
from ledger.note import Verifier
from ledger.rows import read_row
from ledger.signing import SigningKey
from ledger.store import NODE, Changes, Reader
from ledger.witnessing import NOTHING, Request, Seen, check_signed, cosign, judge, parse_request
from node.config import Config, WitnessedLog
from node.keystore import WITNESS, Keystore, key_path, read_seed

log = logging.getLogger(__name__)

SEEN: Final = NODE + b"w"
WAITING_MAX: Final = 256


class Store(Reader, Protocol):
    """Reads, and durable writes: `LevelStore`."""

    def submit(self, changes: Changes, on_durable: Callable[[], None] | None = None) -> None:
        """Write; `on_durable` is called in the event loop once it is on disk."""
        ...


class SeenRow(Value):
    """The newest checkpoint of a log that this witness has cosigned."""

    size: Uint
    root: Hash


class Overloaded(StandingError):
    """Too many requests are waiting."""


class Witness:
    """Cosigns checkpoints of the logs that the configuration names."""

    def __init__(
        self,
        name: str,
        key: SigningKey,
        logs: Sequence[WitnessedLog],
        store: Store,
        wall_s: Callable[[], int] = lambda: int(time.time()),
    ) -> None:
        self.name, self._key, self._store, self._wall_s = name, key, store, wall_s
        self._logs: dict[str, tuple[Verifier, ...]] = {}
        for log in logs:
            self._logs[log.origin] = (*self._logs.get(log.origin, ()), log.key)
        self._turns = {origin: asyncio.Lock() for origin in self._logs}
        self._waiting = 0

    async def add_checkpoint(self, body: bytes) -> bytes:
        """The cosignature line for a request's checkpoint, once it is remembered on disk.

        Raises:
            Malformed, UnknownLog, NotSigned, Stale, BadProof: as ledger/witnessing.py says.
            Overloaded: too many requests are waiting.
        """
        request = parse_request(body)
        check_signed(request, self._logs)
        if self._waiting >= WAITING_MAX:
            raise Overloaded("too many checkpoints wait for this witness")
        self._waiting += 1
        try:
            async with self._turns[request.origin]:
                after = self._judge(request)
                # Written even where nothing changed: an earlier request of this log may have been
                # given up before its row was on disk.
                await self._remember(request.origin, after)
        finally:
            self._waiting -= 1
        return cosign(self._key, self.name, self._wall_s(), request.text).format()

    def _judge(self, request: Request) -> Seen:
        """What will have been cosigned. A signed checkpoint that does not continue the one before
        may prove that its log has forked: the operator is told, with the whole request."""
        try:
            return judge(request, self._seen(request.origin))
        except BadProof as error:
            note = request.note.decode("utf-8", "replace")
            log.warning("%s, from size %d: %s\n%s", request.origin, request.old, error, note)
            raise

    def _seen(self, origin: str) -> Seen:
        row = read_row(self._store, SeenRow, SEEN + origin.encode())
        return NOTHING if row is None else Seen(row.size, row.root)

    async def _remember(self, origin: str, seen: Seen) -> None:
        on_disk: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        row: Changes = {SEEN + origin.encode(): encode(SeenRow(seen.size, seen.root))}

        def tell() -> None:
            if not on_disk.done():
                on_disk.set_result(None)

        self._store.submit(row, tell)
        await on_disk


def load_witness(
    config: Config, keys: Keystore | None, default_name: str, store: Store
) -> Witness | None:
    """The witness that a configuration asks for, or None where it names no logs.

    Raises:
        Misconfigured: the witness key is missing, or has another use.
    """
    if not config.witnessed_logs:
        return None
    path = key_path(config.keys, WITNESS)
    if not path.exists():
        raise Misconfigured(
            f"[[witness.logs]] are named, and there is no witness key: write 64 random hex digits "
            f"to {path}, mode 0600 (openssl rand -hex 32)"
        )
    key = SigningKey.from_seed(read_seed(path))
    if keys is not None and key.public in {
        *(each.public for each in (keys.lane, keys.vote, keys.cosigner, keys.log)),
        SigningKey.from_seed(keys.link_seed).public,
    }:
        raise Misconfigured(f"the witness key {path} must be a key of its own")
    return Witness(config.witness_name or default_name, key, config.witnessed_logs, store)
