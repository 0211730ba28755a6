"""`standing node observe`: the folder of an observer. `standing node epochs`: today's set of
validators for a node that was away while all others changed their keys."""

import asyncio
from pathlib import Path
from typing import Annotated, Final

import typer

from ledger.epochs import Trusted, encode_chain, follow
from ledger.errors import InvalidInput, StandingError
from ledger.genesis import Foundation, Genesis, chain_id, check_genesis
from ledger.membership import Validator
from node.address import parse_address
from node.cli.output import fail, print_json, stdout
from node.cli.place import peer_of
from node.cli.target import JsonOption
from node.config import load_config
from node.export.source import NodeSource, read_chain
from node.home import Plan
from node.network import genesis_text, load_genesis
from node.observing import make_observer, write_epochs
from node.opening import epochs_file

API: Final = "127.0.0.1:8450"
PEERS: Final = "127.0.0.1:9450"


def observe(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    *,
    genesis: Annotated[str, typer.Option(help="The genesis.json, or the URL of a member's node.")],
    of: Annotated[str, typer.Option(help="The code of the platform whose node it is.")],
    peer: Annotated[list[str], typer.Option(help="CODE=HOST:PORT, of each member to be dialled.")],
    chain: Annotated[str, typer.Option(help="The chain id (hex) that genesis must have.")] = "",
    api: Annotated[str, typer.Option(help="Where the node's HTTP API listens.")] = API,
    peers: Annotated[str, typer.Option(help="Where the node listens to its peers.")] = PEERS,
    as_json: JsonOption = False,
) -> None:
    """Make the folder of a platform's further node: it follows and serves reads, and signs nothing.

    The members whom it dials list its certificate in `peers.observers` of their node.toml.
    """
    try:
        found, ends, members = asyncio.run(_found(genesis))
        if chain and chain_id(found.foundation).hex() != chain.lower():
            fail("the genesis is that of another network; nothing was written", code=1)
        own = next((each for each in members if each.code == of), None)
        if own is None:
            known = ", ".join(each.code for each in members)
            fail(f"{of} is no member; there are {known}")
        addresses = dict(peer_of(each) for each in peer)
        plan = Plan(own.number, of, parse_address(api), parse_address(peers), addresses)
        text = genesis_text(found)
        certificate = make_observer(folder, plan, found.foundation, genesis=text, epochs=ends)
    except StandingError as error:
        fail(str(error))
    dialled = ", ".join(addresses)
    if as_json:
        print_json({"folder": str(folder), "platform": own.number, "certificate": str(certificate)})
        return
    stdout.print(f"An observer of {of} in {folder}. Give {certificate} to {dialled}:", markup=False)
    stdout.print('  [peers] observers = ["observer.crt"]    (in its node.toml)', markup=False)
    stdout.print("and when that node has started anew, start this one:", markup=False)
    stdout.print(f"  standing node run {folder}", markup=False)


def epochs(
    config: Annotated[Path, typer.Argument(help="The node's TOML file, or its folder.")],
    *,
    from_: Annotated[str, typer.Option("--from", help="The URL of any node of the network.")],
    as_json: JsonOption = False,
) -> None:
    """Fetch the chain of epoch ends from any node, and keep it for this one's next start.

    Nothing is taken on trust but this node's genesis: each set must be named under a quorum of the
    one before. So a node that was away while all others changed their keys knows whom to link with.
    """
    try:
        settings = load_config(config / "node.toml" if config.is_dir() else config)
        foundation = load_genesis(settings.genesis).foundation
        data, trusted = asyncio.run(_proven(from_, foundation))
        place = epochs_file(settings)
        write_epochs(place, data)
    except StandingError as error:
        fail(str(error))
    codes = [each.code for each in trusted.validators]
    if as_json:
        print_json({"file": str(place), "epoch": trusted.epoch, "validators": codes})
        return
    stdout.print(
        f"{place}: epoch {trusted.epoch}, {', '.join(codes)}. Start the node now, or again.",
        markup=False,
    )


async def _proven(url: str, foundation: Foundation) -> tuple[bytes, Trusted]:
    async with NodeSource(url) as source:
        try:
            ends = await read_chain(source, foundation)
            return encode_chain(ends), follow(foundation, ends)
        except InvalidInput as error:
            raise StandingError(
                f"what {url} says does not lead on from this genesis; nothing was written: {error}"
            ) from error


async def _found(place: str) -> tuple[Genesis, bytes | None, tuple[Validator, ...]]:
    """Genesis; where a node was asked, the epoch ends; the newest set that is known."""
    if "://" not in place:
        genesis = load_genesis(Path(place))
        return genesis, None, genesis.foundation.validators
    async with NodeSource(place) as source:
        genesis = await source.genesis()
    check_genesis(genesis)
    ends, trusted = await _proven(place, genesis.foundation)
    return genesis, ends, trusted.validators
