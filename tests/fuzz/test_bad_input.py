"""The table of bad input, by the ledger: each case refused, for its own reason."""

import re

import pytest

from ledger.errors import InvalidInput
from tests.fuzz.bad_input import PYTHON, Bad, cases


@pytest.mark.parametrize("case", cases(), ids=str)
def test_each_case(case: Bad) -> None:
    if case.says is None:
        PYTHON[case.kind](case.given)
        return
    with pytest.raises(InvalidInput) as caught:
        PYTHON[case.kind](case.given)
    assert re.search(case.says, str(caught.value)), str(caught.value)
    assert str(caught.value)


def test_every_kind_has_good_and_bad_cases() -> None:
    for kind in PYTHON:
        assert {case.says is None for case in cases() if case.kind == kind} == {True, False}
