"""A comparison of several subjects at one checkpoint, and who of them can be told apart.

The question is the same for all of them, and so are checkpoint, model and `as_of`. Two answers are
not distinguishable if their 90 % intervals overlap or touch (`ledger/bureau/README.md`, section
10): then no order between the two is warranted, whatever their points.
"""

from itertools import combinations
from typing import Annotated, Final

import msgspec
from aiohttp import web

from ledger.bureau.answer import Answer, Question
from ledger.bureau.score import score
from ledger.bureau.whatif import compare, distinguishable
from ledger.errors import InvalidInput, Malformed
from ledger.files import closure, read_subject
from node.api.checkpoints import asked, basis_of
from node.api.json_records import value_from_json
from node.api.parameters import only
from node.api.port import NODE, Node
from node.api.problems import NotFound, UnsupportedType
from node.api.routes import JSON, Content, Route, encode_json
from node.api.scores import CheckpointShown, Material, ScoreShown, checkpoint_of, shown
from node.api.subjects import (
    LONG_FILE_LEAVES,
    PROBLEMS,
    QUERY,
    QUERY_PARAMETERS,
    SUBJECT_CHARS_MAX,
    answered,
    ask_of,
    parse_subject,
    read_material,
)
from node.view import Certificate

SUBJECTS_MIN: Final = 2
SUBJECTS_MAX: Final = 20
LEAVES_MAX: Final = 65_536
"""Of all files that are read for one comparison together: as many as for one score."""
SUBJECT_LEAVES: Final = 32
"""So many leaves take as long to read and weigh as a score takes without any."""
BODY_BYTES_MAX: Final = 16 * 1_024

SubjectText = Annotated[str, msgspec.Meta(max_length=SUBJECT_CHARS_MAX)]


class ComparisonWanted(msgspec.Struct, frozen=True):
    """The subjects, each `platform:handle` (the platform's number or code), each once."""

    subjects: Annotated[
        tuple[SubjectText, ...], msgspec.Meta(min_length=SUBJECTS_MIN, max_length=SUBJECTS_MAX)
    ]


class ComparisonShown(msgspec.Struct, frozen=True):
    """Several answers to one question at one checkpoint, in the order in which they were asked for.

    `groups` name the subjects, the highest first: nobody in a group can be told apart from the
    first in it. `not_distinguishable` are all pairs whose intervals overlap, `same_person` those
    whose files a link joins: their answers stand on the same evidence.
    """

    role: str
    domain: str
    as_of: int
    model: str
    checkpoint: CheckpointShown
    scores: tuple[ScoreShown, ...]
    groups: tuple[tuple[str, ...], ...]
    not_distinguishable: tuple[tuple[str, str], ...]
    same_person: tuple[tuple[str, str], ...]


async def post_comparison(request: web.Request) -> web.Response:
    """Compare subjects."""
    only(request, QUERY)
    if request.content_type != JSON:
        raise UnsupportedType(f"subjects are read as {JSON}")
    wanted = value_from_json(ComparisonWanted, await request.read(), bytes_max=BODY_BYTES_MAX)
    node: Node = request.app[NODE]
    certified = asked(request)
    questions = _questions(request, certified, wanted.subjects)
    leaves = _leaves(node, certified, questions)
    basis = basis_of(request, certified)

    def make() -> tuple[bytes, bool]:
        materials = [read_material(node, certified, basis, each) for each in questions]
        lasts = all(each.erased is None for each in materials)
        return encode_json(_comparison(certified, materials)), lasts

    what = ("comparison", questions)
    is_long = leaves + len(questions) * SUBJECT_LEAVES > LONG_FILE_LEAVES
    body = await answered(request, certified, what, lambda: make, is_long=is_long)
    return web.Response(body=body, content_type=JSON)


def _questions(
    request: web.Request, certified: Certificate, subjects: tuple[str, ...]
) -> tuple[Question, ...]:
    """One question for each subject, all alike.

    Raises:
        InvalidInput: names the subject that is malformed, unknown or there twice.
    """
    node: Node = request.app[NODE]
    found: dict[tuple[int, bytes], int] = {}
    for at, text in enumerate(subjects):
        field = f"subjects[{at}]"
        try:
            subject = parse_subject(text, node)
        except Malformed as error:
            raise Malformed(error.message, field=field) from error
        except NotFound as error:
            raise InvalidInput(str(error), field=field) from error
        if subject in found:
            raise Malformed(f"is the same as subjects[{found[subject]}]", field=field)
        found[subject] = at
        row = read_subject(node.reader, *subject)
        if row is None or row.registered >= certified.size:
            raise InvalidInput(
                f"nobody has registered it by the checkpoint of {certified.size} entries",
                field=field,
            )
    return tuple(ask_of(request, certified, *each) for each in found)


def _leaves(node: Node, certified: Certificate, questions: tuple[Question, ...]) -> int:
    """How many leaves the files of all of them have together, linked ones included.

    Raises:
        InvalidInput: more than may be read for one comparison.
    """
    leaves = 0
    for question in questions:
        for subject in closure(node.reader, question.platform, question.handle, certified.size):
            row = read_subject(node.reader, *subject)
            leaves += 0 if row is None else row.length
        if leaves > LEAVES_MAX:
            raise InvalidInput(
                f"their files have more than {LEAVES_MAX} leaves together: compare fewer",
                field="subjects",
            )
    return leaves


def _comparison(certified: Certificate, materials: list[Material]) -> ComparisonShown:
    answers = [_answer(each) for each in materials]
    scores = tuple(
        shown(answer, material) for answer, material in zip(answers, materials, strict=True)
    )
    names = [each.subject for each in scores]
    places = range(len(answers))
    files = [{(file.platform, file.handle) for file in each.asked.files} for each in materials]
    question = answers[0].question
    return ComparisonShown(
        role=question.role,
        domain=question.domain,
        as_of=question.as_of,
        model=answers[0].model,
        checkpoint=checkpoint_of(certified),
        scores=scores,
        groups=tuple(tuple(names[at] for at in group) for group in compare(answers)),
        not_distinguishable=tuple(
            (names[one], names[other])
            for one, other in combinations(places, 2)
            if not distinguishable(answers[one], answers[other])
        ),
        same_person=tuple(
            (names[one], names[other])
            for one, other in combinations(places, 2)
            if files[one] & files[other]
        ),
    )


def _answer(material: Material) -> Answer:
    told = material.asked
    return score(told.files, told.summary, told.parameters, told.question)


ROUTES: Final = (
    Route(
        "POST",
        "/v1/comparisons",
        post_comparison,
        "Several subjects at one checkpoint, and who can be told apart",
        "subjects",
        "read",
        {200: (Content(JSON, ComparisonShown),)},
        parameters=QUERY_PARAMETERS,
        body=(Content(JSON, ComparisonWanted),),
        problems=(*PROBLEMS, 413, 415),
    ),
)
