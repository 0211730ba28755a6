"""Subjects: a score, a file, a bundle; each as of a certified checkpoint, the newest unless asked.

A subject is named `platform:handle`: the platform's number or code, and 64 lowercase hex digits.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Final, cast

import msgspec
from aiohttp import web

from ledger.bundle import assemble_bundle, prove_in_index
from ledger.bureau import reading
from ledger.bureau.answer import Answer, Counts, Question, SubjectRole
from ledger.bureau.basis import Basis
from ledger.bureau.model import Q16_ONE
from ledger.errors import Malformed
from ledger.files import closure, read_subject
from ledger.rows import SubjectRow
from node.api.checkpoints import SIZE, asked, basis_of, demand_held
from node.api.erasures import Erasing, erasing_of
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
from node.view import Certificate

ROLES: Final = ("worker", "client")
# Longer files are scored in a thread, so that the node's other work goes on.
LONG_FILE_LEAVES: Final = 256
PAGE_LEAVES: Final = 100
PAGE_LEAVES_MAX: Final = 1_000
SUBJECT_CHARS_MAX: Final = 128
_LONG: Final = web.AppKey("long", asyncio.Lock)
_SUBJECT: Final = re.compile(r"(?P<platform>[a-z0-9-]{1,32}):(?P<handle>[0-9a-f]{64})\Z", re.ASCII)

Make = Callable[[], tuple[bytes, bool]]
"""Makes an answer: its bytes, and whether they may be kept."""


def prepare(app: web.Application) -> None:
    """What the routes share: answers that were given, and the turn of those who want long files."""
    app[REMEMBERED] = Remembered()
    app[_LONG] = asyncio.Lock()


class ReasonShown(msgspec.Struct, frozen=True):
    """A contribution in points; `base_points` and all contributions add up to `points`."""

    code: str
    points: int


class CheckpointShown(msgspec.Struct, frozen=True):
    """The certified checkpoint that an answer stands on; `time` is its block's, in ms."""

    height: int
    size: int
    root: bytes
    time: int


class ScoreShown(msgspec.Struct, frozen=True):
    """The bureau's answer. Probability and points are null for a thin file: no guess is made.

    `probability_q16` and `interval_q16` are the exact integers (65,536 is 1); `probability` and
    `interval` (5 % and 95 %) are the same for people. `evidence` counts good and bad results.
    `erased` is null if the files are whole; else they are partly erased, by what it says.
    """

    subject: str
    role: str
    domain: str
    as_of: int
    probability: float | None
    points: int | None
    interval: tuple[float, float]
    evidence: int
    reasons: tuple[ReasonShown, ...]
    thin_file: bool
    model: str
    checkpoint: CheckpointShown
    base_points: int
    probability_q16: int | None
    interval_q16: tuple[int, int]
    counts: Counts
    last_at: int | None
    erased: Erasing | None


async def get_score(request: web.Request) -> web.Response:
    """The score of a subject."""
    only(request, ("domain", "role", "as_of", "size"))
    node: Node = request.app[NODE]
    certified, question, is_long = _question(request)
    basis = basis_of(request, certified)

    def make() -> tuple[bytes, bool]:
        found = _score(node, certified, basis, question)
        # Who has acknowledged an erasure changes while the checkpoint is the same.
        return encode_json(found), found.erased is None

    body = await _answered(request, certified, ("score", question), lambda: make, is_long=is_long)
    return web.Response(body=body, content_type=JSON)


async def _answered(
    request: web.Request,
    certified: Certificate,
    what: tuple[str, Question],
    begin: Callable[[], Make],
    *,
    is_long: bool,
) -> bytes:
    """The answer that is remembered, or else made. `begin` is called in the event loop.

    Answers from long files are made beside the event loop, one at a time: several would only take
    the processor from each other, and from all that the loop has to do.
    """
    node, kept, key = request.app[NODE], request.app[REMEMBERED], (certified.size, *what)
    found = kept.find(node, key)
    if found is not None:
        return found
    if not is_long:
        generation = kept.generation
        body, lasts = begin()()
    else:
        async with request.app[_LONG]:
            found = kept.find(node, key)
            if found is not None:
                return found
            generation = kept.generation
            body, lasts = await asyncio.to_thread(begin())
        demand_held(node, certified)
    if lasts:
        kept.keep(node, key, body, generation)
    return body


def _score(node: Node, certified: Certificate, basis: Basis, question: Question) -> ScoreShown:
    subjects = closure(node.reader, question.platform, question.handle, certified.size)
    answer = reading.answer(node.reader, certified, question, basis=basis)
    erased = erasing_of(node.reader, certified, subjects, _codes(node))
    return shown(answer, certified, _code_of(node, question.platform), erased)


def _codes(node: Node) -> dict[int, str]:
    return dict(node.codes)


def shown(
    answer: Answer, certified: Certificate, platform_code: str, erased: Erasing | None
) -> ScoreShown:
    """An answer as HTTP gives it."""
    question, probability = answer.question, answer.probability_q16
    return ScoreShown(
        subject=f"{platform_code}:{question.handle.hex()}",
        role=question.role,
        domain=question.domain,
        as_of=question.as_of,
        probability=None if probability is None else _share(probability),
        points=answer.points,
        interval=(_share(answer.low_q16), _share(answer.high_q16)),
        evidence=answer.evidence.good + answer.evidence.bad,
        reasons=tuple(ReasonShown(each.code, each.points) for each in answer.reasons),
        thin_file=answer.thin_file,
        model=answer.model,
        checkpoint=CheckpointShown(
            certified.height, certified.size, certified.root, certified.time
        ),
        base_points=answer.base_points,
        probability_q16=probability,
        interval_q16=(answer.low_q16, answer.high_q16),
        counts=answer.evidence,
        last_at=answer.last_at,
        erased=erased,
    )


def _share(q16: int) -> float:
    return round(q16 / Q16_ONE, 6)


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
        codes=_codes(node),
        start=start,
        limit=limit,
    )
    return json_response(page)


async def get_bundle(request: web.Request) -> web.Response:
    """The proof of a whole answer."""
    only(request, ("domain", "role", "as_of", "size"))
    node: Node = request.app[NODE]
    certified, question, is_long = _question(request)
    basis = basis_of(request, certified)

    def begin() -> Make:
        # The index changes with each block: it is read at once, the file perhaps beside the loop.
        proofs = prove_in_index(node.reader, node.state.index, certified, question)
        return lambda: (assemble_bundle(node.reader, certified, question, proofs, basis), True)

    data = await _answered(request, certified, ("bundle", question), begin, is_long=is_long)
    name = f"{_code_of(node, question.platform)}-{question.handle.hex()[:16]}.bundle"
    return web.Response(
        body=data,
        content_type=OCTETS,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _question(request: web.Request) -> tuple[Certificate, Question, bool]:
    """The checkpoint, the question, and whether the subject's file is a long one."""
    certified, platform, handle, row = _subject(request)
    as_of = request.query.get("as_of")
    question = reading.ask(
        request.app[NODE].reader,
        certified,
        platform,
        handle,
        role=cast("SubjectRole", choice(request, "role", ROLES, "worker")),
        domain=code(request, "domain") if request.query.get("domain") else "",
        as_of=None if as_of is None else parse_number(as_of, "as_of"),
        basis=basis_of(request, certified),
    )
    return certified, question, row.length > LONG_FILE_LEAVES


def _subject(request: web.Request) -> tuple[Certificate, int, bytes, SubjectRow]:
    """The checkpoint, and the subject that the path names, registered below its size."""
    node: Node = request.app[NODE]
    number, handle = parse_subject(request.match_info["subject"], node)
    certified = asked(request)
    row = read_subject(node.reader, number, handle)
    if row is None or row.registered >= certified.size:
        raise NotFound(
            f"platform {_code_of(node, number)} has registered no subject {handle.hex()} by the "
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


def _code_of(node: Node, number: int) -> str:
    return node.codes[number]


_SUBJECT_PARAMETER: Final = Parameter(
    "subject",
    "path",
    {"type": "string", "pattern": "^[a-z0-9-]{1,32}:[0-9a-f]{64}$"},
    "platform (number or code) : handle",
    required=True,
)
_QUESTION: Final = (
    _SUBJECT_PARAMETER,
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
_PROBLEMS: Final = (400, 404, 410, 422, 503)

ROUTES: Final = (
    Route(
        "GET",
        "/v1/subjects/{subject}/score",
        get_score,
        "The score of a subject",
        "subjects",
        "read",
        {200: (Content(JSON, ScoreShown),)},
        parameters=_QUESTION,
        problems=_PROBLEMS,
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
        problems=_PROBLEMS,
    ),
    Route(
        "GET",
        "/v1/subjects/{subject}/bundle",
        get_bundle,
        "The proof of a whole answer",
        "subjects",
        "read",
        {200: (Content(OCTETS, _BUNDLE),)},
        parameters=_QUESTION,
        problems=_PROBLEMS,
    ),
)
