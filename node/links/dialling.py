"""The HTTP client that a peer is dialled with: it takes nothing from who answers but a WebSocket.

Before a link stands, what answers may be anything that shows a trusted certificate. It keeps no
cookies of it, and follows it to no other address, of this machine's own network say.
"""

from aiohttp import (
    ClientError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    TraceConfig,
    TraceRequestRedirectParams,
)


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
