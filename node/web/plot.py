"""The history plot: a subject's outcomes, and the course of its score with the interval.

Drawn by matplotlib's Figure API as SVG. Same history and theme, same bytes: text stays text, ids
come from a fixed salt, no date is written. Figures are drawn by one thread (matplotlib's settings
are one per process) and kept, bounded, by their input.
"""

import asyncio
import io
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from math import nan
from typing import Any, Final, Literal

from ledger.bureau.model import Q16_ONE

Theme = Literal["light", "dark"]
Size = Literal["wide", "narrow"]
Kind = Literal["good", "bad", "neutral"]

POINTS_MAX: Final = 200
OUTCOMES_MAX: Final = 600
PLOTS_KEPT: Final = 256
# figure in inches → axes in shares of it
_SIZES: Final[dict[Size, tuple[tuple[float, float], tuple[float, float, float, float]]]] = {
    "wide": ((6.4, 2.8), (0.085, 0.09, 0.9, 0.8)),
    "narrow": ((3.6, 2.7), (0.15, 0.09, 0.83, 0.74)),
}
_SETTINGS: Final[Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "standing",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "path.simplify": False,
}
_METADATA: Final[dict[str, Any]] = {"Date": None, "Creator": "Standing", "Type": None}
_MARKS_AT: Final[dict[Kind, float]] = {"good": 0.03, "neutral": 0.03, "bad": 0.09}
_SHAPES: Final[dict[Kind, str]] = {"good": "o", "neutral": "s", "bad": "X"}
_LABELS: Final[dict[Kind, str]] = {
    "good": "kept",
    "neutral": "neutral or open",
    "bad": "not kept",
}
_COLOURS: Final[dict[Theme, dict[str, str]]] = {
    "light": {
        "text": "#3a4350", "grid": "#d5dae1", "line": "#1f5fa8", "band": "#1f5fa8",
        "good": "#1b7a4b", "neutral": "#7a828c", "bad": "#b3372f",
    },
    "dark": {
        "text": "#c3cad3", "grid": "#38414d", "line": "#7fb4f0", "band": "#7fb4f0",
        "good": "#62c893", "neutral": "#98a1ac", "bad": "#f08a80",
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ScoreAt:
    """The score at one time, in Q16; `probability_q16` is None where it abstains."""

    time_ms: int
    probability_q16: int | None
    low_q16: int
    high_q16: int


@dataclass(frozen=True, slots=True)
class OutcomeAt:
    """One outcome, when it happened, and which way it counts."""

    time_ms: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class History:
    """What is drawn; both in order of time, at most POINTS_MAX and OUTCOMES_MAX."""

    course: tuple[ScoreAt, ...]
    outcomes: tuple[OutcomeAt, ...]


class Plots:
    """The plots of one node: drawn off the event loop, kept by input."""

    def __init__(self) -> None:
        self._drawer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="plots")
        self._kept: OrderedDict[tuple[History, Theme, Size], bytes] = OrderedDict()

    async def svg(self, history: History, theme: Theme, size: Size) -> bytes:
        """The SVG of a history."""
        key = (history, theme, size)
        found = self._kept.get(key)
        if found is None:
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._drawer, draw, history, theme, size)
            self._kept[key] = found
            while len(self._kept) > PLOTS_KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return found

    def close(self) -> None:
        """End the drawing thread."""
        self._drawer.shutdown(wait=False, cancel_futures=True)


def draw(history: History, theme: Theme, size: Size = "wide") -> bytes:
    """Draw a history as SVG (UTF-8). Not to be called from two threads at once."""
    from matplotlib import rc_context  # noqa: PLC0415 - half a second, and only pages need it
    from matplotlib.figure import Figure  # noqa: PLC0415

    assert len(history.course) <= POINTS_MAX, "the course of a score is bounded"
    assert len(history.outcomes) <= OUTCOMES_MAX, "the outcomes drawn are bounded"
    with rc_context(_SETTINGS):
        inches, place = _SIZES[size]
        figure = Figure(figsize=inches)
        figure.patch.set_alpha(0)
        axes = figure.add_axes(place)
        _draw_course(axes, history, _COLOURS[theme])
        _draw_outcomes(axes, history, _COLOURS[theme])
        _dress(axes, _COLOURS[theme], legend_columns=4 if size == "wide" else 2)
        made = io.BytesIO()
        figure.savefig(made, format="svg", metadata=_METADATA)
    return made.getvalue()


def _draw_course(axes: Any, history: History, colours: dict[str, str]) -> None:
    times = [_date(each.time_ms) for each in history.course]
    if not times:
        return
    low = [each.low_q16 / Q16_ONE for each in history.course]
    high = [each.high_q16 / Q16_ONE for each in history.course]
    course = [
        nan if each.probability_q16 is None else each.probability_q16 / Q16_ONE
        for each in history.course
    ]
    axes.fill_between(times, low, high, color=colours["band"], alpha=0.18, linewidth=0)
    axes.plot(times, course, color=colours["line"], linewidth=1.8, label="probability")


def _draw_outcomes(axes: Any, history: History, colours: dict[str, str]) -> None:
    for kind, label in _LABELS.items():
        times = [_date(each.time_ms) for each in history.outcomes if each.kind == kind]
        if times:
            height = [_MARKS_AT[kind]] * len(times)
            axes.plot(
                times, height, _SHAPES[kind], color=colours[kind], markersize=4.5,
                markeredgewidth=0, alpha=0.85, linestyle="none", label=label,
            )  # fmt: skip


def _dress(axes: Any, colours: dict[str, str], *, legend_columns: int) -> None:
    from matplotlib import dates  # noqa: PLC0415

    made: Any = dates
    axes.patch.set_alpha(0)
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    locator = made.AutoDateLocator(minticks=3, maxticks=6, tz=UTC)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(made.ConciseDateFormatter(locator, tz=UTC))
    axes.grid(axis="y", color=colours["grid"], linewidth=0.7)
    axes.tick_params(colors=colours["text"], length=0)
    axes.xaxis.get_offset_text().set_color(colours["text"])
    for side in axes.spines.values():
        side.set_visible(False)
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=legend_columns, frameon=False,
            labelcolor=colours["text"], handletextpad=0.4, columnspacing=1.4, borderaxespad=0.2,
        )  # fmt: skip


def _date(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1_000, tz=UTC)
