"""What a node says of its own records while others do with them what they can."""

from ledger.encoding import encode
from ledger.record_rows import RecordRow, refusal_key
from ledger.records import encode_record
from node.intake import Accepted, Offer
from tests.node.api.live_node import LiveNode


async def test_a_refused_copy_in_another_lane_does_not_make_the_original_refused() -> None:
    node = LiveNode()
    node.hold = True
    offer = Offer(encode_record(node.world.register("w")), b"")
    (taken,) = await node.submit([offer])
    assert isinstance(taken, Accepted)
    copied = RecordRow(2, 1, 0, None, "foreign-platform")
    node.world.store.write({refusal_key(taken.record_id, 2, 1, 0): encode(copied)})
    status = node.status(taken.record_id)
    assert status is not None
    assert (status.state, status.rule, status.lane) == ("durable", "", 1)
    node.finalise()
    status = node.status(taken.record_id)
    assert status is not None
    assert (status.state, status.rule, status.lane) == ("final", "", 1)
