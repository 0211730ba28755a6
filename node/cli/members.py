"""`standing network propose|approve|remove|leave|changes`: what a member says about who is one.

Each but the last hands in one record through the own node, which signs it with its batch; a change
binds at an epoch's end once enough members have approved it (`changes` shows how far each is).
"""

import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ledger.errors import StandingError
from ledger.records import Record, encode_record
from ledger.records.membership import MemberApprove, MemberLeave, MemberPropose, MemberRemove
from node.cli.output import fail, print_json, stdout
from node.cli.target import NODE_URL, JsonOption, NodeOption, TokenFileOption, ask
from node.client import Client
from node.keyring import read_request

ID_LEAST: Final = 6
SHORT: Final = 12

Make = Callable[[Client, int, int], Coroutine[Any, Any, Record]]
"""(client, own number, time in ms) → the record to hand in."""


def propose(
    request: Annotated[Path, typer.Argument(help="The joining platform's request.json.")],
    *,
    node: NodeOption = NODE_URL,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose that a platform joins: a member's word, which counts as its approval."""
    try:
        read = read_request(request)
    except StandingError as error:
        fail(str(error))

    async def make(client: Client, own: int, at_ms: int) -> Record:
        chain = (await client.network())["chain"]
        if chain != read.chain.hex():
            raise StandingError(f"{request} is for another network, {read.chain.hex()}")
        return MemberPropose(own, at_ms, read.validator, read.proofs)

    what = f"{read.validator.code} is proposed as platform {read.validator.number}"
    hand_in(make, what, node, token_file, as_json=as_json)


def approve(
    change: Annotated[str, typer.Argument(help="The change's id, or its beginning.")],
    *,
    node: NodeOption = NODE_URL,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Approve a change that another member, or the platform itself, has asked for."""

    async def make(client: Client, own: int, at_ms: int) -> Record:
        return MemberApprove(own, at_ms, bytes.fromhex((await find(client, change))["id"]))

    hand_in(make, "approved", node, token_file, as_json=as_json)


def remove(
    platform: Annotated[str, typer.Argument(help="The member's number or code.")],
    *,
    node: NodeOption = NODE_URL,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose that another member is removed; a quorum must approve it."""

    async def make(client: Client, own: int, at_ms: int) -> Record:
        return MemberRemove(own, at_ms, await number_of(client, platform))

    hand_in(make, f"the removal of {platform} is proposed", node, token_file, as_json=as_json)


def leave(
    *,
    node: NodeOption = NODE_URL,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Leave the network: the own platform's membership ends with an epoch, without approvals.

    The node takes no records any more, and goes on as an observer of what it has.
    """

    async def make(client: Client, own: int, at_ms: int) -> Record:
        del client
        return MemberLeave(own, at_ms)

    hand_in(make, "this platform leaves", node, token_file, as_json=as_json)


def changes(
    *,
    every: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    node: NodeOption = NODE_URL,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the changes of the membership: who approved, who is ready, from when they hold."""
    found = ask(node, token_file, read_all)
    listed = [each for each in found["changes"] if every or each["state"] not in ("bound", "void")]
    if as_json:
        print_json({**found, "changes": listed})
        return
    stdout.print(f"epoch {found['epoch']}: {found['quorum']} members must agree", markup=False)
    for each in listed:
        stdout.print(line_of(each), markup=False)
    for each in found["evidence"]:
        stdout.print(
            f"evidence against {each['code']}: {each['kind']}, epoch {each['epoch']}, "
            f"slot {each['slot']}",
            style="red",
            markup=False,
        )
    if not listed:
        stdout.print("no change is open", markup=False)


def line_of(change: dict[str, Any]) -> str:
    """A change in one line."""
    parts = [f"{change['id'][:SHORT]}  {change['type']} {change['code']} ({change['number']})"]
    if change["needed"]:
        parts.append(f"{len(change['approvals'])} of {change['needed']} approve")
    if change["ready_epoch"] is not None:
        parts.append(f"ready in epoch {change['ready_epoch']}")
    state = change["state"]
    parts.append(f"holds from epoch {change['bound']}" if state == "bound" else state)
    return ", ".join(parts)


# --- asking a node ---


async def read_all(client: Client) -> dict[str, Any]:
    """The governance of a node's ledger, with all its changes."""
    found = page = await client.governance()
    while page["next"] is not None:
        page = await client.governance(page["next"])
        found["changes"] += page["changes"]
    return found


async def find(client: Client, named: str) -> dict[str, Any]:
    """The change whose id begins so.

    Raises:
        StandingError: there is none, or several.
    """
    found = (await read_all(client))["changes"]
    fits = [each for each in found if each["id"].startswith(named.lower())]
    if len(named) < ID_LEAST or len(fits) != 1:
        raise StandingError(
            f"{named!r} names {len(fits) if len(named) >= ID_LEAST else 'no'} change: give at "
            f"least {ID_LEAST} digits of one id; `standing network changes` lists them"
        )
    return dict(fits[0])


async def number_of(client: Client, named: str) -> int:
    """A member's number by its number or code.

    Raises:
        StandingError: it is no member's.
    """
    members = (await client.network())["members"]
    for each in members:
        if named in (each["code"], str(each["number"])):
            return int(each["number"])
    known = ", ".join(f"{each['code']} ({each['number']})" for each in members)
    raise StandingError(f"{named} is no member; there are {known}")


def hand_in(
    make: Make, what: str, node: str, token_file: Path | None, *, as_json: bool
) -> dict[str, Any]:
    """Make a record and hand it in; wait until it is final. Exit 1 if the ledger refuses it."""

    async def question(client: Client) -> dict[str, Any]:
        own = int((await client.network())["platform"])
        record = await make(client, own, time.time_ns() // 1_000_000)
        return await submit_one(client, encode_record(record), b"")

    answer = ask(node, token_file, question)
    tell(answer, what, as_json=as_json)
    return answer


async def submit_one(client: Client, record: bytes, signatures: bytes) -> dict[str, Any]:
    """Hand in one record and wait until it is final; its answer."""
    (answer,) = await client.submit_msgpack([(record, signatures)], wait_final=True)
    return answer


def tell(answer: dict[str, Any], what: str, *, as_json: bool) -> None:
    """Print what became of a record. Exit 1 if it was refused."""
    if "problem" in answer:
        if as_json:
            print_json(answer)
        problem = answer["problem"]
        rule = f" (rule {problem['rule']})" if problem.get("rule") else ""
        fail(f"refused: {problem['detail']}{rule}", code=1)
    if as_json:
        print_json(answer)
        return
    named = f", record {answer['id']}" if answer.get("id") else ""
    stdout.print(f"{what}: {answer['state']}{named}", markup=False)
