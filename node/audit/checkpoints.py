"""In an audit: the policy against the ledger's sets, checkpoints against replayed roots."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from consensus.quorum import quorum
from ledger.checkpoint import Checkpoint, verify_cosignature
from ledger.errors import InvalidInput
from ledger.genesis import Foundation, epoch_of
from ledger.membership import Validator
from ledger.policy import Policy
from ledger.replay import Replay
from ledger.rows import CheckpointRow
from ledger.source import Finding
from node.view import cosignature_line, policy_of

Members = tuple[Validator, ...]
Roots = Mapping[int, tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Sets:
    """The validator sets of a ledger, as a replay has come by them: `of` tells an epoch's, `epoch`
    is the newest one."""

    foundation: Foundation
    of: Callable[[int], Members]
    epoch: int

    def at(self, height: int) -> Members:
        """The set that cosigns the checkpoint of a block."""
        return self.of(max(1, epoch_of(height, self.foundation.bounds.epoch_blocks)))

    def distinct(self) -> list[Members]:
        """Every set that there has been, newest first."""
        return list(dict.fromkeys(self.of(epoch) for epoch in range(self.epoch, 0, -1)))

    def everybody(self) -> list[Validator]:
        """Each platform that has ever been a member, with its newest keys, by number."""
        found = {each.number: each for members in reversed(self.distinct()) for each in members}
        return [found[number] for number in sorted(found)]


def sets_of(foundation: Foundation, replayed: Replay | None) -> Sets:
    """The sets that a replay has executed, from the first epoch to that of the next block; without
    one, genesis's alone."""
    if replayed is None:
        return Sets(foundation, lambda _: foundation.validators, 1)
    epoch = epoch_of(replayed.state.height + 1, foundation.bounds.epoch_blocks)
    return Sets(foundation, replayed.members, epoch)


def policy_faults(policy: Policy, sets: Sets) -> Iterator[Finding]:
    """In what a policy is of none of a ledger's sets: told against the newest."""
    origin = sets.foundation.origin
    newest, *older = sets.distinct()
    if all(any(set_faults(policy, origin, members)) for members in (newest, *older)):
        yield from set_faults(policy, origin, newest)


def set_faults(policy: Policy, origin: str, validators: tuple[Validator, ...]) -> Iterator[Finding]:
    """In what a policy is not the one of a validator set."""
    expected = policy_of(origin, validators)
    if expected.origin != policy.origin:
        detail = f"is for {policy.origin}, the ledger's origin is {expected.origin}"
        yield Finding("policy", "policy", detail)
        return
    trusted = {each.public_key: each for each in policy.verifiers}
    for verifier in expected.verifiers:
        if trusted.pop(verifier.public_key, None) != verifier:
            yield Finding("policy", f"key of {verifier.name}", "is not in the policy")
    for verifier in trusted.values():
        detail = "is in the policy and not a member's"
        yield Finding("policy", f"key of {verifier.name}", detail)
    if policy.quorum != expected.quorum:
        detail = f"asks for {policy.quorum} cosignatures, the quorum is {expected.quorum}"
        yield Finding("policy", "policy", detail)


@dataclass(frozen=True, slots=True)
class CheckpointCheck:
    """Judges certified checkpoints, each by the set of its epoch. `policy`: what the auditor trusts
    where it is the policy of none of these sets. `roots`: height → (size, root) as replayed;
    `newest`: the height of the newest block row."""

    policy: Policy
    sets: Sets
    roots: Roots
    newest: int
    trusts: bool
    """Whether the auditor's policy is that of one of the sets: the ledger tells the others."""

    @classmethod
    def of(cls, policy: Policy, sets: Sets, roots: Roots, newest: int) -> Self:
        """The check of a ledger with these sets."""
        return cls(policy, sets, roots, newest, not any(policy_faults(policy, sets)))

    def faults(self, height: int, row: CheckpointRow) -> Iterator[str]:
        """What is wrong with the checkpoint row of a height."""
        known = self.roots.get(height)
        if row.height != height:
            yield f"is of height {row.height}"
        if height > self.newest:
            yield f"is above the newest block, {self.newest}: the ledger was rolled back"
        if known is not None and (row.size, row.root) != known:
            yield "has another size or root than its block yields"
        validators, origin = self.sets.at(height), self.sets.foundation.origin
        numbers = [each.number for each in row.cosignatures]
        if numbers != sorted(set(numbers)) or len(numbers) != quorum(len(validators)):
            yield "has not exactly a quorum of cosignatures, ascending by platform"
        members = {each.number: each for each in validators}
        policy = policy_of(origin, validators) if self.trusts else self.policy
        trusted = {verifier.public_key: verifier for _, verifier in policy.witnesses}
        checkpoint = Checkpoint(origin, row.size, row.root)
        for each in row.cosignatures:
            member = members.get(each.number)
            verifier = None if member is None else trusted.get(member.cosigner_key)
            if member is None or verifier is None:
                yield f"is cosigned by platform {each.number}, whom the policy does not know"
                continue
            line = cosignature_line(origin, member, each.time_s, each.signature)
            try:
                verify_cosignature(verifier, checkpoint, line)
            except InvalidInput as error:
                yield f"{error}"
