"""Rows of the node's own that are written with a batch: in one atomic write, or not at all."""

from collections.abc import Sequence

from consensus.effects import BatchSealed, Effect, Persist
from ledger.store import HEADER, Changes


def joined(effects: Sequence[Effect], rows: Changes) -> list[Effect]:
    """The effects of sealing a batch, with rows added to the write that makes it durable."""
    sealed = next((effect for effect in effects if isinstance(effect, BatchSealed)), None)
    if sealed is None:
        return list(effects)  # `Unsealed`: there is no batch, and no row about it
    key = HEADER + sealed.hash
    joined = [
        Persist({**effect.changes, **rows})
        if isinstance(effect, Persist) and key in effect.changes
        else effect
        for effect in effects
    ]
    assert joined != list(effects) or not rows, "a sealed batch was persisted"
    return joined
