"""The integers against exact fractions, and that a wrong integer would be found."""

import msgspec
import pytest

from ledger.bureau.score import conclude
from tests.node.evaluation.made import market
from tests.twins import exact


def test_random_files_are_close_to_exact_arithmetic() -> None:
    found = exact.on_random_files(seed=11, first=0, count=150)
    assert (found.questions, found.above) == (150, 0), found.figures()
    assert found.pieces > 300
    assert found.most > 0


def test_real_courses_are_close_to_exact_arithmetic() -> None:
    found = exact.on_events(market(120))
    assert found.above == 0, found.figures()
    assert found.pieces > found.questions > 40


def test_integers_that_are_off_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*given):
        told = conclude(*given)
        return msgspec.structs.replace(told, probability_q16=told.probability_q16 ^ 512)

    monkeypatch.setattr(exact, "conclude", wrong)
    found = exact.on_random_files(seed=11, first=0, count=5)
    assert found.above == 5
    assert found.most > exact.APART_MAX
