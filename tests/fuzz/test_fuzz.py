"""Every target of the table, against its contract: changed seeds, and any bytes at all.

The same cases on every machine; `STANDING_FUZZ_CASES` multiplies them, and `scripts/fuzz` goes on
for as long as it is told to, with coverage to lead it where atheris is installed.
"""

import os
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutate import KINDS, changed, random_input
from tests.fuzz.target import Target, attempt
from tests.fuzz.targets import targets

TIMES = int(os.environ.get("STANDING_FUZZ_CASES", "1"))

changes = st.lists(
    st.tuples(
        st.sampled_from(sorted(KINDS)),
        st.integers(0, 2**24),
        st.integers(0, 2**12),
        st.binary(max_size=8),
    ),
    min_size=1,
    max_size=4,
)


@pytest.fixture(params=sorted(targets()))
def target(request: pytest.FixtureRequest) -> Target:
    """Each target in turn."""
    return targets()[request.param]


def test_the_seeds_are_accepted(target: Target) -> None:
    assert target.seeds
    assert all(attempt(target, seed) for seed in target.seeds)


def test_changed_seeds_keep_the_contract(target: Target) -> None:
    rng = random.Random(target.name)
    accepted = sum(
        attempt(target, random_input(rng, target.seeds)) for _ in range(target.cases * TIMES)
    )
    assert accepted < target.cases * TIMES or target.never_refuses, "nothing was refused"


@settings(max_examples=25 * TIMES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_contract_with_shrinking(target: Target, data: st.DataObject) -> None:
    """Fewer cases than above, but a failing one is shown in its smallest form."""
    seeds = st.sampled_from(target.seeds)
    attempt(target, changed(data.draw(seeds), data.draw(changes), data.draw(seeds)))
    attempt(target, data.draw(st.binary(max_size=64)))


def test_every_kind_of_change_changes() -> None:
    seed = b"old 12\nAAE=\n\n\x93\xcc\x80\xc4\x02ab\n" + bytes(range(96))
    rng = random.Random(1)
    for kind in KINDS:
        made = {changed(seed, [(kind, rng.getrandbits(20), n, b"x")], b"donor") for n in range(40)}
        assert made - {seed}, kind
        assert isinstance(changed(b"", [(kind, 3, 4, b"")]), bytes)
