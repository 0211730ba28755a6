"""What would be, in the browser: the same figures as the ledger's, on random files.

The browser asks the whole score again each time, where the ledger folds the files once: so this
says of both ways that they come to the same.
"""

import os

from msgspec.structs import astuple

from ledger.bureau.whatif import Asked, base_rate, outlook
from ledger.errors import InvalidInput
from tests.node.web.js.in_node import in_node, needs_node
from tests.node.web.js.random_files import Case, random_case

pytestmark = needs_node

CASES = int(os.environ.get("STANDING_JS_CASES", "300")) // 3


def outlook_of(case: Case) -> dict | None:
    """What the ledger says, or None where it refuses."""
    try:
        found = outlook(Asked(case.files, case.tally, case.parameters, case.question))
    except InvalidInput:
        return None
    base = base_rate(case.tally, case.question.role, case.parameters.model)
    return {
        "counterfactuals": [list(astuple(each)) for each in found.counterfactuals],
        "information": [list(astuple(each)) for each in found.information],
        "base": [base.rate_q16, base.probability_q16, base.points],
    }


def test_random_files_have_the_same_outlook():
    cases = [random_case(seed) for seed in range(CASES)]
    told = in_node("outlooks", cases=[case.as_json() for case in cases])
    answered = 0
    for seed, (case, one) in enumerate(zip(cases, told, strict=True)):
        expected = outlook_of(case)
        assert (one["value"] if one["held"] else None) == expected, f"seed {seed}"
        answered += expected is not None
    assert answered > CASES * 0.7, "the cases are not mostly refusals"
