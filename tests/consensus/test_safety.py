"""Rules of signing, each by itself, over every set of own votes in a view."""

from itertools import chain, combinations

import pytest

from consensus import safety
from consensus.certificate import FINALIZE, NOTARIZE, NULLIFY
from consensus.messages import Vote
from consensus.state import Round

KINDS = (NOTARIZE, NULLIFY, FINALIZE)
SETS = list(chain.from_iterable(combinations(KINDS, size) for size in range(4)))


@pytest.mark.parametrize("signed", SETS, ids=str)
def test_what_may_still_be_signed(signed: tuple[int, ...]) -> None:
    own = {kind: Vote(kind, 1, 1, bytes(32), bytes(64), False) for kind in signed}
    round_ = Round(1, own=own)
    assert safety.may_notarize(round_) == (not {NOTARIZE, NULLIFY} & own.keys())
    assert safety.may_finalize(round_) == (not {FINALIZE, NULLIFY} & own.keys())
    assert safety.may_nullify(round_) == (not {NULLIFY, FINALIZE} & own.keys())
