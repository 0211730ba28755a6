"""Who may hand in what: records about members and models take a right of their own, in any form."""

import json
import time
from dataclasses import replace

import msgspec
import pytest
from msgspec.structs import replace as replaced

from ledger.bureau.model import FIRST_MODEL
from ledger.records import GOVERNANCE_TYPES, NAMES, RECORD_TYPES
from ledger.signing import SigningKey
from node.api.auth import GOVERNED, governed_type
from node.api.json_records import record_to_json
from node.api.signatures import Received, sign_request
from node.config import Signer
from tests.ledger.members import Members, party
from tests.ledger.world import seed
from tests.node.api.live_node import BOTH, GOVERN, READ, WRITE

KEY = SigningKey.from_seed(seed("signer"))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def governing(node) -> dict:
    """One record of each type that takes the right `govern`, by its name."""
    say = Members(node.world)
    about = (say.propose(1, party(5)), say.approve(1, bytes(32)), say.remove(1, 2), say.leave(1))
    made = (*about, say.activate(1, replaced(FIRST_MODEL, id="other")))
    return {governed_type(each.record): each for each in made}


def json_of(submission) -> dict:
    return record_to_json(submission.record, submission.signatures)


def test_exactly_the_records_about_members_and_the_model_are_governed(governing) -> None:
    assert (
        set(governing)
        == set(GOVERNED.values())
        == {NAMES[kind] for kind in GOVERNANCE_TYPES} - {"evidence", "member.ready", "key.rotate"}
    )
    assert len(RECORD_TYPES) > len(GOVERNED)


@pytest.mark.parametrize("token", [WRITE, GOVERN])
async def test_what_its_platforms_keys_have_signed_takes_either_right(
    node, stranger, token
) -> None:
    """Who has lost its keys asks at another's node, and needs no right to govern there."""
    say, fifth = Members(node.world), party(5)
    made = (say.ready(fifth, bytes(32)), say.rotate(party(2, "new", root=party(2).keys["root"])))
    sent = {**bearer(token), "Content-Type": "application/msgpack"}
    body = msgspec.msgpack.encode([(each.record, each.signatures) for each in made])
    async with stranger.post("/v1/records", data=body, headers=sent) as response:
        answers = json.loads(await response.read())
    assert 403 not in [each.get("problem", {}).get("status") for each in answers]
    assert sum(node.offered) == 2, "both have reached the intake"


async def test_in_any_other_form_they_are_no_records(node, stranger, governing) -> None:
    """Two bytes tell the type, so what hides it must not pass as a record."""
    leave = governing["member.leave"].record
    assert leave[:2] == b"\x93\x36"
    hidden = (b"", b"\x93", b"\xdc\x00" + leave, b"\xdc\x00\x03" + leave[1:])
    hidden += (b"\x93\xcc" + leave[1:], b"\x93\xd1\x00" + leave[1:])
    assert {governed_type(data) for data in hidden} == {""}
    sent = {**bearer(WRITE), "Content-Type": "application/msgpack"}
    body = msgspec.msgpack.encode([(data, b"") for data in hidden])
    async with stranger.post("/v1/records", data=body, headers=sent) as response:
        answers = json.loads(await response.read())
    assert [each["problem"]["rule"] for each in answers] == ["malformed"] * len(hidden)


@pytest.mark.parametrize("name", sorted(GOVERNED.values()))
async def test_a_token_that_only_writes_is_refused_in_every_form(
    node, stranger, governing, name
) -> None:
    asked = governing[name]
    line = json.dumps(json_of(asked)).encode()
    pairs = msgspec.msgpack.encode([(asked.record, asked.signatures)])
    for token in (WRITE, BOTH):
        sent = {**bearer(token), "Content-Type": "application/json"}
        async with stranger.post("/v1/records", data=line, headers=sent) as response:
            problem = await response.json(content_type="application/problem+json")
            assert response.status == 403
        assert problem["type"] == "urn:standing:problem:forbidden"
        assert name in problem["detail"]
        assert "'govern'" in problem["detail"]
        for content_type, body in (
            ("application/json", b"[" + line + b"]"),
            ("application/x-ndjson", line + b"\n"),
            ("application/msgpack", pairs),
        ):
            sent["Content-Type"] = content_type
            async with stranger.post("/v1/records", data=body, headers=sent) as response:
                found = json.loads(await response.read())
            [answer] = found if isinstance(found, list) else [found]
            assert answer["problem"]["status"] == 403
            assert name in answer["problem"]["detail"]
    assert node.offered == [0] * len(node.offered), "nothing reached the intake"


async def test_each_record_of_a_body_is_judged_by_itself(node, stranger, as_json) -> None:
    leave = Members(node.world).leave(1)
    body = json.dumps([as_json(node.world.register("w")), json_of(leave)]).encode()
    sent = {**bearer(WRITE), "Content-Type": "application/json"}
    async with stranger.post("/v1/records", data=body, headers=sent) as response:
        first, second = await response.json()
    assert (first["state"], second["problem"]["status"]) == ("durable", 403)
    sent = {**bearer(GOVERN), "Content-Type": "application/json"}
    other = json.dumps([as_json(node.world.register("v")), json_of(leave)]).encode()
    async with stranger.post("/v1/records", data=other, headers=sent) as response:
        first, second = await response.json()
    assert (first["problem"]["status"], second["state"]) == (403, "durable")
    assert "'write'" in first["problem"]["detail"]


async def test_who_governs_does_nothing_else(node, stranger) -> None:
    for path in ("/v1/handles", "/v1/records/states"):
        async with stranger.post(path, json={}, headers=bearer(GOVERN)) as response:
            assert response.status == 403
    async with stranger.get("/v1/ledger/blocks", headers=bearer(GOVERN)) as response:
        assert response.status == 403
    async with stranger.get("/v1/governance", headers=bearer(GOVERN)) as response:
        assert response.status == 200
    async with stranger.post("/v1/records", json={}, headers=bearer(READ)) as response:
        assert response.status == 403
        assert "write or govern" in (await response.json(content_type=None))["detail"]


@pytest.mark.parametrize(("may", "status"), [("write", 403), ("govern", 202)])
async def test_signers_have_the_same_rights(node, server, stranger, may, status) -> None:
    node.config = replace(node.config, signers=(Signer("board", KEY.public, frozenset({may})),))
    body = json.dumps(json_of(Members(node.world).remove(1, 2))).encode()
    url = server.make_url("/v1/records")
    request = Received("POST", f"{url.host}:{url.port}", "/v1/records", "", {}, body)
    headers = sign_request(KEY, "board", request, int(time.time()))
    sent = {**headers, "Content-Type": "application/json"}
    async with stranger.post("/v1/records", data=body, headers=sent) as response:
        assert response.status == status, await response.text()
