"""Which leaves of a file are erased, and what no execution makes."""

import pytest

from ledger.bundle import decode_bundle, verify_bundle
from ledger.bureau.erased import ACK_TYPE, ERASURE_TYPE, check_erasures
from ledger.encoding import encode
from ledger.errors import BadProof
from ledger.records.subject import SubjectLink
from tests.ledger.bureau.facts import CLIENT, ME, NOW, Fact, bad, good, name, question
from tests.ledger.handmade import HandFile, bundle_by_hand, moved, policy

OTHER = name("me elsewhere")


def own_file(*, erased=(), until=None):
    """A register (0), three good engagements (1…6), an erasure (7) that takes what is named."""
    file = HandFile(1, ME)
    file.close(0, 1)
    for fact in [*good("a"), *good("b"), *good("c")][:until]:
        file.write(len(file.leaves), fact)
    file.close(7, ERASURE_TYPE)
    file.erase(7, *erased)
    return file


def verified(file, *more, **asked):
    return verify_bundle(bundle_by_hand([file, *more], question(**asked)), policy())


def test_erased_records_count_for_nothing_but_themselves():
    found = verified(own_file(erased=(1, 2)))
    assert found.valid, found.steps
    counts = found.answer.evidence
    assert (counts.good, counts.engagements, counts.erased) == (2, 2, 2)
    whole = verified(own_file())
    assert (whole.answer.evidence.good, whole.answer.evidence.erased) == (3, 0)
    details = {step.name: step.detail for step in found.steps}
    assert details["openings"] == "4 records opened, 2 erased"


def test_erased_leaves_of_types_that_are_not_read_are_not_counted():
    found = verified(own_file(erased=(0, 1, 2, 3, 4, 5, 6)))
    assert found.valid, found.steps
    assert found.answer.thin_file
    assert found.answer.evidence.erased == 6


def test_an_outcome_whose_open_is_erased_counts_for_nothing():
    found = verified(own_file(erased=(1,)))
    assert (found.answer.evidence.engagements, found.answer.evidence.good) == (2, 2)
    assert found.answer.evidence.erased == 1


def test_what_comes_later_counts_again_and_the_file_stays_partly_erased():
    file = own_file(erased=(1, 2, 3, 4, 5, 6))
    for at, fact in enumerate([*good("d"), *bad("e")]):
        file.write(8 + at, fact)
    found = verified(file)
    assert found.valid, found.steps
    counts = found.answer.evidence
    assert (counts.good, counts.bad, counts.erased) == (1, 1, 6)


def test_as_of_before_the_erasure_does_not_bring_the_records_back():
    file = HandFile(1, ME)
    for at, fact in enumerate([*good("a", NOW - 9), *good("b", NOW)]):
        file.write(at, fact)
    file.close(4, ERASURE_TYPE, time=NOW + 5)
    file.erase(4, 0, 1, 2, 3)
    for as_of, erased in ((NOW - 10, 0), (NOW - 9, 2), (NOW, 4), (NOW + 9, 4)):
        found = verified(file, as_of=as_of)
        assert found.valid, found.steps
        assert found.answer.evidence.erased == erased
        assert found.answer.evidence.engagements == 0


# --- links ---


def link():
    ends = sorted(((1, ME, name("k1")), (2, OTHER, name("k2"))))
    return Fact(NOW, SubjectLink(1, NOW, *ends[0], *ends[1]), None)


def linked(*, erased):
    mine, there = HandFile(1, ME), HandFile(2, OTHER)
    for file in (mine, there):
        file.write(0, link())
    for at, fact in enumerate(good("a"), 1):
        mine.write(at, fact)
    if erased:
        mine.close(3, ERASURE_TYPE)
        mine.erase(3, 0)
        there.erase(3, 0)
    return mine, there


def test_an_erased_link_leads_nowhere():
    both = linked(erased=False)
    assert verified(*both).answer.evidence.files == 2
    mine, there = linked(erased=True)
    found = verified(mine)
    assert found.valid, found.steps
    assert (found.answer.evidence.files, found.answer.evidence.erased) == (1, 1)
    alone = verified(there, platform=2, handle=OTHER)
    assert alone.valid, alone.steps
    assert alone.answer.evidence.erased == 1
    together = verified(mine, there)
    assert (together.steps[-1].name, together.steps[-1].detail) == (
        "links",
        "a file is there that no link leads to",
    )


# --- one form only ---


def test_an_erased_leaf_must_stay_closed():
    whole, file = own_file(), own_file(erased=(3, 4))
    told = decode_bundle(bundle_by_hand([file], question()))
    [proof] = told.files
    for kept in ((1, 2, 3, 4, 5, 6), (1, 2, 3, 5, 6), (1, 2, 3, 4), (1, 2, 5), ()):
        openings = tuple(whole.openings[at] for at in kept)
        data = encode(moved(told, files=(moved(proof, openings=openings),)))
        step = verify_bundle(data, policy()).steps[-1]
        assert (step.name, step.ok) == ("openings", False), kept


def test_a_leaf_may_stand_unopened_only_if_it_is_erased():
    file = own_file(erased=(1, 2))
    del file.openings[3]
    assert verified(file).steps[-1].name == "openings"
    other = own_file(erased=(1, 2))
    there = HandFile(2, OTHER)
    there.erase(7, 3)  # in another file: it does not count here
    del other.openings[3]
    assert verified(other, there).steps[-1].name == "openings"


def impossible():
    """Files that no execution makes, by what is wrong with them."""
    files = {}
    files["is erased already"] = own_file(erased=(1, 1))
    again = own_file(erased=(1,))
    again.close(9, ERASURE_TYPE)
    again.erase(9, 1)
    files["erased already, by another"] = again
    files["does not stand before it"] = own_file(erased=(44,))
    later = own_file()
    later.erase(7, 8)
    later.write(8, good("d")[0])
    files["a later leaf"] = later
    newer = own_file()
    newer.write(8, good("d")[0])
    newer.erase(7, 8)
    files["is not older than it"] = newer
    files["itself"] = own_file(erased=(7,))
    older = own_file()
    older.close(8, ERASURE_TYPE)
    older.erase(8, 7)
    files["never erased: an erasure"] = older
    ack = own_file(erased=(1,))
    ack.close(8, ACK_TYPE, target=7)
    ack.close(9, ERASURE_TYPE)
    ack.erase(9, 8)
    files["never erased: an acknowledgement"] = ack
    foreign = HandFile(1, ME)
    foreign.write(0, good("a")[0])
    foreign.erase(0, 0)
    files["a record that erases itself"] = foreign
    return files


@pytest.mark.parametrize("what", list(impossible()))
def test_what_no_execution_makes_is_refused(what):
    file = impossible()[what]
    with pytest.raises(BadProof):
        check_erasures(file.leaves)
    step = verified(file).steps[-1]
    assert (step.name, step.ok) == ("openings", False)


def out_of_order():
    base = own_file(erased=(1, 2)).leaves
    register, *records = base[:7]
    own, first, second = base[7:]
    yield "swapped", [register, records[1], records[0], *records[2:], own]
    yield "twice", [register, *records, records[5], own]
    yield "own leaf behind its erasure leaves", [register, *records, first, own, second]
    yield "a record of an earlier block behind", [register, *records[:5], own, first, records[5]]
    yield "another commitment", [*base[:-1], moved(second, commitment=bytes(32))]
    yield "another time", [*base[:-1], moved(second, time=second.time + 1)]
    yield "another annotation", [*base[:-1], moved(second, annotation_hash=bytes(32))]
    yield "the index of another record", [*base[:7], moved(first, log_index=6)]


@pytest.mark.parametrize(("what", "leaves"), list(out_of_order()), ids=lambda each: str(each)[:24])
def test_leaves_out_of_order_or_at_odds_are_refused(what, leaves):
    with pytest.raises(BadProof):
        check_erasures(leaves)


def test_leaves_of_one_erasure_may_come_in_any_order_and_over_later_blocks():
    file = own_file(erased=(5,))
    file.write(9, good("d")[0])
    file.erase(7, 2, 1, 6)
    file.close(12, ACK_TYPE, target=7)
    file.close(13, ERASURE_TYPE)
    file.erase(13, 9, 3)
    assert check_erasures(file.leaves) == {1, 2, 3, 5, 6, 9}
    foreign = HandFile(1, CLIENT)
    foreign.write(2, good("x")[0])
    foreign.erase(40, 2)
    assert check_erasures(foreign.leaves) == {2}
