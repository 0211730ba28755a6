"""The protocol: each event is predicted from strictly earlier ones, then learned."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from node.evaluation.coverage import AHEAD_MAX
from node.evaluation.events import DataSet, Event, Part, batches
from node.evaluation.measures import Prediction
from node.evaluation.models import Forecast

Progress = Callable[[float], None]
Visit = tuple[int, Callable[[Mapping[str, Forecast], int], None]]
"""The place of an event, and what is done with the models, and the time, just before it. Visitors
branch the models; they do not change them."""


def predict(
    data: DataSet,
    models: Mapping[str, Forecast],
    part: Part | range = "test",
    visits: Sequence[Visit] = (),
    on_progress: Progress = lambda _share: None,
) -> dict[str, list[Prediction]]:
    """The predictions of each model for the events of a part (or of some places), in order of time.

    All events up to the part's end are learned; events of one time are predicted together, before
    any of them is learned. Each of `visits` is made once all events before its place are learned.
    """
    span = part if isinstance(part, range) else data.span(part)
    ahead = _ahead(data.events[: span.stop])
    seen: Counter[tuple[int, str]] = Counter()
    made: dict[str, list[Prediction]] = {name: [] for name in models}
    waiting = sorted(visits, key=lambda visit: visit[0], reverse=True)
    now_ms = max(0, data.events[0].time_ms - 1) if data.events else 0
    for batch in batches(data.events):
        while waiting and batch[0].place >= waiting[-1][0]:
            waiting.pop()[1](models, now_ms)
        if batch[0].place >= span.stop:
            break
        for model in models.values():
            model.foresee(batch, now_ms)
        now_ms = batch[0].time_ms
        for event in batch:
            if event.place in span:
                earlier = seen[event.platform, event.rated]
                for name, model in models.items():
                    made[name].append(_prediction(model, event, earlier, ahead[event.place]))
        for model in models.values():
            model.learn(batch)
        seen.update((event.platform, event.rated) for event in batch)
        on_progress(batch[-1].place / max(1, span.stop))
    for _, visit in reversed(waiting):
        visit(models, now_ms)
    return made


def _prediction(model: Forecast, event: Event, earlier: int, ahead: tuple[int, int]) -> Prediction:
    probability, low, high = model.expect(event.platform, event.rated, event.time_ms)
    return Prediction(probability, event.good, event.time_ms, earlier, low, high, *ahead, event)


def _ahead(events: tuple[Event, ...]) -> list[tuple[int, int]]:
    """For each event how many of the subject's next ones, itself included, are good, and of how
    many, at most AHEAD_MAX."""
    results: defaultdict[tuple[int, str], list[bool]] = defaultdict(list)
    for event in events:
        results[event.platform, event.rated].append(event.good)
    place: Counter[tuple[int, str]] = Counter()
    found = []
    for event in events:
        key = (event.platform, event.rated)
        window = results[key][place[key] : place[key] + AHEAD_MAX]
        found.append((sum(window), len(window)))
        place[key] += 1
    return found
