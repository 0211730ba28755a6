"""Which parameters are in force from which epoch on: genesis's, then as accepted changes bind.

A `model.activate` that binds at the end of epoch e puts its model in the place of the one in force.
The seals from the first block of epoch e + 1 on name the parameters with it; that at the end of e
names the old ones. All rows `M` "parameters/…" stay, so that whatever was answered at an older
checkpoint can be answered again. What execution wrote under a model (annotations, tallies, which
outcomes counted as a newcomer's) is history and stays; tallies go on under the new one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from ledger.bureau.model import Model
from ledger.encoding import encode
from ledger.errors import StoreDamaged
from ledger.governance_rows import model_key
from ledger.governing import read_changes
from ledger.hashing import sha256
from ledger.parameters import Parameters, parameters_hash
from ledger.position import State
from ledger.rows import (
    REPAIR,
    BlockRow,
    block_key,
    describe_key,
    need_row,
    parameters_key,
    read_row,
)
from ledger.rules import Vocabulary
from ledger.store import Changes, Reader


@dataclass(frozen=True, slots=True)
class InForce:
    """Parameters, and the first epoch whose records are judged and tallied by them."""

    epoch: int
    parameters: Parameters


def with_model(parameters: Parameters, model: Model) -> Parameters:
    """The parameters with another model."""
    return msgspec.structs.replace(parameters, model=model)


def name_model(changes: Changes, model: Model) -> None:
    """Its id names this model from now on, and no other."""
    changes[model_key(model.id)] = sha256(encode(model))


def activate(state: State, model: Model, changes: Changes) -> State:
    """The state for the blocks from the next one on, which are under another model."""
    parameters = with_model(state.parameters, model)
    hashed = parameters_hash(parameters)
    changes[parameters_key(hashed)] = encode(parameters)
    name_model(changes, model)
    return replace(
        state,
        parameters=parameters,
        parameters_hash=hashed,
        vocabulary=Vocabulary.of(parameters, state.foundation.bounds),
    )


# --- reading ---


def read_in_force(reader: Reader, first: Parameters) -> tuple[InForce, ...]:
    """All parameters that were ever in force, by epoch; `first`: genesis's.

    Raises:
        StoreDamaged: a row cannot be read.
    """
    bound = [
        (row.bound, row.model)
        for _, row in read_changes(reader)
        if row.model is not None and row.bound is not None
    ]
    found = [InForce(1, first)]
    for epoch, model in sorted(bound, key=lambda each: each[0]):
        found.append(InForce(epoch, with_model(found[-1].parameters, model)))
    return tuple(found)


def check_in_force(
    reader: Reader, in_force: Sequence[InForce], newest: bytes, epoch_blocks: int
) -> None:
    """Demand that all parameters are kept, that the seals around each change name those before it
    and those behind it, and that the last ones are the `newest` (a hash).

    Raises:
        StoreDamaged: names the row that is missing or contradicts.
    """
    hashed = b""
    for each in in_force:
        before, hashed = hashed, parameters_hash(each.parameters)
        key = parameters_key(hashed)
        if reader.get(key) != encode(each.parameters):
            raise StoreDamaged(describe_key(key), f"is missing or another; {REPAIR}")
        last = block_key((each.epoch - 1) * epoch_blocks)
        next_ = block_key((each.epoch - 1) * epoch_blocks + 1)
        if before and need_row(reader, BlockRow, last).seal.parameters != before:
            raise StoreDamaged(describe_key(last), f"seals other parameters; {REPAIR}")
        sealed = read_row(reader, BlockRow, next_)
        if sealed is not None and sealed.seal.parameters != hashed:
            raise StoreDamaged(describe_key(next_), f"seals other parameters; {REPAIR}")
    if hashed != newest:
        where = describe_key(parameters_key(newest))
        raise StoreDamaged(where, f"are not those that the changes lead to; {REPAIR}")
