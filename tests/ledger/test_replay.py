"""Replay: a whole ledger passes; one flipped byte anywhere is found and named."""

import pytest
from msgspec.structs import replace

from ledger.batch import Batch, header_hash, header_message
from ledger.block import block_hash
from ledger.encoding import decode, encode
from ledger.errors import StoreDamaged
from ledger.genesis import FIRST_BOUNDS, Genesis
from ledger.replay import Finding, ReaderSource, Step, compare, replay
from ledger.rows import BlockRow, block_key, describe_key, leaf_key
from ledger.store import UNDO, MemoryStore
from tests.ledger.test_state import busy
from tests.ledger.world import World, genesis_of, key_of


def ledger() -> World:
    world = World(genesis_of(bounds=replace(FIRST_BOUNDS, epoch_blocks=3)))
    busy(world)
    return world


@pytest.fixture(scope="module")
def original() -> World:
    return ledger()


def run(genesis: Genesis, store: MemoryStore) -> list[Step]:
    return list(replay(genesis, ReaderSource(store), stored=store))


def findings(genesis: Genesis, store: MemoryStore) -> list[Finding]:
    return [finding for step in run(genesis, store) for finding in step.findings]


def test_a_sound_ledger_has_no_findings(original: World) -> None:
    steps = run(original.genesis, original.store)
    assert [finding for step in steps for finding in step.findings] == []
    assert [step.height for step in steps] == [0, 1, 2, 3, 4, 5, 5]
    assert steps[-1].closing
    assert sum(step.records for step in steps) == 14
    assert steps[-1].size == original.state.size
    assert all(step.applied for step in steps[1:-1])


def rows(world: World) -> list[bytes]:
    return [key for key, _ in world.store.scan(b"\x00", b"\xff")]


def test_one_flipped_bit_in_any_row_is_found_and_named(original: World) -> None:
    """Every row of the store, at its first, middle and last byte."""
    missed: list[str] = []
    for key in rows(original):
        value = original.store.get(key) or b""
        for at in {0, len(value) // 2, len(value) - 1} if value else ():
            store = original.store.copy()
            damaged = bytearray(value)
            damaged[at] ^= 1
            store.write({key: bytes(damaged)})
            found = findings(original.genesis, store)
            if not any(key.hex() in f"{finding.where} {finding.detail}" for finding in found):
                missed.append(f"{describe_key(key)} at byte {at}: {found[:3]}")
    assert missed == []


def test_any_missing_row_is_found_and_named(original: World) -> None:
    missed: list[str] = []
    for key in rows(original):
        if key[:1] == UNDO:  # without it older checkpoints are not held, which is no damage
            continue
        store = original.store.copy()
        store.write({key: None})
        found = findings(original.genesis, store)
        if not any(key.hex() in f"{finding.where} {finding.detail}" for finding in found):
            missed.append(f"{describe_key(key)}: {found[:3]}")
    assert missed == []


@pytest.mark.parametrize("prefix", [b"B", b"E", b"F", b"U", b"W", b"X", b"L", b"D", b"R"])
def test_a_row_too_many_is_found(original: World, prefix: bytes) -> None:
    store = original.store.copy()
    key = prefix + b"\xff" * 8
    store.write({key: encode((1, 2))})
    found = findings(original.genesis, store)
    assert any(key.hex() in finding.where for finding in found), found


def test_damage_does_not_hide_what_lies_behind_it(original: World) -> None:
    store = original.store.copy()
    early = next(key for key in rows(original) if key[:1] == b"S")
    damaged = bytearray(store.get(early) or b"")
    damaged[-1] ^= 1
    late = leaf_key(original.state.size - 2)
    leaf = bytearray(store.get(late) or b"")
    leaf[20] ^= 1
    store.write({early: bytes(damaged), late: bytes(leaf)})
    named = " ".join(finding.where for finding in findings(original.genesis, store))
    assert early.hex() in named
    assert late.hex() in named


def test_a_block_row_that_reaches_too_far_ends_the_search_for_payloads(original: World) -> None:
    store = original.store.copy()
    row = decode(BlockRow, store.get(block_key(1)) or b"", bytes_max=10_000)
    store.write({block_key(1): encode(replace(row, size=2**50))})
    opening = next(key for key in rows(original) if key[:1] == b"S")
    damaged = bytearray(store.get(opening) or b"")
    damaged[-1] ^= 1
    store.write({opening: bytes(damaged)})
    named = " ".join(finding.where for finding in findings(original.genesis, store))
    assert opening.hex() in named


def test_a_leaf_row_under_an_odd_key_is_found_where_nothing_is_executed(original: World) -> None:
    store = original.store.copy()
    odd = b"E" + b"\xff" * 20
    store.write({block_key(1): None, odd: encode((1, 2))})
    named = " ".join(finding.where for finding in findings(original.genesis, store))
    assert odd.hex() in named


def test_unreadable_rows_are_findings_not_crashes(original: World) -> None:
    class Broken(MemoryStore):
        def get(self, key: bytes) -> bytes | None:
            if key in bad:
                raise StoreDamaged(describe_key(key), "checksum mismatch")
            return super().get(key)

    bad = {leaf_key(3), block_key(2), b"Mhead"}
    store = Broken()
    store.write(dict(original.store.scan(b"\x00", b"\xff")))
    found = findings(original.genesis, store)
    named = " ".join(finding.where for finding in found)
    assert all(key.hex() in named for key in (block_key(2), b"Mhead"))


def test_a_batch_signed_by_another_key_is_found(original: World) -> None:
    store = original.store.copy()
    key = next(key for key in rows(original) if key[:1] == b"H")
    source = ReaderSource(store)
    batch = source.batch(1, 1, key[1:])
    assert batch is not None
    forged = key_of(2, "lane").sign(b"another message")
    store.write({key: encode((batch.header, forged))})
    kinds = {finding.kind for finding in findings(original.genesis, store)}
    assert kinds == {"batch-signature"}


def test_a_source_that_lies_is_caught_without_a_store(original: World) -> None:
    class Liar(ReaderSource):
        def block(self, height: int) -> BlockRow | None:
            row = super().block(height)
            if row is not None and height == 3:
                return replace(row, root=bytes(32))
            return row

        def batch(self, lane: int, height: int, name: bytes) -> Batch | None:
            return None if (lane, height) == (1, 4) else super().batch(lane, height, name)

    steps = list(replay(original.genesis, Liar(original.store)))
    found = [finding for step in steps for finding in step.findings]
    assert [finding.kind for finding in found] == ["root", "batch-missing"]
    assert steps[3].applied is not None
    assert steps[4].applied is None


def test_until_stops_early(original: World) -> None:
    steps = list(replay(original.genesis, ReaderSource(original.store), until=2))
    assert [step.height for step in steps] == [0, 1, 2, 2]


def test_another_genesis_fits_nothing(original: World) -> None:
    other = genesis_of(bounds=replace(FIRST_BOUNDS, epoch_blocks=4))
    kinds = {finding.kind for finding in findings(other, original.store)}
    assert {"block-link", "block-hash"} <= kinds


def test_compare_tells_where_a_row_differs() -> None:
    store = MemoryStore()
    store.write({b"Xa": b"12345", b"Xb": b"1"})
    expected = {b"Xa": b"12x45", b"Xb": None, b"Xc": b"2", b"Xd": None}
    details = {each.key: each.detail for each in compare(expected, store)}
    assert details == {
        b"Xa": "differs from what execution yields, first at byte 2",
        b"Xb": "should not be there",
        b"Xc": "is missing",
    }


def test_block_time_is_checked(original: World) -> None:
    store = original.store.copy()
    row = decode(BlockRow, store.get(block_key(2)) or b"", bytes_max=10_000)
    block = replace(row.block, time=row.block.time + 5)
    name = block_hash(original.chain, block)
    changed = replace(row, block=block, hash=name, seal=replace(row.seal, block=name))
    store.write({block_key(2): encode(changed)})
    kinds = [finding.kind for finding in findings(original.genesis, store)]
    assert "block-time" in kinds
    assert "block-link" in kinds, "the next block names another parent"


# --- ledgers forged with care: each thing fits its name, and one thing is wrong ---


class Forged(ReaderSource):
    """A store's ledger with one block or batch instead of its own."""

    def __init__(self, world: World, height: int) -> None:
        super().__init__(world.store)
        self.world = world
        self.height = height
        self.row = decode(BlockRow, world.store.get(block_key(height)) or b"", bytes_max=10_000)
        self.batches: dict[bytes, Batch] = {}

    def block(self, height: int) -> BlockRow | None:
        return self.row if height == self.height else super().block(height)

    def batch(self, lane: int, height: int, name: bytes) -> Batch | None:
        return self.batches.get(name) or super().batch(lane, height, name)

    def reblock(self, **changes: object) -> None:
        block = replace(self.row.block, **changes)
        name = block_hash(self.world.chain, block)
        seal = replace(self.row.seal, block=name)
        self.row = replace(self.row, block=block, hash=name, seal=seal)

    def rebatch(self, **changes: object) -> None:
        """The newest batch of the block's first tip with another header, signed by its platform."""
        tip, *others = self.row.block.tips
        batch = super().batch(tip.lane, tip.height, tip.hash)
        assert batch is not None
        header = replace(batch.header, **changes)
        signature = key_of(tip.lane, "lane").sign(header_message(self.world.chain, header))
        name = header_hash(self.world.chain, header)
        self.batches[name] = replace(batch, header=header, signature=signature)
        self.reblock(tips=(replace(tip, hash=name), *others))

    def kinds(self) -> set[str]:
        steps = replay(self.world.genesis, self, until=self.height)
        return {finding.kind for step in steps for finding in step.findings}


def test_a_forged_block_without_a_fault_has_none(original: World) -> None:
    forged = Forged(original, 3)
    forged.reblock(view=99)
    assert forged.kinds() <= {"root"}, "its log differs, for its seal does"


@pytest.mark.parametrize(
    ("height", "change", "kind"),
    [
        (3, {"epoch": 2}, "block-epoch"),
        (3, {"height": 4}, "block-height"),
        (3, {"parent": bytes(32)}, "block-link"),
        (3, {"time": 1}, "block-time"),
    ],
)
def test_a_forged_block_is_found(
    original: World, height: int, change: dict[str, object], kind: str
) -> None:
    forged = Forged(original, height)
    forged.reblock(**change)
    assert kind in forged.kinds()


def test_tips_that_do_not_ascend_or_step_forward_are_found(original: World) -> None:
    forged = Forged(original, 1)
    forged.reblock(tips=forged.row.block.tips[::-1])
    assert "block-cut" in forged.kinds()
    earlier = Forged(original, 1).row.block.tips
    again = Forged(original, 2)
    again.reblock(tips=earlier)
    assert "block-cut" in again.kinds()


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"height": 9}, "batch-place"),
        ({"lane": 2}, "batch-place"),
        ({"previous": bytes(32)}, "batch-link"),
        ({"time": 1}, "batch-time"),
        ({"count": 9}, "batch-root"),
        ({"root": bytes(32)}, "batch-root"),
    ],
)
def test_a_forged_batch_is_found(original: World, change: dict[str, object], kind: str) -> None:
    forged = Forged(original, 4)
    forged.rebatch(**change)
    assert kind in forged.kinds()


def test_a_batch_that_leaves_out_its_predecessor_is_found(original: World) -> None:
    forged = Forged(original, 3)
    below = Forged(original, 2).row.block.tips[0]
    forged.rebatch(previous=Forged(original, 1).row.block.tips[0].hash)
    tip = forged.row.block.tips[0]
    assert tip.height == below.height + 1
    assert "batch-link" in forged.kinds()


def test_a_batch_of_an_earlier_epoch_than_its_predecessor_is_found(original: World) -> None:
    assert original.state.epoch == 2
    forged = Forged(original, 5)
    forged.rebatch(epoch=1)
    assert "batch-epoch" in forged.kinds()
