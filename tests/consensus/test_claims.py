"""Claims: f + 1 peers vouch for residues, position by position; beside a slow reference."""

from hypothesis import given
from hypothesis import strategies as st

from consensus.claims import Claims, claim_of, contradicts
from ledger.batch import Header, Submission
from ledger.residue import Remains, Residue

NAME = b"\x07" * 32
OTHER = b"\x08" * 32


def residue(position: int, said: bytes = b"true") -> Residue:
    return Residue(bytes(32), 9, bytes(32), "", said + bytes([position]))


def remains(*items: bytes | None, height: int = 5, lane: int = 2) -> Remains:
    """By position: None for an opening, else what the residue says."""
    found = tuple(
        Submission(bytes(16), b"record", b"") if each is None else residue(at, each)
        for at, each in enumerate(items)
    )
    header = Header(1, lane, height, bytes(32), len(found), bytes(32), 1)
    return Remains(header, bytes(64), found)


def test_one_peer_alone_is_not_believed_where_two_are_needed() -> None:
    claims, told = Claims(100), remains(None, b"true")
    assert claims.are_vouched(1, told, NAME, 1)
    assert not claims.are_vouched(1, told, NAME, 2)
    claims.add(1, told, NAME)
    assert not claims.are_vouched(1, told, NAME, 2), "the same peer again"
    assert claims.are_vouched(2, told, NAME, 2)
    assert not claims.are_vouched(2, told, OTHER, 2), "of another batch"
    assert claims.against(told, NAME) == []


def test_a_liar_neither_poisons_nor_hides() -> None:
    claims = Claims(100)
    claims.add(1, remains(None, b"lie"), NAME)
    told = remains(None, b"true")
    assert not claims.are_vouched(2, told, NAME, 2)
    claims.add(2, told, NAME)
    assert claims.are_vouched(3, told, NAME, 2)
    assert claims.against(told, NAME) == [1]
    assert claims.peers(2, 5) == {1, 2}
    claims.forget(2, 5)
    assert claims.peers(2, 5) == set()
    assert claims.highest(2, 1) is None


def test_peers_that_have_erased_unequally_far_agree_on_what_both_erased() -> None:
    claims = Claims(100)
    claims.add(1, remains(b"true", b"true", None), NAME)
    assert not claims.are_vouched(2, remains(b"true", b"true", b"true"), NAME, 2)
    assert claims.are_vouched(2, remains(b"true", None, None), NAME, 2)
    assert claims.against(remains(b"true", None, None), NAME) == []


def test_the_lowest_batch_always_has_room() -> None:
    claims, long = Claims(4), (b"true",) * 3
    for height in (5, 6, 7):
        claims.add(1, remains(*long, height=height), NAME)
    assert [bool(claims.peers(2, height)) for height in (5, 6, 7)] == [True, False, False]
    claims.add(1, remains(*(b"true",) * 9, height=4), NAME)
    assert claims.peers(2, 4) == {1}, "whatever its size"
    assert claims.peers(2, 5) == set()
    claims.add(1, remains(*long, height=9, lane=3), NAME)
    claims.add(2, remains(*long, height=9), NAME)
    assert claims.peers(3, 9) == {1}, "of another lane"
    assert claims.highest(2, 2) == (9, NAME)
    assert claims.highest(2, 1) == (4, NAME)
    claims.add(1, remains(b"true", height=4), NAME)
    claims.add(1, remains(*long, height=6), NAME)
    assert claims.peers(2, 6) == {1}, "the newest word counts, and its size"


items = st.sampled_from([None, b"true", b"lie", b"another"])
words = st.lists(
    st.tuples(st.integers(1, 5), st.lists(items, min_size=3, max_size=3)), min_size=1, max_size=8
)


@given(words, st.integers(1, 3))
def test_counts_as_a_slow_reference_does(
    given_words: list[tuple[int, list[bytes | None]]], needed: int
) -> None:
    claims = Claims(100)
    newest: dict[int, list[bytes | None]] = {}
    for peer, word in given_words:
        told = remains(*word)
        newest[peer] = word
        expected = all(
            said is None or sum(each[at] == said for each in newest.values()) >= needed
            for at, said in enumerate(word)
        )
        assert claims.are_vouched(peer, told, NAME, needed) == expected
        against = [
            number
            for number, each in sorted(newest.items())
            if any(
                a is not None and b is not None and a != b for a, b in zip(word, each, strict=True)
            )
        ]
        claims.add(peer, told, NAME)
        assert claims.against(told, NAME) == against
        assert not contradicts(claim_of(told), claim_of(told))
