"""The states of many records at once: what an import asks, when it waits for thousands to be final.

In order, one for each id; `state` is empty for an id that has not reached this node.
"""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from aiohttp import web

from ledger.encoding import Hash
from node.api.json_records import value_from_json
from node.api.offers import WAIT_FINAL_S_MAX
from node.api.parameters import choice, only, whole_number
from node.api.port import NODE, Node
from node.api.problems import UnsupportedType
from node.api.routes import JSON, Content, Parameter, Route, json_response
from node.tracking import RecordStatus

IDS_MAX: Final = 10_000
UNSETTLED: Final = frozenset(("durable", "ordered"))
YIELD_IDS: Final = 256
BODY_BYTES_MAX: Final = 1 * 1_024 * 1_024


class StatesWanted(msgspec.Struct, frozen=True):
    """The ids of records."""

    ids: Annotated[tuple[Hash, ...], msgspec.Meta(min_length=1, max_length=IDS_MAX)]


class StateShown(msgspec.Struct, frozen=True):
    """`durable`, `ordered`, `final`, `refused` or nothing; `rule`: the one that was broken."""

    state: str
    rule: str


class States(msgspec.Struct, frozen=True):
    """One state for each id, in the same order."""

    states: tuple[StateShown, ...]


async def post_states(request: web.Request) -> web.Response:
    """What became of each record, at once or when all are final or refused."""
    only(request, ("wait", "timeout_s"))
    if request.content_type != JSON:
        raise UnsupportedType(f"ids are read as {JSON}")
    longest = int(WAIT_FINAL_S_MAX)
    timeout_s = whole_number(request, "timeout_s", 1, longest, longest)
    must_wait = choice(request, "wait", ("final",), default="") == "final"
    wanted = value_from_json(StatesWanted, await request.read(), bytes_max=BODY_BYTES_MAX)
    node = request.app[NODE]
    found = await _statuses(node, wanted.ids)
    waiting = [at for at, each in enumerate(found) if each is not None and each.state in UNSETTLED]
    if must_wait and waiting:
        for at, status in zip(
            waiting,
            await node.wait_final([wanted.ids[at] for at in waiting], timeout_s),
            strict=True,
        ):
            found[at] = status
    return json_response(
        States(
            tuple(
                StateShown(each.state, each.rule) if each is not None else StateShown("", "")
                for each in found
            )
        )
    )


async def _statuses(node: Node, ids: Sequence[bytes]) -> list[RecordStatus | None]:
    """Each record's status; other work of the node goes on in between."""
    found: list[RecordStatus | None] = []
    for nth, each in enumerate(ids, 1):
        found.append(node.status(each))
        if nth % YIELD_IDS == 0:
            await asyncio.sleep(0)
    return found


ROUTES: Final = (
    Route(
        "POST",
        "/v1/records/states",
        post_states,
        "What became of many records",
        "records",
        "read",
        {200: (Content(JSON, States),)},
        parameters=(
            Parameter(
                "wait",
                "query",
                {"type": "string", "enum": ["final"]},
                "answer only when all are final or refused",
            ),
            Parameter(
                "timeout_s",
                "query",
                {"type": "integer", "minimum": 1, "maximum": int(WAIT_FINAL_S_MAX)},
                "how long to wait, in seconds",
            ),
        ),
        body=(Content(JSON, StatesWanted),),
        problems=(400, 413, 415),
    ),
)
