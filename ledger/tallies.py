"""The tallies of a block under way: pairs, raters, platforms, and what is due or overdue.

A rater's or platform's tally that changes is *dirty* until an epoch's end enters its summary in the
index. `prefix` is a platform's number as keys begin with it (u32be).
"""

from collections.abc import Iterator
from hashlib import sha256 as _sha256
from typing import Final

from ledger.bureau.model import Q16_ONE
from ledger.bureau.offset import (
    GIVEN_MAX_Q16,
    LATELY_MAX_Q16,
    Told,
    expected_q16,
    is_heard,
    left_q16,
    moved_offset,
    weight_lately_q16,
)
from ledger.bureau.standing import (
    NEW_PLATFORM,
    PlatformTally,
    RaterTally,
    after_overdue,
    new_rater,
    standing,
)
from ledger.bureau.transfer import learned, losses_of
from ledger.bureau.weights import HOUR_MS
from ledger.encoding import encode
from ledger.files import KIND_PLATFORM, KIND_RATER, summary_value
from ledger.overlay import DAY_MS, Overlay
from ledger.rows import Elsewhere, EngagementRow, PairRow, SubjectRow, SummaryRow, read_row
from ledger.rules.subject import joined
from ledger.store import DIRTY, SUMMARY, Changes, Reader, after

_RATER: Final = bytes([KIND_RATER])
_PLATFORM: Final = bytes([KIND_PLATFORM])


class Tallies:
    """What one block's records change in them. `time`: the block's, in ms."""

    def __init__(self, overlay: Overlay, time: int) -> None:
        self._overlay = overlay
        self._today = time // DAY_MS
        self._hour = time // HOUR_MS

    def pass_days(self, first: int) -> None:
        """Count what has become overdue from this day to the block's."""
        if first < self._today:
            for platform, count in self._overlay.dues.pass_days(first, self._today).items():
                key = platform.to_bytes(4)
                self.put_platform(key, after_overdue(self.platform(key), count))

    def pair(self, counterparty: bytes, subject: bytes) -> PairRow:
        """What a pair has had with each other: to be changed in place."""
        pairs = self._overlay.pairs
        key = counterparty + subject
        row = pairs.get(key)
        if row is None:
            row = PairRow(0, 0)
        pairs.put(key, row)
        return row

    def rater(self, subject: bytes) -> RaterTally:
        """What others think of a subject: at first, what its platform has verified."""
        tally = self._overlay.raters.get(subject)
        if tally is None:
            row = self._overlay.subjects.get(subject)
            tally = new_rater(row.assurance if row is not None else "none")
        return tally

    def standing(self, subject: bytes) -> int:
        """A subject's standing as a rater, Q16."""
        return standing(self.rater(subject), self._overlay.vocabulary.model)

    def platform(self, prefix: bytes) -> PlatformTally:
        """A platform's tally."""
        return self._overlay.platforms.get(prefix) or NEW_PLATFORM

    def put_rater(self, subject: bytes, tally: RaterTally) -> None:
        """Keep a changed tally of a rated party."""
        self._overlay.raters.put(subject, tally)

    def put_platform(self, prefix: bytes, tally: PlatformTally) -> None:
        """Keep a platform's changed tally."""
        self._overlay.platforms.put(prefix, tally)

    def given(self, row: SubjectRow) -> int:
        """How many ratings a subject has given of late (Q16)."""
        days = self._overlay.vocabulary.model.given_half_life_days
        return left_q16(row.given, self._hour - row.given_hour, days)

    def give(self, row: SubjectRow, given: int) -> None:
        """It gives one more than `given`."""
        row.given = min(GIVEN_MAX_Q16, given + Q16_ONE)
        row.given_hour = self._hour

    def learn(
        self,
        tally: PlatformTally,
        row: SubjectRow,
        engagement: EngagementRow,
        sign: int,
        told: Told,
    ) -> tuple[PlatformTally, tuple[int, int]]:
        """Take a worker's result in among those of late, and compare it with what other platforms
        had said; the platform's tally after it, and the platform's offset."""
        model = self._overlay.vocabulary.model
        self._fade(row)
        good, bad = row.lately_good, row.lately_bad
        elsewhere, engagement.elsewhere = engagement.elsewhere, ()
        if elsewhere and is_heard(told, model):
            tally = self._compare(tally, row, elsewhere, sign)
        self._add_lately(row, sign, weight_lately_q16(told, model))
        if row.results < model.newcomer_results:
            return tally, (tally.offset_strong, tally.offset_other)
        expected = expected_q16(good, bad, tally, model)
        return tally, moved_offset(tally, sign, expected, told, model)

    def look_elsewhere(self, worker: bytes, engagement: bytes) -> None:
        """Note, as an engagement opens, what files on other platforms that are joined with the
        worker's hold of late: of each platform that has not been compared yet and holds as much as
        the prior weighs."""
        overlay = self._overlay
        row = overlay.need_subject(worker)
        if not row.links:
            return
        model, sums = overlay.vocabulary.model, dict[int, list[int]]()
        for subject in joined(overlay, worker):
            platform = int.from_bytes(subject[:4])
            if subject[:4] == worker[:4] or platform in row.compared:
                continue
            other = overlay.need_subject(subject)
            hours, kept = self._hour - other.lately_hour, sums.setdefault(platform, [0, 0])
            kept[0] += left_q16(other.lately_good, hours, model.offset_half_life_days)
            kept[1] += left_q16(other.lately_bad, hours, model.offset_half_life_days)
        opened = overlay.engagements.get(engagement)
        assert opened is not None, "it has just been opened"
        opened.elsewhere = tuple(
            (platform, good, bad)
            for platform, (good, bad) in sorted(sums.items())
            if good + bad >= model.prior_strength
        )

    def _compare(
        self, tally: PlatformTally, row: SubjectRow, elsewhere: Elsewhere, sign: int
    ) -> PlatformTally:
        """The tally after a worker's result was compared with what was noted at its opening."""
        model, own = self._overlay.vocabulary.model, (row.lately_good, row.lately_bad)
        for platform, good, bad in elsewhere:
            if platform not in row.compared:
                losses = losses_of(own, (good, bad), sign, tally, model)
                after = learned(tally, platform, losses, model)
                if after is not None:
                    tally, row.compared = after, (*row.compared, platform)
        return tally

    def learn_severity(self, row: SubjectRow, excess_q16: int, told: Told) -> None:
        """Take in how bad a rating has been (Q16)."""
        self._fade(row)
        weight = weight_lately_q16(told, self._overlay.vocabulary.model)
        self._add_lately(row, -1, weight * excess_q16 >> 16)

    def _fade(self, row: SubjectRow) -> None:
        hours = self._hour - row.lately_hour
        if hours:
            days = self._overlay.vocabulary.model.offset_half_life_days
            row.lately_good = left_q16(row.lately_good, hours, days)
            row.lately_bad = left_q16(row.lately_bad, hours, days)
            row.lately_hour = self._hour

    def _add_lately(self, row: SubjectRow, sign: int, weight: int) -> None:
        if sign > 0:
            row.lately_good = min(LATELY_MAX_Q16, row.lately_good + weight)
        else:
            row.lately_bad = min(LATELY_MAX_Q16, row.lately_bad + weight)

    def count_due(
        self, tally: PlatformTally, platform: int, due_until: int, change: int
    ) -> PlatformTally:
        """Count an engagement that opens (+1) or closes (−1): overdue, or due on a later day."""
        day = due_until // DAY_MS
        if day < self._today:
            return after_overdue(tally, change)
        self._overlay.dues.add(platform, day, change)
        return tally

    def close(
        self, reader: Reader, changes: Changes, height: int, updates: dict[bytes, bytes] | None
    ) -> None:
        """Remember which are dirty or, at an epoch's end, enter them in the index's updates."""
        overlay = self._overlay
        dirty = [_RATER + subject for subject, _ in overlay.raters.changed()]
        dirty += [_PLATFORM + prefix for prefix, _ in overlay.platforms.changed()]
        if updates is None:
            for name in dirty:
                changes[DIRTY + name] = b""
            return
        stored = set(_stored_dirty(reader))
        for name in stored:
            changes[DIRTY + name] = None
        for name in stored.union(dirty):
            tally: RaterTally | PlatformTally | None
            if name[:1] == _RATER:
                tally = overlay.raters.get(name[1:])
            else:
                tally = overlay.platforms.get(name[1:])
            assert tally is not None, "a changed summary is there"
            data = encode(tally)
            key = SUMMARY + name
            before = read_row(reader, SummaryRow, key)
            earlier = before.data if before is not None else b""
            changes[key] = encode(SummaryRow(height, data, earlier))
            updates[_sha256(name).digest()] = summary_value(data)


def _stored_dirty(reader: Reader) -> Iterator[bytes]:
    """The names (kind ‖ platform ‖ handle) of summaries changed since the epoch's start."""
    for key, _ in reader.scan(DIRTY, after(DIRTY)):
        yield key[len(DIRTY) :]
