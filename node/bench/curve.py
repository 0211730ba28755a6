"""The picture of a cluster's throughput against its latency, as SVG.

Each point is a lone record's time until it is final while the network takes so many records a
second besides: the median and the 99th in a hundred. An earlier run's curve is drawn beside it.
Same figures, same bytes: text stays text, ids come from a fixed salt, no date is written.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

_SETTINGS: Final[Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "standing",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
}
_METADATA: Final[dict[str, Any]] = {"Date": None, "Creator": "Standing", "Type": None}
_INCHES: Final = (6.4, 3.6)
_COLOURS: Final = {"p50": "#1f5fa8", "p99": "#b3372f"}
_TEXT: Final = "#3a4350"
_GRID: Final = "#d5dae1"
_NAMES: Final = {"p50": "median", "p99": "p99"}

Curve = Sequence[Mapping[str, Any]]
"""Points with `records_per_s`, and `p50` and `p99` in ms."""


def draw_curve(curve: Curve, earlier: Curve = ()) -> bytes:
    """The SVG (UTF-8) of a curve. Not to be called from two threads at once."""
    from matplotlib import rc_context  # noqa: PLC0415 - half a second, and only this needs it
    from matplotlib.figure import Figure  # noqa: PLC0415

    with rc_context(_SETTINGS):
        figure = Figure(figsize=_INCHES, layout="constrained")
        axes: Any = figure.add_subplot()
        _draw(axes, earlier, "earlier, ", "--", 0.55)
        _draw(axes, curve, "", "-", 1.0)
        _dress(axes)
        made = io.BytesIO()
        figure.savefig(made, format="svg", metadata=_METADATA)
    return made.getvalue()


def _draw(axes: Any, curve: Curve, before: str, style: str, alpha: float) -> None:
    points = sorted(curve, key=lambda point: float(point["records_per_s"]))
    if not points:
        return
    rates = [point["records_per_s"] for point in points]
    for key, colour in _COLOURS.items():
        heights = [point[key] for point in points]
        axes.plot(
            rates, heights, style, marker="o", markersize=3.5, linewidth=1.6, color=colour,
            alpha=alpha, label=f"{before}{_NAMES[key]}",
        )  # fmt: skip


def _dress(axes: Any) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlim(left=0)
    axes.set_xlabel("final records per second", color=_TEXT)
    axes.set_ylabel("a lone record final, ms", color=_TEXT)
    axes.grid(axis="both", which="major", color=_GRID, linewidth=0.7)
    axes.tick_params(which="both", colors=_TEXT, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, labelcolor=_TEXT)
