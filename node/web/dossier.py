"""What the report page shows of one subject, computed from the certified state of the ledger."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import astuple

from ledger.bureau.answer import Answer, Question
from ledger.bureau.evidence import Fact, OpenFile
from ledger.bureau.score import score
from ledger.bureau.standing import PlatformTally, grade_of, worker_sign
from ledger.bureau.whatif import Asked, BaseRate, Outlook, base_rate, outlook
from ledger.parameters import Parameters, Scale
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.rating import Rating
from node.api.erasures import Erasing
from node.web.plot import OUTCOMES_MAX, History, Kind, OutcomeAt, ScoreAt
from node.web.words import STATUSES

COURSE_POINTS_MAX: Final = 40
COURSE_WORK_MAX: Final = 20_000
PAGE_ENGAGEMENTS: Final = 25


@dataclass(frozen=True, slots=True)
class Ground:
    """The certified checkpoint that a page stands on; `time_ms` is its block's time."""

    height: int
    size: int
    root: str
    time_ms: int

    @property
    def records(self) -> int:
        """Entries of the log that are records, not seals."""
        return self.size - self.height - 1


@dataclass(frozen=True, slots=True)
class SubjectName:
    """A subject as pages name it."""

    platform: int
    platform_code: str
    handle: str

    @property
    def name(self) -> str:
        """`platform:handle`, as addresses and the command line take it."""
        return f"{self.platform_code}:{self.handle}"

    @property
    def path(self) -> str:
        """The address of its report."""
        return f"/subjects/{self.name}"


@dataclass(slots=True)
class EngagementLine:
    """One engagement of the report's table."""

    opened_ms: int
    platform_code: str
    domains: tuple[str, ...]
    format: str
    role: str
    kind: Kind = "neutral"
    outcome: str = "open"
    outcome_ms: int | None = None
    rating: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything on the report page."""

    subject: SubjectName
    linked: tuple[SubjectName, ...]
    answer: Answer
    outlook: Outlook
    base: BaseRate
    domain: str
    domains: tuple[str, ...]
    points_min: int
    points_max: int
    ground: Ground
    history: History
    counts: tuple[tuple[str, int], ...]
    engagements: tuple[EngagementLine, ...]
    engagement_count: int
    page: int
    page_count: int
    erased: Erasing | None

    @property
    def query(self) -> str:
        """The query that asks for the same domain."""
        return f"?domain={self.domain}"

    @property
    def plot_path(self) -> str:
        """The address of the history plot, without its theme."""
        return f"{self.subject.path}/history.svg{self.query}"

    @property
    def json_path(self) -> str:
        """The answer as JSON."""
        return f"/v1{self.subject.path}/score" + (self.query if self.domain else "")

    @property
    def bundle_path(self) -> str:
        """The answer's bundle."""
        return f"/v1{self.subject.path}/bundle" + (self.query if self.domain else "")

    @property
    def proof_path(self) -> str:
        """The bundle of exactly this answer, even when the ledger has moved on."""
        domain = f"&domain={self.domain}" if self.domain else ""
        return f"/v1{self.subject.path}/bundle?as_of={self.answer.question.as_of}{domain}"

    @property
    def bundle_name(self) -> str:
        """What the bundle's file is called."""
        return f"{self.subject.platform_code}-{self.subject.handle[:16]}.bundle"

    @property
    def steps(self) -> tuple[tuple[int, int | None, int | None], ...]:
        """More good engagements, and from where to where they lead by who tells of them, in
        points; nil while the file would be thin by all of them."""
        made: dict[int, list[int]] = {}
        for each in self.outlook.counterfactuals:
            made.setdefault(each.engagements, [])
            if each.points is not None:
                made[each.engagements].append(each.points)
        return tuple(
            (count, min(points, default=None), max(points, default=None))
            for count, points in made.items()
        )

    @property
    def outlook_text(self) -> str:
        """Counterfactuals, what tells most and the base rate, for the browser's verifier."""
        base = (self.base.rate_q16, self.base.probability_q16, self.base.points)
        parts = (self.outlook.counterfactuals, self.outlook.information)
        made = [*([astuple(each) for each in part] for part in parts), [base]]
        return json.dumps(made, separators=(",", ":"))

    @property
    def history_words(self) -> str:
        """What the plot shows, for those who do not see it."""
        kinds = [each.kind for each in self.history.outcomes]
        good, bad = kinds.count("good"), kinds.count("bad")
        return f"Plot of {len(kinds)} outcomes over time, {good} kept and {bad} not kept."

    def page_path(self, page: int) -> str:
        """The address of another page of engagements."""
        return f"{self.subject.path}{self.query}&page={page}#engagements"


@dataclass(frozen=True, slots=True)
class Material:
    """What a report is made from: the closure of files and what else the score reads.

    `erased`: what is erased of the files, or None.
    """

    files: Sequence[OpenFile]
    summary: PlatformTally | None
    parameters: Parameters
    question: Question
    codes: dict[int, str]
    ground: Ground
    erased: Erasing | None = None


@dataclass(frozen=True, slots=True)
class Dossier:
    """What is costly about a report, and the same for every page of it."""

    material: Material
    outlook: Outlook
    lines: tuple[EngagementLine, ...]
    history: History


def compile_dossier(material: Material) -> Dossier:
    """Answer, engagements and history of a subject as a worker.

    Raises:
        InvalidInput: the domain does not exist.
    """
    asked = Asked(material.files, material.summary, material.parameters, material.question)
    found, lines = outlook(asked), engagement_lines(material)
    return Dossier(material, found, tuple(lines), history_of(material, lines))


def report_of(dossier: Dossier, page: int) -> Report:
    """The report with one page of its engagements, counted from 1; the last one if it has fewer."""
    material, lines = dossier.material, dossier.lines
    question, parameters = material.question, material.parameters
    page_count = max(1, -(-len(lines) // PAGE_ENGAGEMENTS))
    page = min(page, page_count)
    names = [
        SubjectName(each.platform, material.codes[each.platform], each.handle.hex())
        for each in material.files
    ]
    own = (question.platform, question.handle.hex())
    return Report(
        subject=SubjectName(question.platform, material.codes[question.platform], own[1]),
        linked=tuple(each for each in names if (each.platform, each.handle) != own),
        answer=dossier.outlook.answer,
        outlook=dossier.outlook,
        base=base_rate(material.summary, question.role, parameters.model),
        domain=question.domain,
        domains=tuple(each.code for each in parameters.domains),
        points_min=parameters.model.points_min,
        points_max=parameters.model.points_max,
        ground=material.ground,
        history=dossier.history,
        counts=_counts(dossier.outlook.answer),
        engagements=lines[(page - 1) * PAGE_ENGAGEMENTS : page * PAGE_ENGAGEMENTS],
        engagement_count=len(lines),
        page=page,
        page_count=page_count,
        erased=material.erased,
    )


def engagement_lines(material: Material) -> list[EngagementLine]:
    """All engagements of the closure in which the subject was the worker, newest first."""
    lines: dict[tuple[int, bytes], EngagementLine] = {}
    scales = {each.code: each for each in material.parameters.scales}
    for file in material.files:
        code = material.codes[file.platform]
        for fact in file.facts:
            match fact.record:
                case EngagementOpen() as opened if opened.worker == file.handle:
                    lines[opened.platform, opened.reference] = EngagementLine(
                        opened.at, code, opened.domains, opened.format, opened.role
                    )
                case (EngagementOutcome() | Rating()) as record:
                    line = lines.get((record.platform, record.reference))
                    if line is not None:
                        _follow(line, record, fact, scales)
    for line in lines.values():
        line.notes.sort()
    return sorted(lines.values(), key=lambda line: line.opened_ms, reverse=True)


def _follow(
    line: EngagementLine,
    record: EngagementOutcome | Rating,
    fact: Fact,
    scales: dict[str, Scale],
) -> None:
    if isinstance(record, EngagementOutcome):
        sign = worker_sign(record.status, record.fault, record.acceptance)
        line.kind = "good" if sign > 0 else "bad" if sign < 0 else "neutral"
        line.outcome = STATUSES[record.status]
        line.outcome_ms = record.at
        if record.acceptance != "unknown":
            line.outcome += f", {record.acceptance}"
        if fact.annotation is not None and fact.annotation.retrospective:
            line.notes.append("told in hindsight")
    elif record.direction == "of-worker":
        scale = scales[record.scale]
        line.rating = f"{record.value} of {scale.low}–{scale.high}"
        if line.outcome_ms is None:
            grade = grade_of(scale, record.value)
            line.kind = "good" if grade > 0 else "bad" if grade < 0 else "neutral"


def _counts(answer: Answer) -> tuple[tuple[str, int], ...]:
    counts = answer.evidence
    return (
        ("engagements", counts.engagements),
        ("kept", counts.good),
        ("not kept", counts.bad),
        ("neutral", counts.neutral),
        ("open", counts.open),
        ("overdue", counts.overdue),
        ("on the platform's word", counts.attested),
        ("told in hindsight", counts.retrospective),
        ("in other domains", counts.off_domain),
        ("on other platforms", counts.elsewhere),
        ("files joined", counts.files),
        ("erased", counts.erased),
    )


def history_of(material: Material, lines: Sequence[EngagementLine]) -> History:
    """The newest outcomes by date, and the score's course over the same days.

    The course is the score with the events up to each day, taken at their own dates: imported
    history, which the ledger learnt in one day, has a course too.
    """
    outcomes = sorted(
        (OutcomeAt(line.outcome_ms, line.kind) for line in lines if line.outcome_ms is not None),
        key=lambda each: each.time_ms,
    )[-OUTCOMES_MAX:]
    if not outcomes:
        return History((), ())
    dated = [_by_own_dates(file) for file in material.files]
    facts = sum(len(file.facts) for file in dated)
    points = max(4, min(COURSE_POINTS_MAX, COURSE_WORK_MAX // facts))
    days = [each.time_ms for each in outcomes]
    wanted = {days[at * (len(days) - 1) // points] for at in range(points)}
    times = sorted({*wanted, days[-1], max(days[-1], material.question.as_of)})
    course = []
    for time_ms in times:
        answer = score(
            dated,
            material.summary,
            material.parameters,
            Question(
                material.question.platform,
                material.question.handle,
                material.question.role,
                material.question.domain,
                time_ms,
            ),
        )
        course.append(ScoreAt(time_ms, answer.probability_q16, answer.low_q16, answer.high_q16))
    return History(tuple(course), tuple(outcomes))


def _by_own_dates(file: OpenFile) -> OpenFile:
    facts = [
        Fact(fact.time if fact.record is None else fact.record.at, fact.record, fact.annotation)
        for fact in file.facts
    ]
    return OpenFile(file.platform, file.handle, facts)
