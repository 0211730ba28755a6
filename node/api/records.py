"""Records: handed in (one, many, streamed), and what became of each.

A record's state goes `durable` → `ordered` → `final` or `refused`. 202 means: on this node's disk.
`?wait=final` answers when the record stands in a checkpoint with a quorum of cosignatures (200), or
with what is known after WAIT_FINAL_S_MAX (202).
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from ledger.errors import InvalidInput, Malformed
from node.api.auth import GOVERNED, Admission
from node.api.json_common import read_common
from node.api.json_records import record_from_json
from node.api.json_text import Duplicate, parse_json
from node.api.log import newest
from node.api.offers import (
    WAIT_FINAL_S_MAX,
    RecordAnswer,
    offer_of,
    refusal,
    submit,
    wait_final,
)
from node.api.parameters import choice, hash_in_path, only, whole_number
from node.api.port import NODE
from node.api.problems import (
    Forbidden,
    NotFound,
    Problem,
    UnsupportedType,
    problem_of,
    problem_response,
)
from node.api.receipts import receipt_of
from node.api.record_states import RecordState, state_of
from node.api.routes import (
    HEX_32,
    JSON,
    MSGPACK,
    NDJSON,
    TEXT,
    Content,
    Parameter,
    Route,
    json_response,
)
from node.api.streams import (
    YIELD_RECORDS,
    answer_msgpack,
    answer_ndjson,
    push_back_if_all_busy,
)
from node.intake import Offer

JSON_BODY_BYTES_MAX: Final = 4 * 1_024 * 1_024
JSON_RECORDS_MAX: Final = 1_024
_NDJSON_NAMES: Final = (NDJSON, "application/ndjson", "application/jsonl")
_MSGPACK_NAMES: Final = (MSGPACK, "application/x-msgpack", "application/vnd.msgpack")


async def post_records(request: web.Request) -> web.StreamResponse:
    """Take records in the form that the content type names."""
    only(request, ("wait", "timeout_s"))
    wait_s = _wait_s(request)
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise UnsupportedType("send the body without a Content-Encoding")
    content_type = request.content_type
    if content_type in _NDJSON_NAMES:
        return await answer_ndjson(request, wait_s)
    if content_type in _MSGPACK_NAMES:
        return await answer_msgpack(request, wait_s)
    if content_type == JSON:
        return await _answer_json(request, wait_s)
    raise UnsupportedType(f"records are read as {JSON}, {NDJSON} or {MSGPACK}")


async def _answer_json(request: web.Request, wait_s: float) -> web.Response:
    body, node = await request.read(), request.app[NODE]
    common = read_common(body)
    parsed: Any = common or parse_json(body, bytes_max=JSON_BODY_BYTES_MAX, what="the body")
    many = isinstance(parsed, list)
    if many and not 0 < len(parsed) <= JSON_RECORDS_MAX:
        raise Malformed(f"an array has 1 to {JSON_RECORDS_MAX} records; NDJSON takes any number")
    admission = Admission.of(request)
    items = await _read(parsed if many else [parsed], admission)
    if not many and isinstance(items[0], Problem):
        return problem_response(items[0])
    answers = await submit(node, items, admission.name)
    if many:
        push_back_if_all_busy(answers)
    if wait_s:
        answers = await wait_final(node, answers, wait_s)
    if many:
        return json_response([msgspec.to_builtins(answer) for answer in answers], status=202)
    return _single(answers[0])


def _single(answer: RecordAnswer) -> web.Response:
    if answer.problem is not None:
        return problem_response(answer.problem)
    body, status = msgspec.to_builtins(answer), 200 if answer.state == "final" else 202
    if not answer.id:
        return json_response(body, status=status)
    return json_response(body, status=status, Location=f"/v1/records/{answer.id}")


async def _read(values: list[Any], admission: Admission) -> list[Offer | Problem]:
    made: list[Offer | Problem] = []
    for at, value in enumerate(values, 1):
        try:
            made.append(admission.admit(_offer(value)))
        except (InvalidInput, Forbidden) as error:
            made.append(problem_of(error))
        if at % YIELD_RECORDS == 0:
            await asyncio.sleep(0)
    return made


def _offer(value: Any) -> Offer:
    if isinstance(value, tuple):  # a common record that has been read already
        return offer_of(*value)
    if not isinstance(value, dict | Duplicate):
        raise Malformed("a record is an object")
    return offer_of(*record_from_json(value))  # type: ignore[arg-type]


async def get_record(request: web.Request) -> web.Response:
    """What became of a record."""
    record_id = hash_in_path(request, "id")
    node = request.app[NODE]
    wait_s = _wait_s(request)
    status = node.status(record_id)
    if status is not None and wait_s and status.state in ("durable", "ordered"):
        (status,) = await node.wait_final([record_id], wait_s)
    if status is None:
        raise NotFound("no record of this id has reached this node")
    return json_response(state_of(node.reader, status, _codes(request)))


async def get_receipt(request: web.Request) -> web.Response:
    """The proof that a record is in the log, up to the newest certified checkpoint."""
    record_id = hash_in_path(request, "id")
    node = request.app[NODE]
    status = node.status(record_id)
    if status is None:
        raise NotFound("no record of this id has reached this node")
    if status.state == "refused":
        return problem_response(
            msgspec.structs.replace(problem_of(refusal(status.rule)), id=record_id.hex())
        )
    if status.state != "final" or status.log_index is None:
        raise NotFound(f"the record is {status.state}; its receipt is there once it is final")
    receipt = receipt_of(node.reader, newest(request), status.log_index)
    return web.Response(body=receipt, content_type=TEXT, charset="utf-8")


def _codes(request: web.Request) -> Mapping[int, str]:
    codes: Mapping[int, str] = request.app[NODE].codes
    return codes


def _wait_s(request: web.Request) -> float:
    if choice(request, "wait", ("final",), default="") != "final":
        return 0.0
    return whole_number(request, "timeout_s", 1, int(WAIT_FINAL_S_MAX), int(WAIT_FINAL_S_MAX))


_ID: Final = Parameter("id", "path", HEX_32, "the record's id", required=True)
_WAIT: Final = (
    Parameter(
        "wait",
        "query",
        {"type": "string", "enum": ["final"]},
        "answer only when the record is final or refused",
    ),
    Parameter(
        "timeout_s",
        "query",
        {"type": "integer", "minimum": 1, "maximum": int(WAIT_FINAL_S_MAX)},
        "how long to wait, in seconds",
    ),
)
_ONE_OR_MANY: Final = {
    "oneOf": [
        {"$ref": "#/components/schemas/Record"},
        {
            "type": "array",
            "items": {"$ref": "#/components/schemas/Record"},
            "minItems": 1,
            "maxItems": JSON_RECORDS_MAX,
        },
    ]
}
_ANSWERS: Final = {
    "oneOf": [
        {"$ref": "#/components/schemas/RecordAnswer"},
        {"type": "array", "items": {"$ref": "#/components/schemas/RecordAnswer"}},
    ]
}
_LINES: Final = {"type": "string", "description": "one JSON value per line"}
_BYTES: Final = {"type": "string", "contentEncoding": "binary"}

ROUTES: Final = (
    Route(
        "POST",
        "/v1/records",
        post_records,
        "Hand in records",
        "records",
        ("write", "govern"),
        {
            202: (Content(JSON, _ANSWERS), Content(NDJSON, _LINES)),
            200: (Content(JSON, RecordAnswer),),
        },
        parameters=_WAIT,
        body=(Content(JSON, _ONE_OR_MANY), Content(NDJSON, _LINES), Content(MSGPACK, _BYTES)),
        problems=(400, 409, 413, 415, 422, 503),
        description=(
            "JSON: one record or an array of them. NDJSON: one record per line, one answer per "
            "line, streamed. MessagePack: one or more arrays of [record bin, signatures bin]; one "
            "line with an array of answers for each. 202: durable on this node; 200: final. "
            f"Records of type {', '.join(GOVERNED.values())} take the right `govern`, member.ready "
            "and key.rotate either right, all others `write`; what the token may not hand in is "
            "answered with problem 403, each by itself."
        ),
    ),
    Route(
        "GET",
        "/v1/records/{id}",
        get_record,
        "What became of a record",
        "records",
        "read",
        {200: (Content(JSON, RecordState),)},
        parameters=(_ID, *_WAIT),
        problems=(400, 404),
    ),
    Route(
        "GET",
        "/v1/records/{id}/receipt",
        get_receipt,
        "The receipt of a final record (c2sp.org/tlog-proof@v1)",
        "records",
        "read",
        {200: (Content(TEXT, {"type": "string"}),)},
        parameters=(_ID,),
        problems=(400, 404, 422),
        description="Of a record that is erased it proves the entry and opens nothing.",
    ),
)
