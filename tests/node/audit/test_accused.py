"""Evidence on the ledger: a warning of every audit, and no fault of the ledger."""

from pathlib import Path

import msgspec
import pytest

from ledger.epochs import policy_of
from ledger.genesis import FIRST_BOUNDS
from ledger.records.evidence import Evidence
from ledger.statements import NOTARIZE, TWO_NOTARIZES, part, statement_message
from tests.ledger.world import genesis_of, key_of
from tests.node.audit.test_run import audit_folder, write_folder
from tests.node.audit.test_sets import Certified


def two_notarizes(chain: bytes, number: int, at: int) -> Evidence:
    key, parts = key_of(number, "vote"), []
    for hash_ in (b"1" * 32, b"2" * 32):
        signature = key.sign(statement_message(chain, NOTARIZE, 1, 7, hash_))
        parts.append(part((1, 7, hash_), signature))
    return Evidence(1, at, TWO_NOTARIZES, number, 1, 7, *sorted(parts))


@pytest.mark.parametrize("told", [False, True])
def test_an_audit_warns_of_who_signed_twice(tmp_path: Path, *, told: bool) -> None:
    world = Certified(genesis_of(4, msgspec.structs.replace(FIRST_BOUNDS, epoch_blocks=8)))
    world.cosigners = {}
    if told:
        record = two_notarizes(world.chain, 2, world.time)
        assert world.rules(record) == [""]
        again = two_notarizes(world.chain, 2, world.time)
        assert world.rules(again) == ["evidence-exists"]
    else:
        world.run(world.register("w"))
    foundation = world.genesis.foundation
    policy = policy_of(foundation.origin, foundation.validators)
    folder = write_folder(world, tmp_path / "a")
    report = audit_folder(world, folder, policy=policy)
    found = [(each.severity, each.kind, each.detail) for each in report.findings]
    if not told:
        assert found == []
        return
    ((severity, kind, detail),) = found
    assert (severity, kind) == ("warning", "evidence")
    assert "signed two notarizes of epoch 1, slot 7" in detail
