"""`standing network propose|approve|remove|leave|changes`: what a member says about who is one.

Each but the last hands in one record through the own node, which signs it with its batch; a change
binds at an epoch's end once enough members have approved it (`changes` shows how far each is).
What cannot be taken back is shown first, and asked about (node/cli/place.py).
"""

import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ledger.errors import StandingError
from ledger.records import Record, encode_record
from ledger.records.membership import MemberApprove, MemberLeave, MemberPropose, MemberRemove
from node.api.changes import fingerprint
from node.cli.changes import (
    JOIN,
    LEAVE,
    REMOVE,
    description_of,
    effect_of,
    find,
    grouped,
    history_of,
    line_of,
    member_of,
    read_all,
)
from node.cli.output import fail, print_json, stdout
from node.cli.place import HomeOption, Place, YesOption, confirm, place_of
from node.cli.target import NODE_URL, JsonOption, NodeOption, TokenFileOption, ask
from node.client import Client
from node.keyring import read_request

COMES_BACK: Final = (
    "    it can come back as a new platform only: `standing network join` in a new folder,",
    "    with another number, code and keys, then proposed and approved",
)
TOKEN_HINT: Final = "; give --home DIR, or --token-file DIR/govern-token"  # noqa: S105 - no token

Make = Callable[[int, int], Record]
"""(own number, time in ms) → the record to hand in."""
Look = Callable[[Client, dict[str, Any]], Coroutine[Any, Any, Any]]
"""(client, the network) → what is to be known before."""


def propose(
    request: Annotated[Path, typer.Argument(help="The joining platform's request.json.")],
    *,
    home: HomeOption = None,
    node: NodeOption = NODE_URL,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose that a platform joins: a member's word, which counts as its approval.

    Compare the fingerprint that is printed with the one that the platform sees.
    """
    try:
        read = read_request(request)
    except StandingError as error:
        fail(str(error))
    who, place = read.validator, place_of(home, node, token_file)
    network = look(place, _network_only)[0]
    if network["chain"] != read.chain.hex():
        fail(f"{request} is for another network, {read.chain.hex()}; nothing was handed in")
    if not as_json:
        stdout.print(f"fingerprint {grouped(fingerprint(who).hex())}", markup=False, soft_wrap=True)
        stdout.print(effect_of(JOIN, network)[0].strip(), markup=False)
    hand_in(
        lambda own, at_ms: MemberPropose(own, at_ms, who, read.proofs),
        f"{who.code} is proposed as platform {who.number}",
        place,
        as_json=as_json,
    )


def approve(
    change: Annotated[str, typer.Argument(help="The change's id, or its beginning.")],
    *,
    yes: YesOption = False,
    home: HomeOption = None,
    node: NodeOption = NODE_URL,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Approve a change that another member, or the platform itself, has asked for.

    First it shows the whole change: whom it is about, by which keys, who has approved it, and what
    follows from it.
    """
    place = place_of(home, node, token_file)
    network, found = look(place, lambda client, _: find(client, change))
    confirm(
        description_of(found, network),
        f"Does {network['code']} approve this? An approval cannot be taken back.",
        yes=yes,
        as_json=as_json,
    )
    hand_in(
        lambda own, at_ms: MemberApprove(own, at_ms, bytes.fromhex(found["id"])),
        "approved",
        place,
        as_json=as_json,
    )


def remove(
    platform: Annotated[str, typer.Argument(help="The member's number or code.")],
    *,
    yes: YesOption = False,
    home: HomeOption = None,
    node: NodeOption = NODE_URL,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose that another member is removed; a quorum must approve it."""
    place = place_of(home, node, token_file)
    network, member = look(place, lambda client, _: member_of(client, platform))
    what = f"{member['code']} (platform {member['number']})"
    count = len(network["members"])
    lines = [
        f"{network['code']} proposes that {what} is removed, and so approves it:",
        f"    it needs {network['quorum']} of {count} members; once they approve, nobody stops it",
        "    from then on its node takes no records, and its lane ends; what is final stays",
        "    records that it had acknowledged and no cut had reached at the epoch's end are lost",
        *effect_of(REMOVE, network),
        *COMES_BACK,
    ]
    confirm(lines, f"Propose to remove {member['code']}?", yes=yes, as_json=as_json)
    hand_in(
        lambda own, at_ms: MemberRemove(own, at_ms, int(member["number"])),
        f"the removal of {what} is proposed",
        place,
        as_json=as_json,
    )


def leave(
    *,
    yes: YesOption = False,
    home: HomeOption = None,
    node: NodeOption = NODE_URL,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Leave the network: the own platform's membership ends with an epoch, without approvals.

    The node takes no records any more, and goes on as an observer of what it has.
    """
    place = place_of(home, node, token_file)
    network = look(place, _network_only)[0]
    lines = [
        f"{network['code']} (platform {network['platform']}) leaves {network['origin']}:",
        "    nobody need approve it and nobody can stop it: it cannot be taken back",
        "    its lane ends with this record: its node takes no records any more",
        "    what it has acknowledged becomes final; it stays an observer of what it has",
        "    its membership is over at an epoch's end, and then its node destroys its signing keys",
        *effect_of(LEAVE, network),
        *COMES_BACK,
    ]
    confirm(lines, f"Does {network['code']} leave for good?", yes=yes, as_json=as_json)
    hand_in(MemberLeave, f"{network['code']} leaves", place, as_json=as_json)


def changes(
    *,
    every: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    home: HomeOption = None,
    node: NodeOption = NODE_URL,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the changes of membership and model: who approved, what is missing, from when on."""
    place = place_of(home, node, token_file)
    found = ask(*place, lambda client: read_all(client, "all" if every else "open"))
    if as_json:
        print_json(found)
        return
    left = found["epoch_end"] - found["height"]
    stdout.print(
        f"epoch {found['epoch']}, which ends in {left} block{'s' if left > 1 else ''}: "
        f"{found['quorum']} members must agree",
        markup=False,
    )
    for each in found["changes"]:
        for line in (line_of(each), *history_of(each)):
            stdout.print(line, markup=False, soft_wrap=True)
    for each in found["evidence"]:
        stdout.print(
            f"evidence against {each['code']}: {each['kind']}, epoch {each['epoch']}, "
            f"slot {each['slot']}",
            style="red",
            markup=False,
        )
    if not found["changes"]:
        stdout.print("no change is open", markup=False)


# --- asking a node ---


async def _network_only(client: Client, network: dict[str, Any]) -> None:
    """Nothing more than the network."""


def look(place: Place, question: Look) -> tuple[dict[str, Any], Any]:
    """The network as the node sees it, and the answer to a further question."""

    async def both(client: Client) -> tuple[dict[str, Any], Any]:
        network = await client.network()
        return network, await question(client, network)

    return ask(*place, both)


def hand_in(
    make: Make, what: str, place: Place, *, as_json: bool, beside: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Make a record and hand it in; wait until it is final. Exit 1 if the ledger refuses it.

    `beside`: what else the JSON object has.
    """

    async def question(client: Client) -> dict[str, Any]:
        own = int((await client.network())["platform"])
        record = make(own, time.time_ns() // 1_000_000)
        return await submit_one(client, encode_record(record), b"")

    answer = {**ask(*place, question), **(beside or {})}
    tell(answer, what, as_json=as_json)
    return answer


async def submit_one(client: Client, record: bytes, signatures: bytes) -> dict[str, Any]:
    """Hand in one record and wait until it is final; its answer."""
    (answer,) = await client.submit_msgpack([(record, signatures)], wait_final=True)
    return answer


def tell(answer: dict[str, Any], what: str, *, as_json: bool, hint: str = "") -> None:
    """Print what became of a record. Exit 1 if it was refused; `hint`: what to do then."""
    if "problem" in answer:
        if as_json:
            print_json(answer)
        problem = answer["problem"]
        rule = f" (rule {problem['rule']})" if problem.get("rule") else ""
        hint = TOKEN_HINT if problem["status"] == 403 else hint
        fail(f"refused: {problem['detail']}{rule}{hint}", code=1)
    if as_json:
        print_json(answer)
        return
    named = f", record {answer['id']}" if answer.get("id") else ""
    stdout.print(f"{what}: {answer['state']}{named}", markup=False)
