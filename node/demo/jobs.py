"""One job of the made-up market: how it ends, what is said of it, and its records.

Outcomes come first, stars follow them with each platform's own generosity. A job is good if it is
completed, accepted and on time; else it is late, rejected, cancelled by the worker, or a no-show.
A few end for reasons that are nobody's fault, a few are still under way.
"""

from dataclasses import dataclass
from random import Random
from typing import Any, Final

from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.rating import Rating
from node.importing.plan import Draft, Reference

HOUR_MS: Final = 3_600_000
_NEUTRAL: Final = (("cancelled-by-client", 0.035), ("force-majeure", 0.008), ("unresolved", 0.012))
_BAD: Final = ("rejected", "cancelled-by-worker", "no-show")
_BAD_WEIGHTS: Final = (0.5, 0.3, 0.2)
_GOOD_STARS: Final = 0.9
_BAD_STARS: Final = 0.25
_RATED_SHARE: Final = 0.75
_RATES_BACK_SHARE: Final = 0.25
_SCALES: Final = {"stars-5": (1, 5), "percent": (0, 100), "thumbs": (0, 2)}


@dataclass(frozen=True, slots=True)
class Job:
    """An engagement, with how it ends (`status` empty: still under way) and the ratings."""

    reference: Reference
    platform: int
    worker: Reference
    client: Reference
    format: str
    domain: str
    scale: str
    value_band: int
    opened_ms: int
    due_ms: int
    closed_ms: int
    status: str
    acceptance: str
    fault: str
    lateness_band: int
    of_worker: int | None
    of_client: int | None

    def open(self, at: int | None = None) -> Draft:
        """The open, at its own time or at `at` (ms)."""
        opened = self.opened_ms if at is None else at
        due = opened + self.due_ms - self.opened_ms
        return Draft(
            "engagement.open",
            EngagementOpen,
            {
                "platform": self.platform,
                "at": opened,
                "format": self.format,
                "domains": (self.domain,),
                "role": "lead",
                "due_from": opened,
                "due_until": due,
                "value_band": self.value_band,
            },
            (("reference", self.reference), ("worker", self.worker), ("client", self.client)),
        )

    def close(self, at: int | None = None) -> list[Draft]:
        """The outcome and the ratings, at their own time or at `at` (ms); none if under way."""
        if not self.status:
            return []
        closed = self.closed_ms if at is None else at
        outcome = {
            "platform": self.platform,
            "at": closed,
            "status": self.status,
            "fault": self.fault,
            "lateness_band": self.lateness_band,
            "acceptance": self.acceptance,
            "basis": "platform",
        }
        drafts = [
            Draft(
                "engagement.outcome", EngagementOutcome, outcome, (("reference", self.reference),)
            )
        ]
        if self.of_worker is not None:
            drafts.append(self._rating("of-worker", self.client, self.of_worker, closed))
        if self.of_client is not None:
            drafts.append(self._rating("of-client", self.worker, self.of_client, closed))
        return drafts

    def _rating(self, direction: str, rater: Reference, value: int, at: int) -> Draft:
        fields: dict[str, Any] = {
            "platform": self.platform,
            "at": at,
            "direction": direction,
            "rater_key": b"",
            "scale": self.scale,
            "value": value,
            "dimensions": (),
        }
        return Draft("rating", Rating, fields, (("reference", self.reference), ("rater", rater)))


@dataclass(frozen=True, slots=True)
class _End:
    status: str
    acceptance: str
    fault: str
    lateness_band: int
    quality: float | None  # what stars follow; None: nobody rates


def draw_job(
    random: Random,
    *,
    reference: Reference,
    platform: int,
    worker: Reference,
    client: Reference,
    format: str,  # noqa: A002 - the record's own word
    domain: str,
    scale: str,
    good: float,
    late_share: float,
    stars_up: float,
    opened_ms: int,
    now_ms: int,
) -> Job:
    """A job with its end drawn: good by the chance `good`, else late in `late_share` of cases."""
    due_ms = opened_ms + int(random.uniform(4, 240)) * HOUR_MS
    end = _draw_end(random, good, late_share)
    early = random.uniform(0.3, 1.0)
    late_ms = (
        0 if not end.lateness_band else end.lateness_band * int(random.uniform(6, 30)) * HOUR_MS
    )
    closed_ms = due_ms + late_ms if late_ms else opened_ms + int((due_ms - opened_ms) * early)
    if closed_ms >= now_ms:
        end = _End("", "", "", 0, None)
    stars = _stars(random, end.quality, scale, stars_up)
    back = _stars(random, _GOOD_STARS if random.random() < 0.85 else 0.4, scale, stars_up)
    rates_back = end.quality is not None and random.random() < _RATES_BACK_SHARE
    return Job(
        reference,
        platform,
        worker,
        client,
        format,
        domain,
        scale,
        random.randint(1, 6),
        opened_ms,
        due_ms,
        closed_ms,
        end.status,
        end.acceptance,
        end.fault,
        end.lateness_band,
        stars if random.random() < _RATED_SHARE else None,
        back if rates_back else None,
    )


def _draw_end(random: Random, good: float, late_share: float) -> _End:
    draw = random.random()
    for status, share in _NEUTRAL:
        if draw < share:
            fault = "client" if status == "cancelled-by-client" else "none"
            return _End(status, "unknown", fault, 0, None)
        draw -= share
    if random.random() < good:
        return _End("completed", "accepted", "none", 0, _GOOD_STARS)
    if random.random() < late_share:
        band = min(5, 1 + int(random.expovariate(0.9)))
        return _End("late", "accepted", "worker", band, 0.7 - 0.1 * band)
    kind = random.choices(_BAD, _BAD_WEIGHTS)[0]
    if kind == "rejected":
        return _End("completed", "rejected", "worker", 0, _BAD_STARS)
    return _End(kind, "unknown", "worker", 0, _BAD_STARS if random.random() < 0.5 else None)


def _stars(random: Random, quality: float | None, scale: str, up: float) -> int | None:
    if quality is None:
        return None
    low, high = _SCALES[scale]
    place = min(1.0, max(0.0, quality + 0.12 * up + random.gauss(0.0, 0.1)))
    return low + round(place * (high - low))
