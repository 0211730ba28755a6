"""Damaged requests: always a problem document of the sender's, never an internal error."""

import asyncio
import random

import msgspec
import pytest

from ledger.records import encode_record

TYPES = ("application/json", "application/x-ndjson", "application/msgpack")


def damaged(rng: random.Random, body: bytes) -> bytes:
    made = bytearray(body)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(made))
        match rng.randrange(4):
            case 0:
                made[at] = rng.randrange(256)
            case 1:
                del made[at : at + rng.randint(1, 8)]
            case 2:
                made[at:at] = rng.randbytes(rng.randint(1, 8))
            case _:
                made[at:at] = made[: rng.randint(1, 40)]
        if not made:
            return b""
    return bytes(made)


@pytest.mark.parametrize("seed", range(3))
async def test_damaged_bodies(node, member, as_json, seed: int, caplog) -> None:
    rng = random.Random(seed)
    world = node.world
    records = [world.register("w"), world.open("e"), world.outcome("e"), world.rating("e")]
    texts = {
        TYPES[0]: msgspec.json.encode([as_json(each) for each in records]),
        TYPES[1]: b"\n".join(msgspec.json.encode(as_json(each)) for each in records),
        TYPES[2]: msgspec.msgpack.encode([(encode_record(each), b"") for each in records]),
    }
    seen = set()
    for _ in range(80):
        content_type, body = rng.choice([*texts.items()])
        async with member.post(
            "/v1/records", data=damaged(rng, body), headers={"Content-Type": content_type}
        ) as response:
            answer = await response.read()
            seen.add(response.status)
            assert response.status in (202, 400, 413, 422), answer
            assert b"internal" not in answer
    assert {202, 400} <= seen
    assert "failed" not in caplog.text


@pytest.mark.parametrize("seed", range(2))
async def test_damaged_addresses(member, seed: int, caplog) -> None:
    rng = random.Random(seed)
    paths = (
        "/v1/records/" + "00" * 32,
        "/v1/records/" + "00" * 32 + "/receipt?wait=final",
        "/v1/subjects/p1:" + "00" * 32 + "/score?domain=work&as_of=5&role=worker",
        "/v1/ledger/batches?lane=1&from=1&limit=5",
        "/log/tile/0/x001/234.p/5",
    )
    letters = "/:?&=%.xp0159aZé-_~"
    for _ in range(80):
        path = list(rng.choice(paths))
        for _ in range(rng.randint(1, 3)):
            path[rng.randrange(1, len(path))] = rng.choice(letters)
        async with member.get("".join(path), allow_redirects=False) as response:
            assert response.status in (200, 400, 401, 404, 422, 503), path
    assert "failed" not in caplog.text


@pytest.mark.parametrize("key", [r"\ud800", r"pl\udfffatform", r"\ud83d\ude00"])
async def test_keys_that_are_no_text_are_the_senders_fault(member, as_json, node, key: str) -> None:
    """Half a surrogate pair cannot be named in an answer; a whole one can."""
    record = msgspec.json.encode(as_json(node.world.register("w"))).decode()
    body = record.replace("{", '{"' + key + '": 1, ', 1)
    twice = record.replace("{", '{"' + key + '": 1, "' + key + '": 2, ', 1)
    for content_type, text in (
        (TYPES[0], body),
        (TYPES[0], f"[{twice}, {record}]"),
        (TYPES[1], f"{body}\n{twice}\n{record}\n"),
    ):
        headers = {"Content-Type": content_type}
        async with member.post("/v1/records", data=text.encode(), headers=headers) as response:
            answer = (await response.read()).decode()
            assert response.status in (202, 400), answer
            assert "internal" not in answer
            if content_type == TYPES[1]:
                assert answer.count("\n") == 3


HEADERS = (
    b"Authorization: Bearer ",
    b"Authorization: ",
    b"Cookie: standing_session=",
    b"Cookie: ",
    b"Signature-Input: sig=",
    b'Signature: sig=:AA==:\r\nSignature-Input: sig=("@method" "@path");created=1;keyid=',
    b"Last-Event-ID: ",
    b"Content-Digest: ",
    b"Content-Type: ",
    b"If-None-Match: ",
    b"X-Forwarded-For: ",
)
PATHS = (b"/v1/network", b"/v1/events", b"/", b"/v1/handles", b"/log/checkpoint", b"/v1/records")


@pytest.mark.parametrize("seed", range(2))
async def test_any_bytes_in_headers(server, seed: int, caplog) -> None:
    """Raw bytes on the wire, which no client library would send."""
    rng = random.Random(seed)
    seen = set()
    for _ in range(120):
        value = bytes(
            rng.choice(b" \t!\"%&'()*+,-./09:;=?@AZ[\\]az{|}~\x80\xc3\xa9\xed\xa0\xff")
            for _ in range(rng.randrange(60))
        )
        method = rng.choice((b"GET", b"POST", b"HEAD"))
        head = (
            b"%b %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n%b%b\r\n\r\n{}"
        )
        request = head % (method, rng.choice(PATHS), rng.choice(HEADERS), value)
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(request)
        status = int((await asyncio.wait_for(reader.readline(), 20)).split(b" ")[1])
        writer.close()
        await writer.wait_closed()
        seen.add(status)
        assert status < 500 or status == 503, request
    assert {200, 401} <= seen
    assert "failed" not in caplog.text
    assert "Traceback" not in caplog.text
