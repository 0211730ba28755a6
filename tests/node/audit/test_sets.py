"""The audit of a ledger whose members have changed: each epoch is judged by its own set."""

import msgspec
import pytest

from ledger.checkpoint import Checkpoint, cosignature_message
from ledger.encoding import encode
from ledger.epochs import policy_of
from ledger.genesis import FIRST_BOUNDS, epoch_of
from ledger.membership import quorum
from ledger.rows import CheckpointRow, CosignatureRow, decode_row
from ledger.store import CHECKPOINT
from tests.ledger.members import Members, party
from tests.ledger.world import World, genesis_of, key_of
from tests.node.audit.test_run import audit_folder, write_folder

EPOCH_BLOCKS = 8


class Certified(World):
    """A world whose every block's checkpoint is cosigned by the first q of the epoch's set."""

    cosigners: dict  # type: ignore[type-arg]

    def block(self):  # type: ignore[no-untyped-def]
        members = self.state.validators
        applied = super().block()
        text = Checkpoint(self.genesis.foundation.origin, applied.size, applied.root).text()
        message = cosignature_message(9, text)
        signed = []
        for each in members[-quorum(len(members)) :]:
            key = self.cosigners.get(each.number) or key_of(each.number, "cosigner")
            if key.public != each.cosigner_key:
                key = key_of(each.number, "cosigner")
            signed.append(CosignatureRow(each.number, 9, key.sign(message)))
        row = CheckpointRow(self.state.height, applied.size, applied.root, tuple(signed))
        self.store.write({CHECKPOINT + self.state.height.to_bytes(8): encode(row)})
        return applied


@pytest.fixture(scope="module")
def world():
    """Epoch 1: 1 2 3 4; 2: with 5; 3: 3 has other keys; 4: without 1; then one more block."""
    made = Certified(
        genesis_of(4, msgspec.structs.replace(FIRST_BOUNDS, epoch_blocks=EPOCH_BLOCKS))
    )
    made.cosigners = {}
    members = Members(made)
    made.run(made.register("w"), made.register("c"))
    fifth, new = party(5), party(3, "new", root=key_of(3, "root"))
    change = members.ask(1, members.propose(1, fifth))
    members.agree(change, 2, 3)
    members.say(2, members.ready(fifth, change))
    assert members.end() == (1, 2, 3, 4, 5)
    change = members.ask(1, members.rotate(new))
    members.agree(change, 1, 4, 5)
    members.say(2, members.ready(new, change))
    made.cosigners[3] = new.keys["cosigner"]
    assert members.end() == (1, 2, 3, 4, 5)
    made.lane_keys[3] = new.keys["lane"]
    members.ask(1, members.leave(1))
    assert members.end() == (2, 3, 4, 5)
    made.run(made.register("x", 3), lane=3)
    return made


def sets_of(world):
    """Policies of the first and the newest set."""
    foundation = world.genesis.foundation
    return [
        policy_of(foundation.origin, members)
        for members in (foundation.validators, world.state.validators)
    ]


def test_a_ledger_with_changes_passes_under_any_of_its_policies(world, tmp_path):
    folder = write_folder(world, tmp_path / "node")
    for policy in sets_of(world):
        report = audit_folder(world, folder, policy=policy, scores=0)
        assert report.findings == ()
        assert report.checkpoints == world.state.height


def test_another_networks_policy_is_told(world, tmp_path):
    folder = write_folder(world, tmp_path / "node")
    foreign = policy_of("example.org/standing", [party(n, "foreign").validator for n in range(4)])
    report = audit_folder(world, folder, policy=foreign, scores=0)
    assert {finding.kind for finding in report.findings} >= {"policy", "checkpoint"}


@pytest.mark.parametrize("height", [EPOCH_BLOCKS, EPOCH_BLOCKS + 1, 3 * EPOCH_BLOCKS + 1])
def test_a_checkpoint_by_another_epochs_set_is_found(world, tmp_path, height):
    """A quorum of the set before or behind is none of this one's."""
    key = CHECKPOINT + height.to_bytes(8)
    row = decode_row(CheckpointRow, key, world.store.get(key))
    numbers = [each.number for each in row.cosignatures]
    cosigners = tuple(
        CosignatureRow(each, 9, key_of(each, "cosigner").sign(_message(world, row)))
        for each in (1, 2, 3)
    )
    fake = msgspec.structs.replace(row, cosignatures=cosigners)
    folder = write_folder(world, tmp_path / "node", {key: encode(fake)})
    report = audit_folder(world, folder, policy=sets_of(world)[1], scores=0)
    if epoch_of(height, EPOCH_BLOCKS) == 1:
        assert report.findings == (), "it is its own set's"
    else:
        assert [finding.kind for finding in report.findings][:1] == ["checkpoint"], numbers


def _message(world, row):
    text = Checkpoint(world.genesis.foundation.origin, row.size, row.root).text()
    return cosignature_message(9, text)
