"""What `standing network` shows of changes of the membership: each in full, or in one line.

All of it comes from `/v1/governance` and `/v1/network` of the node that is asked: its own words,
which a member believes of its own node.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from ledger.errors import StandingError
from ledger.membership import faults, quorum
from node.cli.model_text import number_text
from node.client import Client

ID_LEAST: Final = 6
SHORT: Final = 12
GROUP: Final = 8
PURPOSES: Final = ("root", "lane", "vote", "cosigner", "log")
JOIN: Final = "member.propose"
ROTATE: Final = "key.rotate"
REMOVE: Final = "member.remove"
LEAVE: Final = "member.leave"
ACTIVATE: Final = "model.activate"
_WHAT: Final = {
    JOIN: "joins",
    ROTATE: "changes its keys",
    REMOVE: "is removed",
    LEAVE: "leaves",
}

MODEL_EFFECT: Final = (
    "    in force from the first block of the epoch behind its approval on; what was answered, and",
    "    what stands in files, stays as it is; every other open change of the model is void then",
)

Told = Mapping[str, Any]
"""A change as the node tells it (node/api/changes.py)."""


async def read_all(client: Client, state: str = "all") -> dict[str, Any]:
    """The governance of a node's ledger, with all changes, or those that are open."""
    found = page = await client.governance(state=state)
    while page["next"] is not None:
        page = await client.governance(page["next"], state)
        found["changes"] += page["changes"]
    return found


async def find(client: Client, named: str) -> dict[str, Any]:
    """The open change whose id begins so.

    Raises:
        StandingError: there is none, or several.
    """
    if len(named) < ID_LEAST:
        raise StandingError(
            f"{named!r} names no change: give at least {ID_LEAST} digits of its id; "
            "`standing network changes` lists them"
        )
    found = (await read_all(client, "open"))["changes"]
    fits = [each for each in found if each["id"].startswith(named.lower())]
    if len(fits) != 1:
        raise StandingError(
            f"{named!r} names {len(fits) or 'no'} open change{'s' if len(fits) > 1 else ''}; "
            "`standing network changes` lists them"
        )
    return dict(fits[0])


def line_of(change: Told) -> str:
    """A change in one line."""
    about = f"{change['code']} ({change['number']})"
    if change["type"] == ACTIVATE:
        about = f"{change['model']['id']}, asked by {about}"
    parts = [f"{change['id'][:SHORT]}  {change['type']} {about}"]
    if change["needed"]:
        parts.append(f"{len(change['approvals'])} of {change['needed']} approve")
    if change["missing"]:
        parts.append(f"{change['missing']} missing")
    if change["is_ready"]:
        parts.append("ready")
    elif change["is_ready"] is False and not change["missing"]:
        parts.append("waits for its node to be ready")
    state = change["state"]
    if state == "bound":
        parts.append(f"holds from epoch {change['bound']}")
    elif state == "void":
        parts.append(f"void since epoch {change['void']}")
    else:
        parts += [state, f"from epoch {change['earliest']} at the earliest"]
    return ", ".join(parts)


def history_of(change: Told) -> list[str]:
    """Who asked, who approved, who has not, what is missing, line by line."""
    by = change["proposer_code"] or change["proposer"]
    lines = [f"    asked by {by}, {date_of(change['time'])}, log entry {change['log_index']}"]
    for each in change["approvals"]:
        note = "" if each["counts"] else " (no member now: does not count)"
        when = f"{date_of(each['time'])}, log entry {each['log_index']}"
        lines.append(f"    approved by {each['code'] or each['number']}, {when}{note}")
    if change["missing"]:
        lines.append(
            f"    {change['missing']} more must approve, of: {', '.join(change['awaited'])}"
        )
    if change["ready"] is not None:
        lines.append(
            f"    ready in epoch {change['ready_epoch']}, log entry {change['ready']}"
            + ("" if change["is_ready"] in {True, None} else "; not in this epoch yet")
        )
    if change["lapses"] is not None:
        lines.append(f"    lapses after {date_of(change['lapses'])} unless it is approved")
    if change["burned"]:
        lines.append("    its keys never were in force, and nobody may use them again")
    return lines


def description_of(change: Told, network: Told) -> list[str]:
    """All that who approves a change should know: whom it is about, by which keys, what follows."""
    if change["type"] == ACTIVATE:
        first = f"model {change['model']['id']} comes into force: {ACTIVATE}"
    else:
        what = _WHAT[change["type"]]
        first = f"{change['code']} (platform {change['number']}) {what}: {change['type']}"
    lines = [
        first,
        f"    change {change['id']}",
        *history_of(change),
    ]
    if change["validator"] is not None:
        lines += keys_of(change["validator"], change["fingerprint"], network)
    if change["type"] == ACTIVATE:
        return [*lines, *moves_lines(change["moves"]), *MODEL_EFFECT]
    return [*lines, *effect_of(change["type"], network)]


def moves_lines(moves: Sequence[Told]) -> list[str]:
    """The numbers that a new model changes, each as it is and as it will be."""
    return [
        f"    {each['name']}: {number_text(each['name'], each['before'])} → "
        f"{number_text(each['name'], each['after'])}"
        for each in moves
    ]


def keys_of(validator: Told, fingerprint: str, network: Told) -> list[str]:
    """A candidate's keys, and which of them a member has now."""
    now = _member(network, int(validator["number"])) or {}
    lines = [f"    fingerprint {grouped(fingerprint)}"]
    for purpose in PURPOSES:
        key = validator[f"{purpose}_key"]
        before = now.get(f"{purpose}_key", key)
        lines.append(
            f"    {purpose} key {key}" + (f" instead of {before}" if key != before else "")
        )
    return lines


def effect_of(kind: str, network: Told) -> list[str]:
    """What a change makes of the set, in one line."""
    before = len(network["members"])
    after = before + {JOIN: 1, ROTATE: 0}.get(kind, -1)
    if kind == ROTATE:
        return [f"    the set stays at {before} members; the old keys sign nothing more"]
    if not after:
        return ["    no member would be left"]
    agree = f"{quorum(after)} of them must agree, {faults(after)} may fail"
    return [f"    members {before} → {after}; {agree}"]


def _member(network: Told, number: int) -> Told | None:
    return next((each for each in network["members"] if each["number"] == number), None)


async def member_of(client: Client, named: str) -> dict[str, Any]:
    """A member by its number or code.

    Raises:
        StandingError: it is no member's.
    """
    members: Sequence[dict[str, Any]] = (await client.network())["members"]
    for each in members:
        if named in {each["code"], str(each["number"])}:
            return each
    known = ", ".join(f"{each['code']} ({each['number']})" for each in members)
    raise StandingError(f"{named} is no member; there are {known}")


def grouped(digits: str) -> str:
    """Hex digits in groups that a person can read out."""
    return " ".join(digits[at : at + GROUP] for at in range(0, len(digits), GROUP))


def date_of(time_ms: int) -> str:
    """A time of the ledger for people, in UTC."""
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
