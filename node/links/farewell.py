"""What a platform is told whose membership ended while its node was away, and the proof of it.

When the node comes back nobody links with it: it is trusted no more, and cannot follow. But those
whose membership ended lately are still recognized (node/platforms.py): TLS lets them in, their
link is refused with HTTP status 410, and they may ask one question of the peers' port:

    GET /epochs?from=EPOCH      → a chain of epoch ends (ledger/epochs.py), at most 4 MiB and a bit

That is public anyway (`/log/epochs`). Whoever is refused so asks from the epoch on that its own
ledger stands in, and follows the sets from there, each one vouched for by a quorum of the one
before. Once a set has named its keys' platform and a later one does not, the membership has ended:
a number is never given twice. Nobody can make a member believe it who has not such a quorum.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from ssl import SSLContext
from typing import Final

from aiohttp import ClientError, ClientSession, web

from ledger.encoding import UINT_MAX
from ledger.epochs import EpochEnd, Trusted, advance, decode_chain, encode_chain
from ledger.errors import InvalidInput
from ledger.membership import PURPOSES, Validator
from node.address import Address
from node.bounds import Bounds

log = logging.getLogger(__name__)

EPOCHS: Final = "/epochs"
PAGES_MAX: Final = 64
"""Pages that are asked for in a row: each leads on by up to 256 changes of the set."""


class Farewell:
    """Gives the proof to former members, and asks for it where this node was refused as one."""

    def __init__(
        self,
        *,
        own: Callable[[], Sequence[Validator]],
        since: Callable[[], Trusted],
        proof: Callable[[int], list[EpochEnd]],
        ended: Callable[[int], None],
        bounds: Bounds,
    ) -> None:
        """`own`: whose keys this node holds (none: it has heard); `since`: the newest set that it
        knows; `proof`: epoch ends from an epoch up, as many as lead on; `ended`: is told the epoch
        at whose end the membership ended."""
        self._own, self._since, self._proof, self._ended = own, since, proof, ended
        self._bounds = bounds
        self._answered_s = -bounds.farewell_gap_s

    # --- giving ---

    def answer(self, request: web.Request) -> web.Response:
        """The chain from an epoch up; 429 where somebody was answered just now."""
        now_s, text = asyncio.get_running_loop().time(), request.query.get("from", "")
        is_number = text.isascii() and text.isdigit() and len(text) <= len(str(UINT_MAX))
        if not (is_number and 1 <= int(text) <= UINT_MAX):
            raise web.HTTPBadRequest
        if now_s < self._answered_s + self._bounds.farewell_gap_s:
            raise web.HTTPTooManyRequests
        self._answered_s = now_s
        return web.Response(body=encode_chain(self._proof(int(text))))

    # --- asking ---

    async def ask(self, session: ClientSession, address: Address, context: SSLContext) -> None:
        """This node was refused as a former member: look for the proof, then wait for a while, so
        that whoever is refused does not knock all the time."""
        try:
            async with asyncio.timeout(self._bounds.farewell_s):
                epoch = await self._look(session, address, context)
        except (ClientError, OSError, TimeoutError, InvalidInput) as error:
            log.info(
                "%s refuses this node as a former member, and proves nothing: %s", address, error
            )
            epoch = 0
        if epoch:
            self._ended(epoch)
        await asyncio.sleep(self._bounds.farewell_s)

    async def _look(self, session: ClientSession, address: Address, context: SSLContext) -> int:
        """The epoch at whose end the membership ended, proven; 0: it is not.

        Raises:
            Malformed, BadProof: what came is no chain, or does not lead on.
        """
        own, trusted = self._own(), self._since()
        was_named = _names(trusted.validators, own)
        for _ in range(PAGES_MAX if own else 0):
            url = f"https://{address}{EPOCHS}?from={trusted.epoch}"
            ends = decode_chain(await self._get(session, url, context))
            for each in ends:
                trusted = advance(trusted, each)
                is_named = _names(trusted.validators, own)
                if was_named and not is_named:
                    return trusted.epoch - 1
                was_named = is_named
            if not ends:
                break
        return 0

    async def _get(self, session: ClientSession, url: str, context: SSLContext) -> bytes:
        data = bytearray()
        async with session.get(url, ssl=context) as response:
            if response.status != HTTPStatus.OK:
                raise ClientError(f"answers {response.status}")
            async for some in response.content.iter_any():
                data += some
                if len(data) > self._bounds.message_bytes_max:
                    raise ClientError("answers too much")
        return bytes(data)


def _names(validators: Sequence[Validator], own: Sequence[Validator]) -> bool:
    """Whether a set has the own platform: its number, with one of its own keys."""
    keys = {each.key(purpose) for each in own for purpose in PURPOSES}
    numbers = {each.number for each in own}
    return any(
        each.number in numbers and any(each.key(purpose) in keys for purpose in PURPOSES)
        for each in validators
    )
