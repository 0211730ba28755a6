"""Records over HTTP: taken once, refused by name, nothing stored that was refused."""

import asyncio
import json

import msgspec
import pytest

from ledger.checkpoint import Policy
from ledger.receipt import parse_receipt
from ledger.records import encode_record
from ledger.records.erasure import Erasure
from node.api.json_records import record_to_json
from tests.ledger.world import DAY, handle, key_of, reference

MSGPACK = {"Content-Type": "application/msgpack"}
NDJSON = {"Content-Type": "application/x-ndjson"}


async def register(client, world, *names, platform=1):
    records = [(encode_record(world.register(name, platform)), b"") for name in names]
    answers = await client.submit_msgpack(records, wait_final=True)
    assert all(answer["state"] == "final" for answer in answers)
    return answers


async def post(session, value, **query):
    body = value if isinstance(value, bytes) else msgspec.json.encode(value)
    headers = {"Content-Type": "application/json"}
    async with session.post("/v1/records", data=body, headers=headers, params=query) as response:
        return response.status, await response.json(content_type=None), response.headers


async def refused(node, member, value, status, rule, field):  # noqa: PLR0917
    """Post, demand the problem, and that nothing at all was stored."""
    before, pending = node.rows(), node.intake.pending
    got, problem, headers = await post(member, value)
    assert (got, problem.get("rule"), problem.get("field", "")) == (status, rule, field)
    assert problem["status"] == status
    assert problem["type"].startswith("urn:standing:problem:")
    assert problem["title"]
    assert problem["detail"]
    assert headers["Content-Type"].startswith("application/problem+json")
    assert node.rows() == before
    assert node.intake.pending == pending
    return problem


async def test_a_record_is_durable_then_final(node, member, as_json) -> None:
    node.hold = True
    record = as_json(node.world.register("w"))
    status, answer, headers = await post(member, record)
    assert status == 202
    assert answer["state"] == "durable"
    assert headers["Location"] == f"/v1/records/{answer['id']}"
    async with member.get(headers["Location"]) as response:
        assert (await response.json())["state"] == "durable"
    async with member.get(headers["Location"] + "/receipt") as response:
        assert response.status == 404
    node.finalise()
    async with member.get(headers["Location"]) as response:
        found = await response.json()
    assert found == {
        "id": answer["id"],
        "state": "final",
        "rule": "",
        "log_index": 1,
        "lane": 1,
        "height": 1,
        "position": 0,
        "erased": None,
        "erasure": None,
    }


async def test_wait_for_final(node, member, as_json) -> None:
    status, answer, _ = await post(member, as_json(node.world.register("w")), wait="final")
    assert (status, answer["state"], answer["log_index"]) == (200, "final", 1)
    status, problem, _ = await post(member, as_json(node.world.register("v")), wait="durable")
    assert (status, problem["field"]) == (400, "wait")
    status, problem, _ = await post(member, as_json(node.world.register("v")), wiat="final")
    assert (status, problem["field"]) == (400, "wiat")


async def test_the_same_again_gets_the_first_id(node, member, as_json) -> None:
    record = as_json(node.world.register("w"))
    _, first, _ = await post(member, record)
    rows = node.rows()
    status, second, _ = await post(member, record)
    assert (status, second["id"], second["duplicate"]) == (200, first["id"], True)
    assert second["state"] == "final"
    assert node.rows() == rows
    status, problem, _ = await post(member, {**record, "assurance": "document"})
    assert (status, problem["rule"], problem["id"]) == (409, "subject-exists", first["id"])
    assert problem["field"] == "handle"
    assert node.rows() == rows


async def test_a_receipt_proves_the_record(node, client) -> None:
    answers = await register(client, node.world, "w", "c")
    receipt = parse_receipt(await client.receipt(answers[1]["id"]))
    from ledger.batch import Submission, commitment
    from ledger.encoding import decode
    from ledger.receipt import verify_receipt

    verified = verify_receipt(
        await client.receipt(answers[1]["id"]), Policy.parse(await client.policy()), 47
    )
    assert verified.index == receipt.index == 2
    opening = decode(Submission, verified.opening, bytes_max=10_000)
    assert commitment(opening).hex() == answers[1]["id"]
    assert verified.entry.endswith(commitment(opening))


# --- bad input, one by one ---


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "engagement.close"}, "type"),
        ({"type": ...}, "type"),
        ({"handle": "AB" * 32}, "handle"),
        ({"at": 1.5}, None),
        ({"at": True}, "at"),
        ({"colour": 1}, "colour"),
        ({"assurance": ...}, "assurance"),
        ({"signatures": ["00"]}, "signatures[0]"),
    ],
)
async def test_malformed_json(node, member, as_json, change, field) -> None:
    value = as_json(node.world.register("w"), **change)
    await refused(node, member, value, 400, "malformed", field or "")


async def test_no_json_at_all(node, member) -> None:
    for body in (b"", b"{", b"\xff", b"nil", b"7", b"[]", b"[7]" * 2, b"[" * 50_000):
        got, problem, _ = await post(member, body)
        assert (got, problem["rule"]) == (400, "malformed")
    assert node.offered == []


async def test_a_key_twice(node, member, as_json) -> None:
    text = msgspec.json.encode(as_json(node.world.register("w")))
    await refused(node, member, text[:-1] + b',"at":5}', 400, "malformed", "at")


async def test_oversize(node, member, as_json) -> None:
    value = as_json(node.world.register("w"), colour="x" * 20_000)
    await refused(node, member, value, 400, "malformed", "colour")
    got, problem, _ = await post(member, b'"' + b"x" * 5_000_000 + b'"')
    assert (got, problem["type"]) == (413, "urn:standing:problem:oversize")
    assert (problem["title"], problem["rule"]) == ("Too large", "malformed")
    async with member.post(
        "/v1/records", data=msgspec.msgpack.encode([(b"x" * 5_000, b"")]), headers=MSGPACK
    ) as response:
        (answer,) = json.loads(await response.read())
    assert (answer["problem"]["status"], answer["problem"]["field"]) == (413, "record")
    assert answer["problem"]["rule"] == "malformed"


async def test_non_canonical_bytes(node, member) -> None:
    record = encode_record(node.world.register("w"))
    loose = [
        record + b"\0",
        record[:-1],
        bytes([record[0] & 0x0F | 0x90]) + b"\xcd\x00\x01" + record[2:],
        b"\xc0",
        b"",
        msgspec.msgpack.encode((99, 1, 2)),
    ]
    before = node.rows()
    body = msgspec.msgpack.encode([(each, b"") for each in loose])
    async with member.post("/v1/records", data=body, headers=MSGPACK) as response:
        assert response.status == 202
        answers = json.loads(await response.read())
    assert [answer["problem"]["status"] for answer in answers] == [400] * len(loose)
    assert {answer["problem"]["rule"] for answer in answers} == {"malformed"}
    assert all(answer["problem"]["field"] for answer in answers)
    assert node.rows() == before


async def test_unknown_platform_and_key(node, member, client, as_json) -> None:
    world = node.world
    value = as_json(world.register("w"), platform=9)
    await refused(node, member, value, 422, "foreign-platform", "platform")
    await register(client, world, "w", "c")
    record = world.link((1, "w"), (1, "c"))
    body = as_json(record.record, signatures=[record.signatures[:64].hex()] * 2)
    problem = await refused(node, member, body, 422, "bad-signature", "signatures")
    assert problem["title"] == "A rule of the ledger is broken"
    signatures = [record.signatures[:64].hex(), record.signatures[64:].hex()]
    got, problem, _ = await post(member, as_json(record.record, signatures=signatures))
    assert (got, problem["rule"]) == (422, "subject-has-no-key")


async def test_another_platforms_handle(node, member, client, as_json) -> None:
    world = node.world
    await register(client, world, "c")
    world.run(world.register("w2", 2), lane=2)
    value = as_json(world.open("e", worker="w2"))
    await refused(node, member, value, 422, "unknown-subject", "worker")
    value = as_json(world.open("e", worker="w2"), platform=2)
    await refused(node, member, value, 422, "foreign-platform", "platform")


async def test_outcome_without_open(node, member, as_json) -> None:
    value = as_json(node.world.outcome("never"))
    await refused(node, member, value, 422, "unknown-engagement", "reference")


async def test_ratings(node, member, client, as_json) -> None:
    world = node.world
    await register(client, world, "w", "c", "x")
    await client.submit_json(as_json(world.open("e")))
    await client.submit_json(as_json(world.outcome("e")))
    stranger = as_json(world.rating("e", rater="x"))
    await refused(node, member, stranger, 422, "not-a-party", "rater")
    got, _, _ = await post(member, as_json(world.rating("e")))
    assert got == 202
    again = as_json(world.rating("e"), value=1)
    got, problem, _ = await post(member, again)
    assert (got, problem["rule"], problem["field"]) == (409, "rating-exists", "direction")
    beyond = as_json(world.rating("e", direction="of-client", rater="w", value=9))
    await refused(node, member, beyond, 422, "value-out-of-scale", "value")


async def test_a_rater_key_that_is_not_registered(node, member, client, as_json) -> None:
    world = node.world
    await register(client, world, "w", "c")
    await client.submit_json(as_json(world.open("e")))
    key = key_of("somebody")
    submission = world.submit(world.rating("e", rater_key=key.public), key)
    body = as_json(submission.record, signatures=[submission.signatures.hex()])
    got, problem, _ = await post(member, body)
    assert (got, problem["field"]) == (422, "rater_key")
    assert problem["rule"] in ("key-not-registered", "subject-has-no-key")


async def test_the_far_future(node, member, as_json) -> None:
    value = as_json(node.world.register("w"), at=node.world.time + 10**10)
    await refused(node, member, value, 422, "dated-after-batch", "at")
    value = as_json(node.world.register("w"), at=5)
    await refused(node, member, value, 422, "dated-too-early", "at")


# --- content types, many at once ---


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", ""])
async def test_other_content_types(node, member, content_type) -> None:
    headers = {"Content-Type": content_type} if content_type else {"Content-Type": "x"}
    async with member.post("/v1/records", data=b"{}", headers=headers) as response:
        assert response.status == 415
        assert "application/json" in (await response.json(content_type=None))["detail"]
    assert node.offered == []


async def test_packed_bodies_are_not_read(member) -> None:
    headers = {**NDJSON, "Content-Encoding": "gzip"}
    async with member.post("/v1/records", data=b"\x1f\x8b", headers=headers) as response:
        assert response.status in (400, 415)


async def test_an_array_is_answered_in_order(node, member, as_json) -> None:
    world = node.world
    values = [
        as_json(world.register("w")),
        as_json(world.register("v"), at="x"),
        as_json(world.register("c")),
        as_json(world.open("e")),
    ]
    status, answers, _ = await post(member, values)
    assert status == 202
    assert ["problem" in answer for answer in answers] == [False, True, False, False]
    assert answers[1]["problem"]["field"] == "at"
    got, problem, _ = await post(member, [values[0]] * 2_000)
    assert (got, problem["rule"]) == (400, "malformed")


async def test_lines_are_answered_one_by_one(node, member, as_json) -> None:
    world = node.world
    lines = [
        msgspec.json.encode(as_json(world.register("w"))),
        b"",
        b"{nonsense",
        b"x" * 100_000,
        msgspec.json.encode(as_json(world.outcome("never"))),
        msgspec.json.encode(as_json(world.register("c"))) + b"\r",
        msgspec.json.encode(as_json(world.register("last"))),
    ]

    async def body():
        for line in lines[:-1]:
            yield line + b"\n"
        yield lines[-1][:20]
        yield lines[-1][20:]

    async with member.post(
        "/v1/records", data=body(), headers=NDJSON, params={"wait": "final"}
    ) as response:
        assert response.status == 202
        assert response.headers["Content-Type"] == "application/x-ndjson"
        answers = [json.loads(line) async for line in response.content]
    assert [answer["line"] for answer in answers] == [1, 3, 4, 5, 6, 7]
    assert [answer.get("state") for answer in answers] == [
        "final",
        None,
        None,
        None,
        "final",
        "final",
    ]
    assert [a["problem"]["status"] for a in answers if "problem" in a] == [400, 413, 422]
    assert answers[3]["problem"]["rule"] == "unknown-engagement"
    assert [answer.get("log_index") for answer in answers if "state" in answer] == sorted(
        answer["log_index"] for answer in answers if "state" in answer
    )


async def test_many_lines_come_back_in_order(node, client, as_json) -> None:
    count = 3_000

    async def lines():
        for at in range(count):
            yield msgspec.json.encode(as_json(node.world.register(f"w{at}"))) + b"\n"

    answers = [answer async for answer in client.submit_ndjson(lines())]
    assert [answer["line"] for answer in answers] == list(range(1, count + 1))
    assert {answer["state"] for answer in answers} == {"durable"}
    assert len({answer["id"] for answer in answers}) == count
    assert max(node.offered) <= 1_024


async def test_arrays_of_messagepack_follow_each_other(node, member) -> None:
    records = [(encode_record(node.world.register(f"w{at}")), b"") for at in range(5)]
    body = msgspec.msgpack.encode(records[:2]) + msgspec.msgpack.encode(records[2:])
    async with member.post("/v1/records", data=body, headers=MSGPACK) as response:
        lines = (await response.read()).splitlines()
    assert [len(json.loads(line)) for line in lines] == [2, 3]
    for broken, status in (
        (b"", 400),
        (b"\x01", 400),
        (body[:-3], None),
        (msgspec.msgpack.encode({"a": 1}), 400),
        (b"\xdd\xff\xff\xff\xff", 400),
        (b"\xc1", 400),
    ):
        async with member.post("/v1/records", data=broken, headers=MSGPACK) as response:
            answer = await response.read()
            if status is None:
                assert response.status == 202
                assert json.loads(answer.splitlines()[-1])[0]["problem"]["status"] == 400
            else:
                assert response.status == status
    pairs = [[b"x"], [b"", b"y" * 63], [b"", b"y" * 320], ["a", "b"], 7, None]
    async with member.post(
        "/v1/records", data=msgspec.msgpack.encode(pairs[:3] + pairs[4:]), headers=MSGPACK
    ) as response:
        answers = json.loads(await response.read())
    assert [answer["problem"]["status"] for answer in answers] == [400] * 5


async def test_a_body_that_is_cut_off_anywhere_says_so(member, node) -> None:
    whole = msgspec.msgpack.encode([(encode_record(node.world.register("w")), b"")])
    rest = msgspec.msgpack.encode([(encode_record(node.world.register("z")), b"")])
    for end in range(1, len(rest)):
        async with member.post("/v1/records", data=whole + rest[:end], headers=MSGPACK) as response:
            assert response.status == 202
            first, last = (json.loads(line) for line in (await response.read()).splitlines())
        assert first[0]["id"]
        assert last[0]["problem"]["status"] == 400, end
    for end in range(len(whole)):
        async with member.post("/v1/records", data=whole[:end], headers=MSGPACK) as response:
            assert response.status == 400, end
            assert (await response.json(content_type=None))["detail"]


async def test_nesting_is_refused_as_it_is_read(member) -> None:
    """One byte in the body must not become a list in memory."""
    leaves = [[[]] * 8_000 for _ in range(3)]
    for nested, status in ((leaves, 400), ([[[]]], 400), ([[]], 202), ([], 400), ([7], 400)):
        body = msgspec.msgpack.encode(nested)
        async with member.post("/v1/records", data=body, headers=MSGPACK) as response:
            assert response.status == status, nested
            if status == 202:
                (answer,) = json.loads(await response.read())
                assert answer["problem"]["status"] == 400


async def test_pushback(node, member, client, as_json, monkeypatch) -> None:
    from dataclasses import replace

    from node.bounds import BOUNDS

    node.hold = True
    monkeypatch.setattr(node.intake, "_bounds", replace(BOUNDS, pending_records_max=2))
    values = [as_json(node.world.register(f"w{at}")) for at in range(4)]
    status, answers, _ = await post(member, values)
    assert status == 202
    assert [answer.get("state") for answer in answers] == ["durable", "durable", None, None]
    assert {answer["problem"]["status"] for answer in answers[2:]} == {503}
    status, problem, headers = await post(member, values[3])
    assert (status, headers["Retry-After"], problem["retry_after_s"]) == (503, "1", 1)
    status, problem, headers = await post(member, values[2:])
    assert (status, headers["Retry-After"], problem["retry_after_s"]) == (503, "1", 1)
    records = [(encode_record(node.world.register("z")), b"")]
    async with member.post(
        "/v1/records", data=msgspec.msgpack.encode(records), headers=MSGPACK
    ) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
    node.finalise()
    node.hold = False
    assert (await client.submit_msgpack(records))[0]["state"] == "durable"


async def test_unknown_records(member) -> None:
    for path, status in (
        ("00" * 32, 404),
        ("00" * 31, 400),
        ("AB" * 32, 400),
        ("00" * 32 + "/receipt", 404),
    ):
        async with member.get(f"/v1/records/{path}") as response:
            assert response.status == status


async def test_references_are_hex(node, member, as_json) -> None:
    assert as_json(node.world.open("e"))["reference"] == reference("e").hex()


async def test_states_of_many(node, member, client) -> None:
    answers = await register(client, node.world, "w", "c")
    node.hold = True
    record = encode_record(node.world.register("late"))
    answers += await client.submit_msgpack([(record, b"")])
    ids = [answer["id"] for answer in answers]
    unknown = "00" * 32
    assert await client.states([*ids, unknown]) == [
        ("final", ""),
        ("final", ""),
        ("durable", ""),
        ("", ""),
    ]
    assert (await client.wait_final(ids, timeout_s=0.01))[2] == ("durable", "")
    node.finalise()
    assert await client.wait_final(ids) == [("final", "")] * 3
    for body in ({"ids": []}, {"ids": ["x"]}, {"ids": [unknown] * 10_001}, {}):
        async with member.post("/v1/records/states", json=body) as response:
            assert response.status == 400


async def test_a_stream_waits_while_the_node_is_busy(node, client, as_json, monkeypatch) -> None:
    from dataclasses import replace

    from node.bounds import BOUNDS

    bounds = replace(BOUNDS, pending_records_max=2, retry_after_s=0)
    monkeypatch.setattr(node.intake, "_bounds", bounds)
    node.hold = True
    lines = [msgspec.json.encode(as_json(node.world.register(f"w{at}"))) for at in range(5)]

    async def body():
        yield b"".join(line + b"\n" for line in lines)

    answers = []
    answering = client.submit_ndjson(body())

    async def read() -> None:
        answers.extend([answer async for answer in answering])

    reading = asyncio.create_task(read())
    while not reading.done():
        await asyncio.sleep(0.01)
        if node.intake.places:
            node.finalise()
    await reading
    assert [answer["state"] for answer in answers] == ["durable"] * 5
    assert max(node.offered) == 5


async def test_a_record_says_that_it_is_erased_and_by_what(node, member, as_json) -> None:
    world = node.world
    worker, client = world.register("w", key=True), world.register("c")
    ids = []
    for record in (worker, client, world.open("a"), world.open("a")):
        status, answer, _ = await post(member, as_json(record), wait="final")
        assert (status, answer.get("state", "")) in {(200, "final"), (422, "")}
        ids.append(answer.get("id"))
    made = world.erasure("w", scope="whole")
    status, answer, _ = await post(
        member, record_to_json(made.record, made.signatures), wait="final"
    )
    assert (status, answer["state"]) == (200, "final")
    erasure = answer["id"]
    shown = [await record_state(member, each) for each in ids[:3]]
    assert [each["erased"] for each in shown] == [erasure, None, erasure]
    assert {each["state"] for each in shown} == {"final"}
    assert {each["erasure"] for each in shown} == {None}
    own = await record_state(member, erasure)
    assert own["erased"] is None
    progress = own["erasure"]
    assert progress["files"] == [f"p1:{worker.handle.hex()}"]
    assert progress["outstanding"] == 0
    assert progress["due"] - progress["done"] == 30 * DAY
    assert (progress["acknowledged"], progress["awaited"]) == ([], ["p1", "p2", "p3", "p4"])
    ack = world.ack(bytes.fromhex(erasure), 1)
    status, _, _ = await post(member, as_json(ack), wait="final")
    assert status == 200
    progress = (await record_state(member, erasure))["erasure"]
    assert (progress["acknowledged"], progress["awaited"]) == (["p1"], ["p2", "p3", "p4"])


async def record_state(session, record_id):
    async with session.get(f"/v1/records/{record_id}") as response:
        assert response.status == 200
        return await response.json()


async def test_a_false_erasure_is_refused_and_names_the_field(node, client, member) -> None:
    world = node.world
    await register(client, world, "plain")
    [[keyed]] = [await client.submit_msgpack([(encode_record(world.register("w", key=True)), b"")])]
    assert keyed["state"] == "durable"
    good = world.erasure("w")
    value = record_to_json(good.record, good.signatures)
    unsigned = {**value, "signatures": []}
    await refused(node, member, unsigned, 422, "signature-count", "signatures")
    await refused(node, member, {**value, "scope": "half"}, 400, "malformed", "scope")
    other = key_of("subject", "x")
    forged = world.submit(Erasure(1, world.time, handle("w"), other.public, "platform"), other)
    forged_json = record_to_json(forged.record, forged.signatures)
    await refused(node, member, forged_json, 422, "key-not-registered", "key")
    nobody = world.erasure("nobody")
    nobody_json = record_to_json(nobody.record, nobody.signatures)
    await refused(node, member, nobody_json, 422, "unknown-subject", "handle")
    ack = record_to_json(world.ack(bytes(32), 1))
    await refused(node, member, ack, 422, "unknown-erasure", "erasure")
