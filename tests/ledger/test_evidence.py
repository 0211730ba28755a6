"""Evidence: each of the five kinds from its bytes alone; and that nobody honest is ever framed."""

from dataclasses import replace
from itertools import combinations, product

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.batch import Header, header_message
from ledger.checkpoint import Checkpoint, cosignature_message
from ledger.encoding import encode
from ledger.errors import Malformed, Refused
from ledger.genesis import FIRST_BOUNDS
from ledger.governing import read_evidence
from ledger.hashing import ZERO_HASH
from ledger.overlay import Overlay
from ledger.records.evidence import Evidence as EvidenceRecord
from ledger.rules import check_stateful, check_stateless
from ledger.signing import SigningKey
from ledger.statements import (
    FINALIZE,
    FINALIZE_AND_NULLIFY,
    NOTARIZE,
    NULLIFY,
    PROPOSE,
    TWO_BATCHES,
    TWO_NOTARIZES,
    TWO_PROPOSALS,
    TWO_ROOTS,
    Evidence,
    conflict,
    part,
    statement_message,
)
from tests.ledger.members import Members, party
from tests.ledger.world import START, World, genesis_of, key_of, seed

ORIGIN = "example.org/standing"
A, B = sorted((seed("a"), seed("b")))


def world_of(epoch_blocks: int = 4) -> World:
    return World(genesis_of(4, msgspec.structs.replace(FIRST_BOUNDS, epoch_blocks=epoch_blocks)))


@pytest.fixture
def world() -> World:
    made = world_of()
    made.run(made.register("w"))
    return made


def vote(world: World, key: SigningKey, kind: int, at: tuple[int, int], hash_: bytes) -> bytes:
    """A vote of an epoch and view."""
    message = statement_message(world.chain, kind, *at, hash_)
    return part((*at, hash_), key.sign(message))


def batch(world: World, key: SigningKey, epoch: int, height: int, root: bytes) -> bytes:
    header = Header(epoch, 3, height, world.chain, 0, root, START)
    return part(header, key.sign(header_message(world.chain, header)))


def root_part(key: SigningKey, size: int, root: bytes, time_s: int) -> bytes:
    text = Checkpoint(ORIGIN, size, root).text()
    return part((size, root, time_s), key.sign(cosignature_message(time_s, text)))


def cases(world: World, number: int = 3) -> list[Evidence]:
    """Each kind against platform 3, in epoch 1."""
    keys = {purpose: key_of(number, purpose) for purpose in ("lane", "vote", "cosigner")}
    v = keys["vote"]

    def pair(kind: int, slot: int, epoch: int, *parts: bytes) -> Evidence:
        if kind != FINALIZE_AND_NULLIFY:
            parts = tuple(sorted(parts))
        return Evidence(kind, number, epoch, slot, *parts)

    return [
        pair(TWO_BATCHES, 7, 0, *(batch(world, keys["lane"], 1, 7, r) for r in (A, B))),
        pair(TWO_PROPOSALS, 5, 1, *(vote(world, v, PROPOSE, (1, 5), h) for h in (A, B))),
        pair(TWO_NOTARIZES, 5, 1, *(vote(world, v, NOTARIZE, (1, 5), h) for h in (A, B))),
        pair(
            FINALIZE_AND_NULLIFY,
            6,
            1,
            vote(world, v, FINALIZE, (1, 6), A),
            vote(world, v, NULLIFY, (1, 6), ZERO_HASH),
        ),
        pair(TWO_ROOTS, 2, 0, *(root_part(keys["cosigner"], 2, r, 9) for r in (A, B))),
    ]


def record(world: World, found: Evidence, by: int = 1) -> EvidenceRecord:
    return EvidenceRecord(
        by,
        world.time,
        found.kind,
        found.number,
        found.epoch,
        found.slot,
        found.first,
        found.second,
    )


def say(world: World, *found: Evidence, by: int = 1) -> list[str]:
    return world.rules(*(record(world, each, by) for each in found), lane=by)


def test_each_kind_is_proven_and_shown(world: World) -> None:
    found = cases(world)
    assert say(world, *found) == [""] * 5
    shown = list(read_evidence(world.store))
    assert [each.evidence for each in shown] == found
    assert [each.teller for each in shown] == [1] * 5
    assert [each.log_index for each in shown] == list(range(3, 8))
    assert list(read_evidence(world.store, 3)) == shown
    assert list(read_evidence(world.store, 2)) == []


def test_once_per_slot_whoever_tells_it(world: World) -> None:
    found = cases(world)
    assert say(world, *found, by=2) == [""] * 5
    assert say(world, *found, by=1) == ["evidence-exists"] * 5
    again = world_of()
    again.run(again.register("w"))
    assert say(again, found[2], found[2]) == ["", "evidence-exists"], "in one batch, too"


def test_another_platform_is_not_accused_with_it(world: World) -> None:
    for each in cases(world):
        for number in (1, 2, 4, 9):
            other = msgspec.structs.replace(each, number=number)
            rule = "evidence-form" if each.kind == TWO_BATCHES else "evidence-unproven"
            assert say(world, other) == [rule]


def test_no_changed_byte_accuses(world: World) -> None:
    """A changed part, signature or field is refused, or is another true accusation's form: none."""
    registry = _registry(world)
    for each in cases(world):
        for side in ("first", "second"):
            whole = getattr(each, side)
            for at in range(0, len(whole), 3):
                changed = bytearray(whole)
                changed[at] ^= 1
                with pytest.raises(Refused):
                    judge(world, registry, msgspec.structs.replace(each, **{side: bytes(changed)}))
        for field, value in (("slot", each.slot + 1), ("epoch", each.epoch + 1)):
            with pytest.raises(Refused):
                judge(world, registry, msgspec.structs.replace(each, **{field: value}))
        for kind in set(range(1, 6)) - {each.kind}:
            with pytest.raises(Refused):
                judge(world, registry, msgspec.structs.replace(each, kind=kind))


def _registry(world: World):  # type: ignore[no-untyped-def]
    return Overlay(world.store, world.state.vocabulary, world.state.footing)


def judge(world: World, registry, found: Evidence) -> None:  # type: ignore[no-untyped-def]
    told = record(world, found)
    check_stateless(world.chain, told, b"")
    check_stateful(registry, told, 1, world.time)


def test_one_form_only(world: World) -> None:
    found = cases(world)
    swapped = [msgspec.structs.replace(e, first=e.second, second=e.first) for e in found]
    assert say(world, *swapped) == ["evidence-form"] * 5
    same = [msgspec.structs.replace(e, second=e.first) for e in found]
    assert say(world, *same) == ["evidence-form"] * 5


def test_what_proves_nothing(world: World) -> None:
    """One statement signed twice, a root cosigned at two times, another chain's vote."""
    key = key_of(3, "cosigner")
    first, second = sorted(root_part(key, 2, A, time_s) for time_s in (9, 10))
    assert say(world, Evidence(TWO_ROOTS, 3, 0, 2, first, second)) == ["evidence-form"]
    other = World(genesis_of(3))
    assert say(world, *cases(other)[:4]) == ["evidence-unproven"] * 4
    nullified = vote(world, key_of(3, "vote"), NULLIFY, (1, 6), A)
    finalize_and = msgspec.structs.replace(cases(world)[3], second=nullified)
    assert say(world, finalize_and) == ["evidence-form"], "a nullify of a block is no nullify"


def test_what_cannot_be_judged_yet_is_refused(world: World) -> None:
    """A later epoch's set, or a size that the log has not reached, tells nobody's keys."""
    v, c, lane = (key_of(3, purpose) for purpose in ("vote", "cosigner", "lane"))
    first, second = sorted(vote(world, v, NOTARIZE, (2, 5), h) for h in (A, B))
    assert say(world, Evidence(TWO_NOTARIZES, 3, 2, 5, first, second)) == ["evidence-unproven"]
    first, second = sorted(root_part(c, 99, r, 9) for r in (A, B))
    assert say(world, Evidence(TWO_ROOTS, 3, 0, 99, first, second)) == ["evidence-unproven"]
    first, second = sorted((batch(world, lane, 1, 7, A), batch(world, lane, 2, 7, A)))
    assert say(world, Evidence(TWO_BATCHES, 3, 0, 7, first, second)) == ["evidence-unproven"]
    while world.state.size < 99:
        world.run(*(world.register(f"s{world.state.size}-{n}") for n in range(40)))
    assert say(world, Evidence(TWO_ROOTS, 3, 0, 99, *_roots(c))) == [""]


def _roots(key: SigningKey) -> tuple[bytes, bytes]:
    first, second = sorted(root_part(key, 99, r, 9) for r in (A, B))
    return first, second


def rotated() -> tuple[World, dict[str, SigningKey]]:
    """Platform 3 has other keys in epoch 2."""
    members = Members(world_of())
    new = party(3, "new", root=key_of(3, "root"))
    change = members.ask(1, members.rotate(new))
    members.agree(change, 1, 2)
    members.say(4, members.ready(new, change))
    members.end()
    return members.world, new.keys


def test_keys_are_those_of_the_epoch() -> None:
    world, new = rotated()
    old = cases(world)
    assert say(world, *old) == [""] * 5, "what the old keys did in their epoch"
    v = new["vote"]
    by_new = [vote(world, v, NOTARIZE, (2, 5), h) for h in (A, B)]
    by_old = [vote(world, key_of(3, "vote"), NOTARIZE, (2, 5), h) for h in (A, B)]
    mixed = sorted((by_new[0], by_old[1]))
    assert say(world, Evidence(TWO_NOTARIZES, 3, 2, 5, *sorted(by_old))) == ["evidence-unproven"]
    assert say(world, Evidence(TWO_NOTARIZES, 3, 2, 5, *mixed)) == ["evidence-unproven"]
    assert say(world, Evidence(TWO_NOTARIZES, 3, 2, 5, *sorted(by_new))) == [""]


def test_batches_that_are_sealed_again_after_a_rotation_accuse_nobody() -> None:
    world, new = rotated()
    old = batch(world, key_of(3, "lane"), 1, 8, A)
    resealed = batch(world, new["lane"], 2, 8, B)
    first, second = sorted((old, resealed))
    assert say(world, Evidence(TWO_BATCHES, 3, 0, 8, first, second)) == ["evidence-unproven"]


def test_one_key_that_seals_a_height_in_two_epochs_is_guilty() -> None:
    """A key that did not change binds its platform over the epoch's end."""
    world, _ = rotated()
    key = key_of(2, "lane")

    def sealed(epoch: int) -> bytes:
        header = Header(epoch, 2, 8, world.chain, 0, A, START)
        return part(header, key.sign(header_message(world.chain, header)))

    first, second = sorted((sealed(1), sealed(2)))
    assert say(world, Evidence(TWO_BATCHES, 2, 0, 8, first, second)) == [""]


def test_a_roots_epoch_is_that_of_its_size() -> None:
    world, new = rotated()
    end = world.state.size
    old_key = key_of(3, "cosigner")

    def two(key: SigningKey, size: int) -> Evidence:
        first, second = sorted(root_part(key, size, r, 9) for r in (A, B))
        return Evidence(TWO_ROOTS, 3, 0, size, first, second)

    world.run(world.register("more"))
    assert say(world, two(new["cosigner"], end), two(old_key, end + 1)) == ["evidence-unproven"] * 2
    assert say(world, two(old_key, end), two(new["cosigner"], end + 1)) == ["", ""]


# --- nobody honest is framed ---


class Honest:
    """Signs as DESIGN section 5 lets it: one of a kind per slot, again as often as asked."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.parts: dict[int, list[tuple[int, bytes]]] = {}
        self.signed: dict[tuple[int, int, int], bytes] = {}

    def vote(self, kind: int, epoch: int, view: int, hash_: bytes) -> None:
        if kind == NULLIFY:
            hash_ = ZERO_HASH
        opposite = {FINALIZE: NULLIFY, NULLIFY: FINALIZE}.get(kind, -1)
        if (opposite, epoch, view) in self.signed:
            return
        chosen = self.signed.setdefault((kind, epoch, view), hash_)
        self.keep(kind, epoch, vote(self.world, key_of(3, "vote"), kind, (epoch, view), chosen))

    def seal(self, epoch: int, height: int, root: bytes) -> None:
        if any(k == 10 and h == height for k, _, h in self.signed):
            return
        self.signed[10, epoch, height] = root
        self.keep(10, epoch, batch(self.world, key_of(3, "lane"), epoch, height, root))

    def cosign(self, size: int, root: bytes, time_s: int) -> None:
        chosen = self.signed.setdefault((11, 0, size), root)
        self.keep(11, 0, root_part(key_of(3, "cosigner"), size, chosen, time_s))

    def keep(self, kind: int, epoch: int, data: bytes) -> None:
        self.parts.setdefault(kind, []).append((epoch, data))


hashes = st.sampled_from([A, B, seed("c")])
acts = st.one_of(
    st.tuples(st.just("vote"), st.integers(0, 3), st.integers(1, 2), st.integers(1, 2), hashes),
    st.tuples(st.just("seal"), st.integers(1, 2), st.integers(1, 3), hashes),
    st.tuples(st.just("cosign"), st.integers(1, 4), hashes, st.integers(1, 3)),
)
FRAMED = world_of(1)
FRAMED.run(FRAMED.register("w"))
FRAMED.run(FRAMED.register("x"))


@given(st.lists(acts, max_size=20))
@settings(max_examples=60, deadline=None)
def test_honest_signatures_never_make_evidence(said) -> None:  # type: ignore[no-untyped-def]
    """Whatever two of its messages are put together, under whatever kind, epoch and slot."""
    honest = Honest(FRAMED)
    for name, *rest in said:
        getattr(honest, name)(*rest)
    registry = _registry(FRAMED)
    messages = [data for kept in honest.parts.values() for _, data in kept]
    for first, second in combinations(sorted(set(messages)), 2):
        for kind, slot in product(range(1, 6), range(1, 5)):
            for epoch, (one, other) in product((0, 1, 2), ((first, second), (second, first))):
                found = Evidence(kind, 3, epoch, slot, one, other)
                try:
                    conflict(FRAMED.chain, ORIGIN, found)
                except Malformed:
                    continue
                with pytest.raises(Refused):
                    judge(FRAMED, registry, found)


def test_the_property_would_find_a_conflict() -> None:
    """A check that the property can fail: a second notarize, and it is evidence."""
    registry = _registry(FRAMED)
    parts = [vote(FRAMED, key_of(3, "vote"), NOTARIZE, (1, 1), h) for h in (A, B)]
    judge(FRAMED, registry, Evidence(TWO_NOTARIZES, 3, 1, 1, *sorted(parts)))


def test_evidence_bytes_are_bounded() -> None:
    header = Header(2**53 - 1, 2**32 - 1, 2**53 - 1, A, 65_535, B, 2**53 - 1)
    assert len(encode(header)) + 64 <= 256
    with pytest.raises(Malformed, match="bytes"):
        conflict(A, ORIGIN, Evidence(1, 1, 0, 1, b"", bytes(300)))


def test_intake_and_execution_agree_on_the_footing(world: World) -> None:
    """The epoch's set is the one in force for the next block."""
    footing = world.state.footing
    assert (footing.epoch, footing.size) == (1, world.state.size)
    assert replace(footing).member(3) == world.state.validators[2]
