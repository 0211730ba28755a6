"""A comparison over HTTP: one checkpoint, one question, and who can be told apart."""

from itertools import combinations

import pytest

from ledger.records import encode_record
from node.api.comparisons import SUBJECTS_MAX
from tests.ledger.world import DAY, handle
from tests.node.api.live_node import GOVERN

FINE, POOR, FAIR, NEW = (f"p1:{handle(name).hex()}" for name in ("fine", "poor", "fair", "new"))
OTHER = f"p2:{handle('other').hex()}"
PATH = "/v1/comparisons"


@pytest.fixture
async def history(node, client):
    """Three workers with 30 engagements each, of one quality each, and one with none."""
    world = node.world
    world.run(world.register("other", 2, key=True), lane=2)
    workers = {"fine": 30, "poor": 0, "fair": 27}
    records = [world.register(name, key=True) for name in (*workers, "new")]
    records += [world.register(f"c{at}", assurance="document") for at in range(30)]
    records += [
        world.open(f"{name}-{at}", worker=name, client=f"c{at}")
        for name in workers
        for at in range(30)
    ]
    await client.submit_msgpack([(encode_record(each), b"") for each in records])
    world.time += DAY
    late = {"status": "late", "fault": "worker", "lateness_band": 2}
    records = [
        world.outcome(f"{name}-{at}", **({} if at < good else late))
        for name, good in workers.items()
        for at in range(30)
    ]
    answers = await client.submit_msgpack([(encode_record(each), b"") for each in records])
    assert all("id" in answer for answer in answers), answers
    return world


async def test_who_can_be_told_apart(node, client, history) -> None:
    asked = [POOR, FAIR, FINE, NEW]
    found = await client.compare(asked, domain="software")
    assert [each["subject"] for each in found["scores"]] == asked
    for subject, score in zip(asked, found["scores"], strict=True):
        assert score == await client.score(subject, domain="software")
    assert {each["checkpoint"]["size"] for each in found["scores"]} == {node.certified.size}
    assert found["checkpoint"] == found["scores"][0]["checkpoint"]
    intervals = {each["subject"]: each["interval_q16"] for each in found["scores"]}
    overlap = [
        [one, other]
        for one, other in combinations(asked, 2)
        if intervals[one][0] <= intervals[other][1] and intervals[other][0] <= intervals[one][1]
    ]
    assert found["not_distinguishable"] == overlap
    assert [FAIR, FINE] in overlap
    assert [POOR, FINE] not in overlap
    assert found["groups"][0][0] == FINE
    assert found["groups"][-1] == [POOR]
    assert sorted(name for group in found["groups"] for name in group) == sorted(asked)
    assert found["same_person"] == []


async def test_one_person_is_named(client, history) -> None:
    link = history.link((1, "fine"), (2, "other"))
    (answer,) = await client.submit_msgpack([(link.record, link.signatures)])
    assert "id" in answer, answer
    found = await client.compare([OTHER, FINE, POOR])
    assert found["same_person"] == [[OTHER, FINE]]


async def test_an_older_checkpoint(node, client, history) -> None:
    size = node.certified.size
    before = await client.compare([FINE, POOR])
    await client.submit_msgpack([(encode_record(history.register("later")), b"")])
    later = f"p1:{handle('later').hex()}"
    assert await client.compare([POOR, FINE], size=str(size)) != before
    assert await client.compare([FINE, POOR], size=str(size)) == before
    assert len((await client.compare([FINE, later]))["scores"]) == 2


async def test_long_files_are_compared_too(client, history, monkeypatch) -> None:
    before = await client.compare([FINE, POOR, FAIR])
    monkeypatch.setattr("node.api.comparisons.LONG_FILE_LEAVES", 0)
    assert (await client.compare([FAIR, FINE, POOR]))["groups"] == before["groups"]


async def test_what_is_wrong_is_named(member, history, monkeypatch) -> None:
    unknown = f"p1:{'00' * 32}"
    nobody = f"p9:{'00' * 32}"
    for subjects, query, status, field in (
        ([FINE], {}, 400, "subjects"),
        ([f"p1:{at:064x}" for at in range(SUBJECTS_MAX + 1)], {}, 400, "subjects"),
        ([FINE, "p1:zz"], {}, 400, "subjects[1]"),
        ([FINE, 7], {}, 400, "subjects[1]"),
        ([FINE, "x" * 1_000], {}, 400, "subjects[1]"),
        ([FINE, POOR, f"1:{FINE[3:]}"], {}, 400, "subjects[2]"),
        ([unknown, FINE], {}, 422, "subjects[0]"),
        ([FINE, nobody], {}, 422, "subjects[1]"),
        ([FINE, POOR], {"domain": "no.such"}, 422, "domain"),
        ([FINE, POOR], {"role": "lead"}, 400, "role"),
        ([FINE, POOR], {"as_of": str(2**52)}, 422, "as_of"),
        ([FINE, POOR], {"limit": "2"}, 400, "limit"),
    ):
        body = {"subjects": subjects}
        async with member.post(PATH, json=body, params=query) as response:
            problem = await response.json(content_type=None)
            assert (response.status, problem["field"]) == (status, field), problem
    async with member.post(PATH, json={"subjects": [FINE, POOR], "x": 1}) as response:
        assert (response.status, (await response.json(content_type=None))["field"]) == (400, "x")
    async with member.post(PATH, data=b"[]") as response:
        assert response.status == 415
    long = {"subjects": ["x" * 20_000, FINE]}
    async with member.post(PATH, json=long) as response:
        assert response.status == 413
    monkeypatch.setattr("node.api.comparisons.LEAVES_MAX", 100)
    async with member.post(PATH, json={"subjects": [FINE, POOR]}) as response:
        problem = await response.json(content_type=None)
        assert (response.status, problem["field"]) == (422, "subjects")
        assert "compare fewer" in problem["detail"]


async def test_a_token_that_reads_is_needed(stranger, history) -> None:
    body = {"subjects": [FINE, POOR]}
    async with stranger.post(PATH, json=body) as response:
        assert response.status == 401
    headers = {"Authorization": f"Bearer {GOVERN}"}
    async with stranger.post(PATH, json=body, headers=headers) as response:
        assert response.status == 403
