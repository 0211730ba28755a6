"""Scores, files, bundles over HTTP, as of the certified checkpoint."""

import pytest

from ledger.bundle import verify_bundle
from ledger.policy import Policy
from ledger.records import encode_record
from tests.ledger.world import DAY, handle

W = handle("w").hex()


@pytest.fixture
async def history(node, client):
    """A worker with six engagements, one of which went wrong, linked with a handle of p2."""
    world = node.world
    world.run(world.register("other", 2, key=True), lane=2)
    records = [world.register("w", key=True), *(world.register(f"c{n}") for n in range(6))]
    records += [world.open(f"e{at}", client=f"c{at}") for at in range(6)]
    await client.submit_msgpack([(encode_record(each), b"") for each in records])
    world.time += DAY
    records = [
        each
        for at in range(6)
        for each in (
            world.outcome(f"e{at}")
            if at
            else world.outcome("e0", status="no-show", fault="worker", acceptance="unknown"),
            world.rating(f"e{at}", rater=f"c{at}", value=5 if at else 1),
        )
    ]
    answers = await client.submit_msgpack([(encode_record(each), b"") for each in records])
    link = world.link((1, "w"), (2, "other"))
    answers += await client.submit_msgpack([(link.record, link.signatures)])
    assert all("id" in answer for answer in answers), answers
    return world


async def test_a_score_adds_up(node, client, history) -> None:
    for platform in ("p1", "1"):
        found = await client.score(f"{platform}:{W}")
        assert found["subject"] == f"p1:{W}"
    assert not found["thin_file"]
    assert found["points"] == found["base_points"] + sum(r["points"] for r in found["reasons"])
    low, high = found["interval"]
    assert 0 <= low <= found["probability"] <= high <= 1
    assert found["evidence"] == 6
    assert (found["counts"]["good"], found["counts"]["bad"]) == (5, 1)
    assert found["counts"]["files"] == 2
    assert found["checkpoint"]["size"] == node.certified.size
    assert found["checkpoint"]["root"] == node.certified.root.hex()
    assert found["as_of"] == node.certified.time
    client_side = await client.score(f"p1:{handle('c1').hex()}", role="client")
    assert client_side["role"] == "client"


async def test_a_thin_file_abstains(client, history) -> None:
    found = await client.score(f"p1:{W}", as_of=str(history.genesis.foundation.created + 100))
    assert found["thin_file"]
    assert found["probability"] is None
    assert found["points"] is None
    assert found["reasons"] == [{"code": "thin-file", "points": 0}]


async def test_questions_are_checked(node, member, history) -> None:
    later = node.certified.time + 1
    for query, status, field in (
        ({"domain": "no.such"}, 422, "domain"),
        ({"domain": "UPPER"}, 400, "domain"),
        ({"role": "lead"}, 400, "role"),
        ({"as_of": "-1"}, 400, "as_of"),
        ({"as_of": "01"}, 400, "as_of"),
        ({"as_of": str(later)}, 422, "as_of"),
        ({"colour": "1"}, 400, "colour"),
    ):
        for what in ("score", "bundle"):
            async with member.get(f"/v1/subjects/p1:{W}/{what}", params=query) as response:
                problem = await response.json(content_type=None)
                assert (response.status, problem["field"]) == (status, field)


async def test_unknown_subjects(member, history) -> None:
    for subject, status, words in (
        ("p9:" + W, 404, "there is no platform p9; there are p1 (1)"),
        ("p1:" + "00" * 32, 404, "has registered no subject"),
        ("p2:" + W, 404, "has registered no subject"),
        ("p1:" + W.upper(), 400, "64 lowercase hex"),
        ("p1", 400, "platform:handle"),
        (W, 400, "platform:handle"),
    ):
        for what in ("score", "file", "bundle"):
            async with member.get(f"/v1/subjects/{subject}/{what}") as response:
                problem = await response.json(content_type=None)
                assert response.status == status
                assert words in problem["detail"]


async def test_a_file_comes_page_by_page(node, client, history) -> None:
    whole = await client.file(f"p1:{W}")
    assert whole["next"] is None
    assert whole["links"] == [f"p2:{handle('other').hex()}"]
    types = [leaf["type"] for leaf in whole["leaves"]]
    assert types[0] == "subject.register"
    assert types.count("engagement.open") == types.count("rating") == 6
    assert types[-1] == "subject.link"
    assert all(leaf["record"]["type"] == leaf["type"] for leaf in whole["leaves"])
    outcome = next(leaf for leaf in whole["leaves"] if leaf["type"] == "engagement.outcome")
    assert outcome["annotation"]["pair_count"] == 1
    leaves, start = [], 0
    while start is not None:
        page = await client.file(f"p1:{W}", **{"from": str(start), "limit": "4"})
        assert len(page["leaves"]) <= 4
        leaves += page["leaves"]
        start = page["next"]
    assert leaves == whole["leaves"]
    beyond = await client.file(f"p1:{W}", **{"from": "1000"})
    assert (beyond["leaves"], beyond["next"]) == ([], None)


async def test_a_bundle_proves_the_same_answer(client, history) -> None:
    found = await client.score(f"p1:{W}", domain="software")
    data = await client.bundle(f"p1:{W}", domain="software")
    verified = verify_bundle(data, Policy.parse(await client.policy()))
    assert verified.answer is not None
    assert verified.answer.points == found["points"]
    assert verified.answer.probability_q16 == found["probability_q16"]
    assert verified.answer.question.domain == "software"


async def test_nothing_is_answered_before_the_first_checkpoint(member) -> None:
    for path in (f"/v1/subjects/p1:{W}/score", "/log/checkpoint", "/log/tile/0/000.p/1"):
        async with member.get(path) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "1")
