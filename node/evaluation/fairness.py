"""The fairness report: is the score as right about some as about others?

Measured on one model's predictions of a set's part, by platform, format, domain, by the number of
earlier events, and by groups that only the auditor's file knows. That file stays with the auditor:
it is read, never written anywhere, and the report holds no name.

For each value of each of these: how many events; the share of good ones; the mean prediction; the
*gap*, their difference (above 0: said to be better than they are); ECE, AUC, log-loss; *false
rejection*, the share of good events that were given less than the bar of .8; *false acceptance*,
the share of bad ones that were given at least that. Values with fewer than 50 events have their
count only: less would tell of persons, and says nothing of groups.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ledger.errors import InvalidInput, Misconfigured
from node.evaluation.ground import handle_of
from node.evaluation.measures import EARLIER, Prediction, auc, ece, log_loss, rounded
from node.evaluation.newcomers import BAR
from node.importing.rows import BadRow, Source, read_rows

EVENTS_MIN: Final = 50
GROUPS_MAX: Final = 256
ROWS_MAX: Final = 5_000_000
NO_GROUP: Final = "(not in the file)"

Names = Callable[[Prediction], str]


def read_groups(path: Path) -> dict[str, str]:
    """Handle → group, of a CSV file with the columns `handle` and `group`.

    A handle is what the set calls the person by, or the 64 hex digits of its handle.

    Raises:
        Misconfigured: it cannot be read, names somebody twice, or has too many rows or groups.
    """
    found: dict[str, str] = {}
    try:
        for row in read_rows(path, Source("csv", ("handle", "group"))):
            if isinstance(row, BadRow):
                raise Misconfigured(f"{path}, line {row.line}: {row.reason}")
            handle, group = row.cells["handle"].strip(), row.cells["group"].strip()
            if found.setdefault(handle, group) != group:
                raise Misconfigured(f"{path}, line {row.line}: {handle} is in two groups")
            if len(found) > ROWS_MAX:
                raise Misconfigured(f"{path} has more than {ROWS_MAX:,} rows")
    except (OSError, InvalidInput) as error:
        raise Misconfigured(f"--groups {path}: {error}") from error
    if len(set(found.values())) > GROUPS_MAX:
        raise Misconfigured(f"--groups {path} has more than {GROUPS_MAX} groups")
    return found


def fairness(
    predictions: Sequence[Prediction],
    platforms: Sequence[str],
    groups: Mapping[str, str] | None = None,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Dimension → value → figures. `platforms`: their names, by number from 1."""
    known = [each for each in predictions if each.event is not None]
    dimensions: dict[str, Names] = {
        "platform": lambda each: platforms[_event(each).platform - 1],
        "format": lambda each: _event(each).format,
        "domain": lambda each: _event(each).domain,
        "earlier_records": _earlier,
    }
    if groups is not None:
        dimensions["group"] = lambda each: _group(_event(each).rated, groups)
    return {
        name: {value: figures_of(part) for value, part in _split(known, names)}
        for name, names in dimensions.items()
    }


def figures_of(part: Sequence[Prediction]) -> dict[str, Any]:
    """The figures of one value of a dimension."""
    if len(part) < EVENTS_MIN:
        return {"events": len(part), "too_few": True}
    good = [each for each in part if each.good]
    bad = [each for each in part if not each.good]
    observed = len(good) / len(part)
    predicted = sum(each.probability for each in part) / len(part)
    return {
        "events": len(part),
        "subjects": len({(_event(each).platform, _event(each).rated) for each in part}),
        "observed": rounded(observed),
        "predicted": rounded(predicted),
        "gap": rounded(predicted - observed),
        "ece": rounded(ece(part)),
        "auc": rounded(auc(part)),
        "log_loss": rounded(log_loss(part)),
        "false_rejection": _share(each.probability < BAR for each in good),
        "false_acceptance": _share(each.probability >= BAR for each in bad),
    }


def _split(predictions: Iterable[Prediction], names: Names) -> list[tuple[str, list[Prediction]]]:
    parts: defaultdict[str, list[Prediction]] = defaultdict(list)
    for each in predictions:
        parts[names(each)].append(each)
    order = list(EARLIER)
    return sorted(
        parts.items(),
        key=lambda part: (order.index(part[0]) if part[0] in order else 0, part[0]),
    )


def _event(each: Prediction) -> Any:
    return each.event


def _earlier(each: Prediction) -> str:
    return next(name for name, (low, high) in EARLIER.items() if low <= each.earlier <= high)


def _group(name: str, groups: Mapping[str, str]) -> str:
    return groups.get(name) or groups.get(handle_of(name).hex()) or NO_GROUP


def _share(hits: Iterable[bool]) -> float | None:
    told = list(hits)
    return rounded(sum(told) / len(told)) if told else None
