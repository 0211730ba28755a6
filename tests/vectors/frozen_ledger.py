"""The frozen vectors of execution: a small ledger, block by block, with erasures in it.

The last residues are those of everything that its erasures take, so the same blocks can be executed
again from what is left. Its model changes on the way.
"""

from msgspec.structs import replace

from ledger.batch import commitment
from ledger.bureau.model import FIRST_MODEL, Q16_ONE
from ledger.encoding import encode
from ledger.erasing import residues_of
from ledger.genesis import FIRST_BOUNDS
from ledger.records.membership import MemberApprove
from ledger.records.model import ModelActivate
from ledger.state import Applied
from tests.ledger.world import DAY, World, genesis_of, key_of
from tests.vectors.frozen import Case, shown


def ledger() -> list[Case]:
    """Genesis, then each block with its batches and what executing it yields, then residues."""
    world = World(genesis_of(2, bounds=replace(FIRST_BOUNDS, epoch_blocks=4)))
    cases: list[Case] = [
        {
            "name": "genesis",
            "genesis": encode(world.genesis).hex(),
            "chain": world.chain.hex(),
            "root": world.state.log.root().hex(),
        }
    ]
    erased: list[tuple[int, int, int, int]] = []
    for name in _story(world):
        block, hashed, batches = world.next_block()
        applied = world.block()
        erased.extend(applied.erased)
        cases.append(
            {
                "name": name,
                "block": encode(block).hex(),
                "hash": hashed.hex(),
                "batches": [encode(batch).hex() for _, batch in batches],
                **_yielded(applied),
            }
        )
    made = residues_of(world.store, world.state.vocabulary, erased)
    cases.append({"name": "residues", "residues": [encode(each).hex() for each in made]})
    return cases


def _yielded(applied: Applied) -> Case:
    return {
        "size": applied.size,
        "root": applied.root.hex(),
        "parameters": applied.seal.parameters.hex(),
        "index_root": applied.seal.index_root.hex(),
        "refusals": applied.seal.refusals.hex(),
        "rules": [rule for *_, rule in applied.records],
        "erased": shown(applied.erased),
    }


def _story(world: World):  # type: ignore[no-untyped-def]
    """Puts batches; yields the name of the block that is to execute them."""
    world.put(
        1, [world.register("w", key=True), world.register("c", key=True, assurance="document")]
    )
    world.put(2, [world.register("v", 2, key=True), world.register("d", 2)])
    yield "registers"
    stray = world.submit(world.outcome("a"))
    world.put(1, [stray, world.open("a"), world.open("b", at=world.time - 30 * DAY)])
    world.put(2, [world.link((1, "w"), (2, "v")), world.open("x", "v", "d", platform=2)])
    yield "opens"
    by_key = world.rating("a", rater_key=key_of("subject", "c").public)
    world.put(1, [world.outcome("a"), world.submit(by_key, key_of("subject", "c"))])
    world.put(2, [world.outcome("x", platform=2, status="late", lateness_band=2), stray])
    yield "outcomes"
    world.put(1, [world.rating("b", value=1), world.outcome("b"), world.outcome("b")])
    yield "refused"
    asked = world.erasure("w")
    world.put(2, [asked, world.erasure("w"), world.ack(commitment(asked), 2)])
    yield "erasure of a platform's file, through another lane"
    world.put(1, [world.rating("a", "w", direction="of-client"), world.ack(commitment(asked))])
    world.put(2, [world.ack(commitment(asked), 2), world.rating("x", "d", platform=2, value=5)])
    yield "what follows, and acknowledgements"
    world.put(1, [world.link((1, "w"), (2, "v")), world.open("late", at=world.time)])
    yield "a new link where one was erased"
    world.put(1, [world.erasure("v", 2, scope="whole"), world.outcome("late")])
    yield "erasure of the whole file"
    yield "an empty block"
    yield from _another_model(world)


def _another_model(world: World):  # type: ignore[no-untyped-def]
    """A model that is asked for and binds at the end of the third epoch; an outcome before it and
    one behind it, which are erased together."""
    model = replace(FIRST_MODEL, id="stern", newcomer_results=0, standing_half=20 * Q16_ONE)
    asked = ModelActivate(1, world.time, world.state.parameters_hash, model)
    by_one = world.submit(asked)
    people = [world.register("n", key=True), world.register("k", assurance="document")]
    world.put(1, [*people, by_one, world.open("m", "n", "k"), world.open("o", "n", "k")])
    world.put(2, [MemberApprove(2, world.time, commitment(by_one)), replace(asked, platform=2)])
    yield "another model, approved"
    world.put(1, [world.outcome("m"), world.rating("m", "k")])
    yield "under the first model"
    yield "the last block of its epoch"
    world.put(1, [world.outcome("o"), world.rating("o", "k", value=1)])
    world.put(2, [replace(asked, platform=2, model=FIRST_MODEL)])
    yield "under the other model"
    world.put(1, [world.erasure("n")])
    yield "erasure of what was said under both"
