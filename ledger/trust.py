"""Trust: how far an auditor has replayed a ledger itself, so that it can go on from there.

    trust = ["standing-audit/v1", chain id, policy hash, height, block hash, time, epoch, size,
             root, frontier: bin, index root, parameters hash, [validator, …], [lane, …]]
    lane  = [[lane, height, hash], time, epoch]         of the newest batch under the cut, ascending

Canonical MessagePack. The policy hash is SHA-256 of the policy in the form that we write; the
validators and the parameters are those of the next block's epoch. Together with the rows that the
auditor's own execution left (never the audited node's), it is all that the next block is executed
on: nothing that was replayed once need be replayed again, and nothing of the audited node is taken
on trust.
"""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

import msgspec

from ledger.block import Tip
from ledger.encoding import Hash, TimeMs, Uint, Value, decode, encode
from ledger.erasure_rows import oldest_erasure
from ledger.errors import InvalidInput, Malformed, StoreDamaged
from ledger.genesis import Genesis, chain_id, epoch_of
from ledger.governing import read_outlook
from ledger.hashing import sha256
from ledger.index import Index
from ledger.membership import Validator
from ledger.merkle import Frontier
from ledger.parameters import Parameters, parameters_hash
from ledger.policy import Policy
from ledger.position import State
from ledger.replay import Replay, Step
from ledger.rows import describe_key, need_row, parameters_key
from ledger.rules import Vocabulary
from ledger.source import Source
from ledger.store import Reader, Store

TRUST_BYTES_MAX: Final = 1_024 * 1_024
FORMAT: Final = "standing-audit/v1"


class LaneTrust(Value):
    """How far a lane was followed, and the time (ms) and epoch of its newest header."""

    tip: Tip
    time: TimeMs
    epoch: Uint


class Trust(Value):
    """A ledger as far as an audit without a finding has replayed it."""

    format: Literal["standing-audit/v1"]
    chain: Hash
    policy: Hash
    height: Uint
    block_hash: Hash
    time: TimeMs
    epoch: Uint
    size: Uint
    root: Hash
    frontier: bytes
    index_root: Hash
    parameters: Hash
    validators: Annotated[tuple[Validator, ...], msgspec.Meta(min_length=1, max_length=100)]
    lanes: tuple[LaneTrust, ...]


def policy_hash(policy: Policy) -> bytes:
    """What a trust holds of the policy that its audit was told to go by."""
    return sha256(policy.format().encode())


def encode_trust(trust: Trust) -> bytes:
    """The bytes of a trust."""
    return encode(trust)


def decode_trust(data: bytes) -> Trust:
    """The trust of a file.

    Raises:
        Malformed: not in its one form, or its frontier does not lead to its root.
    """
    trust = decode(Trust, data, bytes_max=TRUST_BYTES_MAX, what="audit state")
    if Frontier.decode(trust.size, trust.frontier).root() != trust.root:
        raise Malformed("the audit state contradicts itself: its frontier has another root")
    return trust


def trust_of(replayed: Replay, policy: Policy) -> Trust:
    """The trust after a replay that found nothing."""
    state, walk = replayed.state, replayed.walk
    lanes = (
        LaneTrust(tip, walk.times.get(lane, 0), walk.epochs.get(lane, 1))
        for lane, tip in sorted(state.cut.items())
    )
    return Trust(
        format=FORMAT,
        chain=state.chain,
        policy=policy_hash(policy),
        height=state.height,
        block_hash=state.block_hash,
        time=state.time,
        epoch=state.epoch,
        size=state.size,
        root=state.log.root(),
        frontier=state.log.encode(),
        index_root=state.index.root(),
        parameters=state.parameters_hash,
        validators=state.validators,
        lanes=tuple(lanes),
    )


class ReplayOn(Replay):
    """A replay that goes on from a trust, with the index (version: its height) and the rows in
    `store` as the auditor's execution left them."""

    def __init__(
        self,
        genesis: Genesis,
        source: Source,
        *,
        stored: Reader | None,
        store: Store,
        trust: Trust,
        index: Index,
    ) -> None:
        """Take up a replay.

        Raises:
            InvalidInput: the trust is another ledger's, or the index not that of its height.
            StoreDamaged: a kept row is missing or not what was written.
        """
        super().__init__(genesis, source, stored, store)
        if trust.chain != chain_id(genesis.foundation):
            raise InvalidInput("the audit state is of another chain", field="chain")
        if index.root() != trust.index_root:
            raise InvalidInput("the kept index has another root", field="index_root")
        foundation = genesis.foundation
        parameters = _parameters(store, foundation.parameters, trust.parameters)
        self.state = State(
            chain=trust.chain,
            foundation=foundation,
            parameters=parameters,
            parameters_hash=trust.parameters,
            vocabulary=Vocabulary.of(parameters, foundation.bounds),
            height=trust.height,
            block_hash=trust.block_hash,
            time=trust.time,
            epoch=trust.epoch,
            validators=trust.validators,
            cut={each.tip.lane: each.tip for each in trust.lanes},
            log=Frontier.decode(trust.size, trust.frontier),
            index=index,
            oldest_erasure=oldest_erasure(store),
            outlook=read_outlook(
                store,
                trust.validators,
                epoch_of(trust.height + 1, foundation.bounds.epoch_blocks),
            ),
        )
        self.take_up(trust.validators)
        for each in trust.lanes:
            self.walk.take_up(each.tip, each.time, each.epoch)

    def steps(self, until: int | None) -> Iterator[Step]:
        """One step for each block above the trust; nothing is compared but what these write."""
        height = self.state.height + 1
        while (until is None or height <= until) and (step := self.step(height)) is not None:
            yield step
            height += 1
        if until is None and (findings := tuple(self.outstanding())):
            yield Step(height - 1, 0, self.state.size, findings, None, closing=True)


def _parameters(store: Reader, first: Parameters, hashed: bytes) -> Parameters:
    """The parameters of a hash: genesis's, or as the auditor's execution has left them."""
    if parameters_hash(first) == hashed:
        return first
    found = need_row(store, Parameters, parameters_key(hashed))
    if parameters_hash(found) != hashed:
        raise StoreDamaged(describe_key(parameters_key(hashed)), "is not what its key names")
    return found
