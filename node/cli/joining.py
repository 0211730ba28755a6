"""`standing network join`: a new platform's folder. `… rotate`: new keys for a member.

Joining takes two commands: this one, which also writes the request that a member is to propose, and
`standing node run`, which follows the ledger as an observer as soon as a quorum has approved, says
that it is ready, and votes from the epoch on that names it.
"""

import asyncio
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ledger.epochs import decode_chain, encode_chain, follow
from ledger.errors import InvalidInput, StandingError
from ledger.genesis import Foundation, Genesis, chain_id, check_genesis
from ledger.membership import Validator
from ledger.signing import SigningKey
from node.api.changes import fingerprint
from node.cli.changes import grouped
from node.cli.members import submit_one, tell
from node.cli.output import fail, print_json, stdout
from node.cli.place import peer_of, place_of
from node.cli.target import JsonOption, TokenFileOption, ask
from node.client import Client
from node.config import Config, load_config, parse_address
from node.export.source import NodeSource, read_chain
from node.home import Plan
from node.joining import make_home, make_rotation, rotation_of
from node.keyring import REQUEST, Keyring, Request, are_lost, next_folder, read_request
from node.keystore import read_seed
from node.links.tls import GUEST
from node.network import genesis_text, load_genesis
from node.observing import write_epochs
from node.opening import epochs_file

API: Final = "127.0.0.1:8440"
PEERS: Final = "127.0.0.1:9440"
ASKED_BEFORE: Final = (
    "; the keys in {} were asked for before: if `standing network changes --all` shows that "
    "rotation as void, it will never bind: remove the folder, and rotate again"
)


def join(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    *,
    genesis: Annotated[str, typer.Option(help="The genesis.json, or the URL of a member's node.")],
    code: Annotated[str, typer.Option(help="The new platform's code: a-z, 0-9 and hyphens.")],
    peer: Annotated[
        list[str],
        typer.Option(
            help="CODE=HOST:PORT of a member to dial: one at least; it tells of the others."
        ),
    ],
    number: Annotated[
        int,
        typer.Option(
            min=0, max=GUEST - 1, help="A number that no platform ever had; 0: a free one."
        ),
    ] = 0,
    chain: Annotated[str, typer.Option(help="The chain id (hex) that genesis must have.")] = "",
    api: Annotated[str, typer.Option(help="Where the node's HTTP API listens.")] = API,
    peers: Annotated[str, typer.Option(help="Where the node listens to its peers.")] = PEERS,
    as_json: JsonOption = False,
) -> None:
    """Make the folder of a platform that joins a network, and the request to send to a member."""
    try:
        found, ends, free = asyncio.run(_genesis(genesis))
        if chain and chain_id(found.foundation).hex() != chain.lower():
            fail("the genesis is that of another network; nothing was written", code=1)
        addresses = dict(peer_of(each) for each in peer)
        plan = Plan(
            number or free,
            code,
            parse_address(api),
            parse_address(peers),
            addresses,
        )
        text = genesis_text(found)
        made = make_home(folder, plan, found.foundation, genesis=text, epochs=ends)
        mark = fingerprint(made.validator).hex()
    except StandingError as error:
        fail(str(error))
    figures: dict[str, Any] = {
        "folder": str(folder),
        "chain": made.chain.hex(),
        "number": plan.number,
        "code": code,
        "request": str(folder / "request.json"),
        "fingerprint": mark,
        "config": str(folder / "node.toml"),
    }
    if as_json:
        print_json(figures)
        return
    stdout.print(f"Platform {code}, number {plan.number}, chain {made.chain.hex()}", markup=False)
    if not chain:
        stdout.print("Compare the chain id with what a member tells you.", markup=False)
    stdout.print(f"Keep {folder / 'root.key'} offline. Send to a member:", markup=False)
    stdout.print(f"  {folder / 'request.json'}    (standing network propose)", markup=False)
    stdout.print(f"  its fingerprint, by another way: {grouped(mark)}", markup=False)
    stdout.print("and start the node, now or later:", markup=False)
    stdout.print(f"  standing node run {folder}", markup=False)


async def _genesis(place: str) -> tuple[Genesis, bytes | None, int]:
    """Genesis, the epoch ends that lead to today's set (if a node was asked), and a free number."""
    if "://" not in place:
        found = load_genesis(Path(place))
        return found, None, max(each.number for each in found.foundation.validators) + 1
    async with NodeSource(place) as source, Client(place) as client:
        found = await source.genesis()
        try:
            check_genesis(found)
            is_begun = (await client.network())["checkpoint"] is not None  # else: genesis's set
            ends = await read_chain(source, found.foundation) if is_begun else []
            follow(found.foundation, ends)
        except InvalidInput as error:
            raise StandingError(
                f"what {place} says of its network does not hold: {error}"
            ) from error
        free = (await client.governance())["free_number"]
    return found, encode_chain(ends), int(free)


def rotate(
    home: Annotated[Path, typer.Argument(help="The node's folder, or its TOML file.")],
    *,
    root_key: Annotated[
        Path | None, typer.Option(help="The platform's root key; without it, root.key beside.")
    ] = None,
    node: Annotated[
        str, typer.Option(help="The node's address; without it, that in the folder.")
    ] = "",
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make new keys for a platform, and ask the members to approve them; through its own node.

    The running node signs with them from the epoch on that names them, and destroys the old ones.
    A node whose keys never sign again sends the record to a member. Where the keys folder is lost
    as well, the root key alone is enough: move what is left of it away, and hand the record in at
    another member's node (--node URL --token-file FILE, a token that may write there, from its
    operator; it need not govern).
    """
    place = place_of(home, "", token_file)
    if node:
        place = place._replace(node=node)
    try:
        config = load_config(home / "node.toml" if home.is_dir() else home)
        folder = home if home.is_dir() else home.parent
        genesis = load_genesis(config.genesis)
        root = read_seed(root_key or folder / "root.key")
        pending = next_folder(config.keys)
        hint = ASKED_BEFORE.format(pending) if (pending / REQUEST).exists() else ""
        request = _request(config, genesis.foundation, root, place.node)
    except StandingError as error:
        fail(str(error))
    at_ms = time.time_ns() // 1_000_000
    record, signatures = rotation_of(request, SigningKey.from_seed(root), at_ms)

    async def question(client: Client) -> dict[str, Any]:
        return await submit_one(client, record, signatures)

    answer = ask(*place, question)
    tell(answer, "new keys are asked for", as_json=as_json, hint=hint)


def _request(config: Config, foundation: Foundation, root: bytes, node: str) -> Request:
    """The request of a rotation: one that was made before and perhaps not handed in, or new keys.

    Raises:
        StandingError: the keys are another's, or a node that must be asked does not answer.
    """
    pending = next_folder(config.keys) / REQUEST
    if pending.exists():
        return read_request(pending)
    if are_lost(config.keys):
        own = asyncio.run(_of_root(config, root, node))
    else:
        own = Keyring(config.keys, foundation).own
    return make_rotation(config.keys, own, root, chain_id(foundation))


async def _of_root(config: Config, root: bytes, node: str) -> Validator:
    """The member with this root key, as a node of the network says, proven from genesis; the proof
    is kept for the own node's start."""
    found, ends, _ = await _genesis(node)
    if chain_id(found.foundation) != chain_id(load_genesis(config.genesis).foundation):
        raise StandingError(f"{node} is a node of another network")
    public, chain = SigningKey.from_seed(root).public, decode_chain(ends or encode_chain(()))
    for each in follow(found.foundation, chain).validators:
        if each.root_key == public:
            write_epochs(epochs_file(config), encode_chain(chain))
            return each
    raise StandingError("this root key is no member's: nothing can be rotated with it")
