"""Vectors about members: link certificates, evidence, and what binds at an epoch's end."""

import random
from collections.abc import Iterator
from functools import cache

from msgspec.structs import replace

from ledger.batch import Header, header_message
from ledger.binding import bind, outlook
from ledger.bureau.model import FIRST_MODEL, Model
from ledger.certificate import link_certificate, link_key
from ledger.checkpoint import Checkpoint, cosignature_message
from ledger.errors import InvalidInput
from ledger.governance_rows import Approval, ChangeRow
from ledger.membership import Validator
from ledger.records import TAGS
from ledger.records.membership import KeyRotate, MemberLeave, MemberPropose, MemberRemove
from ledger.records.model import ModelActivate
from ledger.signing import SigningKey
from ledger.statements import Evidence, conflict, part, statement_message
from tests.ledger.members import party
from tests.ledger.world import START, World, genesis_of, key_of, seed
from tests.vectors.frozen import Case, refusal, shown

JOIN, REMOVE, LEAVE, ROTATE, ACTIVATE = (
    TAGS[kind] for kind in (MemberPropose, MemberRemove, MemberLeave, KeyRotate, ModelActivate)
)
HISTORIES = 40
WITH_MODELS = 20
"""So many more, in which changes of the model are asked for, too."""


# --- certificates ---


def certificates() -> list[Case]:
    """Certificates of link keys, and what is none."""
    cases: list[Case] = []
    for code in ("a", "acme", "x" * 32):
        key = SigningKey.from_seed(seed("link", code))
        made = link_certificate(key, code)
        cases.append(
            {
                "name": f"of-{len(code)}-characters",
                "seed": seed("link", code).hex(),
                "code": code,
                "bytes": made.hex(),
                "key": key.public.hex(),
            }
        )
    good = bytes.fromhex(cases[1]["bytes"])
    changed = bytearray(good)
    changed[-1] ^= 1
    for name, data, code in (
        ("empty", b"", "acme"),
        ("of-another-code", good, "acne"),
        ("one-byte-more", good + b"\0", "acme"),
        ("one-byte-short", good[:-1], "acme"),
        ("with-another-signature", bytes(changed), "acme"),
        ("of-another-validity", good.replace(b"9999", b"9998"), "acme"),
    ):
        refused = refusal(lambda data=data, code=code: link_key(data, code))  # type: ignore[misc]
        cases.append({"name": name, "code": code, "bytes": data.hex(), "refused": refused})
    return cases


# --- evidence ---


def evidence() -> list[Case]:
    """One of each kind, with what its signatures cover; and pairs that prove nothing."""
    world = World(genesis_of(4))
    origin = world.genesis.foundation.origin
    cases: list[Case] = []
    for name, found in _evidence(world, origin):
        case: Case = {
            "name": name,
            "chain": world.chain.hex(),
            "origin": origin,
            "fields": shown(found),
        }
        try:
            sides = conflict(world.chain, origin, found)
        except InvalidInput as error:
            case["refused"] = type(error).__name__
        else:
            key = key_of(3, sides[0].purpose).public
            case |= {"purpose": sides[0].purpose, "key": key.hex()}
            case["messages"] = [each.message.hex() for each in sides]
        cases.append(case)
    return cases


def _evidence(world: World, origin: str) -> Iterator[tuple[str, Evidence]]:
    one, other = sorted((seed("one"), seed("other")))

    def vote(kind: int, hash_: bytes) -> bytes:
        message = statement_message(world.chain, kind, 2, 9, hash_)
        return part((2, 9, hash_), key_of(3, "vote").sign(message))

    def batch(root: bytes) -> bytes:
        header = Header(2, 3, 7, world.chain, 0, root, START)
        return part(header, key_of(3, "lane").sign(header_message(world.chain, header)))

    def root(root_: bytes, time_s: int = 1_700_000_000) -> bytes:
        text = Checkpoint(origin, 500, root_).text()
        key = key_of(3, "cosigner")
        return part((500, root_, time_s), key.sign(cosignature_message(time_s, text)))

    batches = Evidence(1, 3, 0, 7, *sorted((batch(one), batch(other))))
    notarizes = Evidence(3, 3, 2, 9, vote(1, one), vote(1, other))
    both = Evidence(4, 3, 2, 9, vote(3, one), vote(2, bytes(32)))
    yield "two-batches", batches
    yield "two-proposals", Evidence(2, 3, 2, 9, vote(0, one), vote(0, other))
    yield "two-notarizes", notarizes
    yield "finalize-and-nullify", both
    yield "two-roots", Evidence(5, 3, 0, 500, *sorted((root(one), root(other))))
    yield "one-statement-twice", replace(notarizes, second=notarizes.first)
    yield (
        "one-root-at-two-times",
        Evidence(5, 3, 0, 500, *sorted((root(one), root(one, 1_700_000_001)))),
    )
    yield "in-the-other-order", replace(batches, first=batches.second, second=batches.first)
    yield "of-another-view", replace(notarizes, slot=10)
    yield "of-another-lane", replace(batches, number=4)
    yield "batches-with-an-epoch", replace(batches, epoch=2)
    yield "a-nullify-that-names-a-block", replace(both, second=vote(2, one))
    yield "of-kind-6", replace(notarizes, kind=6)


# --- binding ---


@cache
def _validator(number: int, generation: int) -> Validator:
    made: Validator = party(number, generation).validator
    return made


def _model(nth: int) -> Model:
    return replace(FIRST_MODEL, id=f"model-{nth}")


def bindings() -> list[Case]:
    """Sets, open changes and an epoch that ends: the next set by number, what bound, what is
    void, the model that comes into force, whether work waited, and who was a candidate."""
    cases: list[Case] = []
    for history in range(HISTORIES + WITH_MODELS):
        dice = random.Random(history)
        current = tuple(
            _validator(number, 0) for number in range(1, dice.choice((1, 2, 4, 4, 7, 10)) + 1)
        )
        changes = _changes(dice, len(current), with_models=history >= HISTORIES)
        epoch = 5
        result, ahead = bind(current, changes, epoch), outlook(current, changes, epoch)
        cases.append(
            {
                "name": f"history-{history}",
                "current": [each.number for each in current],
                "changes": [
                    {
                        "log_index": at,
                        "type": row.type,
                        "number": row.number,
                        "model": None if row.model is None else row.model.id,
                        "approvals": [[each.number, each.log_index] for each in row.approvals],
                        "ready": row.ready,
                        "ready_epoch": row.ready_epoch,
                    }
                    for at, row in changes
                ],
                "epoch": epoch,
                "next": [each.number for each in result.validators],
                "bound": list(result.bound),
                "void": list(result.void),
                "model": None if result.model is None else result.model.id,
                "waits": ahead.waits,
                "candidates": [each.log_index for each in ahead.candidates],
            }
        )
    return cases


def _changes(dice: random.Random, count: int, *, with_models: bool) -> list[tuple[int, ChangeRow]]:
    """Open changes as a ledger may hold them: one leaving and one removal of a member at most."""
    indices = iter(dice.sample(range(1_000), 200))
    rows: list[tuple[int, ChangeRow]] = []
    seen: set[tuple[int, int]] = set()
    kinds = (JOIN, JOIN, REMOVE, LEAVE, ROTATE, ROTATE) + (ACTIVATE,) * 4 * with_models
    for nth in range(dice.randint(1, 6)):
        kind = dice.choice(kinds)
        number = 50 + nth if kind == JOIN else dice.randint(1, count)
        if kind not in {ROTATE, ACTIVATE} and (kind, number) in seen:
            continue
        seen.add((kind, number))
        asked = next(indices)
        others = [each for each in (*range(1, count + 1), 40, 41) if dice.random() < 0.85]
        approvals = [Approval(each, next(indices)) for each in others]
        if kind == LEAVE:
            approvals = [Approval(number, asked)]
        approvals.sort(key=lambda each: each.log_index)
        keys = _validator(number, nth + 1) if kind in {JOIN, ROTATE} else None
        is_ready = keys is not None and dice.random() < 0.8
        row = ChangeRow(
            kind,
            seed(asked),
            1,
            number,
            keys,
            _model(nth) if kind == ACTIVATE else None,
            tuple(approvals),
            next(indices) if is_ready else None,
            dice.choice((5, 5, 5, 4)) if is_ready else 0,
            None,
            None,
            0,
        )
        rows.append((asked, row))
    return sorted(rows, key=lambda each: each[0])
