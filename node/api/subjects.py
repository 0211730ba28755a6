"""Subjects: a score, a file, a bundle; each as of a certified checkpoint, the newest unless asked.

A subject is named `platform:handle`: the platform's number or code, and 64 lowercase hex digits.
"""

import asyncio
import re
from collections.abc import Callable, Hashable
from typing import Final, cast

from aiohttp import web

from ledger.bundle import assemble_bundle, prove_in_index
from ledger.bureau import reading
from ledger.bureau.answer import Question, SubjectRole
from ledger.bureau.basis import Basis
from ledger.bureau.score import score
from ledger.bureau.whatif import Asked
from ledger.errors import Malformed
from ledger.files import read_subject
from ledger.rows import SubjectRow
from node.api.checkpoints import SIZE, asked, basis_of, demand_held
from node.api.erasures import erasing_of
from node.api.files import FilePage, page_of
from node.api.parameters import choice, code, only, parse_hash, parse_number, whole_number
from node.api.port import NODE, Node
from node.api.problems import NotFound
from node.api.remembered import REMEMBERED, Remembered
from node.api.routes import (
    JSON,
    OCTETS,
    Content,
    Parameter,
    Route,
    encode_json,
    json_response,
)
from node.api.scores import Material, ScoreShown, shown
from node.view import Certificate

ROLES: Final = ("worker", "client")
QUERY: Final = ("domain", "role", "as_of", "size")
# Longer files are scored in a thread, so that the node's other work goes on.
LONG_FILE_LEAVES: Final = 256
PAGE_LEAVES: Final = 100
PAGE_LEAVES_MAX: Final = 1_000
SUBJECT_CHARS_MAX: Final = 128
LONG: Final = web.AppKey("long", asyncio.Lock)
_SUBJECT: Final = re.compile(r"(?P<platform>[a-z0-9-]{1,32}):(?P<handle>[0-9a-f]{64})\Z", re.ASCII)

Make = Callable[[], tuple[bytes, bool]]
"""Makes an answer: its bytes, and whether they may be kept."""


def prepare(app: web.Application) -> None:
    """What the routes share: answers that were given, and the turn of those who want long files."""
    app[REMEMBERED] = Remembered()
    app[LONG] = asyncio.Lock()


async def get_score(request: web.Request) -> web.Response:
    """The score of a subject."""
    only(request, QUERY)
    node: Node = request.app[NODE]
    certified, question, is_long = question_of(request)
    basis = basis_of(request, certified)

    def make() -> tuple[bytes, bool]:
        material = read_material(node, certified, basis, question)
        asked = material.asked
        answer = score(asked.files, asked.summary, asked.parameters, question)
        found = shown(answer, material)
        # Who has acknowledged an erasure changes while the checkpoint is the same.
        return encode_json(found), found.erased is None

    body = await answered(request, certified, ("score", question), lambda: make, is_long=is_long)
    return web.Response(body=body, content_type=JSON)


async def answered(
    request: web.Request,
    certified: Certificate,
    what: Hashable,
    begin: Callable[[], Make],
    *,
    is_long: bool,
) -> bytes:
    """The answer that is remembered, or else made. `begin` is called in the event loop.

    Answers from long files are made beside the event loop, one at a time: several would only take
    the processor from each other, and from all that the loop has to do.
    """
    node, kept, key = request.app[NODE], request.app[REMEMBERED], (certified.size, what)
    found = kept.find(node, key)
    if found is not None:
        return found
    if not is_long:
        generation = kept.generation
        body, lasts = begin()()
    else:
        async with request.app[LONG]:
            found = kept.find(node, key)
            if found is not None:
                return found
            generation = kept.generation
            body, lasts = await asyncio.to_thread(begin())
        demand_held(node, certified)
    if lasts:
        kept.keep(node, key, body, generation)
    return body


def read_material(node: Node, certified: Certificate, basis: Basis, question: Question) -> Material:
    """All that a question's answer is made of, at a checkpoint.

    Raises:
        InvalidInput, Erased, StoreDamaged: as `ledger.bureau.reading.answer`.
    """
    codes = codes_of(node)
    files = reading.read_closure(node.reader, certified, question.platform, question.handle)
    summary = reading.summary_at(node.reader, certified, question.platform)
    asked = Asked(
        files=[reading.opened_file(*each) for each in files],
        summary=None if summary is None else reading.decode_tally(summary),
        parameters=basis.parameters,
        question=question,
    )
    erased = erasing_of(node.reader, certified, [each[:2] for each in files], codes)
    return Material(asked, certified, codes, erased)


def codes_of(node: Node) -> dict[int, str]:
    """The codes of all platforms that ever were members, by number."""
    return dict(node.codes)


async def get_file(request: web.Request) -> web.Response:
    """A page of a subject's file, with the records where this node holds them."""
    only(request, ("from", "limit", "size"))
    node: Node = request.app[NODE]
    certified, platform, handle, _ = _subject(request)
    start = whole_number(request, "from", 0, 2**32 - 1, 0)
    limit = whole_number(request, "limit", 1, PAGE_LEAVES_MAX, PAGE_LEAVES)
    page = await asyncio.to_thread(
        page_of,
        node.reader,
        certified,
        (platform, handle),
        codes=codes_of(node),
        start=start,
        limit=limit,
    )
    return json_response(page)


async def get_bundle(request: web.Request) -> web.Response:
    """The proof of a whole answer."""
    only(request, QUERY)
    node: Node = request.app[NODE]
    certified, question, is_long = question_of(request)
    basis = basis_of(request, certified)

    def begin() -> Make:
        # The index changes with each block: it is read at once, the file perhaps beside the loop.
        proofs = prove_in_index(node.reader, node.state.index, certified, question)
        return lambda: (assemble_bundle(node.reader, certified, question, proofs, basis), True)

    data = await answered(request, certified, ("bundle", question), begin, is_long=is_long)
    name = f"{code_of(node, question.platform)}-{question.handle.hex()[:16]}.bundle"
    return web.Response(
        body=data,
        content_type=OCTETS,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def question_of(request: web.Request) -> tuple[Certificate, Question, bool]:
    """The checkpoint, the question, and whether the subject's file is a long one."""
    certified, platform, handle, row = _subject(request)
    question = ask_of(request, certified, platform, handle)
    return certified, question, row.length > LONG_FILE_LEAVES


def ask_of(request: web.Request, certified: Certificate, platform: int, handle: bytes) -> Question:
    """What the query asks (`QUERY`) of a subject.

    Raises:
        InvalidInput: a parameter that is not one, or `as_of` behind the checkpoint's time.
    """
    as_of = request.query.get("as_of")
    return reading.ask(
        request.app[NODE].reader,
        certified,
        platform,
        handle,
        role=cast("SubjectRole", choice(request, "role", ROLES, "worker")),
        domain=code(request, "domain") if request.query.get("domain") else "",
        as_of=None if as_of is None else parse_number(as_of, "as_of"),
        basis=basis_of(request, certified),
    )


def _subject(request: web.Request) -> tuple[Certificate, int, bytes, SubjectRow]:
    """The checkpoint, and the subject that the path names, registered below its size."""
    node: Node = request.app[NODE]
    number, handle = parse_subject(request.match_info["subject"], node)
    certified = asked(request)
    row = read_subject(node.reader, number, handle)
    if row is None or row.registered >= certified.size:
        raise NotFound(
            f"platform {code_of(node, number)} has registered no subject {handle.hex()} by the "
            f"checkpoint of {certified.size} entries"
        )
    return certified, number, handle, row


def parse_subject(text: str, node: Node) -> tuple[int, bytes]:
    """`platform:handle` as (number, handle).

    Raises:
        Malformed: not of this form.
        NotFound: no such platform.
    """
    match = _SUBJECT.match(text) if len(text) <= SUBJECT_CHARS_MAX else None
    if match is None:
        raise Malformed("is not platform:handle, the handle in 64 lowercase hex", field="subject")
    named = match["platform"]
    for number, name in node.codes.items():
        if named in (name, str(number)):
            return number, parse_hash(match["handle"], "subject")
    known = ", ".join(f"{name} ({number})" for number, name in node.codes.items())
    raise NotFound(f"there is no platform {named}; there are {known}")


def code_of(node: Node, number: int) -> str:
    """A platform's code."""
    return node.codes[number]


_SUBJECT_PARAMETER: Final = Parameter(
    "subject",
    "path",
    {"type": "string", "pattern": "^[a-z0-9-]{1,32}:[0-9a-f]{64}$"},
    "platform (number or code) : handle",
    required=True,
)
QUERY_PARAMETERS: Final = (
    Parameter("domain", "query", {"type": "string"}, "a domain code; without it, all work"),
    Parameter("role", "query", {"type": "string", "enum": list(ROLES)}, "as a worker, or a client"),
    Parameter(
        "as_of",
        "query",
        {"type": "integer", "minimum": 0},
        "ms since 1970, not after the checkpoint's time; without it, that time",
    ),
    SIZE,
)
QUESTION_PARAMETERS: Final = (_SUBJECT_PARAMETER, *QUERY_PARAMETERS)
_PAGE: Final = (
    _SUBJECT_PARAMETER,
    Parameter("from", "query", {"type": "integer", "minimum": 0}, "the first leaf's position"),
    Parameter(
        "limit",
        "query",
        {"type": "integer", "minimum": 1, "maximum": PAGE_LEAVES_MAX},
        "how many leaves",
    ),
    SIZE,
)
_BUNDLE: Final = {"type": "string", "contentEncoding": "binary"}
PROBLEMS: Final = (400, 404, 410, 422, 503)

ROUTES: Final = (
    Route(
        "GET",
        "/v1/subjects/{subject}/score",
        get_score,
        "The score of a subject",
        "subjects",
        "read",
        {200: (Content(JSON, ScoreShown),)},
        parameters=QUESTION_PARAMETERS,
        problems=PROBLEMS,
    ),
    Route(
        "GET",
        "/v1/subjects/{subject}/file",
        get_file,
        "A subject's file, page by page",
        "subjects",
        "read",
        {200: (Content(JSON, FilePage),)},
        parameters=_PAGE,
        problems=PROBLEMS,
    ),
    Route(
        "GET",
        "/v1/subjects/{subject}/bundle",
        get_bundle,
        "The proof of a whole answer",
        "subjects",
        "read",
        {200: (Content(OCTETS, _BUNDLE),)},
        parameters=QUESTION_PARAMETERS,
        problems=PROBLEMS,
    ),
)
