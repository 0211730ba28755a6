"""The score: how probable it is that the subject's next engagement in a domain is completed,
accepted and on time, and how sure that is.

A pure function of the closure of files, the platform's summary, the parameters, and the question
with its `as_of`. Integers only: the same bytes on every machine. `ledger/bureau/README.md` is its
specification.
"""

from collections.abc import Sequence

from ledger.bureau.answer import Answer, Counts, Question, Reason
from ledger.bureau.evidence import Folded, OpenFile, fold
from ledger.bureau.fixed import beta_interval
from ledger.bureau.model import Model
from ledger.bureau.prior import Prior, newcomer_rate, points_of, prior_of, probability_of
from ledger.bureau.reasons import explain
from ledger.bureau.standing import PlatformTally
from ledger.bureau.weights import Weighed, has_expired, mass, weigh
from ledger.parameters import Parameters


def score(
    files: Sequence[OpenFile],
    summary: PlatformTally | None,
    parameters: Parameters,
    question: Question,
) -> Answer:
    """The answer to a question.

    `files`: the subject's own and all that links join to it; `summary`: the tally of the subject's
    platform as the index holds it, or None if it holds none.

    Raises:
        InvalidInput: the domain asked about, or a rating's scale, does not exist.
    """
    model = parameters.model
    folded = fold(files, question, parameters)
    weighed = [weigh(each, question.as_of, model) for each in folded.evidence]
    live = [each for each in weighed if not has_expired(each, model)]
    good = [each for each in live if each.evidence.sign > 0]
    bad = [each for each in live if each.evidence.sign < 0]
    base = prior_of(model.newcomer_rate, model)
    # A client's prior is the model's: platforms' tallies are of workers.
    known = summary if question.role == "worker" else None
    prior = prior_of(newcomer_rate(known, model), model)
    weight = mass(good, model, decay=False) + mass(bad, model, decay=False)
    thin = weight < model.thin_evidence << 14
    low, high = _interval(prior, good, bad, model)
    base_points, reasons = explain(good, bad, base, prior, model)
    probability = probability_of(prior, mass(good, model), mass(bad, model))
    return Answer(
        question=question,
        model=model.id,
        probability_q16=None if thin else probability,
        points=None if thin else points_of(probability, model),
        low_q16=low if thin else min(low, probability),
        high_q16=high if thin else max(high, probability),
        thin_file=thin,
        base_points=base_points,
        reasons=(Reason("thin-file", 0),) if thin else reasons,
        evidence=_count(folded, live, len(weighed) - len(live), len(files), weight >> 14),
        last_at=max((each.evidence.at for each in live), default=None),
    )


def _interval(
    prior: Prior, good: Sequence[Weighed], bad: Sequence[Weighed], model: Model
) -> tuple[int, int]:
    return beta_interval(prior.good + mass(good, model), prior.bad + mass(bad, model))


def _count(
    folded: Folded, live: Sequence[Weighed], expired: int, files: int, weight_q16: int
) -> Counts:
    pieces = [each.evidence for each in live]
    words = [each for each in live if not each.evidence.attested]
    strong = sum(each.strong for each in words)
    return Counts(
        engagements=folded.engagements,
        good=sum(each.sign > 0 for each in pieces),
        bad=sum(each.sign < 0 for each in pieces),
        neutral=folded.neutral,
        open=folded.open,
        overdue=folded.overdue,
        expired=expired,
        attested=len(pieces) - len(words),
        strong=strong,
        weak=len(words) - strong,
        retrospective=folded.retrospective,
        off_domain=sum(each.nearness != "on" for each in pieces),
        elsewhere=sum(each.elsewhere for each in pieces),
        files=files,
        erased=folded.erased,
        weight_q16=weight_q16,
    )
