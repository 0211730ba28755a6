"""Another model among four real nodes: compared, proposed, approved, in force; what was, stays."""

import asyncio
import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from ledger.bureau.answer import Question
from ledger.bureau.model import FIRST_MODEL
from ledger.bureau.reading import answer
from ledger.bureau.standing import ATTESTED
from ledger.governing import read_open
from ledger.records import Record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.rating import Rating
from ledger.records.subject import SubjectRegister
from node.cli import app
from node.client import Client
from node.comparing.twins import Place
from tests.ledger.world import handle, reference
from tests.node.running_net import Net, now_ms, running, until

DAY = 86_400_000
JOBS = 4


def url_of(net: Net, code: str) -> str:
    host, port = net.nodes[code].api_address
    return f"http://{host}:{port}"


def token_of(net: Net, code: str) -> str:
    return (net.folder / code / "token").read_text().strip()


async def command(*arguments: object, token: str = "", code: int = 0) -> str:
    """A command of `standing`, beside the running nodes; what it prints."""
    done = await asyncio.to_thread(
        CliRunner().invoke, app, [*map(str, arguments)], env={"STANDING_TOKEN": token}
    )
    assert done.exit_code == code, (arguments, done.output)
    return done.stdout


async def figures(*arguments: object, token: str = "") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await command(*arguments, "--json", token=token))
    return found


def work() -> list[Record]:
    """One worker, one client, some jobs that went well."""
    began = now_ms() - 100 * DAY
    records: list[Record] = [
        SubjectRegister(1, began, handle("w"), b"", "none"),
        SubjectRegister(1, began, handle("c"), b"", min(ATTESTED)),  # type: ignore[arg-type]
    ]
    for nth in range(JOBS):
        at, name = began + nth * 20 * DAY, reference(f"job {nth}")
        terms = ("gig", ("delivery",), "lead", at, at + DAY, 2)
        records += [
            EngagementOpen(1, at, name, handle("w"), handle("c"), *terms),  # type: ignore[arg-type]
            EngagementOutcome(1, at + DAY, name, "completed", "none", 0, "accepted", "platform"),
            Rating(1, at + DAY, name, "of-worker", handle("c"), b"", "stars-5", 5, ()),
        ]
    return records


def model_in_force(net: Net, code: str) -> str:
    return net.nodes[code].state.parameters.model.id


async def test_a_model_is_proposed_approved_and_comes_into_force(tmp_path: Path) -> None:
    subject, file = f"1:{handle('w').hex()}", tmp_path / "model.toml"
    async with running(tmp_path / "net", "abcd", epoch_blocks=4) as net:
        await net.final("a", *work())
        a, token = url_of(net, "a"), token_of(net, "a")
        async with Client(a, token) as client:
            (tmp_path / "policy").write_text(await client.policy())
            (tmp_path / "old").write_bytes(await client.bundle(subject))
            old = await client.score(subject)
            assert old["model"] == FIRST_MODEL.id
        await net.stop("d")  # away while all this is agreed
        text = await command("model", "show", "--node", a, "--toml")
        wanted = text.replace(f'id = "{FIRST_MODEL.id}"', 'id = "other"')
        wanted = wanted.replace(
            f"points_base = {FIRST_MODEL.points_base}",
            f"points_base = {FIRST_MODEL.points_base + 7}",
        )
        file.write_text(wanted)
        home = ("--home", net.folder / "a")
        proposed = await figures("model", "propose", "--model", file, *home, "--yes")
        assert proposed["state"] == "final"
        compared = proposed["comparison"]
        assert [each["name"] for each in compared["numbers"]] == ["id", "points_base"]
        assert compared["on_the_day"]["moved"] == 2, "the worker and the client"
        assert compared["on_the_day"]["points"]["p50"] == 7
        assert compared["outcomes"] == {"of": JOBS, "predicted": JOBS}
        assert model_in_force(net, "a") == FIRST_MODEL.id, "nobody else has agreed"
        for code in "bc":
            await until(lambda code=code: bool(read_open(net.nodes[code].reader)))
            said = await command(
                "network", "approve", proposed["id"], "--home", net.folder / code, "--yes"
            )
            assert f"points_base: {FIRST_MODEL.points_base} → {FIRST_MODEL.points_base + 7}" in said
        await net.pass_epochs("a", lambda: all(model_in_force(net, c) == "other" for c in "abc"))
        await net.final("a", count=1)
        async with Client(a, token) as client:
            new = await client.score(subject)
            assert (old["model"], new["model"]) == (FIRST_MODEL.id, "other")
            assert new["points"] == new["base_points"] + sum(
                each["points"] for each in new["reasons"]
            )
            (tmp_path / "new").write_bytes(await client.bundle(subject))
            shown = await figures("model", "show", "--node", a)
            assert [each["id"] for each in shown["models"]] == [FIRST_MODEL.id, "other"]
        size, height = old["checkpoint"]["size"], old["checkpoint"]["height"]
        question = Question(1, handle("w"), "worker", "", old["as_of"])
        again = answer(net.nodes["a"].reader, Place(height, size), question)
        assert (again.model, again.points) == (FIRST_MODEL.id, old["points"]), "as it was then"
        for name, model in (("old", FIRST_MODEL.id), ("new", "other")):
            told = await figures("verify", tmp_path / name, "--policy", tmp_path / "policy")
            assert (told["valid"], told["model"]) == (True, model)
        await net.start("d")
        await net.ready("d")
        await until(lambda: net.same("a", "d") and model_in_force(net, "d") == "other")
        report = await figures("audit", a, "--policy", tmp_path / "policy", token=token)
        assert report["findings"] == []
    folder = net.folder / "d"
    report = await figures("audit", folder, "--policy", tmp_path / "policy")
    assert report["findings"] == []
    (tmp_path / "back").write_text(text)
    back = await figures("model", "compare", folder, "--model", tmp_path / "back")
    assert (back["before"]["id"], back["after"]["id"]) == ("other", FIRST_MODEL.id)
    assert back["on_the_day"]["points"]["p50"] == -7
    told_people = await command("model", "compare", folder, "--model", tmp_path / "back")
    assert f"points_base: {FIRST_MODEL.points_base + 7} → {FIRST_MODEL.points_base}" in told_people
    assert "by platform" in told_people
