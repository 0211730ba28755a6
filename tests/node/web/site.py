"""A node for pages in memory: a real ledger with a few workers, behind the real handlers."""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from aiohttp import web

from node.api.auth import SESSIONS
from node.api.port import NODE
from node.api.session import Sessions
from node.config import Token
from node.web import add_pages
from tests.ledger.world import DAY, START, World, genesis_of, handle

READ_TOKEN = "a token that may read"
WRITE_TOKEN = "a token that may only write"
HOSTILE = "<script>alert('x')</script>\" onload=\"y"
GOOD, THIN, FRESH = handle("good"), handle("thin"), handle("fresh")


def _token(name: str, secret: str, *may: str) -> Token:
    return Token(name, sha256(secret.encode()).hexdigest(), frozenset(may))  # type: ignore[arg-type]


@dataclass
class Config:
    """As much of a configuration as pages read."""

    tokens: tuple[Token, ...] = (
        _token("reader", READ_TOKEN, "read"),
        _token("writer", WRITE_TOKEN, "write"),
    )


@dataclass
class Certified:
    """A certified checkpoint as pages read it."""

    height: int
    size: int
    root: bytes
    time: int
    note: bytes = b""


@dataclass
class SiteNode:
    """A node as pages see it."""

    world: World
    ready: bool = True
    forgotten: str = ""
    number: int = 1
    role: str = "validator"
    config: Config = field(default_factory=Config)
    certified: Certified | None = None
    references: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        state = self.world.state
        self.certified = Certified(state.height, state.log.size, state.log.root(), state.time)
        self.reader = self.world.store
        self.state = state
        self.validators = state.validators
        self.codes = {each.number: each.code for each in state.validators}
        self.code = self.codes[self.number]
        self.chain, self.origin = state.chain, state.foundation.origin

    def handle_of(self, reference: str) -> bytes | None:
        """The handle of a reference, if it has one."""
        return self.references.get(reference)


def ledger(engagements: int = 40) -> World:
    """A worker with a history on two platforms, one with a thin file, one with none."""
    world = World(genesis_of(platforms=4))
    world.run(
        world.register("c", assurance="document"),
        world.register("d", assurance="document"),
        world.register("good", key=True),
        world.register("thin"),
        world.register("fresh"),
        time=START + DAY,
    )
    world.run(
        world.register("good2", platform=2, key=True),
        world.register("c2", platform=2),
        lane=2,
    )
    world.run(world.link((1, "good"), (2, "good2")))
    _work(world, engagements)
    world.run(world.open("t1", worker="thin"))
    return world


def _work(world: World, engagements: int) -> None:
    for number in range(engagements):
        name, client = f"e{number}", "cd"[number % 2]
        opened = world.open(name, worker="good", client=client)
        world.run(opened, time=world.time + 2 * DAY)
        status: dict[str, object] = {}
        if number % 9 == 4:
            status = {"status": "late", "fault": "worker", "lateness_band": 2}
        if number % 17 == 11:
            status = {"status": "no-show", "fault": "worker", "acceptance": "unknown"}
        world.time += DAY
        world.run(
            world.outcome(name, **status),
            world.rating(name, rater=client, value=2 if status else 5 - number % 2),
            time=world.time + 1,
        )
    opened = world.open("f1", worker="good2", client="c2", platform=2)
    world.run(opened, lane=2, time=world.time + DAY)
    world.run(world.outcome("f1", platform=2), lane=2, time=world.time + DAY)


def site(node: Any) -> web.Application:
    """The pages of a node as an application."""
    app = web.Application()
    app[NODE] = node
    app[SESSIONS] = Sessions()
    add_pages(app, node)
    return app
