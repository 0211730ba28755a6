"""Who may do what: tokens, rights, headers, problems of requests."""

import pytest

from node.api.auth import find_token
from tests.node.api.live_node import BOTH, READ, WRITE

READS = (
    "/v1/records/" + "00" * 32,
    "/v1/subjects/p1:" + "00" * 32 + "/score",
    "/v1/ledger/blocks",
    "/v1/ledger/batches",
    "/v1/events",
)
PUBLIC = ("/livez", "/readyz", "/metrics", "/openapi.json", "/v1/network", "/log/policy")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", READS)
async def test_reading_needs_a_token_that_may_read(stranger, path) -> None:
    async with stranger.get(path) as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        problem = await response.json(content_type="application/problem+json")
        assert problem["type"] == "urn:standing:problem:unauthorized"
    for token in ("", "wrong", "é" * 10, "x" * 5_000):
        async with stranger.get(path, headers=bearer(token)) as response:
            assert response.status == 401
    async with stranger.get(path, headers=bearer(WRITE)) as response:
        assert response.status == 403


async def test_writing_needs_a_token_that_may_write(node, stranger) -> None:
    for path in ("/v1/records", "/v1/handles"):
        for headers, status in (({}, 401), (bearer(READ), 403), (bearer("x"), 401)):
            async with stranger.post(path, json={}, headers=headers) as response:
                assert response.status == status
        async with stranger.post(
            path, json={}, headers={"Authorization": f"Basic {BOTH}"}
        ) as response:
            assert response.status == 401
    assert node.offered == []


@pytest.mark.parametrize("path", PUBLIC)
async def test_what_is_public(stranger, path) -> None:
    async with stranger.get(path) as response:
        assert response.status == 200


async def test_links_are_told_to_readers_only(stranger) -> None:
    async with stranger.get("/v1/network") as response:
        assert {each["linked"] for each in (await response.json())["members"]} == {None}
    async with stranger.get("/v1/network", headers=bearer(READ)) as response:
        members = (await response.json())["members"]
        assert [each["linked"] for each in members] == [None, True, True, False]
    async with stranger.get("/v1/network", headers=bearer("wrong")) as response:
        assert response.status == 401


def test_tokens_are_found_by_their_hash(node) -> None:
    tokens = node.config.tokens
    found = find_token(tokens, READ)
    assert found is not None
    assert found.may == {"read"}
    assert find_token(tokens, tokens[0].sha256) is None
    assert find_token(tokens, READ + " ") is None
    assert find_token(tokens, "x" * 10_000) is None


async def test_every_answer_is_safe_for_browsers(stranger) -> None:
    for path in ("/livez", "/nowhere", "/v1/events"):
        async with stranger.get(path) as response:
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
            assert response.headers["Cache-Control"] == "no-store"


async def test_unknown_addresses_and_methods(stranger) -> None:
    async with stranger.get("/v2/records") as response:
        assert response.status == 404
        assert "/openapi.json" in (await response.json(content_type=None))["detail"]
    async with stranger.delete("/v1/records") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        assert response.headers["Content-Type"].startswith("application/problem+json")


async def test_a_node_that_starts_is_not_ready(node, stranger) -> None:
    node.ready = False
    async with stranger.get("/readyz") as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
    async with stranger.get("/livez") as response:
        assert response.status == 200


async def test_requests_are_counted(stranger) -> None:
    await stranger.get("/livez")
    async with stranger.request("PURGE", "/livez") as response:
        assert response.status == 405
    await stranger.get("/nowhere")
    async with stranger.get("/metrics") as response:
        text = await response.text()
    assert 'standing_http_requests_total{method="GET",route="/livez",status="200"} 1.0' in text
    assert 'standing_http_requests_total{method="other",route="none",status="405"} 1.0' in text
    assert 'standing_http_requests_total{method="GET",route="none",status="404"} 1.0' in text


async def test_a_fault_of_ours_tells_nothing(node, member, monkeypatch, caplog) -> None:
    def broken(record_id: bytes) -> None:
        raise ZeroDivisionError("secret inside")

    monkeypatch.setattr(node, "status", broken)
    async with member.get("/v1/records/" + "00" * 32) as response:
        assert response.status == 500
        assert "secret" not in await response.text()
    assert "secret inside" in caplog.text
