"""A node that a test serves, its platform's folder, and the fixtures that make both."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer
from msgspec.structs import replace as struct_replace

from ledger.genesis import Foundation, Genesis
from node.api.app import make_app
from node.config import Address, load_config
from node.home import Plan, write_home
from node.keystore import WITNESS
from node.network import genesis_text
from tests.ledger.members import Members, party
from tests.ledger.world import DAY, genesis_of, seed
from tests.node.api.live_node import LiveNode
from tests.node.api.test_cli import Served

PURPOSES = ("root", "lane", "vote", "cosigner", "log", "link")


def genesis_of_parties() -> Genesis:
    """As the tests' usual one, but with certificates that are some."""
    parties = [party(number) for number in (1, 2, 3, 4)]
    foundation: Foundation = struct_replace(
        genesis_of(4).foundation, validators=tuple(each.validator for each in parties)
    )
    return Genesis(foundation, tuple(each.proofs for each in parties))


class Governed(Served):
    """A served node of platform 1, and that platform's folder."""

    async def _start(self) -> tuple[LiveNode, TestServer]:
        node = LiveNode(genesis_of_parties())
        node.world.time = time.time_ns() // 1_000_000 + DAY  # ahead of the commands' clock
        server = TestServer(make_app(node))
        await server.start_server()
        return node, server

    def settle(self, folder: Path) -> Path:
        """Write the folder, whose tokens the node knows from then on."""
        node, home = self.node, folder / "p1"
        (folder / "genesis.json").write_bytes(genesis_text(node.genesis))
        address = Address(str(self.server.host), int(self.server.port or 0))
        plan = Plan(1, "p1", address, Address("127.0.0.1", 1), {})
        seeds = {purpose: seed("key", 1, purpose) for purpose in PURPOSES}
        seeds[WITNESS] = seed("witness")
        write_home(home, plan, seeds, origin=node.origin, genesis="../genesis.json")
        node.config = replace(node.config, tokens=load_config(home / "node.toml").tokens)
        return home

    def say(self, what):
        """Do something in the node's own thread, as the other members would."""

        async def run():
            return what(Members(self.node.world))

        return self._run(run())


@pytest.fixture
def governed() -> Iterator[Governed]:
    made = Governed()
    yield made
    made.stop()


@pytest.fixture
def home(governed: Governed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("STANDING_NODE", "STANDING_TOKEN", "STANDING_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return governed.settle(tmp_path)
