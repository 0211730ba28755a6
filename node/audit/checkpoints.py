"""In an audit: the policy against genesis, and certified checkpoints against replayed roots."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from consensus.quorum import quorum
from ledger.checkpoint import Checkpoint, verify_cosignature
from ledger.errors import InvalidInput
from ledger.genesis import Foundation
from ledger.membership import Validator
from ledger.policy import Policy
from ledger.rows import CheckpointRow
from ledger.source import Finding
from node.view import cosignature_line, policy_of


def policy_faults(policy: Policy, foundation: Foundation) -> Iterator[Finding]:
    """In what a policy is not the one that follows from genesis."""
    return set_faults(policy, foundation.origin, foundation.validators)


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
    """Judges certified checkpoints. `roots`: height → (size, root) as replayed; `newest`: the
    height of the newest block row."""

    policy: Policy
    origin: str
    validators: tuple[Validator, ...]
    roots: Mapping[int, tuple[int, bytes]]
    newest: int

    def faults(self, height: int, row: CheckpointRow) -> Iterator[str]:
        """What is wrong with the checkpoint row of a height."""
        known = self.roots.get(height)
        if row.height != height:
            yield f"is of height {row.height}"
        if height > self.newest:
            yield f"is above the newest block, {self.newest}: the ledger was rolled back"
        if known is not None and (row.size, row.root) != known:
            yield "has another size or root than its block yields"
        numbers = [each.number for each in row.cosignatures]
        if numbers != sorted(set(numbers)) or len(numbers) != quorum(len(self.validators)):
            yield "has not exactly a quorum of cosignatures, ascending by platform"
        members = {each.number: each for each in self.validators}
        trusted = {verifier.public_key: verifier for _, verifier in self.policy.witnesses}
        checkpoint = Checkpoint(self.origin, row.size, row.root)
        for each in row.cosignatures:
            member = members.get(each.number)
            verifier = None if member is None else trusted.get(member.cosigner_key)
            if member is None or verifier is None:
                yield f"is cosigned by platform {each.number}, whom the policy does not know"
                continue
            line = cosignature_line(self.origin, member, each.time_s, each.signature)
            try:
                verify_cosignature(verifier, checkpoint, line)
            except InvalidInput as error:
                yield f"{error}"
