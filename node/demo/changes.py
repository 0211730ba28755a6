"""The membership's story: five changes of the set under a steady load, by commands anyone can run.

Four platforms run, and each is handed records without end. A fifth joins from an empty folder by
two commands on its side; one changes its keys; one leaves; one is removed. At the end every record
that a node acknowledged is final, all nodes have one root, an audit finds nothing, and who trusts
nothing but genesis follows the sets to today's, with one proof for each change.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from ledger.checkpoint import verify_checkpoint_strict
from ledger.errors import StandingError
from ledger.policy import Policy
from ledger.records import encode_record
from ledger.records.subject import SubjectRegister
from node.client import Client
from node.demo.checks import run
from node.federation import Federation, Seat, create, free_ports_from

FOUNDERS: Final = ("a", "b", "c", "d")
JOINER: Final = "e"
EPOCH_BLOCKS: Final = 8
AT_ONCE: Final = 10
PAUSE_S: Final = 0.1
STEP_S: Final = 60.0
LOOK_S: Final = 0.1
NOT_HERE: Final = "urn:standing:problem:not-here"

T = TypeVar("T")
Say = Callable[[str], None]


class StoryFailed(StandingError):
    """A step of the story did not come about."""


@dataclass(slots=True)
class Figures:
    """What came of it. `seconds`: of each step, from asking until the set has changed."""

    acknowledged: int = 0
    final: int = 0
    refused: int = 0
    roots_equal: bool = False
    audit_findings: int = -1
    members: tuple[str, ...] = ()
    light_client_members: tuple[str, ...] = ()
    epoch: int = 0
    epoch_ends: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    total_seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether everything held."""
        return (
            0 < self.acknowledged == self.final
            and self.roots_equal
            and self.audit_findings == 0
            and self.members == self.light_client_members == ("a", "b", "e")
        )

    def to_json(self) -> dict[str, Any]:
        """The figures by name."""
        return {
            "records_acknowledged": self.acknowledged,
            "records_final": self.final,
            "records_turned_away": self.refused,
            "roots_equal": self.roots_equal,
            "audit_findings": self.audit_findings,
            "members": list(self.members),
            "light_client_members": list(self.light_client_members),
            "epoch": self.epoch,
            "epoch_ends": self.epoch_ends,
            "seconds": {name: round(each, 2) for name, each in self.seconds.items()},
            "total_seconds": round(self.total_seconds, 2),
            "good": self.is_good,
        }


class Feeder:
    """Hands records to one node without end, and keeps the ids that it acknowledged."""

    def __init__(self, seat: Seat, client: Client) -> None:
        self.seat, self._client = seat, client
        self.ids: list[str] = []
        self.turned_away = 0
        self._over = False
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while not self._over:
            records = [_register(self.seat.number) for _ in range(AT_ONCE)]
            for answer in await self._client.submit_msgpack(records):
                if answer.get("id"):
                    self.ids.append(answer["id"])
                else:
                    self.turned_away += 1
                    self._over |= answer["problem"]["type"] == NOT_HERE
            await asyncio.sleep(PAUSE_S)

    async def stop(self) -> None:
        """Hand in nothing more; what was handed in is answered first."""
        self._over = True
        await self._task

    async def end(self) -> None:
        """Stop at once: the story has ended, well or not."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def _register(platform: int) -> tuple[bytes, bytes]:
    at_ms = time.time_ns() // 1_000_000
    return encode_record(SubjectRegister(platform, at_ms, os.urandom(32), b"", "none")), b""


class Story:
    """One run. Use `tell`."""

    def __init__(self, folder: Path, federation: Federation, say: Say) -> None:
        self._folder, self._federation, self._say = folder, federation, say
        self._clients: dict[str, Client] = {}
        self._feeders: dict[str, Feeder] = {}
        self.figures = Figures()

    async def tell(self, stack: AsyncExitStack) -> Figures:
        """All of it, in order.

        Raises:
            StandingError: a step did not come about.
        """
        began = time.monotonic()
        for seat in self._federation.seats:
            await self._feed(stack, seat)
        self._say(f"{len(FOUNDERS)} nodes run and are fed")
        await self._step("join", self._join(stack))
        await self._step("rotate", self._rotate("b", ("a", "c", "d")))
        await self._step("leave", self._leave("c"))
        await self._step("remove", self._remove("d", "a", ("b", "e")))
        for feeder in self._feeders.values():
            await feeder.stop()
        await self._check()
        self.figures.total_seconds = time.monotonic() - began
        return self.figures

    async def _feed(self, stack: AsyncExitStack, seat: Seat) -> None:
        client = await stack.enter_async_context(Client(seat.url, seat.token))
        self._clients[seat.code] = client
        feeder = self._feeders[seat.code] = Feeder(seat, client)
        stack.push_async_callback(feeder.end)

    async def _step(self, name: str, work: Awaitable[str]) -> None:
        began = time.monotonic()
        said = await work
        took = self.figures.seconds[name] = time.monotonic() - began
        self._say(f"{name}: {said} ({took:.1f} s)")

    # --- the steps ---

    async def _join(self, stack: AsyncExitStack) -> str:
        home, federation = self._folder / JOINER, self._federation
        port = free_ports_from(federation.seats[0].config.api_listen.port + 200, 2)
        peers = [f"--peer={each.code}={each.config.peers_listen}" for each in federation.seats]
        made = await run(
            [
                *("network", "join", str(home), "--genesis", federation.urls[0]),
                *("--chain", federation.chain.hex(), "--code", JOINER, *peers),
                *("--api", f"127.0.0.1:{port}", "--peers", f"127.0.0.1:{port + 1}"),
            ]
        )
        seat = federation.add(made["number"], JOINER, home)
        federation.start(JOINER)
        await self._member("a", "propose", made["request"])
        await self._approve(seat.number, ("b", "c"))
        await self._until(lambda members: JOINER in members)
        await federation.wait_ready([JOINER])
        await self._until_role(seat, "validator")
        await self._feed(stack, seat)
        return f"{JOINER} votes as platform {seat.number}"

    async def _rotate(self, code: str, approving: Sequence[str]) -> str:
        seat = self._federation.seat(code)
        before = (await self._members())[code]["lane_key"]
        await self._member(code, "rotate", str(seat.folder))
        await self._approve(seat.number, approving)
        await self._until(lambda members: members[code]["lane_key"] != before)
        old = seat.config.keys.with_name("keys.next")
        await _until(_value(old.exists), lambda there: not there, "the old keys are destroyed")
        await self._federation.wait_ready([code])
        return f"{code} signs with new keys"

    async def _leave(self, code: str) -> str:
        await self._member(code, "leave", "--yes")
        await self._until(lambda members: code not in members)
        await self._feeders[code].stop()
        ids = self._feeders[code].ids
        await self._finals(code, ids)
        return f"{code} is gone, all its {len(ids)} records are final"

    async def _remove(self, code: str, proposer: str, approving: Sequence[str]) -> str:
        await self._feeders[code].stop()
        await self._finals(code, self._feeders[code].ids)
        self._federation.kill(code)
        await self._member(proposer, "remove", code, "--yes")
        await self._approve(self._federation.seat(code).number, approving)
        await self._until(lambda members: code not in members)
        return f"{code}, whose node was dead, is removed"

    # --- their parts ---

    async def _member(self, code: str, *arguments: str) -> dict[str, Any]:
        """A command of `standing network`, at a member's node."""
        home = (
            () if arguments[0] == "rotate" else ("--home", str(self._federation.seat(code).folder))
        )
        answer = await run(["network", *arguments, *home])
        if answer.get("state") not in ("final", "sent"):
            raise StoryFailed(f"standing network {' '.join(arguments)}: {answer}")
        return answer

    async def _approve(self, number: int, codes: Sequence[str]) -> None:
        found = await self._clients["a"].governance()
        fits = [
            each
            for each in found["changes"]
            if each["number"] == number and each["state"] in ("open", "approved", "complete")
        ]
        for code in codes:
            await self._seen(code, fits[-1]["id"])
            await self._member(code, "approve", fits[-1]["id"], "--yes")

    async def _seen(self, code: str, change: str) -> None:
        """Wait until a node has executed the record that asked for a change."""

        async def listed() -> list[str]:
            found = await self._clients[code].governance()
            return [each["id"] for each in found["changes"]]

        await _until(listed, lambda ids: change in ids, f"{code} knows of the change")

    async def _members(self) -> dict[str, Any]:
        network = await self._clients["a"].network()
        return {each["code"]: each for each in network["members"]}

    async def _until(self, holds: Callable[[dict[str, Any]], bool]) -> None:
        await _until(self._members, holds, "the set changes")

    async def _until_role(self, seat: Seat, role: str) -> None:
        async with Client(seat.url) as client:

            async def asked() -> str:
                return str((await client.network())["role"])

            await _until(asked, lambda is_: is_ == role, f"{seat.code} is a {role}")

    async def _finals(self, code: str, ids: Sequence[str]) -> None:
        states = await self._clients["a"].wait_final(ids, timeout_s=STEP_S)
        if {state for state, _ in states} - {"final"}:
            raise StoryFailed(f"records that {code} acknowledged are not final: {set(states)}")

    # --- the end ---

    async def _check(self) -> None:
        figures, clients = self.figures, [self._clients[code] for code in ("a", "b", "e")]
        ids = [each for feeder in self._feeders.values() for each in feeder.ids]
        states = await clients[0].wait_final(ids, timeout_s=STEP_S)
        figures.acknowledged = len(ids)
        figures.final = sum(state == "final" for state, _ in states)
        figures.refused = sum(feeder.turned_away for feeder in self._feeders.values())

        async def checkpoints() -> set[Any]:
            return {
                verify_checkpoint_strict(await each.checkpoint(), Policy.parse(await each.policy()))
                for each in clients
            }

        found = await _until(checkpoints, lambda each: len(each) == 1, "the nodes agree")
        figures.roots_equal = len(found) == 1
        figures.members = tuple(await self._members())
        genesis = str(self._federation.folder / "genesis.json")
        urls = self._federation.urls
        light = await run(["export", "policy", "--genesis", genesis, "--node", urls[-1]])
        figures.light_client_members = tuple(each["code"] for each in light["validators"])
        figures.epoch, figures.epoch_ends = light["epoch"], light["epoch_ends"]
        policy = self._folder / "policy"
        policy.write_text(light["policy"], encoding="utf-8")
        token = {"STANDING_TOKEN": self._federation.tokens[0]}
        audit = await run(["audit", urls[0], "--policy", str(policy)], token)
        figures.audit_findings = len(audit["findings"])
        for each in audit["findings"]:
            self._say(f"the audit finds: {each}")


async def _until(ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool], what: str) -> T:
    """Ask again until the answer will do.

    Raises:
        StoryFailed: it does not in time.
    """
    clock = asyncio.get_running_loop().time
    until_s = clock() + STEP_S
    while not holds(answer := await ask()):
        if clock() > until_s:
            raise StoryFailed(f"in {STEP_S:.0f} s not: {what}; last: {answer}")
        await asyncio.sleep(LOOK_S)  # another process, over HTTP
    return answer


def _value(read: Callable[[], T]) -> Callable[[], Awaitable[T]]:
    async def ask() -> T:
        return read()

    return ask


async def tell_story(folder: Path, say: Say) -> Figures:
    """The whole story in a new folder; ends all its nodes.

    Raises:
        StandingError: a node does not come up, or a step does not come about.
    """
    net = folder / "net"
    await asyncio.to_thread(create, net, FOUNDERS, epoch_blocks=EPOCH_BLOCKS)
    async with Federation.at(net) as federation, AsyncExitStack() as stack:
        return await Story(folder, federation, say).tell(stack)


def main() -> int:
    """The command line of scripts/membership-demo."""
    parser = argparse.ArgumentParser(prog="membership-demo", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    parser.add_argument("--dir", type=Path, help="keep the folders here (a new or empty one)")
    options = parser.parse_args()
    say: Say = (lambda line: print(line, file=sys.stderr, flush=True)) if options.json else print
    with contextlib.ExitStack() as stack:
        folder = options.dir or Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="standing-members-", ignore_cleanup_errors=True)
            )
        )
        try:
            figures = asyncio.run(tell_story(folder, say))
        except StandingError as error:
            print(f"membership-demo: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    print(json.dumps(figures.to_json(), indent=2))
    return 0 if figures.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
