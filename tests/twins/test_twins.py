"""Python's score and JavaScript's, on random nasty files; and that a difference would be found."""

import os
from collections import Counter

import msgspec
import pytest

from ledger.bureau.answer import Answer
from ledger.bureau.model import check_model
from ledger.encoding import decode, encode
from ledger.parameters import check_parameters
from ledger.records.engagement import EngagementOutcome
from tests.node.web.js.in_node import needs_node
from tests.node.web.js.random_files import Case
from tests.twins.compare import compare, drawn
from tests.twins.nasty import MODEL_RANGES, nasty_case
from tests.twins.twin import Browser, ledgers_answer

FILES = int(os.environ.get("STANDING_TWIN_FILES", "400"))


@needs_node
def test_both_give_the_same_bytes_for_random_files() -> None:
    with Browser() as browser:
        found = compare(drawn(seed=7, first=0, count=FILES), browser)
    assert found.difference is None, "\n".join(found.difference.lines())
    assert found.cases == FILES
    assert found.refused < FILES / 4
    assert found.thin < FILES / 2


class WrongBrowser(Browser):
    """Gives one point less where a late outcome is read."""

    def __init__(self) -> None:
        self._asked: list[Case] = []

    def __exit__(self, *_: object) -> None:
        pass

    def ask(self, cases):
        self._asked = list(cases)

    def told(self):
        return [_wrong(case) for case in self._asked]


def _wrong(case: Case) -> str:
    answer = ledgers_answer(case)
    outcomes = [fact.record for file in case.files for fact in file.facts]
    if not any(isinstance(each, EngagementOutcome) and each.status == "late" for each in outcomes):
        return answer
    if answer == "refused":
        return answer
    told = decode(Answer, bytes.fromhex(answer), bytes_max=65_536)
    return encode(msgspec.structs.replace(told, base_points=told.base_points - 1)).hex()


def test_a_difference_is_found_shrunk_and_told() -> None:
    with WrongBrowser() as browser:
        found = compare(drawn(seed=7, first=0, count=FILES), browser)
    assert found.difference is not None
    shrunk = found.difference.shrunk
    assert [len(file.facts) for file in shrunk.files] == [1]
    (fact,) = shrunk.files[0].facts
    assert fact.record.status == "late"
    assert shrunk.tally is None
    lines = list(found.difference.lines())
    assert any(line.startswith("    base_points: ledger") for line in lines)
    assert not any(line.startswith("model ") for line in lines)


def test_what_breaks_a_program_is_a_difference() -> None:
    case = nasty_case("7:0")[1]
    broken = msgspec.structs.replace(case.parameters.model, attested_weight=0)
    parameters = msgspec.structs.replace(case.parameters, model=broken)
    told = ledgers_answer(Case(case.files, case.tally, parameters, case.question))
    assert told == "broke: ZeroDivisionError('integer division or modulo by zero')"


def test_cases_are_within_the_bounds_and_reach_them() -> None:
    kinds: Counter[str] = Counter()
    ends = Counter[tuple[str, int]]()
    for place in range(300):
        kind, case = nasty_case(f"9:{place}")
        kinds[kind] += 1
        model = case.parameters.model
        check_model(model)
        check_parameters(case.parameters)
        for name, (low, high) in MODEL_RANGES.items():
            assert low <= getattr(model, name) <= high
            ends[name, getattr(model, name)] += 1
    assert {"wild", "plain", "nasty", "many"} <= set(kinds)
    reached = [name for name, (_, high) in MODEL_RANGES.items() if ends[name, high]]
    assert len(reached) > len(MODEL_RANGES) * 0.8


@pytest.mark.parametrize("place", range(3))
def test_a_seed_always_draws_the_same(place: int) -> None:
    first, second = nasty_case(f"3:{place}"), nasty_case(f"3:{place}")
    assert (first[0], first[1].as_json()) == (second[0], second[1].as_json())
