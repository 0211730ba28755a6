"""Rules of `model.activate`: a change of the model of the score.

When it binds is said in `ledger/binding.py`, what follows from it in `ledger/activating.py`.
"""

from ledger.bureau.model import check_model
from ledger.encoding import encode
from ledger.errors import Malformed, Refused
from ledger.governance_rows import model_key
from ledger.hashing import sha256
from ledger.records.model import ModelActivate
from ledger.rules.codes import (
    ACTIVATION_EXISTS,
    BAD_MODEL,
    MODEL_ID_TAKEN,
    MODEL_IN_FORCE,
    MODEL_REPLACED,
)
from ledger.rules.membership import ask_for, need_member, need_room
from ledger.rules.registry import Registry
from ledger.rules.signatures import check_no_signatures


def check_activate(chain: bytes, record: ModelActivate, signatures: bytes) -> None:
    """Stateless: signed by the batch alone; the model is one that genesis might have had."""
    del chain
    check_no_signatures(signatures)
    try:
        check_model(record.model)
    except Malformed as error:
        raise Refused(BAD_MODEL, error.message, field=f"model.{error.field}") from error


def judge_activate(registry: Registry, record: ModelActivate) -> None:
    """Stateful: by a member, in place of the parameters in force; a new model, or one that was in
    force before; nobody asks for the same."""
    governance = registry.governance
    need_member(governance, record.platform)
    if record.replaces != governance.footing.parameters:
        raise Refused(MODEL_REPLACED, "are not the parameters in force", field="replaces")
    if record.model == registry.vocabulary.model:
        raise Refused(MODEL_IN_FORCE, "is in force already", field="model")
    named = governance.reader.get(model_key(record.model.id))
    if named is not None and named != sha256(encode(record.model)):
        message = f"{record.model.id} names a model that is, or was, in force"
        raise Refused(MODEL_ID_TAKEN, message, field="model.id")
    if any(row.model == record.model for _, row in governance.open_changes()):
        raise Refused(ACTIVATION_EXISTS, "is asked for already: approve that", field="model")
    need_room(governance, record.platform)


def enact_activate(
    registry: Registry, record: ModelActivate, log_index: int, batch_time: int
) -> None:
    """A change of the model is open."""
    ask_for(
        registry.governance,
        record,
        log_index,
        record.platform,
        None,
        asked=batch_time,
        model=record.model,
    )
