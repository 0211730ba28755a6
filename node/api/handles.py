"""Handles: the node's random 32-byte names for its platform's own workers, clients, engagements.

The platform keeps no list of its own: it asks by its reference, and gets the same handle for ever.
"""

from typing import Annotated, Final, Literal

import msgspec
from aiohttp import web

from node.api.json_records import value_from_json
from node.api.port import NODE
from node.api.problems import UnsupportedType
from node.api.routes import JSON, Content, Route, json_response

REFERENCES_MAX: Final = 10_000
REFERENCE_CHARS_MAX: Final = 256
BODY_BYTES_MAX: Final = 4 * 1_024 * 1_024


class HandlesWanted(msgspec.Struct, frozen=True):
    """The platform's own references, as it names a worker or an engagement itself."""

    kind: Literal["subject", "engagement"]
    references: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=REFERENCE_CHARS_MAX)], ...],
        msgspec.Meta(min_length=1, max_length=REFERENCES_MAX),
    ]


class Handles(msgspec.Struct, frozen=True):
    """One handle for each reference, in the same order."""

    handles: tuple[Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)], ...]


async def post_handles(request: web.Request) -> web.Response:
    """Handles of references; a reference that is new gets one, durable before it is told."""
    if request.content_type != JSON:
        raise UnsupportedType(f"references are read as {JSON}")
    wanted = value_from_json(HandlesWanted, await request.read(), bytes_max=BODY_BYTES_MAX)
    handles = await request.app[NODE].handles(wanted.kind, wanted.references)
    return json_response(Handles(tuple(handles)))


ROUTES: Final = (
    Route(
        "POST",
        "/v1/handles",
        post_handles,
        "Handles for the platform's own references",
        "records",
        "write",
        {200: (Content(JSON, Handles),)},
        body=(Content(JSON, HandlesWanted),),
        problems=(400, 413, 415),
    ),
)
