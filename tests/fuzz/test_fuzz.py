"""Every target of the table, against its contract: changed seeds, and any bytes at all.

The same cases on every machine; `STANDING_FUZZ_CASES` multiplies them, and `scripts/fuzz` goes on
for as long as it is told to, with coverage to lead it where atheris is installed.
"""

import ast
import os
import random
import re
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consensus import messages
from ledger import rows
from ledger.records import RECORD_TYPES, decode_record
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


def test_every_message_record_and_row_has_a_seed() -> None:
    kinds = {type(messages.decode_message(seed)) for seed in targets()["message"].seeds}
    assert kinds == set(get_args(messages.Message))
    assert {type(decode_record(seed)) for seed in targets()["record"].seeds} == set(RECORD_TYPES)
    named = {name.removesuffix("Row") for name in vars(rows) if name.endswith("Row")}
    sown = {name.removeprefix("row-").capitalize() for name in targets() if "row-" in name}
    assert named - sown == {"Live", "Head", "Validators", "Cosignature"}, "a base, two of our own"


READERS = re.compile(r"(?:decode|parse|verify|open|check|judge)_[a-z_]+|follow|advance|judge")
NOT_OUTSIDE = {
    "ledger/bureau": "within verify_bundle and parameters",
    "ledger/rules": "within check_stateless; what a state is needed for is tested with states",
    "ledger/selfcheck.py": "of our own store",
    "node/evaluation": "a command's own file, and figures of our own",
    "node/audit": "made of the decoders of the ledger",
    "node/cli": "a command's own file",
    "node/opening.py": "of our own store",
    "node/storage": "of our own store, sealed",
    "consensus/proposals.py": "of decoded messages: tests/consensus",
    "consensus/simplex.py": "of decoded messages: tests/consensus",
    "node/web/guard.py": "of a header: tests/node/web",
}
WITHIN = {
    "check_nfc": "decode",
    "check_in_force": "within check_stateless and with states: tests/ledger/test_activating.py",
    "check_addresses": "of the node's own configuration: tests/node/test_links.py",
    "decode_with": "decode",
    "check_possession": "check_genesis",
    "check_distinct": "check_genesis",
    "check_heads": "check_taken; by itself: tests/ledger/test_heads.py",
    "check_origin": "policy, checkpoint",
    "check_key_name": "vkey",
    "open_note": "verify_checkpoint, check_signed",
    "advance": "follow",
    "parse_checkpoint": "parse_request",
    "parse_iso": "parse_time",
    "parse_toml": "parse_mapping, parse_config",
    "parse_hash": "parse_subject",
}


def test_every_reader_of_outside_bytes_stands_in_the_table() -> None:
    """A new decoder, parser or verifier needs a target, or a reason above."""
    table = "".join(path.read_text() for path in Path(__file__).parent.glob("*.py"))
    root, missing = Path(__file__).resolve().parents[2], []
    for package in ("ledger", "consensus", "node"):
        for path in sorted((root / package).rglob("*.py")):
            place = str(path.relative_to(root))
            if any(place.startswith(prefix) for prefix in NOT_OUTSIDE):
                continue
            for node in ast.parse(path.read_text()).body:
                name = getattr(node, "name", "") if isinstance(node, ast.FunctionDef) else ""
                if READERS.fullmatch(name) and name not in WITHIN:
                    missing += [] if re.search(rf"\b{name}\b(?!\": )", table) else [name]
    assert not missing


def test_every_kind_of_change_changes() -> None:
    plain = b"old 12\nAAE=\n\n\x93\xcc\x80\xc4\x02ab\n" + bytes(range(96))
    rng = random.Random(1)
    for kind in KINDS:
        seed = b"\x93\x01\xa1a\x92\xc4\x01x\xc0" if kind == "tree" else plain
        made = {changed(seed, [(kind, rng.getrandbits(20), n, b"x")], b"donor") for n in range(40)}
        assert made - {seed}, kind
        assert isinstance(changed(b"", [(kind, 3, 4, b"")]), bytes)
