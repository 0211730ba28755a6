"""Hypothesis strategies for every record and for what carries records."""

from typing import get_args

from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.batch import Batch, Header, Submission
from ledger.block import Block, Refusal, Seal, Tip
from ledger.bureau.model import FIRST_MODEL
from ledger.encoding import UINT_MAX
from ledger.membership import MEMBER_NUMBER_MAX, Proofs, Validator
from ledger.records.engagement import (
    Acceptance,
    Basis,
    EngagementOpen,
    EngagementOutcome,
    Fault,
    Format,
    Role,
    Status,
)
from ledger.records.erasure import Erasure, ErasureAck, Scope
from ledger.records.evidence import Evidence
from ledger.records.membership import (
    KeyRotate,
    MemberApprove,
    MemberLeave,
    MemberPropose,
    MemberReady,
    MemberRemove,
)
from ledger.records.model import ModelActivate
from ledger.records.rating import Direction, Rating
from ledger.records.subject import Assurance, SubjectLink, SubjectRegister
from ledger.statements import PART_BYTES_MAX, PART_BYTES_MIN

uints = st.integers(0, UINT_MAX) | st.integers(0, 300)
platforms = st.integers(1, 2**32 - 1) | st.integers(1, 4)
members = st.integers(1, MEMBER_NUMBER_MAX) | st.integers(1, 4)
hashes = st.binary(min_size=32, max_size=32)
signatures = st.binary(min_size=64, max_size=64)
small = st.integers(0, 255)
codes = st.from_regex(r"\A[a-z0-9]{1,8}([.-][a-z0-9]{1,8}){0,3}\Z")
keys = st.just(b"") | hashes


def one_of(literal: object) -> st.SearchStrategy[str]:
    return st.sampled_from(get_args(literal))


registers = st.builds(SubjectRegister, platforms, uints, hashes, keys, one_of(Assurance))
links = st.builds(
    SubjectLink, platforms, uints, platforms, hashes, hashes, platforms, hashes, hashes
)
opens = st.builds(
    EngagementOpen,
    platforms,
    uints,
    hashes,
    hashes,
    hashes,
    one_of(Format),
    st.lists(codes, min_size=1, max_size=4).map(tuple),
    one_of(Role),
    uints,
    uints,
    st.integers(0, 9),
)
outcomes = st.builds(
    EngagementOutcome,
    platforms,
    uints,
    hashes,
    one_of(Status),
    one_of(Fault),
    st.integers(0, 5),
    one_of(Acceptance),
    one_of(Basis),
)
ratings = st.builds(
    Rating,
    platforms,
    uints,
    hashes,
    one_of(Direction),
    hashes,
    keys,
    codes,
    small,
    st.lists(st.tuples(codes, small), max_size=8).map(tuple),
)
erasures = st.builds(Erasure, platforms, uints, hashes, hashes, one_of(Scope))
acks = st.builds(ErasureAck, platforms, uints, hashes)
validators = st.builds(
    Validator,
    members,
    st.from_regex(r"\A[a-z0-9]{1,8}(-[a-z0-9]{1,8}){0,2}\Z").filter(
        lambda code: not code.isdigit()
    ),
    *[hashes] * 5,
    st.binary(min_size=1, max_size=300),
)
proofs = st.builds(Proofs, *[signatures] * 5)
models = st.builds(
    lambda code, days: replace(FIRST_MODEL, id=code, half_life_days=days),
    codes,
    st.integers(1, 36_500),
)
parts = st.binary(min_size=PART_BYTES_MIN, max_size=PART_BYTES_MAX)
governance = (
    st.builds(MemberPropose, platforms, uints, validators, proofs)
    | st.builds(MemberApprove, platforms, uints, hashes)
    | st.builds(MemberReady, platforms, uints, hashes, uints, uints, hashes, hashes, hashes)
    | st.builds(MemberRemove, platforms, uints, platforms)
    | st.builds(MemberLeave, platforms, uints)
    | st.builds(KeyRotate, platforms, uints, hashes, validators, proofs)
    | st.builds(ModelActivate, platforms, uints, hashes, models)
    | st.builds(
        Evidence, platforms, uints, st.integers(1, 5), platforms, uints, uints, parts, parts
    )
)
records = registers | links | opens | outcomes | ratings | erasures | acks | governance

submissions = st.builds(
    Submission,
    st.binary(min_size=16, max_size=16),
    st.binary(max_size=300),
    st.binary(max_size=256),
)
headers = st.builds(
    Header,
    uints,
    platforms,
    st.integers(1, UINT_MAX),
    hashes,
    st.integers(0, 65_535),
    hashes,
    uints,
)
batches = st.builds(Batch, headers, signatures, st.lists(submissions, max_size=3).map(tuple))
tips = st.builds(Tip, platforms, uints, hashes)
blocks = st.builds(Block, uints, uints, uints, hashes, st.lists(tips, max_size=4).map(tuple), uints)
refusals = st.builds(Refusal, platforms, uints, uints, hashes, hashes)
seals = st.builds(
    Seal, uints, hashes, hashes, uints, hashes, hashes, hashes, st.none() | st.just(())
)
