"""The plots of a report, as SVG: calibration, reliability of thin files, coverage, attacks.

Drawn by matplotlib's Figure API in the manner of `node/web/plot.py`: same figures, same bytes; text
stays text, ids come from a fixed salt, no date is written.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from typing import Any, Final

from node.evaluation.coverage import coverage_90
from node.evaluation.measures import EARLIER, Bin, Prediction, equal_mass_bins
from node.evaluation.targets import OWN

_SETTINGS: Final[Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "standing",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
}
_METADATA: Final[dict[str, Any]] = dict.fromkeys(("Date", "Creator", "Type", "Format"))
_TEXT: Final = "#3a4350"
_GRID: Final = "#d5dae1"
_OWN: Final = "#1f5fa8"
_OTHERS: Final = ("#7a828c", "#b3722f", "#1b7a4b", "#7d4ba8", "#b3372f", "#2a8c8c")
_BAD: Final = "#b3372f"
_BINS_THIN: Final = 5
_ENDS: Final = (0.03, 0.998)
_TICKS: Final = (0.05, 0.2, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
"""Of log-odds: predictions crowd near 1, where a plain axis shows nothing."""
_Z: Final = 1.645


def calibration(predictions: Mapping[str, Sequence[Prediction]]) -> str:
    """What came beside what was said, in 15 bins of equal number, with 90 % bars for ours."""

    def paint(axes: Any) -> None:
        for colour, (name, made) in zip(_colours(predictions), predictions.items(), strict=True):
            _reliability(axes, equal_mass_bins(made), name, colour, bars=name == OWN)

    return draw(paint, (4.9, 4.4), "said", "came", square=True)


def thin_files(predictions: Sequence[Prediction]) -> str:
    """The same for our model, by the number of earlier records."""

    def paint(axes: Any) -> None:
        for colour, (name, (low, high)) in zip((_OWN, *_OTHERS), EARLIER.items(), strict=False):
            part = [each for each in predictions if low <= each.earlier <= high]
            if part:
                bins = equal_mass_bins(part, _BINS_THIN)
                _reliability(axes, bins, f"{name} earlier", colour, bars=True)

    return draw(paint, (4.9, 4.4), "said", "came", square=True)


def coverage(predictions: Sequence[Prediction]) -> str:
    """How often 90 % intervals hold, by the number of earlier records."""
    parts = {
        name: coverage_90([each for each in predictions if low <= each.earlier <= high])
        for name, (low, high) in EARLIER.items()
    }
    parts["all"] = coverage_90(predictions)
    known = {name: value for name, value in parts.items() if value is not None}

    def paint(axes: Any) -> None:
        axes.bar(list(known), list(known.values()), color=_OWN, width=0.55)
        axes.axhspan(0.88, 0.94, color=_OTHERS[2], alpha=0.18, linewidth=0, label=".88 to .94")
        axes.axhline(0.9, color=_OTHERS[2], linewidth=1.2)
        axes.set_ylim(0.5, 1)

    return draw(paint, (4.9, 2.8), "earlier records", "intervals that hold")


def attacks(table: Mapping[str, Mapping[str, Mapping[str, float]]], model: str) -> str:
    """Before and after each attack, for one model."""
    told = [(name, effects[model]) for name, effects in table.items() if model in effects]

    def paint(axes: Any) -> None:
        for place, (_, effect) in enumerate(reversed(told)):
            ends = [effect["before"], effect["after"]]
            axes.plot(ends, [place, place], color=_GRID, linewidth=3, zorder=1)
            labels = ("before", "after") if place == 0 else (None, None)
            axes.plot(ends[:1], [place], "o", color=_OWN, markersize=5, label=labels[0])
            axes.plot(ends[1:], [place], "D", color=_BAD, markersize=5, label=labels[1])
        axes.set_yticks(range(len(told)), [name for name, _ in reversed(told)])
        axes.set_xlim(0, 1)

    return draw(paint, (6.4, 0.9 + 0.24 * len(told)), "mean probability of the targets", "")


def draw(
    paint: Callable[[Any], None],
    inches: tuple[float, float],
    across: str,
    upwards: str,
    *,
    square: bool = False,
) -> str:
    """One plot as an SVG element."""
    from matplotlib import rc_context  # noqa: PLC0415 - half a second, and only reports need it
    from matplotlib.figure import Figure  # noqa: PLC0415

    with rc_context(_SETTINGS):
        figure = Figure(figsize=inches, layout="constrained")
        figure.patch.set_alpha(0)
        axes: Any = figure.add_subplot()
        paint(axes)
        _dress(axes, across, upwards, square=square)
        made = io.BytesIO()
        figure.savefig(made, format="svg", metadata=_METADATA)
    text = made.getvalue().decode("utf-8")
    return text[text.index("<svg") :]


def _reliability(axes: Any, bins: Sequence[Bin], name: str, colour: str, *, bars: bool) -> None:
    said = [_held(each.predicted) for each in bins]
    came = [_held(each.observed) for each in bins]
    width = 1.8 if name == OWN else 1.1
    axes.plot(said, came, "o-", color=colour, linewidth=width, markersize=3.5, label=name)
    if bars:
        for x, y, each in zip(said, came, bins, strict=True):
            spread = _Z * sqrt(each.observed * (1 - each.observed) / each.count)
            ends = [_held(each.observed - spread), _held(each.observed + spread)]
            axes.plot([x, x], ends, color=colour, linewidth=0.8)
            axes.plot([x], [y], "o", color=colour, markersize=3.5)


def _held(share: float) -> float:
    """A share that has its place on an axis of log-odds."""
    return min(_ENDS[1], max(_ENDS[0], share))


def _dress(axes: Any, across: str, upwards: str, *, square: bool) -> None:
    axes.patch.set_alpha(0)
    if square:
        axes.plot(_ENDS, _ENDS, color=_GRID, linewidth=1, zorder=0)
        for scale, limits, ticks in (
            (axes.set_xscale, axes.set_xlim, axes.set_xticks),
            (axes.set_yscale, axes.set_ylim, axes.set_yticks),
        ):
            scale("logit")
            limits(*_ENDS)
            ticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
        axes.minorticks_off()
    axes.set_xlabel(across, color=_TEXT)
    axes.set_ylabel(upwards, color=_TEXT)
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_TEXT, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, labelcolor=_TEXT, fontsize=8)


def _colours(models: Mapping[str, Any]) -> list[str]:
    others = iter(_OTHERS * (len(models) // len(_OTHERS) + 1))
    return [_OWN if name == OWN else next(others) for name in models]
