"""The network as this node sees it: members, chain, heights, the newest certified checkpoint."""

from importlib.metadata import version
from itertools import islice
from typing import Final

import msgspec
from aiohttp import web

from ledger.genesis import Genesis
from ledger.governing import read_evidence, read_open
from ledger.membership import quorum
from ledger.position import State
from ledger.store import Reader
from node.api.auth import reader_of
from node.api.port import NODE
from node.api.routes import JSON, Content, Route, json_response

ACCUSATIONS_MAX: Final = 1_024
"""So much evidence is looked at for one answer."""


class Member(msgspec.Struct, frozen=True):
    """A platform of the current set. `linked`: this node's link to it stands (null: not told)."""

    number: int
    code: str
    lane_key: bytes
    vote_key: bytes
    cosigner_key: bytes
    log_key: bytes
    linked: bool | None


class LaneTip(msgspec.Struct, frozen=True):
    """How far a lane has been executed."""

    lane: int
    height: int
    hash: bytes


class Executed(msgspec.Struct, frozen=True):
    """How far this node has executed the ledger."""

    height: int
    block: bytes
    time: int
    epoch: int
    size: int
    root: bytes
    cut: tuple[LaneTip, ...]


class CertifiedCheckpoint(msgspec.Struct, frozen=True):
    """The newest checkpoint with a quorum of cosignatures; `note` is its signed note."""

    height: int
    size: int
    root: bytes
    time: int
    note: str


class Network(msgspec.Struct, frozen=True):
    """What a node says of itself and of the network. `role`: a validator votes, an observer only
    follows and serves reads. `forgotten`: why its keys never sign again, and what to do; or
    nothing. `changes`: how many changes of the membership are open, `accused`: against whom there
    is evidence on the ledger (`/v1/governance` has both in full)."""

    origin: str
    chain: bytes
    version: str
    platform: int
    code: str
    role: str
    ready: bool
    forgotten: str
    quorum: int
    members: tuple[Member, ...]
    changes: int
    accused: tuple[str, ...]
    executed: Executed
    checkpoint: CertifiedCheckpoint | None


def describe(state: State) -> Executed:
    """How far a ledger state reaches."""
    return Executed(
        height=state.height,
        block=state.block_hash,
        time=state.time,
        epoch=state.epoch,
        size=state.log.size,
        root=state.log.root(),
        cut=tuple(LaneTip(tip.lane, tip.height, tip.hash) for _, tip in sorted(state.cut.items())),
    )


def accused(reader: Reader) -> list[int]:
    """The platforms against which there is evidence on the ledger."""
    found = islice(read_evidence(reader), ACCUSATIONS_MAX)
    return sorted({each.evidence.number for each in found})


async def get_network(request: web.Request) -> web.Response:
    """The network; link states are told to those who may read."""
    node = request.app[NODE]
    reader = reader_of(request)
    linked = frozenset(node.linked) if reader is not None and "read" in reader.may else None
    members = tuple(
        Member(
            each.number,
            each.code,
            each.lane_key,
            each.vote_key,
            each.cosigner_key,
            each.log_key,
            None if linked is None or each.number == node.number else each.number in linked,
        )
        for each in node.validators
    )
    certified = node.certified
    checkpoint = certified and CertifiedCheckpoint(
        certified.height,
        certified.size,
        certified.root,
        certified.time,
        certified.note.decode(),
    )
    codes = node.codes
    network = Network(
        origin=node.origin,
        chain=node.chain,
        version=version("standing-ledger"),
        platform=node.number,
        code=node.code,
        role=node.role,
        ready=node.ready,
        forgotten=node.forgotten,
        quorum=quorum(len(members)),
        members=members,
        changes=len(read_open(node.reader)),
        accused=tuple(codes.get(number, str(number)) for number in accused(node.reader)),
        executed=describe(node.state),
        checkpoint=checkpoint,
    )
    return json_response(network)


async def get_genesis(request: web.Request) -> web.Response:
    """What all nodes share from the start; its hash is the chain id."""
    genesis: Genesis = request.app[NODE].genesis
    return json_response(genesis)


ROUTES: Final = (
    Route(
        "GET",
        "/v1/network",
        get_network,
        "Members, heights and the newest certified checkpoint",
        "network",
        None,
        {200: (Content(JSON, Network),)},
        problems=(401,),
    ),
    Route(
        "GET",
        "/v1/network/genesis",
        get_genesis,
        "Genesis: members, bounds, first parameters",
        "network",
        None,
        {200: (Content(JSON, Genesis),)},
    ),
)
