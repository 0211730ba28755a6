"""Random histories: execution against a slow reference written from the specification alone."""

import gc
import os
import random
import subprocess
import sys
import weakref
from collections import Counter, deque
from hashlib import sha256
from pathlib import Path

import msgpack
import pytest
from msgspec.structs import astuple, replace

from ledger.batch import Batch, Submission, commitment
from ledger.block import encode_seal
from ledger.bureau.model import FIRST_MODEL, Model
from ledger.encoding import encode
from ledger.execution import BlockRun
from ledger.genesis import FIRST_BOUNDS, Bounds, genesis_seal
from ledger.records import NAMES, Record, decode_record
from ledger.records.membership import MemberApprove
from ledger.records.model import ModelActivate
from ledger.replay import ReaderSource, replay
from ledger.rows import ValidatorsRow, need_row, validators_key
from ledger.rules import RULES
from ledger.rules.engagement import CONSISTENT
from ledger.state import load
from tests.ledger.world import DAY, FIRST_PARAMETERS, World, genesis_of, key_of
from tests.reference.execution import Ledger


def reference_of(world: World) -> Ledger:
    foundation = world.genesis.foundation
    seal = genesis_seal(foundation)
    made = Ledger(
        world.chain,
        foundation.created,
        encode_seal(seal),
        parameters=msgpack.unpackb(encode(foundation.parameters)),
        names=Model.__struct_fields__,
        members=[each.number for each in foundation.validators],
    )
    assert made.parameters_hash == seal.parameters
    return made


def peopled(bounds: Bounds = FIRST_BOUNDS, model: Model = FIRST_MODEL) -> World:
    """Two platforms with eight subjects each, some of them verified; not executed yet."""
    world = World(genesis_of(bounds=bounds, parameters=replace(FIRST_PARAMETERS, model=model)))
    for lane in (1, 2):
        levels = {f"s{i}": "document" if i < 2 * lane else "none" for i in range(8)}
        world.put(
            lane,
            [
                world.register(name, lane, assurance=level, at=world.time - 100 * DAY, key=True)
                for name, level in levels.items()
            ],
        )
    return world


def some_record(world: World, dice: random.Random, lane: int) -> Record:
    """A record that is sound by itself, and may or may not fit what was before."""
    platform = lane if dice.random() < 0.95 else 3 - lane
    name = f"e{dice.randrange(60)}"
    worker, client = dice.sample([f"s{i}" for i in range(8)], 2)
    at = world.time - dice.choice([0, 0, 0, 0, 10 * DAY, -5])
    kind = dice.choice(["register", "open", "open", "outcome", "outcome", "rating", "rating"])
    if kind == "register":
        assurance = dice.choice(["none", "document"])
        return world.register(f"s{dice.randrange(9)}", platform, at=at, assurance=assurance)
    if kind == "open":
        due = at + dice.choice([0, DAY, 40 * DAY])
        fields = {"platform": platform, "at": at, "due_from": at, "due_until": due}
        return world.open(name, worker, client, **fields)
    if kind == "outcome":
        status = dice.choice(["completed", "late", *CONSISTENT])
        faults, bands, acceptances = CONSISTENT[status]
        return world.outcome(
            name,
            platform=platform,
            at=at,
            status=status,
            fault=dice.choice(sorted(faults)),
            lateness_band=dice.choice(list(bands)),
            acceptance=dice.choice(sorted(acceptances)),
            basis=dice.choice(["platform", "counterparty"]),
        )
    direction = dice.choice(["of-worker", "of-client"])
    # Mostly by a party: whoever stands in the engagement row.
    key = platform.to_bytes(4) + world.outcome(name).reference
    row = world.store.get(b"G" + key)
    rating = world.rating(
        name, worker, platform=platform, at=at, direction=direction, value=dice.randint(1, 5)
    )
    if row is None or dice.random() < 0.1:
        return rating
    _, by_worker, by_client, *_ = msgpack.unpackb(row)
    return replace(rating, rater=by_client if direction == "of-worker" else by_worker)


def some_link(world: World, dice: random.Random) -> Submission:
    """Two files are one person's: of two platforms, mostly of one name, or any."""
    name = f"s{dice.randrange(8)}"
    other = (2, name) if dice.random() < 0.8 else (dice.randint(1, 2), f"s{dice.randrange(8)}")
    return world.link((1, name), other if other != (1, name) else (2, name))


def some_change(world: World, dice: random.Random, lane: int, asked: list[bytes]) -> Submission:
    """A model is asked for, mostly a new one, or one of the newest is approved."""
    if asked and dice.random() < 0.7:
        named = dice.choice(asked[-3:]) if dice.random() < 0.95 else bytes(32)
        return world.submit(MemberApprove(lane, world.time, named))
    code = f"m{dice.randrange(12)}"
    days = 60 + (dice.randrange(2) if dice.random() < 0.2 else 0)
    model = replace(
        FIRST_MODEL,
        id=code,
        half_life_days=days,
        standing_half=FIRST_MODEL.standing_half + len(code) * 1_000 * int(code[1:]),
        newcomer_results=int(code[1:]),
        transfer_window=2 + int(code[1:]),
        prior_strength=6_554 if int(code[1:]) % 2 else FIRST_MODEL.prior_strength,
    )
    model = FIRST_MODEL if dice.random() < 0.1 else model
    replaces = world.state.parameters_hash if dice.random() < 0.9 else bytes(32)
    made = world.submit(ModelActivate(lane, world.time, replaces, model))
    asked.append(commitment(made))
    return made


def agreed_block(world: World, slow: Ledger) -> tuple[list[Batch], list[str]]:
    """One block executed by both, who agree; its batches, and the rules that its records break."""
    block, name, batches = world.next_block()
    applied = world.block()
    foundation = world.genesis.foundation
    epoch_ends = block.height % foundation.bounds.epoch_blocks == 0
    size, root, seal, verdicts = slow.block(
        block.height,
        name,
        block.time,
        [
            (
                {"lane": b.header.lane, "height": b.header.height, "time": b.header.time},
                [astuple(item) for item in b.submissions],
            )
            for _, b in batches
        ],
        epoch_ends=epoch_ends,
        validators=msgpack.unpackb(encode(foundation.validators)) if epoch_ends else None,
    )
    assert [rule for *_, rule in applied.records] == verdicts
    assert encode(applied.seal) == msgpack.packb(seal)
    assert (applied.size, applied.root) == (size, root)
    assert world.state.parameters_hash == slow.parameters_hash
    return [batch for _, batch in batches], verdicts


@pytest.mark.parametrize("seed", range(12))
def test_random_history_agrees_with_the_reference(seed: int) -> None:
    dice = random.Random(seed)
    model = replace(FIRST_MODEL, prior_strength=6_554, transfer_window=5)
    world = peopled(replace(FIRST_BOUNDS, epoch_blocks=dice.randint(1, 4)), model)
    slow = reference_of(world)
    epoch_blocks = world.genesis.foundation.bounds.epoch_blocks
    asked: list[bytes] = []
    seen: set[str] = set()
    accepted: Counter[str] = Counter()
    for _ in range(14):
        world.time += dice.choice([1, DAY // 2, 15 * DAY])
        for _ in range(dice.randint(0, 4)):
            lane = dice.randint(1, 2)
            count = dice.randint(0, 40)
            said = [world.submit(some_record(world, dice, lane)) for _ in range(count)]
            said += [some_link(world, dice) for _ in range(dice.choice((0, 0, 1)))]
            said += [
                some_change(world, dice, lane, asked) for _ in range(dice.choice((0, 0, 1, 4)))
            ]
            dice.shuffle(said)
            world.put(lane, said)
        batches, verdicts = agreed_block(world, slow)
        seen.update(verdicts)
        items = [item for batch in batches for item in batch.submissions]
        for item, rule in zip(items, verdicts, strict=True):
            if not rule:
                accepted[NAMES[type(decode_record(item.record))]] += 1
        if dice.random() < 0.3:
            world.state = load(world.store, 4)
    assert {"", "unknown-engagement", "subject-exists"} <= seen
    assert len(slow.models) > (seed != 7), "but for one, each history changes its model"
    assert min(accepted["engagement.outcome"], accepted["rating"]) >= 10, accepted
    epoch = (world.state.height) // epoch_blocks + 1
    kept = need_row(world.store, ValidatorsRow, validators_key(epoch))
    assert kept.validators == world.genesis.foundation.validators


@pytest.mark.parametrize("seed", range(3))
def test_a_history_of_shared_workers_agrees_with_the_reference(seed: int) -> None:
    """They work on three platforms: what one has told is compared with the others' results."""
    dice = random.Random(seed)
    model = replace(FIRST_MODEL, prior_strength=2 * FIRST_MODEL.attested_weight, transfer_window=4)
    parameters = replace(FIRST_PARAMETERS, model=model)
    world = World(genesis_of(3, replace(FIRST_BOUNDS, epoch_blocks=2), parameters))
    slow, names = reference_of(world), [f"s{nth}" for nth in range(7)]
    for lane in (1, 2, 3):
        world.put(lane, [world.register(name, lane, key=True) for name in [*names, "c"]])
    agreed_block(world, slow)
    pairs = [(1, 2), (2, 3)]
    world.put(1, [world.link((a, n), (b, n)) for n in names[:5] for a, b in pairs])
    agreed_block(world, slow)
    for nth in range(24):
        world.time += dice.choice((60_000, DAY // 2, 3 * DAY))
        opened = [(dice.randint(1, 3), name, f"{name}-{nth}") for name in names]
        for lane, name, job in opened:
            world.put(lane, [world.open(job, name, platform=lane)])
        agreed_block(world, slow)
        world.time += 60_000
        for lane, name, job in opened:
            good = dice.random() < 0.9 - 0.1 * int(name[1:])
            fields = {} if good else {"status": "no-show", "fault": "worker"}
            fields |= {"acceptance": "accepted" if good else "unknown"}
            basis = dice.choice(("platform", "platform", "counterparty"))
            world.put(lane, [world.outcome(job, platform=lane, basis=basis, **fields)])
        agreed_block(world, slow)
        if dice.random() < 0.3:
            world.state = load(world.store, 4)
    counts = Counter((source, worker[:4]) for source, worker in slow.compared)
    assert len(counts) == 6, "each platform's evidence with each other's results"
    assert max(counts.values()) >= 4, "so many that half are forgotten"


def hostile(dice: random.Random, record: bytes) -> bytes:
    """A record's bytes with something else in them: other bytes, fields, lengths, or only noise."""
    fields = msgpack.unpackb(record)
    match dice.randrange(5):
        case 0:
            at = dice.randrange(len(record))
            return record[:at] + dice.randbytes(dice.randint(1, 3)) + record[at + 1 :]
        case 1:
            at = dice.randrange(len(fields))
            value = fields[at]
            if isinstance(value, bytes):
                fields[at] = dice.choice([value[:5], value[1:], value + b"\0", bytes(32)])
            elif isinstance(value, int):
                fields[at] = dice.choice([0, 256, 2**32, 2**53 - 1, 2**53, 2**64 - 1, -1])
            else:
                fields[at] = dice.choice(["", "e\u0301", "a" * 49, [], [[]], None, True, 1.0, {}])
        case 2:
            fields[dice.randrange(len(fields))] = dice.choice([dice.randbytes(32), 1, "none"])
        case 3:
            head = dice.choice(["91", "81a161", "dcffff", "ddffffffff", "c6ffffffff", "dbffffffff"])
            return bytes.fromhex(head) * dice.choice([1, 3, 1_300])
        case _:
            return dice.randbytes(dice.randrange(60))
    packed: bytes = msgpack.packb(fields)
    return packed


@pytest.mark.parametrize("seed", range(4))
def test_no_bytes_of_a_record_make_execution_fail(seed: int) -> None:
    """Whatever stands in a batch is refused by a rule or accepted, and replays alike."""
    dice = random.Random(seed)
    world = World()
    world.put(1, [world.register(name, key=True) for name in ("w", "c", "d")])
    world.put(2, [world.register("w2", 2, key=True)])
    world.block()
    world.run(world.open("a"), world.open("b", "w", "d"))
    key = key_of("subject", "d")
    good = [
        world.submit(world.register("new", key=True)),
        world.submit(world.open("new")),
        world.submit(world.outcome("a")),
        world.submit(world.rating("a", dimensions=(("care", 1),))),
        world.submit(world.rating("b", "d", rater_key=key.public), key),
        world.link((1, "w"), (2, "w2")),
    ]
    verdicts: set[str] = set()
    for lane in (1, 2, 1):
        bad = []
        for _ in range(150):
            item = dice.choice(good)
            signatures = dice.choice([item.signatures, dice.randbytes(dice.choice([1, 64, 128]))])
            bad.append(Submission(dice.randbytes(16), hostile(dice, item.record), signatures))
        verdicts.update(world.rules(*bad, lane=lane))
    assert verdicts <= {"", *RULES}
    assert {"malformed", "signature-count", "bad-signature"} <= verdicts
    steps = replay(world.genesis, ReaderSource(world.store), stored=world.store)
    assert [finding for step in steps for finding in step.findings] == []


def rows_digest() -> str:
    """Of all rows of a history with many subjects, changed summaries and epoch ends."""
    dice = random.Random(5)
    world = peopled(replace(FIRST_BOUNDS, epoch_blocks=2))
    for _ in range(5):
        world.time += DAY
        for lane in (1, 2):
            world.put(lane, [some_record(world, dice, lane) for _ in range(30)])
        world.block()
    rows = list(world.store.scan(b"\0", b"\xff"))
    return sha256(encode(rows)).hexdigest()


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_order_of_sets_reaches_no_row(hash_seed: str) -> None:
    """Another process, whose sets and dictionaries of bytes stand in another order."""
    command = "from tests.ledger.test_execution import rows_digest; print(rows_digest())"
    done = subprocess.run(
        [sys.executable, "-c", command],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == rows_digest()


def test_a_run_is_freed_with_its_last_reference() -> None:
    """It holds every row of its block: none may wait for the collector of cycles."""
    world = World()
    world.put(1, [world.register("w")])
    block, _, batches = world.next_block()
    run = BlockRun(world.state.footing, world.state.vocabulary, world.store, block.time)
    deque(run.batch(*batches[0]), maxlen=0)
    deque(run.finish(block.height, epoch_ends=False), maxlen=0)
    alive = weakref.ref(run)
    gc.disable()
    try:
        del run
        assert alive() is None
    finally:
        gc.enable()


def test_random_histories_break_each_stateful_rule_at_least_once() -> None:
    """A check that the histories are worth something."""
    dice, seen = random.Random(1), set[str]()
    world = World()
    for _ in range(40):
        world.time += DAY
        lane = dice.randint(1, 2)
        world.put(lane, [some_record(world, dice, lane) for _ in range(20)])
        seen.update(rule for *_, rule in world.block().records)
    assert seen == {
        "",
        "dated-after-batch",
        "foreign-platform",
        "subject-exists",
        "unknown-subject",
        "engagement-exists",
        "unknown-engagement",
        "dated-before-open",
        "outcome-exists",
        "not-a-party",
        "rating-exists",
    }
