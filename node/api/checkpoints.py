"""Which checkpoint a request is answered at: the newest certified one, or an older one by its size.

Answers are proven against the window of older checkpoints that the index keeps (ledger/window.py).
A checkpoint is named by its size: the number of entries at the end of its block, as its note says.
"""

from bisect import bisect_left
from typing import Final

from aiohttp import web

from ledger.bureau.basis import Basis
from ledger.rows import BlockRow, block_key, need_row
from ledger.store import Reader
from node.api.log import RETRY_S, newest
from node.api.parameters import parse_number
from node.api.port import NODE, Node
from node.api.problems import NotFound, NotReady
from node.api.routes import Parameter
from node.publiclog import Gone
from node.view import Certificate

SIZE: Final = Parameter(
    "size",
    "query",
    {"type": "integer", "minimum": 1},
    "the size of a checkpoint that is still held; without it, the newest",
)

BASES_KEPT_MAX: Final = 32
"""Of so many checkpoints it is kept what all answers at them have in common."""
_BASES: Final[web.AppKey[dict[int, Basis]]] = web.AppKey("bases", dict)


def prepare(app: web.Application) -> None:
    """What the routes share: what was read of checkpoints, by height."""
    app[_BASES] = {}


def basis_of(request: web.Request, certified: Certificate) -> Basis:
    """What all answers at a certified checkpoint have in common."""
    bases = request.app[_BASES]
    found = bases.get(certified.height)
    if found is None or found.certified is not certified:
        found = Basis(request.app[NODE].reader, certified)
        bases.pop(certified.height, None)
        while len(bases) >= BASES_KEPT_MAX:
            del bases[next(iter(bases))]
        bases[certified.height] = found
    return found


def asked(request: web.Request) -> Certificate:
    """The certified checkpoint whose `size` the query gives; without it, the newest.

    Raises:
        Malformed: not a size.
        NotFound: no certified checkpoint has this size.
        Gone: it lies behind the window.
        NotReady: there is none yet, or the newest lies behind the window.
    """
    node: Node = request.app[NODE]
    last = newest(request)
    demand_held(node, last)
    text = request.query.get("size")
    size = last.size if text is None else parse_number(text, "size", 1)
    if size == last.size:
        return last
    if size > last.size:
        raise NotFound(
            f"no checkpoint of {size} entries is certified yet; the newest has {last.size}"
        )
    _demand_window(node, size)
    found: Certificate | None = node.certificate(size)
    if found is None:
        raise NotFound(f"no certified checkpoint has {size} entries: {_why_not(node, size)}")
    return found


def demand_held(node: Node, certified: Certificate) -> None:
    """Demand that the index still keeps the state at a checkpoint. What was read since it was last
    asked, and is held still, was read whole: nothing is given up and comes back.

    Raises:
        Gone: it lies behind the window by now.
        NotReady: it is the newest one.
    """
    if certified.height >= node.state.index.versions()[0]:
        return
    if certified is node.certified:
        raise NotReady(
            f"blocks up to {node.state.height} are executed and only {certified.height} has its "
            "quorum: the newest certified checkpoint lies behind the window of proofs",
            RETRY_S,
        )
    _demand_window(node, certified.size)


def _demand_window(node: Node, size: int) -> None:
    oldest = _size_at(node.reader, node.state.index.versions()[0])
    if size < oldest:
        raise Gone(
            f"the checkpoint of {size} entries is not held: this node proves against checkpoints "
            f"from {oldest} entries on; older states come by replay (standing audit)"
        )


def _why_not(node: Node, size: int) -> str:
    heights = range(node.state.index.versions()[0], node.state.height + 1)
    at = max(1, bisect_left(heights, size, key=lambda height: _size_at(node.reader, height)))
    below, found = (_size_at(node.reader, heights[each]) for each in (at - 1, at))
    if found == size:
        return (
            "a block ends there, but this node holds no quorum of cosignatures for it (it was "
            "away, or a later block had its quorum first); ask another node, or for another size"
        )
    return (
        f"they stand at the ends of blocks; the nearest blocks end at {below} and {found} entries"
    )


def _size_at(reader: Reader, height: int) -> int:
    return need_row(reader, BlockRow, block_key(height)).size
