"""The one table's row: a route is declared once, and both the server and /openapi.json use it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec
from aiohttp import web

from node.api.json_records import value_to_json
from node.api.problems import Handler
from node.config import Right

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
MSGPACK: Final = "application/msgpack"
TEXT: Final = "text/plain"
OCTETS: Final = "application/octet-stream"
EVENT_STREAM: Final = "text/event-stream"

HEX_32: Final = {"type": "string", "pattern": "^[0-9a-f]{64}$"}

_REGEX_IN_PATH: Final = re.compile(r"\{([a-z]+):[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a route, with its JSON Schema."""

    name: str
    where: Literal["path", "query", "header"]
    schema: Mapping[str, Any]
    description: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """What a body holds: its media type and either a Struct type or a JSON Schema."""

    media_type: str
    shape: Any
    """A type that JSON is derived from, or a mapping that is a JSON Schema itself."""


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one address: how it is served, and how it is described."""

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    summary: str
    tag: str
    may: Right | tuple[Right, ...] | None
    """The right that a token needs (one of them, where there are several); None: public."""
    answers: Mapping[int, tuple[Content, ...]]
    parameters: tuple[Parameter, ...] = ()
    body: tuple[Content, ...] = ()
    problems: tuple[int, ...] = ()
    description: str = ""
    name: str = field(default="")

    @property
    def rights(self) -> tuple[Right, ...]:
        """The rights of which a token needs one; none: the route is public."""
        if self.may is None:
            return ()
        return self.may if isinstance(self.may, tuple) else (self.may,)

    @property
    def public_path(self) -> str:
        """The address as OpenAPI writes it: without the server's regular expressions."""
        return _REGEX_IN_PATH.sub(r"{\1}", self.path)


def encode_json(value: Any) -> bytes:
    """Any value in its JSON form, as text."""
    return msgspec.json.encode(value_to_json(value))


def json_response(value: Any, *, status: int = 200, **headers: str) -> web.Response:
    """Any value in its JSON form."""
    body = encode_json(value)
    return web.Response(status=status, body=body, content_type=JSON, headers=headers)
