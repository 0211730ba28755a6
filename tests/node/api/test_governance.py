"""Changes of the membership and evidence over HTTP: how far each is, and the records that asked."""

import pytest

from ledger.records import decode_record
from ledger.records.membership import MemberPropose
from node.api.json_records import record_from_json
from tests.ledger.members import Members, party
from tests.node.audit.test_accused import two_notarizes


@pytest.fixture
def members(node) -> Members:
    return Members(node.world)


async def _only(client):
    (change,) = (await client.governance())["changes"]
    return change


async def test_a_network_without_changes_says_so(node, client) -> None:
    found = await client.governance()
    assert (found["changes"], found["evidence"], found["next"]) == ([], [], None)
    assert (found["epoch"], found["quorum"], found["free_number"]) == (1, 3, 5)
    network = await client.network()
    assert (network["changes"], network["accused"]) == (0, [])
    assert network["role"] == "validator"


async def test_a_change_is_shown_from_asking_to_binding(node, client, members) -> None:
    fifth = party(5)
    asked = members.ask(1, members.propose(1, fifth))
    change = await _only(client)
    assert change["id"] == asked.hex()
    assert (change["type"], change["state"]) == ("member.propose", "open")
    assert (change["number"], change["code"]) == (5, fifth.validator.code)
    assert [each["number"] for each in change["approvals"]] == [1]
    assert change["needed"] == 3
    record, _ = record_from_json(change["record"])
    proposed = decode_record(record)
    assert isinstance(proposed, MemberPropose)
    assert proposed.validator == fifth.validator
    assert (await client.governance())["free_number"] == 6
    members.agree(asked, 2, 3)
    assert (await _only(client))["state"] == "approved"
    members.say(2, members.ready(fifth, asked))
    change = await _only(client)
    assert (change["state"], change["ready_epoch"]) == ("complete", 1)
    assert (await client.network())["changes"] == 1
    assert members.end() == (1, 2, 3, 4, 5)
    change = await _only(client)
    assert (change["state"], change["bound"]) == ("bound", 2)
    found = await client.governance()
    assert (found["epoch"], found["quorum"]) == (2, 4)
    assert (await client.network())["changes"] == 0


async def test_pages_of_changes_lead_on(node, client, stranger, members) -> None:
    first = members.ask(1, members.remove(1, 4))
    second = members.ask(2, members.leave(2))
    async with stranger.get("v1/governance", params={"limit": "1"}) as response:
        page = await response.json()
    assert [each["id"] for each in page["changes"]] == [first.hex()]
    rest = await client.governance(page["next"])
    assert [each["id"] for each in rest["changes"]] == [second.hex()]
    assert rest["changes"][0]["needed"] == 0, "nobody need approve a leaving"
    async with stranger.get("v1/governance", params={"limit": "0"}) as response:
        assert response.status == 400


async def test_evidence_is_told_with_both_messages(node, client) -> None:
    world = node.world
    record = two_notarizes(world.chain, 2, world.time)
    assert world.rules(record) == [""]
    (told,) = (await client.governance())["evidence"]
    assert (told["number"], told["kind"], told["epoch"]) == (2, "two notarizes", 1)
    assert (told["slot"], told["teller"]) == (7, 1)
    assert bytes.fromhex(told["first"]) == record.first
    assert bytes.fromhex(told["second"]) == record.second
    code = next(each.code for each in node.validators if each.number == 2)
    assert (await client.network())["accused"] == [code]
