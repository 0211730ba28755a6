"""The outlook of a subject over HTTP: the score itself, what would be, what tells most."""

import pytest

from ledger.bureau.model import FIRST_MODEL
from ledger.bureau.whatif import STEPS, TELLERS
from ledger.records import encode_record
from tests.ledger.world import DAY, handle

W = f"p1:{handle('w').hex()}"
NEW = f"p1:{handle('new').hex()}"


@pytest.fixture
async def history(node, client):
    """A worker with five engagements, one of which went wrong, and one with none."""
    world = node.world
    records = [world.register("w", key=True), world.register("new")]
    records += [world.register(f"c{at}", assurance="document") for at in range(5)]
    records += [world.open(f"e{at}", client=f"c{at}") for at in range(5)]
    await client.submit_msgpack([(encode_record(each), b"") for each in records])
    world.time += DAY
    records = [world.outcome(f"e{at}") for at in range(4)]
    records.append(world.outcome("e4", status="late", fault="worker", lateness_band=2))
    answers = await client.submit_msgpack([(encode_record(each), b"") for each in records])
    assert all("id" in answer for answer in answers), answers
    return world


@pytest.mark.parametrize("query", [{}, {"domain": "software"}, {"role": "client"}])
async def test_the_score_in_it_is_the_score(client, history, query) -> None:
    found = await client.outlook(W, **query)
    assert found["score"] == await client.score(W, **query)


async def test_more_good_work_leads_upwards(client, history) -> None:
    found = await client.outlook(W, domain="software.web")
    steps = found["counterfactuals"]
    assert [each["engagements"] for each in steps] == list(STEPS)
    before = found["score"]["points"]
    for step in steps:
        assert [each["teller"] for each in step["told"]] == list(TELLERS)
        points = [each["points"] for each in step["told"]]
        assert step["points"] == [min(points), max(points)]
        assert step["points"][1] > before
        before = step["points"][1]
    widths = [each["width_q16"] for each in found["information"]]
    assert widths == sorted(widths)
    assert {each["teller"] for each in found["information"]} == set(TELLERS)
    assert found["information"][0]["narrower"] > 0


async def test_what_is_foretold_comes_true(node, client, history) -> None:
    """The engagement that was asked about is made, and yields what was foretold."""
    world = node.world
    now = await client.outlook(W)
    told = next(each for each in now["counterfactuals"][0]["told"] if each["teller"] == "platform")
    records = [
        world.open("real", client="c0", at=now["score"]["as_of"], due_from=now["score"]["as_of"])
    ]
    await client.submit_msgpack([(encode_record(each), b"") for each in records])
    world.time = max(world.time, node.certified.time) + 1
    outcome = world.outcome("real")
    answers = await client.submit_msgpack([(encode_record(outcome), b"")])
    assert all("id" in answer for answer in answers), answers
    then = await client.score(W)
    assert then["counts"]["good"] == now["score"]["counts"]["good"] + 1
    assert abs(then["points"] - told["points"]) <= 1
    assert then["interval"] == pytest.approx(told["interval"], abs=0.002)


async def test_a_thin_file_is_told_what_would_end_that(client, history) -> None:
    found = await client.outlook(NEW)
    assert found["score"]["thin_file"]
    assert found["score"]["newest_days"] is None
    first, *_, last = found["counterfactuals"]
    assert first["points"] is None
    told = {each["teller"]: each["points"] for each in last["told"]}
    assert told["known-counterparty"] is None  # the same word over and over tells too little
    assert last["points"] == sorted([told["platform"], told["new-counterparty"]])
    low, high = found["score"]["interval_q16"]
    assert all(each["narrower_q16"] <= high - low for each in found["information"])


async def test_the_base_rate_and_the_newest_evidence(client, history) -> None:
    found = await client.score(W, domain="software.web")
    base = found["base_rate"]
    moved = sum(
        each["points"]
        for each in found["reasons"]
        if each["code"] in ("platform-newcomers", "platform-offset")
    )
    assert base["points"] == found["base_points"] + moved
    assert 0 < base["probability"] < 1
    assert base["good"] <= base["results"]
    assert found["newest_days"] == (found["as_of"] - found["last_at"]) // DAY
    assert (found["on_domain"], found["off_domain"]) == (5, 0)
    assert found["on_domain"] + found["off_domain"] == found["evidence"]
    off = await client.score(W, domain="care")
    assert (off["on_domain"], off["off_domain"]) == (0, 5)


async def test_what_results_elsewhere_count(client, history) -> None:
    history.run(history.register("other", 2, key=True), history.register("c", 2), lane=2)
    history.run(history.open("there", worker="other", platform=2), lane=2)
    history.run(history.outcome("there", platform=2), lane=2, time=history.time + DAY)
    assert (await client.score(W))["transfers"] == []
    link = history.link((1, "w"), (2, "other"))
    (answer,) = await client.submit_msgpack([(link.record, link.signatures)])
    assert "id" in answer, answer
    found = await client.score(W)
    assert found["counts"]["elsewhere"] == 1
    (told,) = found["transfers"]
    assert (told["platform"], told["workers"]) == ("p2", 0)
    assert told["weight_q16"] == FIRST_MODEL.elsewhere_weight
    low, high = told["interval"]
    assert low <= told["weight"] <= high
    assert (await client.outlook(W))["score"] == found


async def test_few_peers_are_no_peers(client, history) -> None:
    peers = (await client.outlook(W))["peers"]
    assert peers["sampled"] == 1
    assert (peers["percentile"], peers["percentiles"], peers["quartiles"]) == (None, None, None)


async def test_at_an_earlier_time_there_are_no_peers(client, history) -> None:
    as_of = (await client.score(W))["as_of"]
    assert (await client.outlook(W, as_of=str(as_of - 2 * DAY)))["peers"] is None


async def test_older_checkpoints_have_their_outlook(node, client, history) -> None:
    size = node.certified.size
    before = await client.outlook(W)
    record = encode_record(node.world.register("later"))
    await client.submit_msgpack([(record, b"")])
    assert node.certified.size > size
    assert await client.outlook(W, size=str(size)) == before
    assert (await client.outlook(W))["score"]["checkpoint"]["size"] == node.certified.size


async def test_questions_are_checked(member, stranger, history) -> None:
    for query, status, field in (
        ({"domain": "no.such"}, 422, "domain"),
        ({"role": "lead"}, 400, "role"),
        ({"as_of": "01"}, 400, "as_of"),
        ({"limit": "1"}, 400, "limit"),
    ):
        async with member.get(f"/v1/subjects/{W}/outlook", params=query) as response:
            problem = await response.json(content_type=None)
            assert (response.status, problem["field"]) == (status, field)
    async with member.get(f"/v1/subjects/p1:{'00' * 32}/outlook") as response:
        assert response.status == 404
    async with stranger.get(f"/v1/subjects/{W}/outlook") as response:
        assert response.status == 401
