"""POST /witness/add-checkpoint: cosigning other logs' checkpoints (C2SP tlog-witness).

No token: what authenticates a request is the log's signature on its checkpoint. The answer comes
after the checkpoint is on disk. Every refusal is a problem document, except 409, whose body the
standard fixes: the size that was cosigned last, as `text/x.tlog.size`.
"""

import asyncio
from typing import Final

from aiohttp import web

from ledger.witnessing import REQUEST_BYTES_MAX, NotSigned, Stale, UnknownLog
from node.api.json_text import Oversize
from node.api.port import NODE
from node.api.problems import Forbidden, NotFound, TryLater
from node.api.routes import OCTETS, TEXT, Content, Route
from node.witness import Overloaded, Witness

SIZE_TYPE: Final = "text/x.tlog.size"
RETRY_S: Final = 1
BODY_S: Final = 10.0
"""Anybody may ask: nobody may keep a connection busy for longer than this."""


async def post_checkpoint(request: web.Request) -> web.Response:
    """Cosign the checkpoint, if it continues the one cosigned before."""
    witness: Witness | None = request.app[NODE].witness
    if witness is None:
        raise NotFound("this node is configured to witness no log")
    try:
        async with asyncio.timeout(BODY_S):
            body = await _read(request)
    except TimeoutError as error:
        raise TryLater(f"a request must arrive within {BODY_S:g} s", RETRY_S) from error
    try:
        line = await witness.add_checkpoint(body)
    except Stale as error:
        return web.Response(status=409, body=b"%d\n" % error.size, content_type=SIZE_TYPE)
    except UnknownLog as error:
        raise NotFound(str(error)) from error
    except NotSigned as error:
        raise Forbidden(str(error)) from error
    except Overloaded as error:
        raise TryLater(str(error), RETRY_S) from error
    return web.Response(body=line, content_type=TEXT, charset="utf-8")


async def _read(request: web.Request) -> bytes:
    """The whole body, which is short."""
    parts, size = list[bytes](), 0
    async for part in request.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > REQUEST_BYTES_MAX:
            raise Oversize(f"a request has at most {REQUEST_BYTES_MAX} bytes")
    return b"".join(parts)


_REQUEST: Final = {"type": "string", "description": "old <size>, proof, empty line, checkpoint"}
_LINES: Final = {"type": "string", "description": "— <name> <base64>: a cosignature/v1 line"}
_SIZE: Final = {"type": "string", "description": "the size cosigned last, in decimal"}

ROUTES: Final = (
    Route(
        "POST",
        "/witness/add-checkpoint",
        post_checkpoint,
        "Have another log's checkpoint cosigned",
        "witness",
        None,
        {200: (Content(TEXT, _LINES),), 409: (Content(SIZE_TYPE, _SIZE),)},
        body=(Content(OCTETS, _REQUEST), Content(TEXT, _REQUEST)),
        problems=(400, 403, 404, 413, 422, 503),
    ),
)
