"""The report: one HTML page that needs nothing else, and the figures beside it as JSON."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

import msgspec

from ledger.errors import Misconfigured
from node.evaluation import plots
from node.evaluation.run import Measured
from node.evaluation.targets import OWN

SHOWN: Final = (OWN, "raw-mean", "beta", "decayed-beta", "hierarchical-bayes")
"""Models in the calibration plot; all are in the table."""
_COLUMNS: Final = {
    "auc": "AUC",
    "auc_within_months": "within months",
    "log_loss": "log-loss",
    "brier": "Brier",
    "ece": "ECE",
    "ece_thin": "ECE, thin",
    "coverage_90": "coverage",
    "events": "events",
}
_PROTOCOL: Final = (
    "Each event is predicted from strictly earlier ones, by the code that nodes run, and then "
    "learned. Definitions: node/evaluation/README.md. Measured are the events of the part"
)
_STYLE: Final = """
:root{color-scheme:light}
body{font:15px/1.5 system-ui,sans-serif;color:#26303b;max-width:62rem;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.6rem}h2{margin-top:2.4rem;border-bottom:1px solid #d5dae1}h3{margin-bottom:.3rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem;display:block;
overflow-x:auto}
th,td{padding:.22rem .7rem .22rem 0;text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}tr.own{font-weight:600}thead th{color:#5b6673}
.pass{color:#1b7a4b}.fail{color:#b3372f}.plots{display:flex;flex-wrap:wrap;gap:1rem}
figure{margin:0}figcaption,.note{color:#5b6673;font-size:.9rem;max-width:46rem}
svg{max-width:100%;height:auto}
"""


def write_report(folder: Path, measured: Sequence[Measured], figures: Mapping[str, Any]) -> Path:
    """Write the page and the figures into a folder, which is made; the page's path.

    Raises:
        Misconfigured: the folder cannot be written.
    """
    page = folder / "index.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        page.write_text(page_of(measured, figures), encoding="utf-8")
        data = msgspec.json.format(msgspec.json.encode(figures), indent=2)
        (folder / "figures.json").write_bytes(data + b"\n")
    except OSError as error:
        raise Misconfigured(f"--report {folder}: {error}") from error
    return page


def page_of(measured: Sequence[Measured], figures: Mapping[str, Any]) -> str:
    """The page as text."""
    parts = [
        f"<h1>How good the score is: model {escape(str(figures['model']))}</h1>",
        f"<p class=note>{_PROTOCOL} <b>{escape(str(figures['part']))}</b>.</p>",
    ]
    if figures["checks"]:
        parts += ["<h2>What must be reached</h2>", _checks(figures["checks"])]
    for each in measured:
        parts += _set(each, figures)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>Standing: evaluation of {escape(str(figures['model']))}</title>"
        f"<style>{_STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def _set(measured: Measured, figures: Mapping[str, Any]) -> list[str]:
    name = measured.data.name
    parts = [f"<h2>{escape(measured.data.title)}</h2>"]
    if measured.data.note:
        parts.append(f"<p class=note>{escape(measured.data.note)}</p>")
    parts.append(_measures("model", figures["sets"][name]))
    if OWN not in measured.predictions:
        return parts
    own = measured.predictions[OWN]
    shown = {key: made for key, made in measured.predictions.items() if key in SHOWN}
    parts += [
        "<h3>By the number of earlier records</h3>",
        _measures(OWN, figures["by_earlier_records"][name][OWN]),
        "<div class=plots>",
        _figure(plots.calibration(shown), "Calibration, 15 bins of equal number, 90 % bars."),
        _figure(plots.thin_files(own), "Ours by the number of earlier records, 5 bins each."),
        _figure(plots.coverage(own), "How often the 90 % interval holds."),
        "</div>",
        _newcomers(figures["newcomers"][name]),
        *_fairness(figures.get("fairness", {}).get(name, {})),
    ]
    if measured.attacks:
        parts += ["<h3>Attacks</h3>", _attacks(figures["attacks"])]
        drawn = plots.attacks(figures["attacks"], OWN)
        parts.append(_figure(drawn, "What each attack does to its targets, by our model."))
    return parts


def _figure(drawn: str, caption: str) -> str:
    return f"<figure>{drawn}<figcaption>{escape(caption)}</figcaption></figure>"


def _measures(title: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    return _table(
        [title, *_COLUMNS.values()],
        ([name, *(_number(row[key]) for key in _COLUMNS)] for name, row in rows.items()),
    )


def _checks(checks: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for check in checks:
        met = "pass" if check["met"] else "fail"
        aimed = {None: "", True: "reached", False: "not yet"}[check["aim_met"]]
        rows.append(
            [check["name"], _number(check["value"]), check["must"], met, check["aim"], aimed]
        )
    return _table(["check", "is", "must", "", "aim", ""], rows)


def _attacks(table: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    models = list(next(iter(table.values())))
    rows = (
        [name, *(f"{each['before']:.2f} → {each['after']:.2f}" for each in effects.values())]
        for name, effects in table.items()
    )
    return _table(["attack", *models], rows)


def _newcomers(models: Mapping[str, Mapping[str, Any]]) -> str:
    own = models[OWN]
    looks = list(own["false_rejection"])
    rows = []
    for name, away in models.items():
        rows.append([name, *(_number(away["false_rejection"][look]) for look in looks)])
        rows[-1] += [_number(away["true_rejection"][look]) for look in looks]
    head = ["model", *(f"honest, {look}" for look in looks), *(f"not, {look}" for look in looks)]
    return (
        "<h3>Newcomers turned away</h3>"
        f"<p class=note>Shares of {own['honest']} honest newcomers, and of {own['dishonest']} who "
        "are not, that are given less than .8 after so many results.</p>" + _table(head, rows)
    )


def _fairness(dimensions: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    keys = ("events", "observed", "predicted", "gap", "ece", "auc", "false_rejection",
            "false_acceptance")  # fmt: skip
    parts = ["<h3>Fairness</h3>"] if dimensions else []
    for name, values in dimensions.items():
        rows = ([value, *(_number(row.get(key)) for key in keys)] for value, row in values.items())
        parts.append(_table([name.replace("_", " "), *(k.replace("_", " ") for k in keys)], rows))
    return parts


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the row of our own model, and words of a verdict, stand out."""
    lines = [f"<thead><tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr></thead>"]
    for row in rows:
        cells = "".join(
            f"<td class={cell}>{cell}</td>"
            if cell in {"pass", "fail"}
            else f"<td>{escape(cell)}</td>"
            for cell in row
        )
        lines.append(f"<tr{' class=own' if row[0] == OWN else ''}>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
