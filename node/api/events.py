"""News of final blocks as server-sent events, with resume.

Each event is a block whose checkpoint is certified; its id is the block's height. With the header
`Last-Event-ID: h` (browsers send it by themselves when a connection was lost) the stream begins at
block h + 1, without it at the next block. What is sent is read from the store at the reader's own
pace, so a slow reader costs no memory and misses nothing. A comment every HEARTBEAT_S keeps the
connection open.
"""

import asyncio
from typing import Final

import msgspec
from aiohttp import web

from ledger.rows import BlockRow, block_key, need_row
from ledger.store import Reader
from node.api.parameters import parse_number
from node.api.port import NODE, Node
from node.api.problems import TryLater
from node.api.routes import EVENT_STREAM, Content, Parameter, Route
from node.events import BlockEvent

HEARTBEAT_S: Final = 15.0
STREAMS_MAX: Final = 256
STREAMS_RETRY_S: Final = 5
RETRY_MS: Final = 1_000
WRITE_S: Final = 30.0
_STREAMS: Final = web.AppKey("event_streams", set["asyncio.Task[object]"])


async def get_events(request: web.Request) -> web.StreamResponse:
    """Stream blocks until the reader goes away."""
    node: Node = request.app[NODE]
    after = _last_height(request)
    streams = request.app[_STREAMS]
    if len(streams) >= STREAMS_MAX:
        raise TryLater(f"{STREAMS_MAX} readers listen already", STREAMS_RETRY_S)
    response = web.StreamResponse(headers={"Content-Type": EVENT_STREAM})
    task = asyncio.current_task()
    assert task is not None, "a handler runs in a task"
    streams.add(task)
    try:
        await response.prepare(request)
        await _write(response, b"retry: %d\n\n" % RETRY_MS)
        await _follow(node, response, after)
    except TimeoutError:
        pass  # the reader has read nothing for WRITE_S; it may come back and resume
    finally:
        streams.discard(task)
    return response


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(WRITE_S):
        await response.write(data)


async def _follow(node: Node, response: web.StreamResponse, after: int | None) -> None:
    certified = node.certified
    height = (certified.height if certified else 0) if after is None else after
    while True:
        with node.events.listen() as listening:
            told: BlockEvent | None = BlockEvent(0, 0, "", 0, 0, 0)
            while told is not None:
                height = await _catch_up(node, response, height)
                try:
                    told = await asyncio.wait_for(listening.next(), HEARTBEAT_S)
                except TimeoutError:
                    await _write(response, b": alive\n\n")


async def _catch_up(node: Node, response: web.StreamResponse, height: int) -> int:
    while (certified := node.certified) is not None and height < certified.height:
        height += 1
        event = event_at(node.reader, height)
        data = msgspec.json.encode(event)
        await _write(response, b"id: %d\nevent: block\ndata: %b\n\n" % (height, data))
    return height


def event_at(reader: Reader, height: int) -> BlockEvent:
    """The news of a block, from its row."""
    row = need_row(reader, BlockRow, block_key(height))
    return BlockEvent(
        height=height,
        size=row.size,
        root=row.root.hex(),
        time=row.block.time,
        records=row.size - row.first - 1,
        refused=len(row.refusals),
    )


def _last_height(request: web.Request) -> int | None:
    text = request.headers.get("Last-Event-ID") or request.query.get("after")
    return None if not text else parse_number(text, "Last-Event-ID")


def prepare(app: web.Application) -> None:
    """Make room for an application's streams, and end them before it stops."""
    app[_STREAMS] = set()
    app.on_shutdown.append(_end)


async def _end(app: web.Application) -> None:
    for task in [*app[_STREAMS]]:
        task.cancel()


_LAST: Final = (
    Parameter(
        "Last-Event-ID",
        "header",
        {"type": "integer", "minimum": 0},
        "the last height that was read; the stream begins behind it",
    ),
    Parameter(
        "after", "query", {"type": "integer", "minimum": 0}, "the same, for whoever sets no header"
    ),
)
_EVENTS: Final = {"type": "string", "description": "events `block`; data: a BlockEvent"}

ROUTES: Final = (
    Route(
        "GET",
        "/v1/events",
        get_events,
        "Blocks as they become final (server-sent events)",
        "network",
        "read",
        {200: (Content(EVENT_STREAM, _EVENTS),)},
        parameters=_LAST,
        problems=(400, 503),
    ),
)
