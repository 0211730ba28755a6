"""Signed requests: the official vector, every way to cover too little, a real server."""

import base64
import json
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import BadSignature, InvalidInput, Malformed
from ledger.signing import SigningKey, verify
from node.api.signatures import (
    SKEW_S,
    Received,
    check_request,
    content_digest,
    parse_input,
    sign_request,
    signature_base,
)
from node.config import Signer

KEY = SigningKey.from_seed(b"k" * 32)
NOW = 1_800_000_000
REQUEST = Received("POST", "node.example:8440", "/v1/records", "?wait=final", {}, b'{"a":1}')


def signed(request: Received = REQUEST, *, created: int = NOW) -> Received:
    made = sign_request(KEY, "ci", request, created)
    return replace(request, headers={name.lower(): value for name, value in made.items()})


def check(request: Received, now: int = NOW) -> str:
    return check_request(request, {"ci": KEY.public}.get, now).key_id


def test_official_vector(vectors_dir) -> None:
    vector = json.loads((vectors_dir / "rfc9421" / "ed25519_b26.json").read_text())
    public = base64.urlsafe_b64decode(vector["pub_b64url"] + "=")
    *lines, last = vector["signature_base"].split("\n")
    params = last.partition(": ")[2]
    values = dict(line.removeprefix('"').split('": ', 1) for line in lines)
    read = parse_input("sig-b26=" + params)
    assert read.components == tuple(values)
    assert (read.created_s, read.key_id) == (1618884473, "test-key-ed25519")
    base = signature_base(read.components, read.params, values.get)
    assert base == vector["signature_base"].encode()
    assert verify(public, base, base64.b64decode(vector["sig_b64"]))
    changed = {**values, "@path": "/bar"}
    other = signature_base(read.components, read.params, changed.get)
    assert not verify(public, other, base64.b64decode(vector["sig_b64"]))


def test_a_signed_request_holds() -> None:
    assert check(signed()) == "ci"
    assert check(signed(), NOW + SKEW_S) == "ci"
    plain = Received("GET", "node.example", "/v1/events", "", {}, b"")
    assert check(signed(plain)) == "ci"


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "PUT"},
        {"authority": "other.example"},
        {"path": "/v1/handles"},
        {"query": ""},
        {"query": "?wait=none"},
        {"body": b'{"a":2}'},
    ],
)
def test_what_is_covered_cannot_change(changes) -> None:
    with pytest.raises(InvalidInput):
        check(replace(signed(), **changes))


def test_age_and_key() -> None:
    for now in (NOW - SKEW_S - 1, NOW + SKEW_S + 1):
        with pytest.raises(BadSignature, match="created"):
            check(signed(), now)
    with pytest.raises(BadSignature, match="signer"):
        check_request(signed(), {}.get, NOW)
    with pytest.raises(BadSignature, match="signer"):
        check_request(signed(), {"ci": SigningKey.from_seed(bytes(32)).public}.get, NOW)


def test_an_expired_signature_is_refused() -> None:
    params = f'("@method" "@authority" "@path" "@query" "content-digest");created={NOW}'
    headers = {"content-digest": content_digest(REQUEST.body).decode()}
    names = ("@method", "@authority", "@path", "@query", "content-digest")
    for expires, holds in ((NOW + 1, True), (NOW, True), (NOW - 1, False)):
        whole = f'{params};expires={expires};keyid="ci"'
        base = signature_base(names, whole, replace(REQUEST, headers=headers).value_of)
        headers["signature-input"] = f"sig={whole}"
        headers["signature"] = f"sig=:{base64.b64encode(KEY.sign(base)).decode()}:"
        request = replace(REQUEST, headers=headers)
        if holds:
            assert check(request) == "ci"
        else:
            with pytest.raises(BadSignature, match="expired"):
                check(request)


@pytest.mark.parametrize("dropped", ["@method", "@authority", "@path", "@query", "content-digest"])
def test_too_little_is_not_enough(dropped: str) -> None:
    names = ["@method", "@authority", "@path", "@query", "content-digest"]
    names.remove(dropped)
    params = f'({" ".join(f"{chr(34)}{n}{chr(34)}" for n in names)});created={NOW};keyid="ci"'
    headers = {"content-digest": content_digest(REQUEST.body).decode()}
    base = signature_base(names, params, replace(REQUEST, headers=headers).value_of)
    headers["signature-input"] = f"sig={params}"
    headers["signature"] = f"sig=:{base64.b64encode(KEY.sign(base)).decode()}:"
    with pytest.raises(Malformed, match=dropped):
        check(replace(REQUEST, headers=headers))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "sig=()",
        'sig=("@method")',
        'sig=("@method");created=1',
        'sig=("@method");keyid="a"',
        'sig=("@method" "@method");created=1;keyid="a"',
        'sig=("@method");created=1;created=1;keyid="a"',
        'sig=("@method");created="1";keyid="a";alg="rsa-pss-sha512"',
        'sig=("@method");created=1;keyid="a", b=("@path");created=1;keyid="a"',
        'sig=("@method";req);created=1;keyid="a"',
        'sig=("@method");created=1;keyid="a";other=1',
        'sig=("@method");created=1;keyid="a"\n',
        'sig=("@method");created="1";keyid="a"',
        'sig=("@method");created=01;keyid="a"',
        'sig=("@method");created=1;keyid=5',
        'sig=("@method");created=1;keyid="a";expires="9"',
        "sig=(" + " ".join(f'"x{n}"' for n in range(17)) + ');created=1;keyid="a"',
        'sig=("@method");created=1;keyid="' + "a" * 3_000 + '"',
    ],
)
def test_inputs_out_of_form(header: str) -> None:
    with pytest.raises(Malformed):
        parse_input(header)


@given(st.text(max_size=120))
def test_any_input_is_read_or_refused(text: str) -> None:
    for header in (text, f'sig=("@method"){text}'):
        try:
            parse_input(header)
        except Malformed:
            continue


def with_signer(node, may: set[str]) -> None:
    signer = Signer("ci", KEY.public, frozenset(may))
    node.config = replace(node.config, signers=(signer,))


async def test_over_http(node, server, stranger) -> None:
    with_signer(node, {"write"})
    url = server.make_url("/v1/handles?x=1").with_query(None)
    body = json.dumps({"kind": "subject", "references": ["a"]}).encode()
    request = Received("POST", f"{url.host}:{url.port}", "/v1/handles", "", {}, body)
    headers = sign_request(KEY, "ci", request, int(time.time()))
    sent = {**headers, "Content-Type": "application/json"}
    async with stranger.post("/v1/handles", data=body, headers=sent) as response:
        assert response.status == 200, await response.text()
        assert len((await response.json())["handles"]) == 1
    async with stranger.post("/v1/handles", data=body + b" ", headers=sent) as response:
        assert response.status == 401
    twice = [("Content-Digest", "sha-256=:AAAA:"), *sent.items()]
    async with stranger.post("/v1/handles", data=body, headers=twice) as response:
        assert response.status == 401, "a field that is sent twice counts as one list"
    sent["Content-Type"] = "application/x-ndjson"
    async with stranger.post("/v1/records", data=body, headers=sent) as response:
        assert response.status == 401
        assert "stream" in (await response.json())["detail"]


async def test_a_signer_has_its_rights_and_no_others(node, server, stranger) -> None:
    with_signer(node, {"write"})
    url = server.make_url("/v1/events")
    request = Received("GET", f"{url.host}:{url.port}", "/v1/events", "", {}, b"")
    headers = sign_request(KEY, "ci", request, int(time.time()))
    async with stranger.get("/v1/events", headers=headers) as response:
        assert response.status == 403
    headers = sign_request(KEY, "stranger", request, int(time.time()))
    async with stranger.get("/v1/events", headers=headers) as response:
        assert response.status == 401
