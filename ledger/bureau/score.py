"""The score: how probable it is that the subject's next engagement in a domain is completed,
accepted and on time, and how sure that is.

A pure function of the closure of files, the platform's summary, the parameters, and the question
with its `as_of`. Integers only: the same bytes on every machine. `ledger/bureau/README.md` is its
specification.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Final

from ledger.bureau.answer import Answer, Counts, Question, Reason
from ledger.bureau.belief import Belief, believe
from ledger.bureau.evidence import Folded, OpenFile, fold
from ledger.bureau.fixed import EVIDENCE_MAX_Q16, beta_interval
from ledger.bureau.model import Q16_ONE, Model
from ledger.bureau.offset import offset_of
from ledger.bureau.prior import newcomer_rate, points_of
from ledger.bureau.reasons import basis_of, explain
from ledger.bureau.standing import PlatformTally
from ledger.bureau.transfer import transfers_of
from ledger.bureau.weights import Groups, group, thin_weight_q16
from ledger.parameters import Parameters

_WORDS_MAX_Q16: Final = 2**30


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
    return conclude(fold(files, question, parameters), len(files), summary, parameters, question)


def conclude(
    folded: Folded,
    files: int,
    summary: PlatformTally | None,
    parameters: Parameters,
    question: Question,
) -> Answer:
    """The answer from the evidence of so many files, folded already."""
    model = parameters.model
    # A client's prior is the model's: platforms' tallies are of workers.
    known = summary if question.role == "worker" else None
    sources = {each.source for each in folded.evidence if each.elsewhere}
    transfers = transfers_of(sources, known, model)
    weights = {each.platform: each.weight_q16 for each in transfers}
    groups = group(folded.evidence, question.as_of, model, weights)
    rate, offset = newcomer_rate(known, model), offset_of(known)
    belief = believe(basis_of(groups.good, groups.bad, groups.last_word, rate, offset), model)
    probability = belief.probability_q16
    weight = thin_weight_q16(groups, model)
    thin = weight < model.thin_evidence
    low, high = interval_of(belief, model)
    base_points, reasons = explain(groups, rate, offset, belief, model)
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
        evidence=_count(folded, groups, files, weight, model),
        last_at=max(map(attrgetter("at"), groups.live), default=None),
        transfers=transfers,
    )


def interval_of(belief: Belief, model: Model) -> tuple[int, int]:
    """The 5 % and 95 % quantiles (Q16): of a Beta whose mean is the probability, and whose sum is
    the evidence in results: one on the platform's own word is one, a full word `interval_weight`.
    """
    words = min(_WORDS_MAX_Q16, max(0, belief.plus + belief.minus - belief.attested))
    attested = belief.attested * Q16_ONE // model.attested_weight  # < 2^35 · 2^16
    total = min(EVIDENCE_MAX_Q16, (words * model.interval_weight >> 16) + attested)
    plus = total * belief.probability_q16 >> 16
    return beta_interval(plus, total - plus)


def _count(folded: Folded, groups: Groups, files: int, weight_q16: int, model: Model) -> Counts:
    pieces = groups.live
    sum_of_signs = sum(map(attrgetter("sign"), pieces))
    words = [each.standing_q16 for each in pieces if not each.attested]
    strong = sum(map(model.strong_from.__le__, words))
    on_domain = [each.nearness for each in pieces].count("on")
    return Counts(
        engagements=folded.engagements,
        good=(len(pieces) + sum_of_signs) // 2,
        bad=(len(pieces) - sum_of_signs) // 2,
        neutral=folded.neutral,
        open=folded.open,
        overdue=folded.overdue,
        expired=groups.expired,
        attested=len(pieces) - len(words),
        strong=strong,
        weak=len(words) - strong,
        retrospective=folded.retrospective,
        off_domain=len(pieces) - on_domain,
        elsewhere=sum(map(attrgetter("elsewhere"), pieces)),
        files=files,
        erased=folded.erased,
        weight_q16=weight_q16,
    )
