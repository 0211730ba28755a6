"""The public log under /log/, without a token: C2SP tlog-tiles, and what stands beside it.

`checkpoint` is the newest certified one: this node's log line and exactly q cosignature lines.
Tiles and entries are served up to that checkpoint's size and never change; narrower partial tiles
stay there for readers of earlier checkpoints. What lies behind the paths is in node/publiclog.py.
"""

from typing import Final

from aiohttp import web

from ledger.encoding import UINT_MAX
from ledger.epochs import encode_chain
from ledger.genesis import epoch_of
from node.api.parameters import only, parse_number, whole_number
from node.api.port import NODE
from node.api.problems import Handler, NotFound, NotReady
from node.api.routes import MSGPACK, OCTETS, TEXT, Content, Parameter, Route
from node.publiclog import PAGE_ENDS_MAX, NotThere, PublicLog
from node.view import Certificate

CHECKPOINT_CACHE: Final = "public, max-age=1"
POLICY_CACHE: Final = "public, max-age=60"
EPOCH_POLICY_CACHE: Final = "public, max-age=31536000, immutable"
TILE_CACHE: Final = "public, max-age=31536000, immutable"
RETRY_S: Final = 1
_LOG: Final[web.AppKey[PublicLog]] = web.AppKey("publiclog", PublicLog)


def newest(request: web.Request) -> Certificate:
    """The newest certified checkpoint.

    Raises:
        NotReady: there is none yet.
    """
    certified: Certificate | None = request.app[NODE].certified
    if certified is None:
        raise NotReady("there is no certified checkpoint yet", RETRY_S)
    return certified


def prepare(app: web.Application) -> None:
    """What the routes share: the log's files."""
    node = app[NODE]
    bounds = node.genesis.foundation.bounds
    app[_LOG] = PublicLog(node.reader, node.origin, bounds.epoch_blocks, node.config.retain)


async def get_checkpoint(request: web.Request) -> web.Response:
    """The newest certified checkpoint, as a signed note."""
    return _text(newest(request).note, CHECKPOINT_CACHE)


async def get_witnessed(request: web.Request) -> web.Response:
    """The newest checkpoint that outside witnesses cosigned: their lines behind the usual ones."""
    note: bytes | None = request.app[NODE].witnessed
    if note is None:
        raise NotFound("no outside witness has cosigned a checkpoint of this node")
    return _text(note, CHECKPOINT_CACHE)


async def get_policy(request: web.Request) -> web.Response:
    """Whose lines count in the newest checkpoint, and how many are needed: a tlog-policy file."""
    log, certified = request.app[_LOG], request.app[NODE].certified
    epoch = epoch_of(certified.height, log.epoch_blocks) if certified else 1
    return _text(log.policy(max(1, epoch)).format().encode(), POLICY_CACHE)


async def get_epoch_policy(request: web.Request) -> web.Response:
    """The policy of an epoch's set, the coming one's included once it is certified."""
    epoch = parse_number(request.match_info["epoch"], "epoch", 1)
    log, certified = request.app[_LOG], request.app[NODE].certified
    known = 1 + (log.ended(certified) if certified else 0)
    if epoch > known:
        raise NotFound(f"epoch {known} is the newest whose set is certain")
    return _text(log.policy(epoch).format().encode(), EPOCH_POLICY_CACHE)


async def get_epochs(request: web.Request) -> web.Response:
    """Epoch ends, from genesis's set to the newest; with `limit`, each one from an epoch up."""
    only(request, ("from", "limit"))
    first = whole_number(request, "from", 1, UINT_MAX, 1)
    log, certified = request.app[_LOG], newest(request)
    if "limit" in request.query:
        limit = whole_number(request, "limit", 1, PAGE_ENDS_MAX, PAGE_ENDS_MAX)
        ends = log.chain(certified, first, limit)
    else:
        ends = log.leading(certified, first)
    headers = {"Cache-Control": POLICY_CACHE}
    return web.Response(body=encode_chain(ends), content_type=MSGPACK, headers=headers)


async def get_tile(request: web.Request) -> web.Response:
    """A tile of hashes, or a bundle of entries."""
    return _file(request)


async def get_block(request: web.Request) -> web.Response:
    """A block and its refusals."""
    return _file(request)


async def get_lane(request: web.Request) -> web.Response:
    """Signed batch headers of a lane."""
    return _file(request)


def _file(request: web.Request) -> web.Response:
    # The raw path: a percent-encoded form would be a second name of the same file.
    raw = request.rel_url.raw_path
    if request.rel_url.raw_query_string:
        raise NotFound("a file of the log has no query: it would be a second name of the same")
    try:
        body = request.app[_LOG].read(raw.removeprefix("/log/"), newest(request))
    except NotThere as error:
        raise NotFound(str(error)) from error
    return web.Response(body=body, content_type=OCTETS, headers={"Cache-Control": TILE_CACHE})


def _text(body: bytes, cache: str) -> web.Response:
    return web.Response(
        body=body, content_type=TEXT, charset="utf-8", headers={"Cache-Control": cache}
    )


def _path(form: str) -> Parameter:
    return Parameter("path", "path", {"type": "string"}, form, required=True)


_EPOCH: Final = Parameter("epoch", "path", {"type": "integer", "minimum": 1}, "from 1", True)
_FROM: Final = Parameter("from", "query", {"type": "integer", "minimum": 1}, "the first epoch")
_LIMIT: Final = Parameter(
    "limit",
    "query",
    {"type": "integer", "minimum": 1, "maximum": PAGE_ENDS_MAX},
    "at most so many, each one from `from` up; without it, those that lead to the newest set",
)
_NOTE: Final = (Content(TEXT, {"type": "string", "description": "a C2SP signed note"}),)
_POLICY: Final = (Content(TEXT, {"type": "string", "description": "a C2SP tlog-policy"}),)
_BYTES: Final = {"type": "string", "contentEncoding": "binary"}
_FILE: Final = (Content(OCTETS, _BYTES),)


def _route(
    path: str,
    handler: Handler,
    summary: str,
    answer: tuple[Content, ...],
    *,
    parameters: tuple[Parameter, ...] = (),
    problems: tuple[int, ...] = (),
) -> Route:
    answers = {200: answer}
    return Route("GET", path, handler, summary, "log", None, answers, parameters, (), problems)


ROUTES: Final = (
    _route("/log/checkpoint", get_checkpoint, "The newest certified checkpoint", _NOTE,
           problems=(503,)),
    _route("/log/witnessed", get_witnessed, "The newest checkpoint with outside cosignatures",
           _NOTE, problems=(404,)),
    _route("/log/policy", get_policy, "Whose cosignatures count", _POLICY),
    _route("/log/policy/{epoch}", get_epoch_policy, "Whose cosignatures counted in an epoch",
           _POLICY, parameters=(_EPOCH,), problems=(400, 404)),
    _route("/log/epochs", get_epochs, "Epoch ends: from one validator set to the next",
           (Content(MSGPACK, _BYTES),), parameters=(_FROM, _LIMIT), problems=(400, 503)),
    _route("/log/tile/{path:.+}", get_tile, "A tile of hashes, or a bundle of entries", _FILE,
           parameters=(_path("<L>/<N>[.p/<W>] or entries/<N>[.p/<W>] (C2SP tlog-tiles)"),),
           problems=(404, 410, 503)),
    _route("/log/block/{path:.+}", get_block, "A block and its refusals", _FILE,
           parameters=(_path("the height, written as a tile's number"),), problems=(404, 503)),
    _route("/log/lane/{path:.+}", get_lane, "Signed batch headers of a lane", _FILE,
           parameters=(_path("<lane>/<N>[.p/<W>], 256 headers from height 256·N + 1 up"),),
           problems=(404, 503)),
)  # fmt: skip
