"""The history plot: same input, same bytes; well-formed; no script, date or outside reference."""

import asyncio
from xml.etree import ElementTree as ET

import pytest

from node.web.plot import History, OutcomeAt, Plots, ScoreAt, draw

DAY = 86_400_000
START = 1_700_000_000_000
HISTORY = History(
    course=tuple(
        ScoreAt(START + day * DAY, None if day < 3 else 40_000 + 300 * day, 20_000, 65_000)
        for day in range(30)
    ),
    outcomes=tuple(
        OutcomeAt(START + day * DAY, ("good", "bad", "neutral")[day % 3])  # type: ignore[arg-type]
        for day in range(30)
    ),
)


@pytest.mark.parametrize("size", ["wide", "narrow"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_same_input_same_bytes(theme, size) -> None:  # type: ignore[no-untyped-def]
    first, second = draw(HISTORY, theme, size), draw(HISTORY, theme, size)
    assert first == second
    root = ET.fromstring(first)
    assert root.tag.endswith("svg")
    texts = " ".join(element.text or "" for element in root.iter() if element.tag.endswith("text"))
    assert "probability" in texts, "text stays text"
    assert "75 %" in texts
    assert b"<script" not in first
    assert b"dc:date" not in first


def test_themes_and_sizes_differ() -> None:
    drawn = {
        draw(HISTORY, theme, size) for theme in ("light", "dark") for size in ("wide", "narrow")
    }
    assert len(drawn) == 4


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_points_are_drawn_too(count: int) -> None:
    history = History(HISTORY.course[-count:] if count else (), HISTORY.outcomes[:count])
    assert draw(history, "light").startswith(b"<?xml")


async def test_plots_are_kept_and_bounded(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("node.web.plot.PLOTS_KEPT", 2)
    plots = Plots()
    made = await asyncio.gather(*(plots.svg(HISTORY, "light", "wide") for _ in range(3)))
    assert made[0] == made[1] == made[2] == draw(HISTORY, "light")
    again = await plots.svg(HISTORY, "light", "wide")
    assert again is await plots.svg(HISTORY, "light", "wide"), "a kept plot is not drawn again"
    for count in range(1, 4):
        await plots.svg(History((), HISTORY.outcomes[:count]), "light", "wide")
    assert len(plots._kept) == 2
    plots.close()
