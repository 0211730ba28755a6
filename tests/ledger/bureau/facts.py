"""Small files, written by hand, for tests of the bureau."""

from hashlib import sha256

from ledger.bureau.answer import Question
from ledger.bureau.evidence import Evidence, Fact, OpenFile
from ledger.bureau.model import FIRST_MODEL, Q16_ONE
from ledger.bureau.score import score
from ledger.bureau.standing import Annotation
from ledger.parameters import FIRST_DOMAINS, FIRST_SCALES, Parameters
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.rating import Rating

DAY = 86_400_000
NOW = 1_700_000_000_000
PARAMETERS = Parameters(1, FIRST_MODEL, FIRST_SCALES, FIRST_DOMAINS)
FULL = Q16_ONE - 1


def name(text):
    return sha256(text.encode()).digest()


ME, CLIENT = name("me"), name("client")


def question(**other):
    fields = {"platform": 1, "handle": ME, "role": "worker", "domain": "", "as_of": NOW}
    return Question(**{**fields, **other})


def opened(ref, at=NOW, **other):
    fields = {
        "platform": 1,
        "at": at,
        "reference": name(ref),
        "worker": ME,
        "client": CLIENT,
        "format": "freelance",
        "domains": ("software.web",),
        "role": "lead",
        "due_from": at,
        "due_until": at + DAY,
        "value_band": 0,
    }
    return Fact(at, EngagementOpen(**{**fields, **other}), None)


def closed(ref, at=NOW, told=(1, FULL, 0), **other):
    fields = {
        "platform": 1,
        "at": at,
        "reference": name(ref),
        "status": "completed",
        "fault": "none",
        "lateness_band": 0,
        "acceptance": "accepted",
        "basis": "platform",
    }
    return Fact(at, EngagementOutcome(**{**fields, **other}), Annotation(*told))


def rated(ref, value=5, at=NOW, told=(1, FULL, 0), **other):
    fields = {
        "platform": 1,
        "at": at,
        "reference": name(ref),
        "direction": "of-worker",
        "rater": CLIENT,
        "rater_key": b"",
        "scale": "stars-5",
        "value": value,
        "dimensions": (),
    }
    return Fact(at, Rating(**{**fields, **other}), Annotation(*told))


def good(ref, at=NOW, **other):
    return [opened(ref, at), closed(ref, at, **other)]


def bad(ref, at=NOW, **other):
    return [opened(ref, at), closed(ref, at, status="late", fault="worker", **other)]


def own(*groups):
    """My file, of these groups of facts."""
    return [OpenFile(1, ME, [fact for group in groups for fact in group])]


def ask(files, summary=None, **other):
    return score(files, summary, PARAMETERS, question(**other))


def piece(sign=1, at=NOW, **other):
    fields = {
        "attested": True,
        "standing_q16": 0,
        "pair_count": 1,
        "excess_q16": 0,
        "excess_standing_q16": 0,
        "excess_pair_count": 1,
        "retrospective": False,
        "elsewhere": False,
        "nearness": "on",
    }
    return Evidence(sign=sign, at=at, **{**fields, **other})
