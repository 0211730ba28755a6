"""The parts of `standing bench faults` that need no processes: what the flooder sends."""

import itertools

import pytest
from typer.testing import CliRunner

from consensus.certificate import statement_message
from consensus.messages import (
    MESSAGE_BYTES_MAX,
    Batches,
    Message,
    Status,
    Vote,
    decode_message,
)
from ledger.batch import header_message
from ledger.block import Tip
from ledger.errors import Malformed
from ledger.signing import SigningKey, verify
from node.bench.faults.garbage import EVERY, KINDS, Known
from node.bounds import BOUNDS
from node.cli.bench import app
from node.keystore import Keystore
from node.links.wire import Assembler

KEYS = Keystore(*(SigningKey.from_seed(bytes([at]) * 32) for at in range(1, 5)), bytes(32))
FRAMES = 12
WITHOUT_FORM = {"huge-frames", "huge-messages", "nested", "tiny", "formless-frames"}


def _known() -> Known:
    tips = tuple(Tip(number, 5, bytes([number]) * 32) for number in (1, 2, 3, 4))
    return Known(KEYS, 4, b"c" * 32, (1, 2, 3, 4), Status(1, 9, 3, 3, tips))


def _messages(kind: str) -> list[Message]:
    assembler = Assembler(message_bytes_max=BOUNDS.message_bytes_max)
    return [
        decode_message(message)
        for frame in itertools.islice(KINDS[kind](_known()), FRAMES)
        for message in assembler.feed(frame)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_goes_on_and_fits_the_links(kind: str) -> None:
    frames = list(itertools.islice(KINDS[kind](_known()), FRAMES))
    assert len(frames) == FRAMES
    assert all(0 < len(frame) <= BOUNDS.frame_bytes_max for frame in frames)


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - WITHOUT_FORM))
def test_what_has_form_is_read_and_judged(kind: str) -> None:
    assert _messages(kind)


@pytest.mark.parametrize("kind", ["huge-frames", "nested", "tiny", "formless-frames"])
def test_what_has_none_is_malformed(kind: str) -> None:
    assembler = Assembler(message_bytes_max=FRAMES * 1_000)

    def read_all() -> None:
        for frame in itertools.islice(KINDS[kind](_known()), FRAMES):
            for message in assembler.feed(frame):
                decode_message(message)

    with pytest.raises(Malformed):
        read_all()


def test_votes_and_batches_are_signed_by_the_flooder() -> None:
    votes = [each for each in _messages("future-votes") if isinstance(each, Vote)]
    assert len({each.view for each in votes}) > 64, "beyond what is kept, too"
    vote = votes[0]
    message = statement_message(b"c" * 32, vote.kind, vote.epoch, vote.view, vote.hash)
    assert verify(KEYS.vote.public, message, vote.signature)
    (first, *_) = _messages("unwanted-batches")
    assert isinstance(first, Batches)
    (batch,) = first.batches
    message = header_message(b"c" * 32, batch.header)
    assert verify(KEYS.lane.public, message, batch.signature)


def test_a_message_is_as_long_as_one_may_be() -> None:
    assert BOUNDS.message_bytes_max == MESSAGE_BYTES_MAX


def test_an_unknown_kind_is_named_with_those_there_are() -> None:
    run = CliRunner().invoke(app, ["faults", "--flood", "rain"])
    assert run.exit_code != 0
    assert all(kind in str(run.exception) for kind in EVERY)
