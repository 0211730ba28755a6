"""A small ledger in memory for tests: platforms with keys, batches and blocks, rows and all."""

from collections.abc import Sequence
from hashlib import sha256

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
from ledger.encoding import encode
from ledger.genesis import FIRST_BOUNDS, Bounds, Foundation, Genesis, chain_id, epoch_of
from ledger.membership import PURPOSES, Proofs, Validator, possession_message
from ledger.parameters import FIRST_DOMAINS, FIRST_SCALES, Parameters
from ledger.records import (
    EngagementOpen,
    EngagementOutcome,
    Erasure,
    ErasureAck,
    Rating,
    Record,
    SubjectLink,
    SubjectRegister,
    encode_record,
)
from ledger.rows import HeaderRow, header_key, submission_key
from ledger.rules.signatures import record_message
from ledger.signing import SigningKey
from ledger.state import Applied, State, apply_block, found
from ledger.store import MemoryStore

DAY = 86_400_000
START = 1_700_000_000_000
FIRST_PARAMETERS = Parameters(1, FIRST_MODEL, FIRST_SCALES, FIRST_DOMAINS)


def seed(*parts: object) -> bytes:
    """32 bytes that depend on nothing but the parts."""
    return sha256(repr(parts).encode()).digest()


def key_of(*parts: object) -> SigningKey:
    """A key that depends on nothing but the parts."""
    return SigningKey.from_seed(seed("key", *parts))


def validator(number: int) -> tuple[Validator, Proofs]:
    """A platform with five keys of its own, and their proofs of possession."""
    code = f"p{number}"
    keys = {purpose: key_of(number, purpose) for purpose in PURPOSES}
    proofs = {
        purpose: key.sign(possession_message(number, code, purpose, key.public))
        for purpose, key in keys.items()
    }
    member = Validator(
        number, code, *(keys[purpose].public for purpose in PURPOSES), seed("certificate", number)
    )
    return member, Proofs(**proofs)


def genesis_of(
    platforms: int = 2, bounds: Bounds = FIRST_BOUNDS, parameters: Parameters = FIRST_PARAMETERS
) -> Genesis:
    """A genesis with platforms 1, 2, …"""
    members = [validator(number) for number in range(1, platforms + 1)]
    foundation = Foundation(
        "example.org/standing", START, tuple(m for m, _ in members), bounds, parameters
    )
    return Genesis(foundation, tuple(p for _, p in members))


class World:
    """One node's ledger. `put` seals batches, `block` agrees on them and executes."""

    def __init__(self, genesis: Genesis | None = None, window_blocks: int = 16) -> None:
        self.genesis = genesis or genesis_of()
        self.chain = chain_id(self.genesis.foundation)
        self.store = MemoryStore()
        self.state, changes = found(self.genesis, window_blocks)
        self.store.write(changes)
        self.time = START
        self.salts = 0
        self.tips: dict[int, Tip] = {}
        self.lane_times: dict[int, int] = {}
        self.waiting: list[tuple[bytes, Batch]] = []
        self.lane_keys: dict[int, SigningKey] = {}
        """Of lanes whose key is not the one that `validator` gives."""

    # --- records ---

    def submit(self, record: Record | bytes, *signers: SigningKey) -> Submission:
        """A submission with a salt of its own, signed by these keys."""
        self.salts += 1
        data = record if isinstance(record, bytes) else encode_record(record)
        signatures = b"".join(key.sign(record_message(self.chain, data)) for key in signers)
        return Submission(seed("salt", self.salts)[:16], data, signatures)

    def register(self, name: str, platform: int = 1, **other: object) -> SubjectRegister:
        """A subject by name. `key=True` gives it the key `subject_key_of(name)`."""
        at = int(other.pop("at", self.time))  # type: ignore[call-overload]
        key = key_of("subject", name).public if other.pop("key", False) else b""
        assurance = other.pop("assurance", "none")
        assert not other
        return SubjectRegister(platform, at, handle(name), key, assurance)  # type: ignore[arg-type]

    def open(self, name: str, worker: str = "w", client: str = "c", **other: object):  # type: ignore[no-untyped-def]
        """An engagement by name."""
        at = other.pop("at", self.time)
        fields = {
            "platform": 1,
            "at": at,
            "reference": reference(name),
            "worker": handle(worker),
            "client": handle(client),
            "format": "freelance",
            "domains": ("software.web",),
            "role": "lead",
            "due_from": at,
            "due_until": at + 30 * DAY,  # type: ignore[operator]
            "value_band": 3,
        }
        return EngagementOpen(**{**fields, **other})  # type: ignore[arg-type]

    def outcome(self, name: str, **other: object) -> EngagementOutcome:
        """An engagement's outcome: completed and accepted, unless told otherwise."""
        fields: dict[str, object] = {
            "platform": 1,
            "at": self.time,
            "reference": reference(name),
            "status": "completed",
            "fault": "none",
            "lateness_band": 0,
            "acceptance": "accepted",
            "basis": "platform",
        }
        return EngagementOutcome(**{**fields, **other})  # type: ignore[arg-type]

    def rating(self, name: str, rater: str = "c", **other: object) -> Rating:
        """A rating of the worker by the client: 5 stars, unless told otherwise."""
        fields: dict[str, object] = {
            "platform": 1,
            "at": self.time,
            "reference": reference(name),
            "direction": "of-worker",
            "rater": handle(rater),
            "rater_key": b"",
            "scale": "stars-5",
            "value": 5,
            "dimensions": (),
        }
        return Rating(**{**fields, **other})  # type: ignore[arg-type]

    def link(self, one: tuple[int, str], other: tuple[int, str]) -> Submission:
        """Two registered subjects with keys are one person."""
        sides = sorted((platform, handle(name), name) for platform, name in (one, other))
        keys = [key_of("subject", name) for _, _, name in sides]
        (p1, h1, _), (p2, h2, _) = sides
        record = SubjectLink(1, self.time, p1, h1, keys[0].public, p2, h2, keys[1].public)
        return self.submit(record, *keys)

    def erasure(self, name: str, platform: int = 1, scope: str = "platform") -> Submission:
        """A subject by name asks for its erasure, with its key."""
        key = key_of("subject", name)
        record = Erasure(platform, self.time, handle(name), key.public, scope)  # type: ignore[arg-type]
        return self.submit(record, key)

    def ack(self, erasure: bytes, platform: int = 1) -> ErasureAck:
        """A platform acknowledges an erasure by its record id."""
        return ErasureAck(platform, self.time, erasure)

    # --- batches and blocks ---

    def put(self, lane: int, submissions: Sequence[Submission | Record], time: int = 0) -> Batch:
        """Seal the lane's next batch; durable as consensus makes it."""
        self.time += 1
        items = tuple(s if isinstance(s, Submission) else self.submit(s) for s in submissions)
        below = self.tips.get(lane)
        header = Header(
            epoch=epoch_of(self.state.height + 1, self.genesis.foundation.bounds.epoch_blocks),
            lane=lane,
            height=below.height + 1 if below else 1,
            previous=below.hash if below else self.chain,
            count=len(items),
            root=batch_root([commitment(item) for item in items]),
            time=time or self.time,
        )
        self.time = max(self.time, header.time)
        lane_key = self.lane_keys.get(lane) or key_of(lane, "lane")
        signature = lane_key.sign(header_message(self.chain, header))
        batch = Batch(header, signature, items)
        name = header_hash(self.chain, header)
        self.tips[lane] = Tip(lane, header.height, name)
        self.lane_times[lane] = header.time
        rows: dict[bytes, bytes | None] = {header_key(name): encode(HeaderRow(header, signature))}
        for position, item in enumerate(items):
            rows[submission_key(name, position)] = encode(item)
        self.store.write(rows)
        self.waiting.append((name, batch))
        return batch

    def next_block(self) -> tuple[Block, bytes, list[tuple[bytes, Batch]]]:
        """The block that reaches every sealed batch."""
        batches = sorted(self.waiting, key=lambda b: (b[1].header.lane, b[1].header.height))
        lanes = sorted({batch.header.lane for _, batch in batches})
        height = self.state.height + 1
        members = self.state.validators
        times = sorted((self.lane_times.get(each.number, 0) for each in members), reverse=True)
        block = Block(
            epoch=epoch_of(height, self.genesis.foundation.bounds.epoch_blocks),
            view=height,
            height=height,
            parent=self.state.block_hash,
            tips=tuple(self.tips[lane] for lane in lanes),
            time=max(self.state.time + 1, times[(len(members) - 1) // 3]),
        )
        return block, block_hash(self.chain, block), batches

    def block(self) -> Applied:
        """Execute what was put since the last block."""
        block, name, batches = self.next_block()
        self.state, applied = apply_block(self.state, self.store, block, name, batches)
        self.store.write(applied.changes)
        self.waiting = []
        return applied

    def run(self, *submissions: Submission | Record, lane: int = 1, time: int = 0) -> Applied:
        """One batch, one block."""
        self.put(lane, submissions, time)
        return self.block()

    def rules(self, *submissions: Submission | Record, lane: int = 1, time: int = 0) -> list[str]:
        """The rules that these records break in one batch and block; empty where accepted."""
        return [rule for _, _, rule in self.run(*submissions, lane=lane, time=time).records]


def handle(name: str) -> bytes:
    """A subject's handle by name."""
    return seed("handle", name)


def reference(name: str) -> bytes:
    """An engagement's reference by name."""
    return seed("reference", name)


__all__ = ["DAY", "START", "State", "World", "genesis_of", "handle", "key_of", "reference", "seed"]
