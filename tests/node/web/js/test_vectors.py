"""The frozen vectors of our own formats through the browser's verifier: the same verdicts."""

from typing import Any

from tests.node.web.js.in_node import in_node, needs_node
from tests.vectors.frozen import Case, read

pytestmark = needs_node

BLOCK = b"standing/block/v1\0".hex()
HEADER = b"standing/header/v1\0".hex()


def names(cases: list[Case], *, refused: bool) -> list[str]:
    return [case["name"] for case in cases if ("refused" in case) == refused]


def verdicts(cases: list[Case], told: list[dict[str, Any]]) -> dict[str, Any]:
    """What each accepted case yields; exactly the cases that are to be refused are."""
    pairs = list(zip(cases, told, strict=True))
    assert [case["name"] for case, one in pairs if not one["held"]] == names(cases, refused=True)
    return {case["name"]: one["value"] for case, one in pairs if one["held"]}


def forms(kind: str, cases: list[Case]) -> dict[str, Any]:
    given = [{"kind": kind, "data": case["bytes"]} for case in cases]
    return verdicts(cases, in_node("forms", cases=given))


def test_records() -> None:
    cases = read("record")
    assert list(forms("record", cases)) == names(cases, refused=False)


def test_seals_and_blocks() -> None:
    cases = read("seal")
    assert list(forms("seal", cases)) == names(cases, refused=False)
    good = [case for case in cases if "refused" not in case]
    hashed = [f"{BLOCK}{case['chain']}{case['block_bytes']}" for case in good]
    assert in_node("hashes", cases=hashed) == [case["block_hash"] for case in good]
    leaves = in_node("roots", cases=[[case["bytes"]] for case in good])
    assert leaves == [case["leaf_hash"] for case in good]


def test_batches_headers_and_entries() -> None:
    cases = read("batch")
    roots = in_node("roots", cases=[case["commitments"] for case in cases])
    assert roots == [case["root"] for case in cases]
    submissions = [each for case in cases for each in case["submissions"]]
    hashed = [
        each["salt"]
        + (len(each["record"]) // 2).to_bytes(4).hex()
        + each["record"]
        + each["signatures"]
        for each in submissions
    ]
    committed = [each for case in cases for each in case["commitments"]]
    assert in_node("hashes", cases=hashed) == committed
    headers = [case for case in read("header") if "refused" not in case]
    hashed = [f"{HEADER}{case['chain']}{case['bytes']}" for case in headers]
    assert in_node("hashes", cases=hashed) == [case["hash"] for case in headers]
    assert in_node("signatures", cases=headers) == [True] * len(headers)
    entries = read("entry")
    leaves = in_node("roots", cases=[[case["bytes"]] for case in entries])
    assert leaves == [case["leaf_hash"] for case in entries]


def test_policies() -> None:
    cases = read("policy")
    found = verdicts(cases, in_node("policies", cases=[case["text"] for case in cases]))
    for case in cases:
        if "refused" not in case:
            expected = {name: case[name] for name in ("origin", "quorum", "witnesses")}
            assert found[case["name"]] == {**expected, "logKeys": case["log_keys"]}


def test_checkpoints_by_the_strict_rule() -> None:
    cases = read("checkpoint")
    told = in_node("checkpoints", cases=cases)
    for case, one in zip(cases, told, strict=True):
        assert one["held"] == (case["strict"] == ""), case["name"]
        if one["held"]:
            assert one["value"]["size"] == str(case["size"])
            assert one["value"]["root"] == case["root"]


def test_bundles() -> None:
    cases = read("bundle")
    given = [{"bundle": case["bundle"], "policy": case["policy"]} for case in cases]
    for case, found in zip(cases, in_node("bundles", cases=given), strict=True):
        assert found["valid"] == ("refused" not in case), case["name"]
        steps = [[step["name"], step["detail"]] for step in found["steps"]]
        if found["valid"]:
            assert steps == case["steps"]
            assert found["answer"] == case["answer"]
            assert found["points"] == case["points"]
            assert found["probability"] == case["probability_q16"]
        else:
            assert steps[-1][0] == case["refused"], case["name"]
            assert not found["steps"][-1]["ok"]


def test_scores() -> None:
    cases = read("score")
    found = verdicts(cases, in_node("scores", cases=cases))
    for case in cases:
        if "refused" not in case:
            assert found[case["name"]] == case["answer"], case["name"]


def test_outlooks() -> None:
    cases = read("outlook")
    found = verdicts(cases, in_node("outlooks", cases=cases))
    for case in cases:
        told = {name: case[name] for name in ("counterfactuals", "information", "base")}
        assert found[case["name"]] == told, case["name"]
