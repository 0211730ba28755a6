"""The browser's signatures, hashes and proofs against the official vectors, in Node."""

import base64
import json
import random
from hashlib import sha256

import pytest

from ledger import merkle, signing
from ledger.errors import BadProof
from ledger.mapproof import verify_presence
from ledger.signing import SigningKey
from tests.node.web.js.in_node import in_node, needs_node

pytestmark = needs_node


def test_every_wycheproof_case_has_the_listed_result(vectors_dir):
    path = vectors_dir / "wycheproof-ed25519/testvectors_v1/ed25519_test.json"
    cases, expected = [], []
    for group in json.loads(path.read_text())["testGroups"]:
        for case in group["tests"]:
            key = group["publicKey"]["pk"]
            cases.append({"key": key, "message": case["msg"], "signature": case["sig"]})
            expected.append(case["result"] == "valid")
    assert len(cases) == 151
    assert in_node("signatures", cases=cases) == expected


def test_speccheck_accepts_exactly_what_the_ledger_accepts(vectors_dir):
    folder = vectors_dir / "ed25519-speccheck"
    expected = json.loads((folder / "expected_bitmap.json").read_text())
    [bitmap] = [bits for name, bits in expected.items() if name.startswith("libsodium")]
    cases = [
        {"key": case["pub_key"], "message": case["message"], "signature": case["signature"]}
        for case in json.loads((folder / "cases.json").read_text())
    ]
    assert in_node("signatures", cases=cases) == [bit == "1" for bit in bitmap]


def test_zip215_cases_and_points_of_small_order_are_refused(vectors_dir):
    cases = [
        {"key": case["pk"], "message": case["msg"], "signature": case["sig"]}
        for case in json.loads((vectors_dir / "zip215/zip215_cases.json").read_text())
    ]
    assert len(cases) == 196
    assert in_node("signatures", cases=cases) == [False] * 196
    points = json.loads((vectors_dir / "zip215/small_order_encodings.json").read_text())
    assert len(points) == 14
    assert in_node("keys", cases=points) == [{"small": True, "valid": False}] * 14


def test_keys_are_judged_as_libsodium_judges_them():
    rng = random.Random(11)
    keys = [SigningKey.from_seed(rng.randbytes(32)).public for _ in range(20)]
    keys += [rng.randbytes(32) for _ in range(60)]  # half of these are no points, most others mixed
    keys += [bytes([low, *[255] * 30, high]) for low in range(230, 256) for high in (127, 255)]
    found = in_node("keys", cases=[key.hex() for key in keys])
    assert [each["valid"] for each in found] == [signing.is_valid_public_key(key) for key in keys]
    assert sum(each["valid"] for each in found) >= 20


def test_a_signature_with_nonce_zero_or_s_plus_l_is_refused():
    order = 2**252 + 27742317777372353535851937790883648493
    key = SigningKey.from_seed(bytes(32))
    good = key.sign(b"m")
    s = (int.from_bytes(good[32:], "little") + order).to_bytes(32, "little")
    cases = [
        {"key": key.public.hex(), "message": b"m".hex(), "signature": signature.hex()}
        for signature in (good, good[:32] + s, bytes([1]) + bytes(63), good[:63], good + b"\0")
    ]
    assert in_node("signatures", cases=cases) == [True, False, False, False, False]


def test_sha256_is_that_of_the_standard():
    rng = random.Random(3)
    data = [rng.randbytes(length) for length in (*range(140), 8_191, 8_192, 100_000)]
    found = in_node("hashes", cases=[each.hex() for each in data])
    assert found == [sha256(each).hexdigest() for each in data]


def test_roots_are_those_of_the_ledger():
    rng = random.Random(5)
    trees = [[rng.randbytes(rng.randrange(120)) for _ in range(count)] for count in range(70)]
    found = in_node("roots", cases=[[leaf.hex() for leaf in leaves] for leaves in trees])
    assert found == [
        merkle.root([merkle.leaf_hash(leaf) for leaf in leaves]).hex() for leaves in trees
    ]


def test_the_official_roots(vectors_dir):
    known = json.loads((vectors_dir / "merkle/rfc6962_leaves_nodes_roots.json").read_text())
    entries = known["leaf_inputs_hex"]
    found = in_node("roots", cases=[entries[:size] for size in range(len(entries) + 1)])
    assert found == [known["empty_root_hex"], *known["root_hashes_size1_to_8_hex"]]


def test_the_official_inclusion_proofs_are_decided_as_listed(vectors_dir):
    cases, expected = [], []
    for path in sorted((vectors_dir / "merkle/testdata/inclusion").rglob("*.json")):
        case = json.loads(path.read_text())
        root, leaf, *proof = (
            base64.b64decode(each or "").hex()
            for each in (case["root"], case["leafHash"], *(case["proof"] or []))
        )
        cases.append(
            {
                "leaf": leaf,
                "index": case["leafIdx"],
                "size": case["treeSize"],
                "path": proof,
                "root": root,
            }
        )
        expected.append(not case["wantErr"])
    assert len(cases) == 98
    assert [each["held"] for each in in_node("inclusions", cases=cases)] == expected


def test_the_official_map_proofs_hold_and_fail_when_anything_is_changed(vectors_dir):
    told = json.loads((vectors_dir / "map-proofs/mpt_python_cases.json").read_text())
    rng = random.Random(7)
    cases = {True: [], False: []}
    for case in told["Cases"]:
        given = {"root": told["Root"], "key": case["Key"], "path": case["Proof"]}
        if case["Ok"]:
            given["value"] = case["Val"]
        cases[case["Ok"]].append(given)
    assert (len(cases[True]), len(cases[False])) == (400, 400)
    for present, task in ((True, "presences"), (False, "absences")):
        assert all(each["held"] for each in in_node(task, cases=cases[present]))
        broken = []
        for given in cases[present]:
            path = bytearray.fromhex(given["path"])
            path[rng.randrange(len(path))] ^= 1 << rng.randrange(8)
            broken.append({**given, "path": path.hex()})
            broken.append({**given, "path": given["path"][:-66]})
            broken.append({**given, "path": given["path"] + "00" * 33})
        found = in_node(task, cases=broken)
        assert not any(each["held"] for each in found)


def test_presence_in_the_same_way_as_the_ledger(vectors_dir):
    """A proof's bits that do not fall are refused by both, whatever they lead to."""
    told = json.loads((vectors_dir / "map-proofs/mpt_python_cases.json").read_text())
    case = next(case for case in told["Cases"] if case["Ok"])
    path = bytes.fromhex(case["Proof"])
    turned = path[33:66] + path[:33] + path[66:]
    root, key, value = (bytes.fromhex(each) for each in (told["Root"], case["Key"], case["Val"]))
    with pytest.raises(BadProof, match="fall"):
        verify_presence(root, key, value, turned)
    given = {"root": told["Root"], "key": case["Key"], "value": case["Val"], "path": turned.hex()}
    [found] = in_node("presences", cases=[given])
    assert not found["held"]
    assert "fall" in found["value"]
