"""A whole ledger in a folder, made quickly: what `standing bench audit` audits.

Four platforms' lanes, filled from the fixed load (`node/bench/load.py`): registrations first, then
engagements, each one's outcome and rating some way behind its open. One engagement in fifty never
gets an outcome, and one open in a thousand is handed in twice, so that the ledger has overdue
engagements and refusals, too. Batches are sealed and signed, blocks executed by the ledger's own
code, made final and certified by a quorum, and every row is written to a LevelDB as a node's store
holds it, so that a node of the network can be started on it. Equal arguments yield equal bytes.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import plyvel

from consensus.certificate import FINALIZE, Certificate, Signed, statement_message
from consensus.safety import FinalRow, final_key
from ledger.batch import (
    Batch,
    Header,
    Submission,
    batch_root,
    commitment,
    header_hash,
    header_message,
)
from ledger.block import Block, Tip, block_hash
from ledger.bureau.model import FIRST_MODEL
from ledger.checkpoint import Checkpoint, cosigner_name, sign_cosignature
from ledger.encoding import encode
from ledger.epochs import policy_of
from ledger.genesis import FIRST_BOUNDS, Foundation, Genesis, chain_id, epoch_of
from ledger.hashing import sha256
from ledger.membership import PURPOSES, Proofs, Validator, possession_message, quorum
from ledger.note import TIME_BYTES
from ledger.parameters import FIRST_DOMAINS, FIRST_SCALES, Parameters
from ledger.policy import Policy
from ledger.records import decode_checked
from ledger.rows import CheckpointRow, CosignatureRow, HeaderRow, header_key, submission_key
from ledger.signing import SigningKey
from ledger.state import State, apply_block, found
from ledger.store import CHECKPOINT, Changes
from node.bench.load import DAY_MS, Engagement, Offer, PlatformLoad, Population
from node.bounds import BOUNDS
from node.naming import name_key
from node.storage.leveldb import FORMAT, FORMAT_KEY, SLOTS_KEY
from node.storage.picture import bounded, iterate
from node.storage.recent import KINDS, UNKNOWN, Recent
from node.storage.sealing import Sealing, is_sealed
from node.storage.vault import open_vault

PLATFORMS: Final = 4
BATCH_RECORDS: Final = 256
BLOCK_RECORDS: Final = 4_096
CREATED_MS: Final = 1_750_000_000_000
SPAN_DAYS: Final = 30
BEHIND: Final = 2_000
"""So many opens of its platform lie between an engagement's open and its outcome."""

NAMED: Final = 1
"""The platform whose node the folder is: it remembers the names of its own records."""

_NEVER_CLOSED: Final = 50
_TWICE: Final = 1_000
_RECENT_ROWS: Final = 1_000_000
_BLOOM_BITS: Final = 10

Progress = Callable[[int, int], None]
OnStop = Callable[["Made"], None]


@dataclass(frozen=True, slots=True)
class Made:
    """A ledger that was made: how much of it there is, and the policy to audit it by.

    `engagements`: how many of each platform's load were opened, by platform number − 1.
    """

    records: int
    blocks: int
    size: int
    policy: Policy
    engagements: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Founders:
    """Who founds a made ledger: its genesis, and the members' lane, vote and cosigner keys, by
    number and purpose."""

    genesis: Genesis
    keys: Mapping[tuple[int, str], SigningKey]


def make_ledger(
    folder: Path,
    records: int,
    *,
    seed: int = 1,
    rater_signed: bool = False,
    population: Population | None = None,
    founders: Founders | None = None,
    on_progress: Progress = lambda _done, _total: None,
    stops: Mapping[int, OnStop] = MappingProxyType({}),
) -> Made:
    """Write a ledger of so many records into a new folder, as a node's data folder.

    `population`: without, as many subjects as fit so many records. `founders`: of a network that
    was founded already; without, four platforms drawn from the seed. `stops`: who is told, while
    the folder is closed, that so many records are in it.
    """
    founders = founders or _founders(seed)
    members = len(founders.genesis.foundation.validators)
    population = population or population_of(records, members, rater_signed=rater_signed)
    maker = _Maker(folder, records, population, seed, founders)
    try:
        maker.run(records, on_progress, stops)
        return maker.made
    finally:
        maker.close()


def population_of(records: int, members: int, *, rater_signed: bool = False) -> Population:
    """The population of a made ledger of so many records."""
    return Population(
        workers=max(members, min(100_000, records // 10)),
        clients=max(members, min(20_000, records // 50)),
        rater_signed=rater_signed,
    )


def _key(seed: int, number: int, purpose: str) -> SigningKey:
    return SigningKey.from_seed(
        sha256(b"standing bench key", repr((seed, number, purpose)).encode())
    )


def _member(seed: int, number: int) -> tuple[Validator, Proofs]:
    code = chr(ord("a") + number - 1)
    keys = {purpose: _key(seed, number, purpose) for purpose in PURPOSES}
    proofs = {
        purpose: key.sign(possession_message(number, code, purpose, key.public))
        for purpose, key in keys.items()
    }
    certificate = sha256(b"standing bench certificate", number.to_bytes(4))
    root, lane, vote, cosigner, log = (keys[purpose].public for purpose in PURPOSES)
    member = Validator(number, code, root, lane, vote, cosigner, log, certificate)
    return member, Proofs(**proofs)


def _founders(seed: int) -> Founders:
    members = [_member(seed, number) for number in range(1, PLATFORMS + 1)]
    foundation = Foundation(
        origin="example.org/standing-bench",
        created=CREATED_MS,
        validators=tuple(member for member, _ in members),
        bounds=FIRST_BOUNDS,
        parameters=Parameters(1, FIRST_MODEL, FIRST_SCALES, FIRST_DOMAINS),
    )
    keys = {
        (member.number, purpose): _key(seed, member.number, purpose)
        for member, _ in members
        for purpose in PURPOSES
    }
    return Founders(Genesis(foundation, tuple(proofs for _, proofs in members)), keys)


class _Rows:
    """The LevelDB, and in memory the rows of it that execution asks for again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._db = self._open(new=True)
        self._sealing = Sealing(open_vault(folder, new=True))
        self._db.put(FORMAT_KEY, FORMAT)
        self._recent = Recent(_RECENT_ROWS)

    def _open(self, *, new: bool) -> Any:
        return plyvel.DB(
            str(self._folder),
            create_if_missing=new,
            error_if_exists=new,
            write_buffer_size=BOUNDS.write_buffer_bytes,
            lru_cache_size=BOUNDS.block_cache_bytes,
            bloom_filter_bits=_BLOOM_BITS,
            compression=None,
        )

    def get(self, key: bytes) -> bytes | None:
        if key[0] not in KINDS:
            return self._db.get(key)  # type: ignore[no-any-return]
        value = self._recent.find(key)
        if value is UNKNOWN:
            value = self._db.get(key)
            self._recent.keep(key, value)
        return value

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        with iterate(self._db, start, stop, reverse=reverse) as rows:
            yield from bounded(rows, start, reverse=reverse)

    def write(self, changes: Changes) -> None:
        with self._db.write_batch() as batch:
            for key, value in changes.items():
                if value is None:
                    batch.delete(key)
                else:
                    batch.put(key, self._sealing.seal(key, value) if is_sealed(key) else value)
        self._recent.update(changes)

    def close(self) -> None:
        self._db.put(SLOTS_KEY, self._sealing.next_slot.to_bytes(8))
        self._db.close()

    def pause(self, stopped: Callable[[], None]) -> None:
        """Have something done while the folder is closed."""
        self.close()
        stopped()
        self._db = self._open(new=False)


@dataclass(slots=True)
class _Lane:
    """One platform's lane: its records to come, and how far it is."""

    key: SigningKey
    offers: Iterator[Offer]
    tip: Tip | None = None
    waiting: list[tuple[bytes, Batch]] = field(default_factory=list)
    engagements: int = 0


class _Maker:
    def __init__(
        self, folder: Path, records: int, population: Population, seed: int, founders: Founders
    ) -> None:
        genesis, self._keys = founders.genesis, founders.keys
        foundation = genesis.foundation
        self._epoch_blocks = foundation.bounds.epoch_blocks
        self._members = len(foundation.validators)
        self._quorum = foundation.validators[: quorum(self._members)]
        self._seed = seed
        self._rows = _Rows(folder)
        self.state: State
        self.state, changes = found(genesis)
        self._rows.write(changes)
        self._chain = chain_id(foundation)
        self._salts = itertools.count()
        self._records = 0
        self._created = self._now = foundation.created
        self._times: dict[int, int] = {}
        self._step_ms = max(1, SPAN_DAYS * DAY_MS * BATCH_RECORDS // max(1, records))
        self._lanes = {
            each.number: _Lane(
                self._keys[each.number, "lane"], self._offers(each.number, population)
            )
            for each in foundation.validators
        }

    def close(self) -> None:
        self._rows.close()

    @property
    def made(self) -> Made:
        """What is made so far."""
        foundation, state = self.state.foundation, self.state
        policy = policy_of(foundation.origin, foundation.validators)
        engagements = tuple(lane.engagements for lane in self._lanes.values())
        return Made(self._records, state.height, state.size, policy, engagements)

    def run(self, records: int, on_progress: Progress, stops: Mapping[int, OnStop]) -> None:
        ends, in_block = sorted({*stops, records}), 0
        for lane in itertools.cycle(self._lanes):
            count = min(BATCH_RECORDS, ends[0] - self._records)
            if count:
                self._batch(lane, count)
            self._records, in_block = self._records + count, in_block + count
            if in_block >= BLOCK_RECORDS or self._records == ends[0]:
                self._block()
                in_block = 0
                on_progress(self._records, records)
            if self._records == ends[0]:
                if told := stops.get(ends.pop(0)):
                    self._rows.pause(lambda told=told: told(self.made))  # type: ignore[misc]
                if not ends:
                    return

    # --- records ---

    def _offers(self, number: int, population: Population) -> Iterator[Offer]:
        """A platform's records in order, as they come to be; each is dated when it is asked for."""
        load = PlatformLoad(
            self._chain, number, (number - 1, self._members), population, self._seed
        )
        for offer in load.registrations(self._created):
            yield offer
        open_ = list[Engagement]()
        for count in itertools.count():
            [engagement] = load.engagements(1)
            self._lanes[number].engagements += 1
            offer = load.open(engagement, self._now)
            yield offer
            if count % _TWICE == _TWICE - 1:
                yield offer
            if count % _NEVER_CLOSED != _NEVER_CLOSED - 1:
                open_.append(engagement)
            if len(open_) > BEHIND:
                yield from load.close(open_.pop(0), self._now)

    # --- batches and blocks ---

    def _batch(self, number: int, count: int) -> None:
        lane = self._lanes[number]
        self._now += self._step_ms
        items = tuple(
            Submission(sha256(b"salt", self._chain, next(self._salts).to_bytes(8))[:16], *offer)
            for offer in itertools.islice(lane.offers, count)
        )
        ids = tuple([commitment(item) for item in items])
        root = batch_root(ids)
        header = Header(
            epoch=epoch_of(self.state.height + 1, self._epoch_blocks),
            lane=number,
            height=lane.tip.height + 1 if lane.tip else 1,
            previous=lane.tip.hash if lane.tip else self._chain,
            count=len(items),
            root=root,
            time=self._now,
        )
        signature = lane.key.sign(header_message(self._chain, header))
        name = header_hash(self._chain, header)
        lane.tip = Tip(number, header.height, name)
        batch = Batch(header, signature, items).knowing(ids, root, is_checked=True)
        lane.waiting.append((name, batch))
        rows: Changes = {header_key(name): encode(HeaderRow(header, signature))}
        for position, item in enumerate(items):
            rows[submission_key(name, position)] = encode(item)
            if number == NAMED:
                named = name_key(decode_checked(item.record))
                rows[named] = sha256(item.record) + ids[position]
        self._rows.write(rows)

    def _block(self) -> None:
        moved = {number: lane for number, lane in self._lanes.items() if lane.waiting}
        times = self._lane_times(moved)
        height = self.state.height + 1
        block = Block(
            epoch=epoch_of(height, self._epoch_blocks),
            view=height,
            height=height,
            parent=self.state.block_hash,
            tips=tuple(lane.tip for lane in moved.values() if lane.tip),
            time=max(self.state.time + 1, times[(self._members - 1) // 3]),
        )
        batches = [pair for lane in moved.values() for pair in lane.waiting]
        name = block_hash(self._chain, block)
        self.state, applied = apply_block(self.state, self._rows, block, name, batches)
        for lane in moved.values():
            lane.waiting = []
        changes = applied.changes
        key = CHECKPOINT + height.to_bytes(8)
        changes[key] = encode(self._certify(height, applied.size, applied.root))
        changes[final_key(height)] = encode(FinalRow(block, self._finalize(block, name), None))
        self._rows.write(changes)

    def _lane_times(self, moved: dict[int, _Lane]) -> Sequence[int]:
        """The newest times of all lanes, latest first."""
        for number, lane in moved.items():
            self._times[number] = lane.waiting[-1][1].header.time
        return sorted((self._times.get(number, 0) for number in self._lanes), reverse=True)

    def _finalize(self, block: Block, name: bytes) -> Certificate:
        message = statement_message(self._chain, FINALIZE, block.epoch, block.view, name)
        signed = tuple(
            Signed(each.number, self._keys[each.number, "vote"].sign(message))
            for each in self._quorum
        )
        return Certificate(FINALIZE, block.epoch, block.view, name, signed)

    def _certify(self, height: int, size: int, root: bytes) -> CheckpointRow:
        foundation = self.state.foundation
        checkpoint = Checkpoint(foundation.origin, size, root)
        rows = []
        for member in self._quorum:
            name = cosigner_name(foundation.origin, member.code)
            key = self._keys[member.number, "cosigner"]
            line = sign_cosignature(key, name, self._now // 1_000, checkpoint)
            rows.append(
                CosignatureRow(member.number, self._now // 1_000, line.signature[TIME_BYTES:])
            )
        return CheckpointRow(height, size, root, tuple(rows))
