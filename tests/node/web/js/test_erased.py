"""Erased records in the browser's verifier: the ledger's verdict and words, and its score."""

import os

import pytest

from ledger import erasure_queue
from ledger.bundle import decode_bundle, verify_bundle
from ledger.bureau.erased import ERASURE_TYPE
from ledger.bureau.reading import FILE_LEAVES_MAX
from ledger.encoding import encode
from tests.ledger.bureau.facts import ME, question
from tests.ledger.bureau.test_erased import impossible, linked, out_of_order, own_file
from tests.ledger.certify import policy_of
from tests.ledger.handmade import HandFile, bundle_by_hand, moved, policy
from tests.ledger.test_bundle import bundle_of, linked_world
from tests.ledger.test_bundle_erased import SUBJECTS, erased_world, liars, random_world
from tests.node.web.js.in_node import in_node, needs_node
from tests.node.web.js.random_erasures import erased_case
from tests.node.web.js.test_bundles import failing, in_both
from tests.node.web.js.test_score import answer_of

pytestmark = needs_node

CASES = int(os.environ.get("STANDING_JS_CASES", "300"))
CHUNK = 250


def in_words(*bundles: bytes) -> list[tuple[str, str]]:
    """Step and reason at which both refuse each bundle; they must be the same."""
    told = in_node(
        "bundles", cases=[{"bundle": data.hex(), "policy": policy().format()} for data in bundles]
    )
    said = []
    for data, found in zip(bundles, told, strict=True):
        ours = verify_bundle(data, policy()).steps[-1]
        theirs = found["steps"][-1]
        assert not ours.ok
        assert theirs == {"name": ours.name, "ok": False, "detail": ours.detail}
        said.append((ours.name, ours.detail))
    return said


def test_random_erasures_have_the_same_answer_bit_for_bit() -> None:
    answered = erased = 0
    for start in range(0, CASES, CHUNK):
        seeds = range(start, min(CASES, start + CHUNK))
        cases = [erased_case(seed)[0] for seed in seeds]
        found = in_node("scores", cases=[case.as_json() for case in cases])
        for seed, case, one in zip(seeds, cases, found, strict=True):
            expected = answer_of(case)
            assert (one["value"] if one["held"] else None) == expected, f"seed {seed}"
            answered += expected is not None
            erased += any(fact.record is None for file in case.files for fact in file.facts)
    assert answered > CASES * 0.7, "the cases are not mostly refusals"
    assert erased > CASES * 0.3, "many of them have erased records"


def test_random_erasures_have_the_same_verdict_as_bundles() -> None:
    cases = [erased_case(seed)[1] for seed in range(CASES // 3)]
    verdicts = in_both((data, policy()) for data in cases)
    assert sum(valid for valid, _ in verdicts) > len(cases) * 0.7
    assert {step for _, step in verdicts} == {"score"}, "all is proven, but for a question or scale"


def test_bundles_with_erased_records_and_links_and_with_all_erased() -> None:
    mine, there = linked(erased=True)
    cases = [
        bundle_by_hand([own_file(erased=(1, 2))], question()),
        bundle_by_hand([own_file(erased=(0, 1, 2, 3, 4, 5, 6))], question()),
        bundle_by_hand([own_file(erased=(2,))], question()),
        bundle_by_hand([mine], question()),
        bundle_by_hand([there], question(platform=there.platform, handle=there.handle)),
        bundle_by_hand(linked(erased=False), question()),
    ]
    assert in_both((data, policy()) for data in cases) == [(True, "score")] * len(cases)
    assert in_words(bundle_by_hand([mine, there], question()))[0][0] == "links"


def test_the_longest_file_may_be_erased_in_full() -> None:
    """What erasing leaves is counted apart, to the leaf, and in the same words."""
    file = HandFile(1, ME)
    for log_index in range(FILE_LEAVES_MAX):
        file.close(log_index, 1)
    erasure = FILE_LEAVES_MAX
    file.close(erasure, ERASURE_TYPE)
    file.erase(erasure, *range(FILE_LEAVES_MAX))
    assert in_both([(bundle_by_hand([file], question()), policy())]) == [(True, "score")]
    whole, refused = file.leaves, []
    one_more = moved(whole[0], log_index=erasure + 1)
    for leaves in ([*whole, one_more], [*whole[1:], *whole[-1:] * FILE_LEAVES_MAX]):
        file.leaves = leaves
        refused.append(bundle_by_hand([file], question()))
    said = in_words(*refused)
    assert said == [
        ("form", "the files have more leaves than may be read together"),
        ("form", "the files have more leaves of erasures than may be read together"),
    ]


def test_what_no_execution_makes_is_refused_in_the_same_words() -> None:
    files = list(impossible().values())
    for _, leaves in out_of_order():
        file = own_file(erased=(1, 2))
        file.leaves = leaves
        files.append(file)
    said = in_words(*(bundle_by_hand([file], question()) for file in files))
    assert [step for step, _ in said] == ["openings"] * len(files)
    assert len({words for _, words in said}) >= 7


def test_an_opening_of_an_erased_leaf_is_refused_and_so_is_one_that_lacks() -> None:
    whole, file = own_file(), own_file(erased=(3, 4))
    told = decode_bundle(bundle_by_hand([file], question()))
    [proof] = told.files
    bundles = []
    for kept in ((1, 2, 3, 4, 5, 6), (1, 2, 3, 5, 6), (1, 2, 3, 4), (1, 2, 5), ()):
        openings = tuple(whole.openings[at] for at in kept)
        bundles.append(encode(moved(told, files=(moved(proof, openings=openings),))))
    gap = own_file(erased=(1, 2))
    del gap.openings[3]
    bundles.append(bundle_by_hand([gap], question()))
    elsewhere = HandFile(2, whole.handle)
    elsewhere.erase(7, 3)
    bundles.append(bundle_by_hand([gap, elsewhere], question()))
    assert [step for step, _ in in_words(*bundles)] == ["openings"] * len(bundles)


def test_bundles_of_executed_erasures_hold_in_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure_queue, "ERASURE_LEAVES_PER_BLOCK", 6)
    worlds = [erased_world(), erased_world("whole"), *(random_world(seed) for seed in range(8))]
    cases = [
        (bundle_of(world, name, platform), policy_of(world))
        for world in worlds
        for name, platform in SUBJECTS
    ]
    assert in_both(cases) == [(True, "score")] * len(cases)


def test_what_a_liar_does_to_erased_records_is_refused_by_both() -> None:
    before, world = bundle_of(linked_world()), erased_world()
    steps, bundles = zip(*liars(world, before), strict=True)
    assert failing(world, *bundles) == list(steps)


def test_a_change_of_any_one_byte_of_an_executed_erasure_is_refused() -> None:
    world = erased_world()
    data = bundle_of(world)
    found = in_node("mutations", bundle=data.hex(), policy=policy_of(world).format())
    assert found["whole"]
    assert found["tried"] == 2 * len(data)
    assert found["accepted"] == []
    assert set(found["steps"]) >= {"form", "files", "openings"}


@pytest.mark.parametrize("which", ["some", "all", "link"])
def test_a_change_of_any_one_byte_is_refused(which: str) -> None:
    file = {
        "some": own_file(erased=(0, 3, 4, 6)),
        "all": own_file(erased=tuple(range(7))),
        "link": linked(erased=True)[0],
    }[which]
    data = bundle_by_hand([file], question())
    trusted = policy()
    for at in range(len(data)):
        for flip in (1 << at % 8, 0xFF):
            changed = bytearray(data)
            changed[at] ^= flip
            assert not verify_bundle(bytes(changed), trusted).valid, f"byte {at}"
    found = in_node("mutations", bundle=data.hex(), policy=trusted.format())
    assert found["whole"]
    assert found["tried"] == 2 * len(data)
    assert found["accepted"] == []
