"""The frozen vectors of what stands beside an answer: what would be, what tells most, base rate."""

from msgspec.structs import astuple

from ledger.bureau.whatif import Asked, base_rate, outlook
from ledger.errors import InvalidInput
from tests.node.web.js.random_files import Case as RandomCase
from tests.node.web.js.random_files import random_case
from tests.vectors.frozen import Case

OUTLOOKS = 12
THIN_MAX = 4
BYTES_MAX = 7_500


def outlooks() -> list[Case]:
    """Files, tally, parameters and question in bytes, with what would be and the base rate."""
    cases: list[Case] = []
    thin = number = 0
    while len(cases) < OUTLOOKS:
        number += 1
        made = random_case(number)
        case: Case = {"name": f"seed-{number}", **made.as_json()}
        told = outlook_of(made)
        if told is None or len(str(case)) > BYTES_MAX:
            continue
        thin += told["points"] is None
        if told["points"] is not None or thin <= THIN_MAX:
            cases.append(case | told)
    return cases


def outlook_of(made: RandomCase) -> Case | None:
    """What is told of a case, or None where it is refused."""
    try:
        found = outlook(Asked(made.files, made.tally, made.parameters, made.question))
    except InvalidInput:
        return None
    base = base_rate(made.tally, made.question.role, made.parameters.model)
    return {
        "points": found.answer.points,
        "counterfactuals": [list(astuple(each)) for each in found.counterfactuals],
        "information": [list(astuple(each)) for each in found.information],
        "base": [base.rate_q16, base.probability_q16, base.points],
    }
