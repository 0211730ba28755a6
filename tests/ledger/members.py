"""Platforms that come, go and change their keys, in a world in memory."""

from dataclasses import dataclass

from ledger.batch import Submission, commitment
from ledger.bureau.model import Model
from ledger.certificate import link_certificate
from ledger.membership import PURPOSES, Proofs, Validator, possession_message
from ledger.records import Record
from ledger.records.membership import (
    KeyRotate,
    MemberApprove,
    MemberLeave,
    MemberPropose,
    MemberReady,
    MemberRemove,
)
from ledger.records.model import ModelActivate
from ledger.signing import SigningKey
from tests.ledger.world import World, key_of


@dataclass(frozen=True)
class Party:
    """A platform with one generation of its keys."""

    validator: Validator
    proofs: Proofs
    keys: dict[str, SigningKey]

    @property
    def number(self) -> int:
        return self.validator.number


def party(number: int, generation: object = 0, code: str = "", root: SigningKey | None = None):  # type: ignore[no-untyped-def]
    """A platform's keys of a generation; generation 0 are those that genesis would have."""
    code = code or f"p{number}"
    named = (number,) if generation == 0 else (number, generation)
    keys = {purpose: key_of(*named, purpose) for purpose in PURPOSES}
    if root is not None:
        keys["root"] = root
    proofs = {
        purpose: key.sign(possession_message(number, code, purpose, key.public))
        for purpose, key in keys.items()
    }
    certificate = link_certificate(key_of(*named, "link"), code)
    publics = [keys[purpose].public for purpose in PURPOSES]
    return Party(Validator(number, code, *publics, certificate), Proofs(**proofs), keys)


class Members:
    """Says in a world what members say of the membership."""

    def __init__(self, world: World) -> None:
        self.world = world

    # --- records ---

    def propose(self, by: int, who: Party) -> Submission:
        return self.submit(MemberPropose(by, self.world.time, who.validator, who.proofs))

    def approve(self, by: int, change: bytes) -> Submission:
        return self.submit(MemberApprove(by, self.world.time, change))

    def ready(self, who: Party, change: bytes, **other: object) -> Submission:
        state = self.world.state
        fields: dict[str, object] = {
            "platform": who.number,
            "at": self.world.time,
            "change": change,
            "epoch": state.footing.epoch,
            "size": state.size,
            "root": state.log.root(),
            "vote_key": who.validator.vote_key,
            "lane_key": who.validator.lane_key,
        }
        record = MemberReady(**{**fields, **other})  # type: ignore[arg-type]
        return self.submit(record, who.keys["vote"], who.keys["lane"])

    def remove(self, by: int, number: int) -> Submission:
        return self.submit(MemberRemove(by, self.world.time, number))

    def leave(self, number: int) -> Submission:
        return self.submit(MemberLeave(number, self.world.time))

    def rotate(self, who: Party, root: SigningKey | None = None) -> Submission:
        """`root`: the registered root key, where the new keys have another one."""
        first = root or who.keys["root"]
        record = KeyRotate(who.number, self.world.time, first.public, who.validator, who.proofs)
        both = dict.fromkeys((first, who.keys["root"]))
        return self.submit(record, *both)

    def activate(self, by: int, model: Model, replaces: bytes | None = None) -> Submission:
        """`replaces`: where it is not the parameters in force."""
        named = self.world.state.parameters_hash if replaces is None else replaces
        return self.submit(ModelActivate(by, self.world.time, named, model))

    def submit(self, record: Record, *keys: SigningKey) -> Submission:
        return self.world.submit(record, *keys)

    # --- what happens ---

    def say(self, lane: int, *said: Submission) -> list[str]:
        """One batch, one block; the rules that were broken."""
        return self.world.rules(*said, lane=lane)

    def ask(self, lane: int, said: Submission) -> bytes:
        """The id of a change that must be accepted."""
        assert self.say(lane, said) == [""]
        return commitment(said)

    def agree(self, change: bytes, *by: int) -> None:
        """These members approve, each in a batch of its own, all in one block."""
        for number in by:
            self.world.put(number, [self.approve(number, change)])
        broken = [rule for _, _, rule in self.world.block().records]
        assert broken == [""] * len(by)

    def end(self) -> tuple[int, ...]:
        """Empty blocks to the epoch's end; the numbers of the set that follows."""
        bounds = self.world.genesis.foundation.bounds
        while True:
            applied = self.world.block()
            if self.world.state.height % bounds.epoch_blocks == 0:
                assert applied.seal.validators == self.world.state.validators
                return self.numbers

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(each.number for each in self.world.state.validators)
