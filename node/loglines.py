"""Log lines that a node lacks, asked of its peers: so that observers serve notes that hold.

A strict reader accepts a note only with a log line of a key that its policy names. Who has no such
key (node/view.py) asks a member for its line of each checkpoint that it certifies, the newest only:

    ask  = 0xc2 ‖ height (u64be)
    line = 0xc3 ‖ height (u64be) ‖ log key (32) ‖ signature (64)

Each is a message between those of consensus (neither byte begins one). A member answers at once if
it has that checkpoint certified, else when it has, if that is within the next ones; it keeps one
question of each peer in mind, and answers each at most `ANSWERS_MAX` times a second. Unanswered for
`AGAIN_S`, another is asked. What comes is checked against the set of the checkpoint's epoch.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from consensus.effects import BatchResealed, BatchSealed, BatchVoid, Execute, Unsealed
from ledger.encoding import encode
from ledger.hashing import HASH_BYTES
from ledger.position import Applied
from ledger.rows import CheckpointRow, read_row
from ledger.signing import SIGNATURE_BYTES
from ledger.store import CHECKPOINT, Changes, Reader
from node.view import LogLineRow, Notary, log_line_key

log = logging.getLogger(__name__)

ASK: Final = b"\xc2"
LINE: Final = b"\xc3"
ASK_BYTES: Final = 9
LINE_BYTES: Final = ASK_BYTES + HASH_BYTES + SIGNATURE_BYTES
AGAIN_S: Final = 0.5
ANSWERS_MAX: Final = 64
"""Questions of one peer that are answered in a second: each costs a signature."""


class Links(Protocol):
    """What is asked of the links."""

    def linked(self) -> Sequence[int]:
        """The peers whose links stand."""

    def send(self, peer: int, message: bytes, *, bulk: bool) -> None:
        """Queue a message for a peer."""


class Writes(Reader, Protocol):
    """The store, as far as lines are kept in it."""

    def submit(self, changes: Changes, on_durable: Callable[[], None] | None = None) -> None:
        """Write; reads see it at once."""


class LogLines:
    """Asks for lines, and answers who asks. It is a `Watcher` of the pump."""

    def __init__(
        self,
        *,
        notary: Notary,
        store: Writes,
        links: Links,
        members: Callable[[], Sequence[int]],
        refused: Callable[[int, str], None],
        found: Callable[[CheckpointRow], None],
    ) -> None:
        """`members`: whom to ask; `found` is told of a checkpoint whose line has come."""
        self._notary, self._store, self._links = notary, store, links
        self._members, self._refused, self._found = members, refused, found
        self._wanted: CheckpointRow | None = None
        self._asked = 0
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: dict[int, int] = {}  # peer → height that it has asked for
        self._answered: dict[int, int] = {}
        self._second = 0

    def start(self) -> None:
        """Ask for the line of the newest checkpoint, if there is none."""
        row = self._notary.newest_row()
        if row is not None:
            self._want(row)

    def stop(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()

    # --- the pump's news ---

    def sealed(self, effect: BatchSealed) -> None:
        """Nothing to ask."""

    def moved(self, effect: BatchVoid | BatchResealed | Unsealed) -> None:
        """Nothing to ask."""

    def executed(self, block: Execute, applied: Applied) -> None:
        """Nothing to ask."""

    def certified(self, row: CheckpointRow) -> None:
        """A checkpoint is certified: answer who waits for it, or ask for its line."""
        self._want(row)
        for peer in [peer for peer, height in self._waiting.items() if height <= row.height]:
            self._answer(peer, self._waiting.pop(peer))

    # --- asking ---

    def _want(self, row: CheckpointRow) -> None:
        if not self._notary.signs(row) and self._notary.kept(row.height) is None:
            self._wanted = row
            self._ask()

    def _ask(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        members, row = self._members(), self._wanted
        if row is None:
            return
        if members:
            self._asked += 1
            message = ASK + row.height.to_bytes(8)
            self._links.send(members[self._asked % len(members)], message, bulk=False)
        self._timer = asyncio.get_running_loop().call_later(AGAIN_S, self._ask)

    # --- what comes in ---

    def received(self, peer: int, message: bytes) -> None:
        """A question or a line of a peer's."""
        height = int.from_bytes(message[1:ASK_BYTES])
        if message.startswith(ASK) and len(message) == ASK_BYTES:
            self._question(peer, height)
        elif message.startswith(LINE) and len(message) == LINE_BYTES:
            key, signature = message[ASK_BYTES:-SIGNATURE_BYTES], message[-SIGNATURE_BYTES:]
            self._line(peer, height, LogLineRow(key, signature))
        else:
            self._refused(peer, "log-line")

    def _question(self, peer: int, height: int) -> None:
        second = int(asyncio.get_running_loop().time())
        if second != self._second:
            self._second, self._answered = second, {}
        count = self._answered[peer] = self._answered.get(peer, 0) + 1
        if count > ANSWERS_MAX:
            self._refused(peer, "log-line")
            return
        gone = self._waiting.keys() - set(self._links.linked())
        for each in gone:
            del self._waiting[each]
        newest = self._notary.newest_row()
        if newest is None or newest.height < height:
            self._waiting[peer] = height
        else:
            self._answer(peer, height)

    def _answer(self, peer: int, height: int) -> None:
        row = self._row(height)
        line = None if row is None else self._notary.own_line(row) or self._notary.kept(height)
        if line is not None:
            message = LINE + height.to_bytes(8) + line.key + line.signature
            self._links.send(peer, message, bulk=False)

    def _line(self, peer: int, height: int, line: LogLineRow) -> None:
        row = self._wanted
        if row is None or row.height != height:
            return  # a late answer
        if not self._notary.holds(row, line):
            self._refused(peer, "log-line")
            return
        self._wanted = None
        self._store.submit({log_line_key(height): encode(line)})
        self._found(row)

    def _row(self, height: int) -> CheckpointRow | None:
        return read_row(self._store, CheckpointRow, CHECKPOINT + height.to_bytes(8))
