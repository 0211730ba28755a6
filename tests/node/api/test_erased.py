"""Partly erased files over HTTP and on the command line; what has been erased since is 410."""

import asyncio
import json
import re

import pytest
from typer.testing import CliRunner

from ledger import erasure_queue
from ledger.batch import ENTRY_BYTES, commitment
from ledger.bundle import verify_bundle
from ledger.encoding import Uint, encode
from ledger.erasing import residue_of
from ledger.erasure_rows import ACKNOWLEDGE_DAYS
from ledger.policy import Policy
from ledger.receipt import verify_receipt
from ledger.record_rows import ACCEPTED_KEY_BYTES, RecordRow
from ledger.records import encode_record
from ledger.rows import (
    LeafRow,
    decode_row,
    lane_key,
    leaf_key,
    need_row,
    residue_key,
    submission_key,
)
from ledger.store import RECORD, after
from node.api.erasures import ERASURES_SHOWN_MAX, erasing_of
from node.cli import file, score, taking
from node.cli.output import stdout
from node.cli.taking import what_it_takes
from tests.ledger.certify import certify
from tests.ledger.world import DAY, World, genesis_of, handle
from tests.node.api.live_node import BOTH

W, C = handle("w").hex(), handle("c").hex()
WHATS = ("score", "file", "bundle")


@pytest.fixture
async def history(node, client):
    """A worker with two engagements and a link to a handle of p2."""
    world = node.world
    world.run(world.register("other", 2, key=True), lane=2)
    await client.submit_msgpack(
        [
            (encode_record(each), b"")
            for each in (world.register("w", key=True), world.register("c"))
        ]
    )
    for name in ("a", "b"):
        for record in (world.open(name), world.outcome(name), world.rating(name)):
            await client.submit_msgpack([(encode_record(record), b"")])
    link = world.link((1, "w"), (2, "other"))
    await client.submit_msgpack([(link.record, link.signatures)])
    return world


@pytest.fixture
async def erasure(node, history):
    """The record id of the worker's erasure, which platform 2 has acknowledged."""
    made = history.erasure("w")
    history.put(2, [made])
    node.finalise()
    history.put(2, [history.ack(commitment(made), 2)])
    node.finalise()
    return commitment(made).hex()


async def test_a_file_says_that_it_is_partly_erased(node, client, erasure) -> None:
    found = await client.file(f"p1:{W}")
    leaves = {leaf["position"]: leaf for leaf in found["leaves"]}
    own = next(each for each in leaves.values() if each["id"] == erasure)
    taken = [each for each in leaves.values() if each["erasure"] is not None]
    marks = [each for each in leaves.values() if each["id"] == erasure and each is not own]
    assert [each["type"] for each in taken].count("engagement.open") == 2
    assert {each["type"] for each in taken} >= {"subject.register", "subject.link", "rating"}
    assert all(each["record"] is each["annotation"] is None for each in taken)
    assert {each["erasure"] for each in taken} == {own["log_index"]}
    assert [each["target"] for each in marks] == [each["log_index"] for each in taken]
    assert all(each["type"] == "erasure" and each["record"] is None for each in marks)
    assert (own["record"]["type"], own["record"]["scope"]) == ("erasure", "platform")
    ack = leaves[max(leaves)]
    assert (ack["type"], ack["target"]) == ("erasure.ack", own["log_index"])
    assert ack["record"]["erasure"] == erasure
    assert found["links"] == []
    told = found["erased"]
    assert told["records"] == len(taken) == 8
    [each] = told["erasures"]
    assert (each["id"], each["log_index"], each["records"]) == (erasure, own["log_index"], 8)
    assert each["time"] == own["time"] <= each["done"]
    assert each["due"] == each["done"] + ACKNOWLEDGE_DAYS * DAY
    assert (each["acknowledged"], each["awaited"]) == (["p2"], ["p1", "p3", "p4"])


async def test_pages_of_a_partly_erased_file_say_the_same(client, erasure) -> None:
    whole = await client.file(f"p1:{W}")
    leaves, start = [], 0
    while start is not None:
        page = await client.file(f"p1:{W}", **{"from": str(start), "limit": "3"})
        assert page["erased"] == whole["erased"]
        leaves += page["leaves"]
        start = page["next"]
    assert leaves == whole["leaves"]


async def test_who_asked_is_said_of_the_erasure_not_in_the_other_partys_file(
    client, erasure
) -> None:
    found = await client.file(f"p1:{C}")
    assert found["erased"]["records"] == 6
    marks = [leaf for leaf in found["leaves"] if leaf["id"] == erasure]
    assert len(marks) == 6
    assert W not in json.dumps(found)
    [shown] = found["erased"]["erasures"]
    asked = await client.record(shown["id"])
    assert asked["erasure"]["files"] == [f"p1:{W}"], "no secret from readers, as README says"


async def test_a_score_and_its_bundle_say_so_too(client, erasure) -> None:
    found = await client.score(f"p1:{W}")
    assert found["counts"]["erased"] == 7
    assert found["thin_file"]
    assert found["erased"]["records"] == 8
    data = await client.bundle(f"p1:{W}")
    verified = verify_bundle(data, Policy.parse(await client.policy()))
    assert verified.valid, verified.steps
    assert verified.answer.evidence.erased == 7


async def test_a_receipt_of_an_erased_record_proves_its_entry_and_opens_nothing(
    client, erasure
) -> None:
    """The node still holds the opening: it does not hand it out any more."""
    found = await client.file(f"p1:{W}")
    for leaf in found["leaves"]:
        if leaf["type"] != "erasure" or leaf["target"] is None:
            text = await client.receipt(leaf["id"])
            receipt = verify_receipt(text, Policy.parse(await client.policy()), ENTRY_BYTES)
            assert receipt.index == leaf["log_index"]
            assert (receipt.opening == b"") == (leaf["erasure"] is not None)


async def test_an_older_checkpoint_of_the_window_is_erased_or_partly_erased(
    node, client, member, history
) -> None:
    """Before the erasure: gone. After it, and before newer work: partly erased, as it was then."""
    sizes = {"before": node.certified.size}
    history.put(2, [history.erasure("w")])
    node.finalise()
    sizes["after"] = node.certified.size
    then = {what: await _raw(member, what, W) for what in WHATS}
    await client.submit_msgpack([(encode_record(history.open("later")), b"")])
    assert {what: await _raw(member, what, W, size=sizes["after"]) for what in WHATS} == then
    assert (await client.score(f"p1:{W}"))["counts"]["engagements"] == 1
    for what in WHATS:
        for handle_hex in (W, C):
            query = {"size": str(sizes["before"])}
            path = f"/v1/subjects/p1:{handle_hex}/{what}"
            async with member.get(path, params=query) as response:
                problem = await response.json(content_type=None)
                assert (response.status, problem["type"]) == (410, "urn:standing:problem:erased")


async def _raw(member, what, handle_hex, **query) -> bytes:
    path = f"/v1/subjects/p1:{handle_hex}/{what}"
    async with member.get(path, params={name: str(each) for name, each in query.items()}) as found:
        assert found.status == 200, await found.text()
        return await found.read()


async def test_an_erasure_that_goes_on_over_blocks_is_not_due_yet(
    node, client, history, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure_queue, "ERASURE_LEAVES_PER_BLOCK", 5)
    history.put(2, [history.erasure("w")])
    told = []
    while not told or told[-1]["erasures"][0]["done"] is None:
        node.finalise()
        found = await client.file(f"p1:{W}")
        told.append(found["erased"])
        taken = [leaf for leaf in found["leaves"] if leaf["erasure"] is not None]
        assert len(taken) == told[-1]["records"]
        whole = [leaf for leaf in found["leaves"] if leaf["target"] is None and not leaf["erasure"]]
        assert all(leaf["record"] is not None for leaf in whole)
        assert (await client.score(f"p1:{W}"))["erased"] == told[-1]
    assert [each["erasures"][0]["due"] for each in told[:-1]] == [None] * (len(told) - 1)
    records = [each["records"] for each in told]
    assert records == sorted(set(records))
    assert (len(told) > 2, records[-1]) == (True, 8)
    [last] = told[-1]["erasures"]
    assert last["time"] < last["done"] == node.certified.time


def test_of_many_erasures_the_newest_are_named_and_all_are_counted() -> None:
    world = World(genesis_of(4))
    count = ERASURES_SHOWN_MAX + 3
    names = [f"w{at}" for at in range(count)]
    world.run(world.register("c"), *(world.register(each, key=True) for each in names))
    world.run(*(world.open(each, worker=each) for each in names))
    world.run(*(world.erasure(each) for each in names))
    codes = {number: f"p{number}" for number in range(1, 5)}
    found = erasing_of(world.store, certify(world), [(1, handle("c"))], codes)
    assert found is not None
    assert found.records == count
    indices = [each.log_index for each in found.erasures]
    assert len(indices) == ERASURES_SHOWN_MAX
    assert indices == sorted(indices, reverse=True)
    assert indices[0] == world.state.log.size - 2, "the newest stands before the seal"
    both = [(1, handle("c")), (1, handle("w0"))]
    joined = erasing_of(world.store, certify(world), both, codes)
    assert joined is not None
    assert joined.records == count + 2  # the other party's side, and its register


async def test_what_an_erasure_would_take_is_counted(
    node, client, history, erasure, monkeypatch
) -> None:
    assert str(await what_it_takes(client, f"p1:{W}", "whole")) == f"0 records in p1:{W}"
    assert (await what_it_takes(client, f"p1:{C}", "platform")).records == 1
    other = handle("other").hex()
    history.put(1, [history.link((1, "w"), (2, "other")), history.open("late")])
    node.finalise()
    monkeypatch.setattr(taking, "PAGE_LEAVES", 2)
    found = await what_it_takes(client, f"1:{W}", "platform")
    assert (found.records, found.files, found.is_all) == (2, (f"p1:{W}",), True)
    found = await what_it_takes(client, f"p1:{W}", "whole")
    assert found.records == 2 + 2, "the other's registration, and the link there too"
    assert found.files == tuple(sorted([f"p1:{W}", f"p2:{other}"]))
    monkeypatch.setattr(taking, "COUNTED_LEAVES_MAX", 3)
    found = await what_it_takes(client, f"p1:{W}", "platform")
    assert (found.is_all, str(found)[:8]) == (False, "at least")


async def test_whole_files_have_nothing_erased(client, history) -> None:
    assert (await client.score(f"p1:{W}"))["erased"] is None
    assert (await client.file(f"p1:{W}"))["erased"] is None


async def test_what_is_erased_since_the_checkpoint_is_gone_at_once(node, member, history) -> None:
    """The openings are still held: the answer depends on the ledger alone."""
    history.run(history.erasure("w"), lane=2)
    assert node.certified.size < history.state.log.size
    for subject in (f"p1:{W}", f"p1:{C}"):
        for what in WHATS:
            async with member.get(f"/v1/subjects/{subject}/{what}") as response:
                problem = await response.json(content_type=None)
                assert response.status == 410, problem
                assert problem["type"] == "urn:standing:problem:erased"
                assert problem["title"] == "Erased since"
                assert "newer checkpoint" in problem["detail"]


async def test_a_node_that_catches_up_from_residues_is_not_damaged(node, member, history) -> None:
    """It has executed what is left of records, and not yet the erasure that took them."""
    store, coming = history.store, history.state.log.size + 5
    node.finalise()
    refused = history.put(1, [history.register("c")])
    node.finalise()
    ids = []
    for key, data in list(store.scan(RECORD, after(RECORD))):
        if len(key) == ACCEPTED_KEY_BYTES:
            row = need_row(store, LeafRow, leaf_key(decode_row(Uint, key, data)))
        else:
            row = decode_row(RecordRow, key, data)
        place = (row.lane, row.height, row.position)
        name = store.get(lane_key(*place[:2])) or b""
        residue = residue_of(store, history.state.vocabulary, place, coming)
        rows = {residue_key(name, place[2]): encode(residue)}
        store.write({**rows, submission_key(name, place[2]): None})
        ids.append(residue.commitment)
    assert refused.commitments[0] in ids
    for what in WHATS:
        async with member.get(f"/v1/subjects/p1:{W}/{what}") as response:
            problem = await response.json(content_type=None)
            assert (response.status, problem["title"]) == (410, "Erased since"), problem
            assert f"by log entry {coming}" in problem["detail"]
    for each in ids:
        async with member.get(f"/v1/records/{each.hex()}") as response:
            state = await response.json()
            assert (response.status, state["erased"]) == (200, None), state


async def test_the_command_line_says_partly_erased(
    server, client, erasure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDING_NODE", str(server.make_url("/")))
    monkeypatch.setenv("STANDING_TOKEN", BOTH)
    monkeypatch.setattr(stdout, "width", 200)

    async def run(command, subject: str = f"p1:{W}") -> str:
        told = await asyncio.to_thread(CliRunner().invoke, command.app, [subject])
        assert told.exit_code == 0, told.output
        return told.stdout

    told = await run(score)
    assert "partly erased: 8 records" in told
    assert "acknowledged by p2; awaited of p1, p3, p4 until" in told
    assert "cannot be recalled" in told
    told = await run(file)
    assert "partly erased: 8 records" in told
    assert told.count("(erased by ") == 8
    assert len(re.findall(r" erases \d+", told)) == 8
    assert "platform 2 has destroyed what" in told
