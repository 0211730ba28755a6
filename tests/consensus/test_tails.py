"""The epoch's end: what a tail block is, what it skips, and where a node goes on after blocks."""

from dataclasses import replace

import msgspec
import pytest

from consensus.certificate import FINALIZE, NOTARIZE, NULLIFY
from consensus.messages import Blocks, CertificateMessage, Proposal
from consensus.state import State
from ledger.block import Tip, block_hash
from ledger.genesis import FIRST_BOUNDS
from tests.consensus.test_handle import CHAIN, certificate, machine, proposal, tell, votes_of

OTHERS = (1, 3, 4)


def ending() -> State:
    """Epoch 1 has one block."""
    state = machine(2)
    short = msgspec.structs.replace(FIRST_BOUNDS, epoch_blocks=1)
    state.config = replace(state.config, bounds=short)
    return state


def notarize(state: State, made: Proposal) -> bytes:
    """Its view's notarization and the block come from a peer."""
    name = block_hash(CHAIN, made.block)
    found = certificate(NOTARIZE, name, made.block.view, OTHERS)
    tell(state, 3, CertificateMessage(found, made.block))
    return name


def nullify(state: State, view: int) -> None:
    tell(state, 3, CertificateMessage(certificate(NULLIFY, bytes(32), view, OTHERS), None))


def notarizes(state: State, view: int, **fields: object) -> bool:
    leader = state.leader(view)
    effects = tell(state, leader, proposal(state, leader, view=view, **fields))
    return NOTARIZE in [each.kind for each in votes_of(effects)]


@pytest.mark.parametrize(
    ("wrong", "good"),
    [
        ({}, True),
        ({"tips": (Tip(2, 1, b"\x09" * 32),)}, False),
        ({"time": 1_002}, False),
        ({"height": 2}, False),
        ({"height": 2, "time": 1_002}, False),
    ],
)
def test_only_tail_blocks_follow_the_epochs_last(wrong: dict[str, object], good: bool) -> None:
    state = ending()
    last = notarize(state, proposal(state, state.leader(1)))
    assert notarizes(state, 2, **{"parent": last, **wrong}) == good


def test_a_tail_block_has_the_epochs_last_for_its_parent_and_skips_other_tails() -> None:
    for through_tail in (False, True):
        state = ending()
        last = notarize(state, proposal(state, state.leader(1)))
        tail = notarize(state, proposal(state, state.leader(2), view=2, parent=last))
        assert notarizes(state, 3, parent=tail if through_tail else last) != through_tail


def test_a_tail_block_does_not_skip_another_last_block_of_the_epoch() -> None:
    for nullified in (False, True):
        state = ending()
        first = notarize(state, proposal(state, state.leader(1)))
        nullify(state, 1)
        notarize(state, proposal(state, state.leader(2), view=2))
        if nullified:
            nullify(state, 2)
        assert notarizes(state, 3, parent=first) == nullified


def test_blocks_that_were_fetched_move_the_view_on() -> None:
    """The rows of views up to a finalization's go: nothing may be signed there again."""
    state = machine(2)
    made = proposal(state, state.leader(5), view=5)
    final = certificate(FINALIZE, block_hash(CHAIN, made.block), 5, OTHERS)
    tell(state, 3, Blocks((made.block,), None, final, None))
    assert (state.final.block, state.final_view, state.view) == (made.block, 5, 6)
