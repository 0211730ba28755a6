"""What codes and numbers are called on pages, in one place."""

from datetime import UTC, datetime
from typing import Final

from ledger.bureau.model import Q16_ONE

REASONS: Final = {
    "platform-newcomers": "How newcomers do on this platform",
    "platform-offset": "How results on this platform differ of late from what was expected",
    "good-outcomes": "Engagements kept",
    "few-strong-counterparties": "Few counterparties of good standing",
    "weak-evidence-capped": "Words of little standing, capped",
    "idle-decay": "Evidence that has grown old",
    "other-domains": "Work in other domains",
    "other-platforms": "Work on other platforms",
    "old-bad-outcomes": "Engagements not kept, long ago",
    "recent-bad-outcomes": "Engagements not kept, lately",
    "thin-file": "Thin file",
    "other": "All else",
}
TELLERS: Final = {
    "platform": "on the platform's own word",
    "new-counterparty": "on the word of a counterparty of full standing who is new",
    "known-counterparty": "on the word of one who has told of the worker before",
}
STATUSES: Final = {
    "completed": "completed",
    "late": "late",
    "cancelled-by-worker": "cancelled by the worker",
    "cancelled-by-client": "cancelled by the client",
    "force-majeure": "force majeure",
    "no-show": "no-show",
    "unresolved": "unresolved",
}
SHORT_HANDLE_DIGITS: Final = 8
NARROW: Final = "\N{NARROW NO-BREAK SPACE}"


def reason(code: str) -> str:
    """A reason's name for people; a code that is not known yet stands for itself."""
    return REASONS.get(code, code)


def percent(q16: int) -> str:
    """A Q16 share in whole percent, rounded to the nearest; never 0 or 100 unless it is that."""
    rounded = (q16 * 100 + Q16_ONE // 2) // Q16_ONE
    if rounded == 0 and q16 > 0:
        return f"under 1{NARROW}%"
    if rounded == 100 and q16 < Q16_ONE:
        return f"over 99{NARROW}%"
    return f"{rounded}{NARROW}%"


def teller(code: str) -> str:
    """On whose word a result would be."""
    return TELLERS.get(code, code)


def signed(points: int) -> str:
    """Points with their sign, with a true minus."""
    return f"+{points}" if points > 0 else f"−{-points}" if points < 0 else "±0"


def day(time_ms: int) -> str:
    """A date, UTC."""
    return _moment(time_ms).strftime("%Y-%m-%d")


def minute(time_ms: int) -> str:
    """A date and time, UTC."""
    return _moment(time_ms).strftime("%Y-%m-%d %H:%M UTC")


def short(handle: str) -> str:
    """A handle's first digits, for where the whole one stands nearby."""
    return f"{handle[:SHORT_HANDLE_DIGITS]}…"


def number(value: int) -> str:
    """A whole number with narrow spaces between groups of three."""
    return f"{value:,}".replace(",", NARROW)


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1_000, tz=UTC)
