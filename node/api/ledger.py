"""The ledger's steps as they stand in the store: for whoever replays it with a member's token.

Answers are MessagePack arrays of at most `limit` items and about PAGE_BYTES bytes, in ascending
order of height without a gap, beginning at `from`; an empty array says that there is no more.

    blocks    [[height, block row, certified checkpoint row or nil], …]   rows as in ledger/rows.py
    batches   [batch, …]        each `bin`: the bytes of ledger/batch.py, or, where something of it
                                is erased, its remains form (ledger/residue.py)
"""

import asyncio
from typing import Any, Final

import msgspec
from aiohttp import web

from ledger.encoding import encode
from ledger.errors import StoreDamaged
from ledger.residue import Remains, form_of
from ledger.rows import (
    REPAIR,
    block_key,
    describe_key,
    header_key,
    lane_key,
)
from ledger.source import ReaderSource
from ledger.store import CHECKPOINT, Reader
from node.api.parameters import only, whole_number
from node.api.port import NODE
from node.api.routes import MSGPACK, Content, Parameter, Route

PAGE_BYTES: Final = 4 * 1_024 * 1_024
PAGE_ITEMS_MAX: Final = 1_024
HEIGHT_MAX: Final = 2**53 - 1
LANE_MAX: Final = 2**32 - 1


async def get_blocks(request: web.Request) -> web.Response:
    """Executed blocks from a height up."""
    only(request, ("from", "limit"))
    height = whole_number(request, "from", 0, HEIGHT_MAX, 0)
    limit = whole_number(request, "limit", 1, PAGE_ITEMS_MAX, PAGE_ITEMS_MAX)
    reader: Reader = request.app[NODE].reader
    rows: list[Any] = []
    size_bytes = 0
    while len(rows) < limit and size_bytes < PAGE_BYTES:
        row = reader.get(block_key(height))
        if row is None:
            break
        certified = reader.get(CHECKPOINT + height.to_bytes(8))
        rows.append((height, row, certified))
        size_bytes += len(row)
        height += 1
    return _page(rows)


async def get_batches(request: web.Request) -> web.Response:
    """A lane's final batches from a height up."""
    only(request, ("lane", "from", "limit"))
    lane = whole_number(request, "lane", 1, LANE_MAX, request.app[NODE].number)
    height = whole_number(request, "from", 1, HEIGHT_MAX, 1)
    limit = whole_number(request, "limit", 1, PAGE_ITEMS_MAX, PAGE_ITEMS_MAX)
    reader: Reader = request.app[NODE].reader
    return _page(await asyncio.to_thread(_batches, reader, lane, height, limit))


def _batches(reader: Reader, lane: int, height: int, limit: int) -> list[bytes]:
    """A page is tens of thousands of rows: they are read beside the event loop."""
    batches: list[bytes] = []
    size_bytes = 0
    while len(batches) < limit and size_bytes < PAGE_BYTES:
        header_hash = reader.get(lane_key(lane, height))
        if header_hash is None:
            break
        batch = read_batch(reader, header_hash)
        batches.append(batch)
        size_bytes += len(batch)
        height += 1
    return batches


def read_batch(reader: Reader, header_hash: bytes) -> bytes:
    """The bytes of a batch of the store by its header hash, or of what remains of it.

    Raises:
        StoreDamaged: its header or a submission is missing, or not what was written.
    """
    batch = ReaderSource(reader).batch(0, 0, header_hash)
    if batch is None:
        raise StoreDamaged(describe_key(header_key(header_hash)), f"is missing; {REPAIR}")
    return encode(form_of(batch) if isinstance(batch, Remains) else batch)


def _page(rows: list[Any]) -> web.Response:
    return web.Response(body=msgspec.msgpack.encode(rows), content_type=MSGPACK)


_FROM: Final = Parameter(
    "from", "query", {"type": "integer", "minimum": 0}, "the first height that is wanted"
)
_LIMIT: Final = Parameter(
    "limit", "query", {"type": "integer", "minimum": 1, "maximum": PAGE_ITEMS_MAX}, "how many"
)
_LANE: Final = Parameter(
    "lane",
    "query",
    {"type": "integer", "minimum": 1, "maximum": LANE_MAX},
    "the platform's number; without it, this node's own",
)
_PAGE: Final = {"type": "string", "contentEncoding": "binary"}

ROUTES: Final = (
    Route(
        "GET",
        "/v1/ledger/blocks",
        get_blocks,
        "Executed blocks with their certified checkpoints, for replay",
        "ledger",
        "read",
        {200: (Content(MSGPACK, _PAGE),)},
        parameters=(_FROM, _LIMIT),
        problems=(400,),
    ),
    Route(
        "GET",
        "/v1/ledger/batches",
        get_batches,
        "A lane's final batches with their payloads, for replay",
        "ledger",
        "read",
        {200: (Content(MSGPACK, _PAGE),)},
        parameters=(_LANE, _FROM, _LIMIT),
        problems=(400,),
    ),
)
