"""The outlook of a subject: the score, what would be, which next engagement tells most, and peers.

Every figure of `counterfactuals` and `information` comes from the real model, asked 13 times over
files that are read and folded once (`ledger/bureau/whatif.py`); it is always done beside the event
loop, one at a time. Nothing of it is in a bundle, but all of it but `peers` follows from one.
"""

from itertools import groupby
from typing import Final

import msgspec
from aiohttp import web

from ledger.bureau.whatif import Counterfactual, Information, Teller, outlook
from node.api.checkpoints import basis_of
from node.api.parameters import only
from node.api.peers import SAMPLES, PeersShown, Samples, standing_among
from node.api.port import NODE, Node
from node.api.remembered import REMEMBERED
from node.api.routes import JSON, Content, Route, encode_json
from node.api.scores import ScoreShown, share, shown
from node.api.subjects import (
    PROBLEMS,
    QUERY,
    QUESTION_PARAMETERS,
    answered,
    question_of,
    read_material,
)


class ToldShown(msgspec.Struct, frozen=True):
    """Where the engagements lead if `teller` tells of them; `points` are null while it is thin."""

    teller: Teller
    points: int | None
    interval: tuple[float, float]
    interval_q16: tuple[int, int]


class CounterfactualShown(msgspec.Struct, frozen=True):
    """So many more engagements in the domain, each completed, accepted and on time.

    `points`: the least and the most of what the tellers in `told` make of them, without those by
    whom the file would be thin still; null if it would be by all.
    """

    engagements: int
    points: tuple[int, int] | None
    told: tuple[ToldShown, ...]


class InformationShown(msgspec.Struct, frozen=True):
    """How wide the interval is to be expected after one more engagement that `teller` tells of, and
    by how much that is narrower than now."""

    teller: Teller
    width: float
    narrower: float
    width_q16: int
    narrower_q16: int


class OutlookShown(msgspec.Struct, frozen=True):
    """The score, what more good engagements would make of it, and what would tell most.

    Tellers: `platform`, on the platform's own word; `new-counterparty`, `known-counterparty`, on
    that of somebody of full standing who has not or has told of the subject before. `information`
    has the one that narrows the interval most first. `peers` is this node's own figure, and null
    where `as_of` is more than a day from the checkpoint's time.
    """

    score: ScoreShown
    counterfactuals: tuple[CounterfactualShown, ...]
    information: tuple[InformationShown, ...]
    peers: PeersShown | None


def prepare(app: web.Application) -> None:
    """What the route keeps: samples of comparable subjects."""
    app[SAMPLES] = Samples()


async def get_outlook(request: web.Request) -> web.Response:
    """The outlook of a subject."""
    only(request, QUERY)
    node: Node = request.app[NODE]
    samples, kept = request.app[SAMPLES], request.app[REMEMBERED]
    certified, question, _ = question_of(request)
    basis = basis_of(request, certified)

    def make() -> tuple[bytes, bool]:
        generation = kept.generation
        material = read_material(node, certified, basis, question)
        found = outlook(material.asked)
        sample = samples.get(node.reader, basis, question, generation)
        whole = OutlookShown(
            score=shown(found.answer, material),
            counterfactuals=_steps(found.counterfactuals),
            information=tuple(_information(each) for each in found.information),
            peers=standing_among(sample, found.answer, certified),
        )
        return encode_json(whole), material.erased is None

    body = await answered(request, certified, ("outlook", question), lambda: make, is_long=True)
    return web.Response(body=body, content_type=JSON)


def _steps(found: tuple[Counterfactual, ...]) -> tuple[CounterfactualShown, ...]:
    return tuple(
        _step(count, tuple(group)) for count, group in groupby(found, lambda each: each.engagements)
    )


def _step(count: int, group: tuple[Counterfactual, ...]) -> CounterfactualShown:
    points = [each.points for each in group if each.points is not None]
    return CounterfactualShown(
        engagements=count,
        points=(min(points), max(points)) if points else None,
        told=tuple(
            ToldShown(
                each.teller,
                each.points,
                (share(each.low_q16), share(each.high_q16)),
                (each.low_q16, each.high_q16),
            )
            for each in group
        ),
    )


def _information(found: Information) -> InformationShown:
    return InformationShown(
        teller=found.teller,
        width=share(found.width_q16),
        narrower=share(found.narrower_q16),
        width_q16=found.width_q16,
        narrower_q16=found.narrower_q16,
    )


ROUTES: Final = (
    Route(
        "GET",
        "/v1/subjects/{subject}/outlook",
        get_outlook,
        "The score, what would be, what tells most, and where it stands among peers",
        "subjects",
        "read",
        {200: (Content(JSON, OutlookShown),)},
        parameters=QUESTION_PARAMETERS,
        problems=PROBLEMS,
    ),
)
