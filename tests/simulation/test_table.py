"""The table of scenarios is whole, and every test that it names exists."""

import re
from pathlib import Path

import pytest

from tests.simulation.scenarios import PROCESSES, SCENARIOS

ROOT = Path(__file__).parents[2]
NUMBERS = range(1, 73)
PLACES = sorted({place for each in SCENARIOS for place in each.where} | set(PROCESSES.values()))


def test_no_number_is_missing_and_no_name_stands_twice() -> None:
    assert [each.number for each in SCENARIOS] == list(NUMBERS)
    assert len({each.name for each in SCENARIOS}) == len(SCENARIOS)
    assert set(PROCESSES) <= set(NUMBERS)


@pytest.mark.parametrize("place", PLACES)
def test_every_named_test_exists(place: str) -> None:
    path, test = place.split("::")
    text = (ROOT / path).read_text("utf-8")
    assert re.search(rf"^(async )?def {test}\(", text, re.MULTILINE), f"{place} is missing"
