"""Records that may come through any lane, carried over the links to a platform that writes one.

A platform that joins has no lane yet, and one that comes back under new keys may not write its own:
their `member.ready` and `key.rotate` go to a member, as a message between those of consensus:

    0xc1 ‖ MessagePack [record bin, signatures bin]        (0xc1 begins no MessagePack)

A member takes such a record as if its own platform had handed it in, one of each peer at a time:
whatever breaks a rule is not stored, and counts against the peer, as does what is stored already
(who says it again because the ledger does not show it does so rarely). Nothing is answered: who has
sent one reads the ledger, and asks another member if it does not stand there after a while. (Log
lines, node/loglines.py, and addresses, node/whereabouts.py, are handed on from here as well.)
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Final, Protocol

import msgspec

from ledger.encoding import Value, decode, encode
from ledger.errors import Malformed
from ledger.records import RECORD_BYTES_MAX, decode_record
from ledger.records.membership import KeyRotate, MemberReady
from ledger.signing import SIGNATURE_BYTES
from node.intake import Duplicate, Offer, RefusedOffer, Result
from node.links.listener import Listener
from node.loglines import ASK, LINE, LogLines
from node.whereabouts import MARK as TOLD
from node.whereabouts import Whereabouts

log = logging.getLogger(__name__)

MARK: Final = b"\xc1"
CARRIED: Final = (MemberReady, KeyRotate)
_BYTES_MAX: Final = RECORD_BYTES_MAX + 1_024


class Carried(Value):
    """A record and its signatures, as they are carried."""

    record: Annotated[bytes, msgspec.Meta(max_length=RECORD_BYTES_MAX)]
    signatures: Annotated[bytes, msgspec.Meta(max_length=4 * SIGNATURE_BYTES)]


class Sender(Protocol):
    """What the relay asks of the links."""

    def send(self, peer: int, message: bytes, *, bulk: bool) -> None:
        """Queue a message for a peer."""

    def handled(self, peer: int, size: int) -> None:
        """A received message has been handled."""

    def blame(self, peer: int) -> None:
        """Something of a peer's was refused: that counts against it."""


Submit = Callable[[Sequence[Offer]], Awaitable[list[Result]]]


class Relay:
    """Stands between the links and the pump: what is carried goes to the intake, all else on."""

    def __init__(
        self,
        *,
        pump: Listener,
        links: Sender,
        submit: Submit,
        lines: LogLines | None = None,
        whereabouts: Whereabouts | None = None,
    ) -> None:
        self._pump, self._links, self._submit, self._lines = pump, links, submit, lines
        self._whereabouts = whereabouts
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._sent = 0

    # --- out ---

    def send(self, offer: Offer, members: Sequence[int]) -> bool:
        """Send an offer to one of these members, to another one each time; False: there is none."""
        if not members:
            return False
        self._sent += 1
        message = MARK + encode(Carried(offer.record, offer.signatures))
        self._links.send(members[self._sent % len(members)], message, bulk=False)
        return True

    # --- in: the links' listener ---

    def link_up(self, peer: int) -> None:
        """A link stands."""
        self._pump.link_up(peer)
        if self._whereabouts is not None:
            self._whereabouts.link_up(peer)

    def link_down(self, peer: int) -> None:
        """It is gone."""
        self._pump.link_down(peer)

    def refused(self, peer: int, reason: str) -> None:
        """Something of a peer's was refused."""
        self._pump.refused(peer, reason)

    def received(self, peer: int, message: bytes) -> None:
        """A message came in."""
        if self._lines is not None and message.startswith((ASK, LINE)):
            self._links.handled(peer, len(message))
            self._lines.received(peer, message)
            return
        if self._whereabouts is not None and message.startswith(TOLD):
            self._links.handled(peer, len(message))
            self._whereabouts.received(peer, message)
            return
        if not message.startswith(MARK):
            self._pump.received(peer, message)
            return
        self._links.handled(peer, len(message))
        try:
            offer = read_carried(message)
        except Malformed:
            self._pump.refused(peer, "carried")
            self._links.blame(peer)
            return
        if peer not in self._tasks:
            task = asyncio.get_running_loop().create_task(self._take(peer, offer))
            self._tasks[peer] = task
            task.add_done_callback(lambda _: self._tasks.pop(peer, None))

    async def _take(self, peer: int, offer: Offer) -> None:
        (result,) = await self._submit([offer])
        log.info("a record carried for platform %d: %s", peer, result)
        if isinstance(result, RefusedOffer | Duplicate):  # each costs several signatures' checks
            self._links.blame(peer)

    async def stop(self) -> None:
        """Take nothing more in."""
        if self._whereabouts is not None:
            self._whereabouts.stop()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def may_be_carried(offer: Offer) -> bool:
    """Whether a record may come through any platform's lane and is carried to one."""
    try:
        return isinstance(decode_record(offer.record), CARRIED)
    except Malformed:
        return False


def read_carried(message: bytes) -> Offer:
    """The offer of a carried message.

    Raises:
        Malformed: it has no form, or is of a record that is not carried.
    """
    carried = decode(Carried, message[len(MARK) :], bytes_max=_BYTES_MAX, what="carried record")
    offer = Offer(carried.record, carried.signatures)
    if not may_be_carried(offer):
        raise Malformed("is of a type that is not carried", field="record")
    return offer
