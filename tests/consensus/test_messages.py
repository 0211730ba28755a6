"""Messages: one form each, bounded, and never an exception but ours."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import messages
from consensus.certificate import Certificate, Signed
from consensus.messages import MESSAGE_BYTES_MAX, Message, decode_message, encode_message
from ledger.batch import Batch, Header, Submission
from ledger.block import Block, Tip
from ledger.encoding import encode
from ledger.errors import Malformed
from ledger.residue import Remains, RemainsForm, Residue, form_of
from ledger.rows import CheckpointRow, CosignatureRow
from ledger.snapshot import CHUNKS_MAX, Chunk, Manifest

uints = st.integers(0, 2**53 - 1)
numbers = st.integers(1, 2**32 - 1)
hashes = st.binary(min_size=32, max_size=32)
signatures = st.binary(min_size=64, max_size=64)
tips = st.builds(Tip, numbers, uints, hashes)
some_tips = st.lists(tips, max_size=4).map(tuple)
blocks = st.builds(Block, uints, uints, uints, hashes, some_tips, uints)
signed = st.lists(st.builds(Signed, numbers, signatures), max_size=4).map(tuple)
certificates = st.builds(Certificate, st.integers(1, 3), uints, uints, hashes, signed)
cosigned = st.builds(CosignatureRow, numbers, uints, signatures)
rows = st.builds(CheckpointRow, uints, uints, hashes, st.lists(cosigned, max_size=4).map(tuple))
submissions = st.builds(
    Submission, st.binary(min_size=16, max_size=16), st.binary(max_size=40), st.binary(max_size=64)
)
headers = st.builds(
    Header, uints, numbers, st.integers(1, 2**53 - 1), hashes, st.integers(0, 65_535), hashes, uints
)
batches = st.builds(Batch, headers, signatures, st.lists(submissions, max_size=3).map(tuple))
residues = st.builds(
    Residue, hashes, uints, hashes, st.text("abc-", max_size=48), st.binary(max_size=40)
)
some_remains = st.builds(
    Remains,
    headers,
    signatures,
    st.tuples(residues, st.lists(st.one_of(submissions, residues), max_size=4)).flatmap(
        lambda drawn: st.permutations([drawn[0], *drawn[1]]).map(tuple)
    ),
)
some_forms = st.tuples(some_remains, st.lists(st.one_of(batches, some_remains), max_size=2)).map(
    lambda drawn: tuple(form_of(each) for each in (drawn[0], *drawn[1]))
)
chunks = st.builds(Chunk, st.binary(min_size=1, max_size=80), uints, st.integers(1, 2**32), hashes)
manifests = st.builds(
    Manifest, hashes, uints, uints, hashes, st.lists(chunks, min_size=1, max_size=4).map(tuple)
)
every_message: st.SearchStrategy[Message] = st.one_of(
    st.builds(messages.Proposal, blocks, signatures, st.booleans()),
    st.builds(messages.Vote, st.integers(1, 3), uints, uints, hashes, signatures, st.booleans()),
    st.builds(messages.CertificateMessage, certificates, st.none() | blocks),
    st.builds(messages.Cosignature, uints, uints, hashes, uints, signatures, st.booleans()),
    st.builds(messages.CheckpointMessage, rows),
    st.builds(messages.Hint, some_tips, st.booleans()),
    st.builds(messages.Batches, st.lists(batches, max_size=2).map(tuple)),
    st.builds(messages.FetchBatches, numbers, uints, tips),
    st.builds(messages.FetchViews, uints, uints, uints),
    st.builds(messages.FetchBlocks, uints),
    st.builds(
        messages.Blocks,
        st.lists(blocks, min_size=1, max_size=3).map(tuple),
        st.none() | blocks,
        certificates,
        st.none() | rows,
    ),
    st.builds(messages.Status, uints, uints, uints, uints, some_tips),
    st.builds(messages.RemainsMessage, some_forms),
    st.builds(messages.FetchEnds),
    st.builds(
        messages.Ends,
        st.lists(st.builds(messages.End, uints, st.none() | hashes), max_size=2).map(tuple),
    ),
    st.builds(messages.FetchManifest, uints),
    st.builds(messages.ManifestMessage, manifests),
    st.builds(messages.FetchChunk, uints, st.integers(0, CHUNKS_MAX - 1)),
    st.builds(messages.ChunkMessage, uints, st.integers(0, CHUNKS_MAX - 1), st.binary(max_size=60)),
)


@given(every_message)
def test_round_trip(message: Message) -> None:
    data = encode_message(message)
    assert decode_message(data) == message


@given(every_message, st.data())
@settings(max_examples=200)
def test_a_changed_byte_is_another_message_or_refused(
    message: Message, data: st.DataObject
) -> None:
    raw = bytearray(encode_message(message))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        read = decode_message(bytes(raw))
    except Malformed:
        return
    assert read != message
    assert encode_message(read) == bytes(raw), "one form only"


@given(st.binary(max_size=200))
def test_noise_is_malformed(data: bytes) -> None:
    try:
        message = decode_message(data)
    except Malformed:
        return
    assert encode_message(message) == data


@pytest.mark.parametrize(
    "data",
    [b"", b"\x93", b"\x91" * 100_000, b"\xc0", b"\x92\x63\x01", b"\x80", b"\x92\x0a\x01\x00"],
)
def test_broken_and_nested_messages(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode_message(data)


def test_oversize_is_refused_unread() -> None:
    with pytest.raises(Malformed, match="at most"):
        decode_message(bytes(MESSAGE_BYTES_MAX + 1))


@given(st.one_of(batches, some_remains))
def test_what_remains_of_a_batch_comes_out_of_its_form(batch: Batch | Remains) -> None:
    opened = form_of(batch).opened()
    assert opened == batch
    assert type(opened) is type(batch)
    assert opened.payload_root == batch.payload_root


OPENING = Submission(bytes(16), b"record", b"")
LEFT = Residue(bytes(32), 7, bytes(32), "", b"stand-in")
HEADER = Header(1, 1, 1, bytes(32), 2, bytes(32), 1)


@pytest.mark.parametrize(
    "places",
    [
        (1, 0),  # not ascending
        (0, 0),  # twice
        (0, 3),  # beyond the batch
        (65_535, 65_536),
    ],
)
def test_residues_stand_at_ascending_places_of_their_batch(places: tuple[int, ...]) -> None:
    left = tuple((at, LEFT) for at in places)
    with pytest.raises(ValueError, match="ascending"):
        RemainsForm(HEADER, bytes(64), (OPENING,), left)
    form = [HEADER, bytes(64), [OPENING], [list(each) for each in left]]
    with pytest.raises(Malformed):
        decode_message(encode([13, [form]]))


def test_whole_batches_do_not_travel_as_remains() -> None:
    whole = [HEADER, bytes(64), [OPENING, OPENING], []]
    erased = [HEADER, bytes(64), [OPENING], [[1, LEFT]]]
    for forms in ([], [whole], [whole, whole]):
        with pytest.raises(Malformed):
            decode_message(encode([13, forms]))
    read = decode_message(encode([13, [whole, erased]]))
    assert isinstance(read, messages.RemainsMessage)
    opened = [form.opened() for form in read.batches]
    assert [type(each) for each in opened] == [Batch, Remains]
