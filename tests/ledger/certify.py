"""Certified checkpoints for a world in memory: its log keys sign, its cosigners cosign."""

from dataclasses import dataclass

from ledger.checkpoint import (
    Checkpoint,
    cosigner_name,
    format_checkpoint,
    sign_cosignature,
    sign_log_line,
)
from ledger.note import COSIGNATURE_V1, ED25519, Verifier
from ledger.policy import Policy
from tests.ledger.world import World, key_of


@dataclass(frozen=True)
class Certificate:
    height: int
    size: int
    note: bytes


def quorum_of(count):
    return count - (count - 1) // 3


def policy_of(world: World) -> Policy:
    """The policy of the world's validators."""
    origin = world.genesis.foundation.origin
    members = world.genesis.foundation.validators
    return Policy(
        origin,
        tuple(Verifier(origin, ED25519, each.log_key) for each in members),
        tuple(
            (
                each.code,
                Verifier(cosigner_name(origin, each.code), COSIGNATURE_V1, each.cosigner_key),
            )
            for each in members
        ),
        quorum_of(len(members)),
    )


def certify(world: World, *, log=1, cosigners=None, time_s=1_700_000_000) -> Certificate:
    """A certified checkpoint of the world's newest block, as node `log` serves it."""
    origin = world.genesis.foundation.origin
    members = world.genesis.foundation.validators
    checkpoint = Checkpoint(origin, world.state.log.size, world.state.log.root())
    chosen = cosigners or range(1, quorum_of(len(members)) + 1)
    lines = [
        sign_cosignature(
            key_of(number, "cosigner"), cosigner_name(origin, f"p{number}"), time_s, checkpoint
        )
        for number in chosen
    ]
    line = sign_log_line(key_of(log, "log"), origin, checkpoint)
    note = format_checkpoint(checkpoint, line, lines)
    return Certificate(world.state.height, world.state.log.size, note)
