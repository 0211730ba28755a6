"""The score in the browser's verifier: the same bytes of the answer as in the ledger's."""

import os

from ledger.bundle_verify import show_time
from ledger.bureau.score import score
from ledger.encoding import encode
from ledger.errors import InvalidInput
from tests.node.web.js.in_node import in_node, needs_node
from tests.node.web.js.random_files import Case, random_case

pytestmark = needs_node

CASES = int(os.environ.get("STANDING_JS_CASES", "300"))  # more of them find rarer differences
CHUNK = 500


def answer_of(case: Case) -> str | None:
    """The bytes of the ledger's answer in hex, or None where it refuses."""
    try:
        return encode(score(case.files, case.tally, case.parameters, case.question)).hex()
    except InvalidInput:
        return None


def test_random_files_have_the_same_answer_bit_for_bit():
    answered = thin = 0
    for start in range(0, CASES, CHUNK):
        seeds = range(start, min(CASES, start + CHUNK))
        cases = [random_case(seed) for seed in seeds]
        found = in_node("scores", cases=[case.as_json() for case in cases])
        for seed, case, one in zip(seeds, cases, found, strict=True):
            expected = answer_of(case)
            assert (one["value"] if one["held"] else None) == expected, f"seed {seed}"
            answered += expected is not None
            thin += bool(expected) and expected.endswith("c0")
    assert answered > CASES * 0.7, "the cases are not mostly refusals"
    assert thin < answered


def test_times_are_shown_the_same():
    times = [0, 999, 951_782_400_000, 951_868_799_999, 1_709_164_800_000, 253_402_300_800_000]
    times += [2**53 - 1, *(n * 123_456_789_123 for n in range(200))]
    assert in_node("times", cases=times) == [show_time(each) for each in times]
