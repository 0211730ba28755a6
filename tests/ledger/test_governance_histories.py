"""Random histories of the membership against a literal reference; restart, replay, light client."""

import random
from dataclasses import dataclass, field, replace

import msgspec
import pytest

from ledger import binding
from ledger.batch import commitment
from ledger.bureau.model import FIRST_MODEL, Model
from ledger.checkpoint import Checkpoint, cosignature_message
from ledger.epochs import EpochEnd, advance, follow, policy_of, trust_genesis
from ledger.errors import BadProof
from ledger.genesis import FIRST_BOUNDS
from ledger.governing import read_changes
from ledger.membership import VALIDATORS_MAX, quorum
from ledger.replay import ReaderSource, Replay, replay
from ledger.rows import (
    BlockRow,
    CosignatureRow,
    HeaderRow,
    ValidatorsRow,
    block_key,
    decode_row,
    need_row,
    validators_key,
)
from ledger.state import load
from ledger.store import BLOCK, HEADER, MemoryStore, after
from ledger.trust import ReplayOn, trust_of
from tests.ledger.members import Members, Party, party
from tests.ledger.test_beside import steps, walk_of
from tests.ledger.test_epochs import end_of
from tests.ledger.world import DAY, World, genesis_of, key_of

EPOCH_BLOCKS = 4


@dataclass
class Asked:
    """A change, as the reference remembers it."""

    kind: str
    number: int
    log_index: int
    who: Party | None
    approvals: list[tuple[int, int]]
    readies: list[tuple[int, int]] = field(default_factory=list)
    is_open: bool = True
    model: Model | None = None


def _bring_into_force(
    complete: list[Asked], asked: list[Asked], in_force: list[Model | None]
) -> None:
    """The first model that is complete, and none that is asked for any more."""
    models = [change.model for change in complete if change.kind == "model"]
    if models:
        in_force.append(models[0])
        for change in asked:
            change.is_open = change.is_open and change.kind != "model"


def reference(  # type: ignore[no-untyped-def]
    current: dict[int, Party | None], asked: list[Asked], epoch: int, in_force: list[Model | None]
):
    """The next set, said as the README says it, event by event in the order of the log; the model
    that comes into force is appended to those that were."""
    n = len(current)
    f = (n - 1) // 3
    complete = []
    for change in asked:
        if not change.is_open:
            continue
        events = sorted(
            [(at, "approval") for number, at in change.approvals if number in current]
            + [(at, "ready") for e, at in change.readies if e == epoch]
        )
        approvals = readies = 0
        for at, what in events:
            approvals += what == "approval"
            readies += what == "ready"
            enough = change.kind == "leave" or approvals >= n - f
            if enough and (change.kind in ("leave", "remove", "model") or readies):
                complete.append((at, change))
                break
    members = dict(current)
    seats = max(1, f)
    complete.sort(key=lambda each: each[0])
    _bring_into_force([change for _, change in complete], asked, in_force)
    for change in [change for _, change in complete if change.kind != "model"]:
        if not seats:
            break
        if change.kind == "join" and len(members) < VALIDATORS_MAX:
            members[change.number] = change.who
        elif change.kind == "rotate" and change.number in members and change.is_open:
            members[change.number] = change.who
            for other in asked:
                if (other.kind, other.number) == ("rotate", change.number):
                    other.is_open = False
        elif change.kind in ("leave", "remove") and change.number in members and len(members) > 1:
            del members[change.number]
        else:
            continue
        change.is_open = False
        seats -= 1
    for change in asked:
        if change.kind not in ("join", "model") and change.number not in members:
            change.is_open = False
    return members


class History:
    """One random history: what is said is drawn, what is accepted the ledger tells."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        bounds = msgspec.structs.replace(FIRST_BOUNDS, epoch_blocks=EPOCH_BLOCKS)
        count = self.dice.choice((1, 2, 3, 4, 5, 7, 8))
        self.world = World(genesis_of(count, bounds))
        self.members = Members(self.world)
        self.parties: dict[int, Party | None] = dict.fromkeys(range(1, count + 1))
        self.asked: list[Asked] = []
        self.ids: dict[bytes, Asked] = {}
        self.in_force: list[Model | None] = [FIRST_MODEL]
        self.following: list[EpochEnd] = []
        self.fresh = 100

    def block(self) -> None:
        """A block of what some members say, each in a batch of its own."""
        said = []
        for number in sorted(self.parties):
            if self.dice.random() < 0.6:
                items = [self._draw(number) for _ in range(self.dice.randint(1, 2))]
                self.world.put(number, [item for item, _ in items])
                said += items
        if self.dice.random() < 0.1:
            self.world.state = load(self.world.store, 16)
        applied = self.world.block()
        epoch = (self.world.state.height - 1) // EPOCH_BLOCKS + 1
        for (item, note), (_, log_index, _) in zip(said, applied.records, strict=True):
            if log_index is not None and note is not None:
                self._note(commitment(item), note, log_index, epoch)
        if self.world.state.height % EPOCH_BLOCKS == 0:
            self._end(epoch)

    def _draw(self, number: int):  # type: ignore[no-untyped-def]
        dice, say = self.dice, self.members
        kinds = ("join", "remove", "leave", "rotate", "model", *["approve"] * 8, *["ready"] * 6)
        match dice.choice(kinds):
            case "model":
                self.fresh += 1
                back = dice.random() < 0.2
                model = msgspec.structs.replace(FIRST_MODEL, id=f"m{self.fresh}")
                model = dice.choice(self.in_force) if back else model
                stale = bytes(32) if dice.random() < 0.1 else None
                return say.activate(number, model, stale), ("model", number, model, number)
            case "join":
                self.fresh += 1
                who = party(self.fresh, "g")
                return say.propose(number, who), ("join", self.fresh, who, number)
            case "remove":
                other = dice.choice(sorted(self.parties))
                return say.remove(number, other), ("remove", other, None, number)
            case "leave" if dice.random() < 0.3:
                return say.leave(number), ("leave", number, None, number)
            case "rotate":
                of = dice.choice(sorted(self.parties))
                self.fresh += 1
                root = self._root(of)
                code = f"p{of}"
                new_root = root if dice.random() < 0.7 else None
                who = party(of, ("g", self.fresh), code, new_root)
                return say.rotate(who, root), ("rotate", of, who, of)
            case "ready" if self.ids:
                change = dice.choice(list(self.ids))
                who = self.ids[change].who
                if who is not None:
                    return say.ready(who, change), ("ready", change, None, number)
        change = dice.choice(list(self.ids)) if self.ids else bytes(32)
        return say.approve(number, change), ("approve", change, None, number)

    def _root(self, number: int):  # type: ignore[no-untyped-def]
        held = self.parties[number]
        return key_of(number, "root") if held is None else held.keys["root"]

    def _note(self, record_id: bytes, note, log_index: int, epoch: int) -> None:  # type: ignore[no-untyped-def]
        kind, about, who, by = note
        if kind == "approve":
            self.ids[about].approvals.append((by, log_index))
        elif kind == "ready":
            self.ids[about].readies.append((epoch, log_index))
        else:
            model = who if kind == "model" else None
            who = None if kind == "model" else who
            made = Asked(kind, about, log_index, who, [(by, log_index)], model=model)
            self.asked.append(made)
            self.ids[record_id] = made

    def _end(self, epoch: int) -> None:
        before = dict(self.parties)
        self.parties = reference(self.parties, self.asked, epoch, self.in_force)
        state = self.world.state
        assert state.parameters.model == self.in_force[-1]
        assert [each.number for each in state.validators] == sorted(self.parties)
        for each in state.validators:
            who = self.parties[each.number]
            assert who is None or who.validator == each
        changed = {
            number
            for number in before.keys() | self.parties.keys()
            if number not in before
            or number not in self.parties
            or before[number] is not self.parties[number]
        }
        assert len(changed) <= max(1, (len(before) - 1) // 3)
        open_ids = [change for change, each in self.ids.items() if each.is_open]
        self.ids = {change: self.ids[change] for change in open_ids}
        for number, who in self.parties.items():
            if who is not None:
                self.world.lane_keys[number] = who.keys["lane"]
        self.following.append(self._cosigned(before))

    def _cosigned(self, signers: dict[int, Party | None]) -> EpochEnd:
        """The epoch's end, cosigned by a quorum of the set that ended."""
        end = end_of(self.world, ())
        root = self.world.state.log.root()
        text = Checkpoint(self.world.genesis.foundation.origin, end.size, root).text()
        rows = []
        for number in sorted(signers)[: quorum(len(signers))]:
            who = signers[number]
            key = key_of(number, "cosigner") if who is None else who.keys["cosigner"]
            rows.append(CosignatureRow(number, 7, key.sign(cosignature_message(7, text))))
        return msgspec.structs.replace(end, cosignatures=tuple(rows))


@pytest.fixture(scope="module", params=range(12))
def history(request: pytest.FixtureRequest) -> History:
    made = History(request.param)
    for _ in range(EPOCH_BLOCKS * 9):
        made.block()
    return made


def test_the_sets_are_the_references(history: History) -> None:
    """Compared at each epoch's end, with restarts in between."""
    world = history.world
    state = load(world.store, 16)
    assert (state.validators, state.outlook) == (world.state.validators, world.state.outlook)
    assert state.parameters == world.state.parameters


def test_they_replay_alike(history: History) -> None:
    world = history.world
    replayed = replay(world.genesis, ReaderSource(world.store), stored=world.store)
    assert [finding for step in replayed for finding in step.findings] == []


def test_an_audit_goes_on_from_anywhere(history: History) -> None:
    """What it keeps of the sets, the names and the changes is enough."""
    world = history.world
    source = ReaderSource(world.store)
    policy = policy_of(world.genesis.foundation.origin, world.state.validators)
    for until in (3, EPOCH_BLOCKS, EPOCH_BLOCKS * 5 + 2):
        store = MemoryStore()
        begun = Replay(world.genesis, source, None, store)
        assert not any(step.findings for step in begun.steps(until))
        trust = trust_of(begun, policy)
        store.write({key: None for key, _ in store.scan(BLOCK, after(BLOCK))})
        more = ReplayOn(
            world.genesis,
            source,
            stored=None,
            store=store,
            trust=trust,
            index=begun.state.index,
        )
        assert not any(step.findings for step in more.steps(None))
        state = more.state
        assert (state.validators, state.outlook) == (world.state.validators, world.state.outlook)
        assert state.parameters == world.state.parameters


def test_the_public_walk_goes_by_the_sets(history: History) -> None:
    world = history.world

    def lane_keys(epoch: int) -> dict[int, bytes]:
        row = need_row(world.store, ValidatorsRow, validators_key(epoch))
        return {each.number: each.lane_key for each in row.validators}

    walk = walk_of(world, lane_keys=lane_keys)
    for step in steps(world):
        walk.step(*step)
    assert walk.tips == world.state.cut


def test_a_light_client_follows_every_change(history: History) -> None:
    foundation = history.world.genesis.foundation
    found = follow(foundation, history.following)
    assert found.validators == history.world.state.validators
    trusted = trust_genesis(foundation)
    for end in history.following:
        short = msgspec.structs.replace(end, cosignatures=end.cosignatures[:-1])
        with pytest.raises(BadProof):
            advance(trusted, short)
        trusted = advance(trusted, end)


def test_histories_are_worth_something() -> None:
    """Over some seeds, every kind of change binds, some become void, some are never done."""
    bound, void, left = set(), 0, 0
    for made in some_histories(6):
        rows = [row for _, row in read_changes(made.world.store)]
        bound |= {row.type for row in rows if row.bound is not None}
        void += sum(row.void is not None for row in rows)
        left += sum(row.void is None and row.bound is None for row in rows)
    assert bound == {50, 53, 54, 55, 56}
    assert void > 5
    assert left > 5


def some_histories(count: int) -> list[History]:
    """Histories of so many seeds, run to their ends."""
    found = [History(seed) for seed in range(count)]
    for made in found:
        for _ in range(EPOCH_BLOCKS * 9):
            made.block()
    return found


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("quorum", lambda n: max(1, n - (n - 1) // 3 - 1)),
        ("seats_changed_max", lambda n: max(1, (n - 1) // 3) + 1),
        ("complete_at", lambda row, members, _: binding.approved_at(row, members)),
    ],
)
def test_a_wrong_rule_is_noticed(monkeypatch, name, wrong) -> None:  # type: ignore[no-untyped-def]
    """Fewer approvals, a seat more, nobody need be ready: the reference disagrees."""
    monkeypatch.setattr(binding, name, wrong)
    with pytest.raises((AssertionError, StopIteration)):
        some_histories(12)


# --- replay of what must not be ---


def rotated() -> tuple[Members, Party]:
    bounds = msgspec.structs.replace(FIRST_BOUNDS, epoch_blocks=EPOCH_BLOCKS)
    members = Members(World(genesis_of(4, bounds)))
    new = party(3, "new", root=key_of(3, "root"))
    change = members.ask(1, members.rotate(new))
    members.agree(change, 1, 2)
    members.say(4, members.ready(new, change))
    members.end()
    return members, new


def kinds(world: World) -> set[str]:
    replayed = replay(world.genesis, ReaderSource(world.store))
    return {finding.kind for step in replayed for finding in step.findings}


def test_an_audit_goes_on_where_a_name_was_taken_in_vain() -> None:
    """What lapsed and was proposed once more is judged alike from any block on."""
    bounds = msgspec.structs.replace(FIRST_BOUNDS, epoch_blocks=EPOCH_BLOCKS)
    world = World(genesis_of(4, bounds))
    members, fifth = Members(world), party(5)
    lapsed = members.ask(1, members.propose(1, fifth))
    members.end()
    world.time += 31 * DAY
    for number in members.numbers:
        world.put(number, [])
    members.end()
    assert [row.void for _, row in read_changes(world.store) if row.commitment == lapsed] == [2]
    between = world.state.height
    again = members.ask(2, members.propose(2, fifth))
    members.agree(again, 1, 3)
    assert members.say(1, members.ready(fifth, again)) == [""]
    assert members.end() == (1, 2, 3, 4, 5)
    source = ReaderSource(world.store)
    assert not any(step.findings for step in replay(world.genesis, source, stored=world.store))
    store = MemoryStore()
    begun = Replay(world.genesis, source, None, store)
    assert not any(step.findings for step in begun.steps(between))
    trust = trust_of(begun, policy_of(world.genesis.foundation.origin, world.state.validators))
    more = ReplayOn(
        world.genesis, source, stored=None, store=store, trust=trust, index=begun.state.index
    )
    assert not any(step.findings for step in more.steps(None))
    assert more.state.validators == world.state.validators


def test_an_old_keys_batch_behind_the_rotation_is_found() -> None:
    """Its header may say that it was sealed before: it is void outside the cut."""
    members, new = rotated()
    world = members.world
    world.lane_keys[3] = new.keys["lane"]
    members.say(3, members.remove(3, 1))
    assert kinds(world) == set()
    del world.lane_keys[3]
    members.say(3, members.leave(3))
    assert kinds(world) == {"batch-signature"}, "the old key under the new epoch"


def test_a_batch_sealed_before_the_rotation_is_void_behind_it() -> None:
    members, _ = rotated()
    world = members.world
    height, world.state = world.state.height, replace(world.state, height=1)
    world.put(3, [members.leave(3)])  # the header says epoch 1, and is signed by the key of then
    world.state = replace(world.state, height=height)
    world.block()
    assert kinds(world) == {"batch-void"}


def test_an_unchanged_keys_batch_stays_good_behind_a_change() -> None:
    members, _ = rotated()
    world = members.world
    height, world.state = world.state.height, replace(world.state, height=1)
    world.put(2, [members.leave(2)])
    world.state = replace(world.state, height=height)
    world.block()
    assert kinds(world) == set()
    rows = world.store.scan(HEADER, after(HEADER))
    assert {decode_row(HeaderRow, key, data).header.epoch for key, data in rows} == {1}
    row = decode_row(BlockRow, b"B", world.store.get(block_key(world.state.height)) or b"")
    assert row.block.epoch == 2


def test_a_lane_of_no_member_is_found() -> None:
    members, _ = rotated()
    world = members.world
    members.ask(2, members.leave(2))
    members.end()
    assert kinds(world) == set()
    members.say(2, members.leave(2))
    assert "block-cut" in kinds(world)
