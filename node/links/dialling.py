"""The HTTP client that a peer is dialled with: it takes nothing from who answers but a WebSocket.

Before a link stands, what answers may be anything that shows a trusted certificate. It keeps no
cookies of it, and follows it to no other address, of this machine's own network say.
"""

import logging
from collections.abc import Mapping, Sequence

from aiohttp import (
    ClientError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    TraceConfig,
    TraceRequestRedirectParams,
)

from ledger.errors import Misconfigured
from node.address import Address
from node.links.tls import GUEST, Party

log = logging.getLogger(__name__)


def check_addresses(own: Party, trusted: Sequence[Party], addresses: Mapping[str, Address]) -> None:
    """Demand that somebody's address is known; warn of those whom this node waits for.

    Raises:
        Misconfigured: nobody's is.
    """
    others = sorted({(each.number, each.code) for each in trusted if each.number < GUEST})
    later = [code for number, code in others if number > own.number]
    missing = [code for code in later if code not in addresses]
    if own.number >= GUEST and not any(code in addresses for _, code in others):
        raise Misconfigured(
            "peers.addresses names no member: an observer dials those who let it follow; add "
            f'{others[0][1]} = "host:port"'
        )
    if missing and not any(code in addresses for _, code in others):
        raise Misconfigured(
            f'peers.addresses lacks {", ".join(missing)}; add {missing[0]} = "host:port" to it'
        )
    for code in missing:
        log.warning("peers.addresses lacks %s: no link stands until it dials", code)


def dialling_session(connect_s: float) -> ClientSession:
    """A session for one peer's dials. A redirect is a `ClientError`."""
    straight = TraceConfig()
    straight.on_request_redirect.append(_refuse_redirect)
    return ClientSession(
        connector=TCPConnector(limit=0, force_close=True),
        timeout=ClientTimeout(total=None, sock_connect=connect_s),
        cookie_jar=DummyCookieJar(),
        trace_configs=[straight],
    )


async def _refuse_redirect(
    session: ClientSession, context: object, params: TraceRequestRedirectParams
) -> None:
    del session, context
    params.response.close()
    raise ClientError(f"{params.url} redirects")
