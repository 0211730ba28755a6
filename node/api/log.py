"""The public log: C2SP tlog-tiles under /log/, without a token.

`checkpoint` is the newest certified one: this node's log line and exactly q cosignature lines.
Tiles and entries are served up to that checkpoint's size and never change; narrower partial tiles
stay there for readers of earlier checkpoints.
"""

from typing import Final

from aiohttp import web

from ledger.errors import Malformed, StoreDamaged
from ledger.files import entry_at
from ledger.hashing import HASH_BYTES
from ledger.rows import REPAIR, describe_key, tile_key
from ledger.store import Reader
from ledger.tiles import TILE_WIDTH, TilePath, encode_entry_bundle, parse_tile_path, tile_exists
from node.api.port import NODE
from node.api.problems import NotFound, NotReady
from node.api.routes import OCTETS, TEXT, Content, Parameter, Route
from node.view import Certificate

CHECKPOINT_CACHE: Final = "public, max-age=1"
POLICY_CACHE: Final = "public, max-age=60"
TILE_CACHE: Final = "public, max-age=31536000, immutable"
RETRY_S: Final = 1


def newest(request: web.Request) -> Certificate:
    """The newest certified checkpoint.

    Raises:
        NotReady: there is none yet.
    """
    certified: Certificate | None = request.app[NODE].certified
    if certified is None:
        raise NotReady("there is no certified checkpoint yet", RETRY_S)
    return certified


async def get_checkpoint(request: web.Request) -> web.Response:
    """The newest certified checkpoint, as a signed note."""
    note = newest(request).note
    return _text(note, CHECKPOINT_CACHE)


async def get_policy(request: web.Request) -> web.Response:
    """Whose lines count, and how many are needed: a tlog-policy file."""
    return _text(request.app[NODE].policy_text.encode(), POLICY_CACHE)


async def get_tile(request: web.Request) -> web.Response:
    """A tile of hashes, or a bundle of entries."""
    # The raw path: a percent-encoded form would be a second name of the same tile.
    raw = request.rel_url.raw_path
    try:
        path = parse_tile_path(raw.removeprefix("/log/"))
    except Malformed as error:
        raise NotFound(f"{raw} is not the path of a tile") from error
    if not tile_exists(path, newest(request).size):
        raise NotFound("the log does not reach so far, or a full tile is asked for too early")
    reader: Reader = request.app[NODE].reader
    body = _entries(reader, path) if path.level is None else _hashes(reader, path.level, path)
    return web.Response(body=body, content_type=OCTETS, headers={"Cache-Control": TILE_CACHE})


def _hashes(reader: Reader, level: int, path: TilePath) -> bytes:
    key = tile_key(level, path.index)
    wanted = path.width * HASH_BYTES
    row = reader.get(key) or b""
    if len(row) < wanted:
        raise StoreDamaged(describe_key(key), f"is missing or too short; {REPAIR}")
    return row[:wanted]


def _entries(reader: Reader, path: TilePath) -> bytes:
    first = path.index * TILE_WIDTH
    return encode_entry_bundle([entry_at(reader, first + at) for at in range(path.width)])


def _text(body: bytes, cache: str) -> web.Response:
    return web.Response(
        body=body, content_type=TEXT, charset="utf-8", headers={"Cache-Control": cache}
    )


_PATH: Final = Parameter(
    "path",
    "path",
    {"type": "string"},
    "<L>/<N>[.p/<W>] or entries/<N>[.p/<W>], as C2SP tlog-tiles writes them",
    required=True,
)
_NOTE: Final = {"type": "string", "description": "a C2SP signed note"}
_TILE: Final = {"type": "string", "contentEncoding": "binary"}

ROUTES: Final = (
    Route(
        "GET",
        "/log/checkpoint",
        get_checkpoint,
        "The newest certified checkpoint",
        "log",
        None,
        {200: (Content(TEXT, _NOTE),)},
        problems=(503,),
    ),
    Route(
        "GET",
        "/log/policy",
        get_policy,
        "Whose cosignatures count",
        "log",
        None,
        {200: (Content(TEXT, {"type": "string"}),)},
    ),
    Route(
        "GET",
        "/log/tile/{path:.+}",
        get_tile,
        "A tile of hashes, or a bundle of entries",
        "log",
        None,
        {200: (Content(OCTETS, _TILE),)},
        parameters=(_PATH,),
        problems=(404, 503),
    ),
)
