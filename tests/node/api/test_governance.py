"""Changes of the membership and evidence over HTTP: how far each is, and the records that asked."""

from hashlib import sha256

import pytest
from msgspec.structs import replace

from ledger.binding import LAPSE_MS
from ledger.bureau.model import FIRST_MODEL
from ledger.encoding import encode
from ledger.genesis import FIRST_BOUNDS
from ledger.records import decode_record
from ledger.records.membership import MemberPropose
from node.api.json_records import record_from_json, value_to_json
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


async def test_who_approved_when_and_what_is_missing(node, client, members) -> None:
    fifth = party(5)
    asked = members.ask(1, members.propose(1, fifth))
    members.agree(asked, 3)
    change = await _only(client)
    assert (change["proposer"], change["proposer_code"]) == (1, "p1")
    assert [(each["code"], each["counts"]) for each in change["approvals"]] == [
        ("p1", True),
        ("p3", True),
    ]
    first, second = change["approvals"]
    assert first["log_index"] == change["log_index"] < second["log_index"]
    assert first["time"] == change["time"] <= second["time"] == node.world.time
    assert (change["needed"], change["missing"], change["awaited"]) == (3, 1, ["p2", "p4"])
    assert (change["is_ready"], change["ready"], change["earliest"]) == (False, None, 2)
    assert change["lapses"] == change["time"] + LAPSE_MS
    assert change["fingerprint"] == sha256(encode(fifth.validator)).hexdigest()
    assert (change["bound"], change["void"], change["burned"]) == (None, None, False)
    found = await client.governance()
    assert (found["height"], found["epoch_end"]) == (node.state.height, FIRST_BOUNDS.epoch_blocks)
    members.agree(asked, 4)
    change = await _only(client)
    assert (change["missing"], change["awaited"], change["lapses"]) == (0, ["p2"], None)


async def test_an_approval_of_who_has_left_does_not_count(client, members) -> None:
    asked = members.ask(4, members.propose(4, party(5)))
    members.agree(asked, 2)
    members.ask(4, members.leave(4))
    members.end()
    change, _ = (await client.governance())["changes"]
    assert [each["counts"] for each in change["approvals"]] == [False, True]
    assert change["approvals"][0]["code"] == "p4"
    assert (change["needed"], change["missing"], change["awaited"]) == (3, 2, ["p1", "p3"])


async def test_only_so_many_seats_change_at_an_epochs_end(client, members) -> None:
    removal = members.ask(1, members.remove(1, 4))
    members.ask(3, members.leave(3))
    members.agree(removal, 2, 3)
    removed, left = (await client.governance())["changes"]
    assert [each["state"] for each in (removed, left)] == ["complete", "complete"]
    assert (left["earliest"], removed["earliest"]) == (2, 3), "who was complete first goes first"
    assert left["is_ready"] is removed["is_ready"] is None
    assert (left["missing"], left["awaited"], left["lapses"]) == (0, [], None)


async def test_what_lapsed_is_void_and_frees_its_number(node, client, members) -> None:
    members.ask(1, members.propose(1, party(5)))
    members.ask(2, members.rotate(party(2, "new", root=party(2).keys["root"])))
    node.world.time += LAPSE_MS
    for number in members.numbers:
        node.world.put(number, [])
    assert (await client.governance())["free_number"] == 6
    members.end()
    found = await client.governance()
    assert found["free_number"] == 5
    proposed, rotation = found["changes"]
    assert [each["state"] for each in (proposed, rotation)] == ["void", "void"]
    assert (proposed["void"], proposed["burned"], rotation["burned"]) == (1, False, True)
    assert (proposed["earliest"], proposed["missing"], proposed["awaited"]) == (None, 0, [])
    assert (await client.governance(state="open"))["changes"] == []


async def test_open_changes_alone(client, stranger, members) -> None:
    members.ask(2, members.leave(2))
    members.end()
    removal = members.ask(1, members.remove(1, 3))
    assert len((await client.governance())["changes"]) == 2
    [change] = (await client.governance(state="open"))["changes"]
    assert change["id"] == removal.hex()
    assert (await client.governance(change["log_index"] + 1, "open"))["changes"] == []
    async with stranger.get("v1/governance", params={"state": "void"}) as response:
        assert response.status == 400


async def test_a_change_of_the_model_is_shown_in_full_with_what_moves(client, members) -> None:
    model = replace(FIRST_MODEL, id="slow", half_life_days=400, floor_bad=9_999)
    state = members.world.state
    found = await client.governance()
    assert found["parameters"] == state.parameters_hash.hex()
    assert found["model"] == value_to_json(FIRST_MODEL)
    assert [(each["epoch"], each["id"]) for each in found["models"]] == [(1, FIRST_MODEL.id)]
    asked = members.ask(2, members.activate(2, model))
    change = await _only(client)
    assert (change["type"], change["number"], change["needed"]) == ("model.activate", 2, 3)
    assert change["model"] == value_to_json(model)
    assert change["record"]["replaces"] == found["parameters"]
    moves = [
        {"name": "id", "before": FIRST_MODEL.id, "after": "slow"},
        {"name": "half_life_days", "before": FIRST_MODEL.half_life_days, "after": 400},
        {"name": "floor_bad", "before": FIRST_MODEL.floor_bad, "after": 9_999},
    ]
    assert change["moves"] == moves
    members.agree(asked, 3, 4)
    assert (await client.network())["changes"] == 1
    members.end()
    change = await _only(client)
    assert (change["state"], change["bound"], change["moves"]) == ("bound", 2, moves)
    now = await client.governance()
    assert now["model"] == value_to_json(model)
    assert now["models"] == [
        *found["models"],
        {"epoch": 2, "id": "slow", "parameters": now["parameters"]},
    ]
    assert now["parameters"] != found["parameters"]
