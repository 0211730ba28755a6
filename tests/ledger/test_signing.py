"""The acceptance rule against the published edge cases."""

import json

import pytest

from ledger import signing
from ledger.errors import BadSignature
from ledger.signing import SigningKey


def test_every_wycheproof_case_has_the_listed_result(vectors_dir):
    path = vectors_dir / "wycheproof-ed25519/testvectors_v1/ed25519_test.json"
    suite = json.loads(path.read_text())
    count = 0
    for group in suite["testGroups"]:
        key = bytes.fromhex(group["publicKey"]["pk"])
        for case in group["tests"]:
            held = signing.verify(key, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
            assert held == (case["result"] == "valid"), case
            count += 1
    assert count == suite["numberOfTests"] == 151


def test_speccheck_accepts_exactly_the_listed_cases(vectors_dir):
    folder = vectors_dir / "ed25519-speccheck"
    expected = json.loads((folder / "expected_bitmap.json").read_text())
    [bitmap] = [bits for name, bits in expected.items() if name.startswith("libsodium")]
    cases = json.loads((folder / "cases.json").read_text())
    found = "".join(
        str(
            int(
                signing.verify(
                    *(bytes.fromhex(case[n]) for n in ("pub_key", "message", "signature"))
                )
            )
        )
        for case in cases
    )
    assert found == bitmap


def small_orders(vectors_dir):
    listed = json.loads((vectors_dir / "zip215/small_order_encodings.json").read_text())
    assert len(listed) == 14
    return {bytes.fromhex(encoding) for encoding in listed}


def test_zip215_cases_are_all_refused_for_their_small_order(vectors_dir):
    small = small_orders(vectors_dir)
    cases = json.loads((vectors_dir / "zip215/zip215_cases.json").read_text())
    assert len(cases) == 196
    for case in cases:
        key, message, signature = (bytes.fromhex(case[name]) for name in ("pk", "msg", "sig"))
        assert key in small or signature[:32] in small
        assert not signing.verify(key, message, signature)


def test_small_order_points_are_no_keys(vectors_dir):
    assert not any(signing.is_valid_public_key(point) for point in small_orders(vectors_dir))


def test_a_signature_holds_for_its_message_only():
    key = SigningKey.from_seed(bytes(range(32)))
    signature = key.sign(b"message")
    assert len(signature) == 64
    assert signing.is_valid_public_key(key.public)
    signing.check(key.public, b"message", signature, what="a message")
    assert not signing.verify(key.public, b"massage", signature)
    with pytest.raises(BadSignature, match="of a massage"):
        signing.check(key.public, b"massage", signature, what="a massage")


def test_rfc8032_first_vector():
    seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
    key = SigningKey.from_seed(bytes.fromhex(seed))
    assert key.public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert key.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )


@pytest.mark.parametrize(
    ("key", "signature"), [(b"", bytes(64)), (bytes(31), bytes(64)), (bytes(32), b"")]
)
def test_wrong_lengths_are_refused(key, signature):
    assert not signing.verify(key, b"m", signature)
    assert not signing.is_valid_public_key(key[:31])


def test_s_plus_l_is_refused():
    order = 2**252 + 27742317777372353535851937790883648493
    key = SigningKey.from_seed(bytes(32))
    signature = key.sign(b"m")
    s = int.from_bytes(signature[32:], "little") + order
    assert not signing.verify(key.public, b"m", signature[:32] + s.to_bytes(32, "little"))


def test_the_secret_half_is_not_printed():
    key = SigningKey.from_seed(b"\x07" * 32)
    assert (b"\x07" * 32).hex() not in repr(key)
    assert "secret" not in repr(key)
    with pytest.raises(ValueError, match="32 bytes"):
        SigningKey.from_seed(b"short")


def test_purposes_are_apart():
    chain = bytes(32)
    assert signing.signed_message("vote", chain, b"x") == b"standing/vote/v1\0" + chain + b"x"
    assert signing.signed_message("vote", chain, b"x") != signing.signed_message(
        "batch", chain, b"x"
    )
