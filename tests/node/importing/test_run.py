"""The whole import: row arithmetic, order, idempotence, resumption, rejects."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import Misconfigured
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.rating import Rating
from ledger.records.subject import SubjectRegister
from node.importing import run as run_module
from node.importing.dry_run import DryRun
from node.importing.mapping import parse_mapping
from node.importing.rejects import Rejects
from node.importing.run import Import, load_lookups
from node.importing.state import State, Tally, identity_of, load_state
from tests.ledger.world import key_of
from tests.node.importing.conftest import MAPPING
from tests.node.importing.fake_node import Broken, FakeNode

HEADER = "job,who,stars,day\n"
GOOD = "1,ann,5,2024-01-01\n2,bob,1,2024-01-02\n3,ann,4,2024-01-03\n"


def import_(file: Path, target, *, limit=None, text: str = MAPPING, keep_state=False) -> Tally:
    mapping = parse_mapping(text.encode())
    state_path = file.with_suffix(".state")
    state = load_state(state_path, identity_of(file, mapping.digest, "here"))
    with Rejects(file.with_suffix(".rejects"), keep_bytes=state.rejects_bytes) as rejects:
        work = Import(
            file,
            mapping,
            load_lookups(mapping, file.parent),
            target,
            rejects=rejects,
            state=state,
            state_path=state_path,
            limit=limit,
        )
        return asyncio.run(work.run())


def rejected(file: Path) -> list[dict]:
    path = file.with_suffix(".rejects")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_records_stand_in_the_order_that_the_rules_need(write) -> None:
    node = FakeNode()
    tally = import_(write(HEADER + GOOD), node)
    assert tally == Tally(rows=3, applied=3, rejected=0, duplicates=0, records=12)
    kinds = [type(record) for record in node.records]
    row = [EngagementOpen, EngagementOutcome, Rating]
    assert kinds == [SubjectRegister, SubjectRegister, *row, SubjectRegister, *row, *row]
    handles = {record.handle for record in node.records if isinstance(record, SubjectRegister)}
    for record in node.records:
        assert record.platform == 3
        if isinstance(record, EngagementOpen):
            assert {record.worker, record.client} <= handles
        if isinstance(record, Rating):
            assert record.rater in handles
            assert record.dimensions == (("quality", record.value),)


def test_a_subject_is_registered_with_the_key_of_its_row(write) -> None:
    key = key_of("subject", "ann").public
    text = MAPPING.replace('"stars", "day"]', '"stars", "day", "key"]')
    text = text.replace('assurance = "contact"', 'assurance = "contact"\nkey = "{key}"')
    rows = [
        f"1,ann,5,2024-01-01,{key.hex()}",
        "2,bob,5,2024-01-02,",
        f"3,cy,5,2024-01-03,{key.hex()[1:]}",
        f"4,dan,5,2024-01-04,{'ff' * 32}",
    ]
    file = write("job,who,stars,day,key\n" + "\n".join(rows) + "\n")
    node = FakeNode()
    assert import_(file, node, text=text).records == 5 + 4 + 4
    registered = [each for each in node.records if isinstance(each, SubjectRegister)]
    assert [each.key for each in registered] == [key, b"", b"", bytes.fromhex("ff" * 32)]
    [no_key] = rejected(file)
    assert "is no public key: 64 hex digits" in no_key["reason"]
    file.with_suffix(".state").unlink(missing_ok=True)
    assert import_(file, DryRun(), text=text).rejected == 2
    assert "bad-key" in rejected(file)[-1]["reason"], "judged as a node judges"


def test_the_same_file_again_gives_only_duplicates(write) -> None:
    node = FakeNode()
    file = write(HEADER + GOOD)
    import_(file, node)
    assert import_(file, node) == Tally(rows=3, duplicates=3)
    assert not rejected(file)


def test_a_grown_file_applies_only_what_is_new(write) -> None:
    node = FakeNode()
    import_(write(HEADER + GOOD), node)
    tally = import_(write(HEADER + GOOD + "4,cy,5,2024-01-04\n"), node)
    assert tally == Tally(rows=4, applied=1, duplicates=3, records=4)


def test_a_row_without_a_rating_has_no_rating(write) -> None:
    node = FakeNode()
    assert import_(write(HEADER + "1,ann,,2024-01-01\n"), node).records == 4
    assert not any(isinstance(record, Rating) for record in node.records)


def test_rejects_name_line_reason_and_original(write) -> None:
    file = write(
        HEADER.encode()
        + b"1,ann,5,2024-01-01\n"
        + b"2,ann,5\n"
        + b"3,ann,999,2024-01-01\n"
        + b"4,ann,5,soon\n"
        + b"5,\xff,5,2024-01-01\n"
        + b"1,bob,5,2024-01-01\n"
    )
    tally = import_(file, FakeNode())
    assert tally == Tally(rows=6, applied=1, rejected=5, records=6)  # bob is registered
    found = rejected(file)
    assert [each["line"] for each in found] == [3, 4, 5, 6, 7]
    assert found[0]["row"] == "2,ann,5"
    assert found[1]["reason"].startswith("rating: ")
    assert "no ISO 8601 time" in found[2]["reason"]
    assert found[3]["row_base64"]
    assert found[4]["reason"].startswith("engagement.open: other bytes")


def test_a_subject_first_named_by_a_rejected_row_is_registered_by_the_next(write) -> None:
    node = FakeNode()
    tally = import_(write(HEADER + "1,ann,999,2024-01-01\n2,ann,5,2024-01-02\n"), node)
    assert (tally.applied, tally.rejected) == (1, 1)
    assert sum(isinstance(record, SubjectRegister) for record in node.records) == 2


def test_refusals_at_intake_and_at_execution_reject_the_row(write) -> None:
    node = FakeNode(
        refuse_early=lambda record: isinstance(record, Rating) and record.value == 1,
        refuse_late=lambda record: isinstance(record, Rating) and record.value == 4,
    )
    file = write(HEADER + GOOD)
    tally = import_(file, node)
    assert tally == Tally(rows=3, applied=1, rejected=2, records=10)
    assert [each["reason"] for each in rejected(file)] == [
        "rating: early-rule: refused early (3 of the row's records stand)",
        "rating: late-rule: refused late (2 of the row's records stand)",
    ]


def test_the_limit_stops_after_so_many_rows(write) -> None:
    assert import_(write(HEADER + GOOD), FakeNode(), limit=2).rows == 2


@pytest.mark.parametrize("break_after", [0, 1, 7, 40, 41, 99, 150])
def test_an_interrupted_import_goes_on_and_counts_every_row_once(
    write, monkeypatch, break_after: int
) -> None:
    monkeypatch.setattr(run_module, "BATCH_ROWS", 5)
    lines = [f"{n},w{n % 7},{'oops' if n % 11 == 3 else 5},2024-01-01\n" for n in range(60)]
    file = write(HEADER + "".join(lines))
    node = FakeNode(break_after=break_after)
    with pytest.raises(Broken):
        import_(file, node)
    node.break_after = None
    resumed = import_(file, node)
    assert resumed.rows == 60 == resumed.applied + resumed.rejected + resumed.duplicates
    assert resumed.rejected == len(rejected(file)) == 6
    assert [each["line"] for each in rejected(file)] == [n + 2 for n in range(60) if n % 11 == 3]
    assert not file.with_suffix(".state").exists()
    whole = FakeNode()
    import_(file, whole)
    strip = sorted(type(record).__name__ for record in whole.records)
    assert sorted(type(record).__name__ for record in node.records) == strip
    assert import_(file, node) == Tally(rows=60, rejected=6, duplicates=54)


def test_a_state_of_another_file_does_not_count(write, tmp_path) -> None:
    file = write(HEADER + GOOD)
    identity = identity_of(file, b"m", "here")
    (tmp_path / "s").write_bytes(b"not a state")
    assert load_state(tmp_path / "s", identity) == State(identity, Tally(), 0)
    (tmp_path / "s").write_text(
        json.dumps({"identity": "x", "tally": {"rows": 5}, "rejects_bytes": 9})
    )
    assert load_state(tmp_path / "s", identity).tally.rows == 0


LOOKUP = """
[lookups.truth]
file = "truth.csv"
key = "item"
value = "truth"
"""


def test_lookups_find_and_equal_knows_three_answers(write) -> None:
    text = MAPPING.replace(
        'good = { of = "{stars}", table = { "5" = "yes", "4" = "yes", "1" = "no" }, '
        'otherwise = "unclear" }',
        'good = { of = { equal = ["{stars}", { lookup = "truth", key = "{job}" }] }, '
        'table = { yes = "yes", no = "no", unknown = "unclear" } }',
    )
    assert text != MAPPING
    write("item,truth\n1,5\n2,5\n", "truth.csv")
    node = FakeNode()
    assert import_(write(HEADER + GOOD), node, text=text + LOOKUP).applied == 3
    outcomes = [each for each in node.records if isinstance(each, EngagementOutcome)]
    assert [each.acceptance for each in outcomes] == ["accepted", "rejected", "unknown"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        ("item,truht\n", "did you mean 'truht'"),
        ("item,truth\n1\n", "line 2"),
        ("item,truth\n1,5\n1,6\n", "two values"),
    ],
)
def test_lookups_that_do_not_fit(write, content: str | None, says: str) -> None:
    if content is not None:
        write(content, "truth.csv")
    file = write(HEADER + GOOD)
    with pytest.raises(Misconfigured, match=says):
        import_(file, FakeNode(), text=MAPPING + LOOKUP)


good_rows = st.tuples(
    st.integers(1, 12), st.sampled_from("abc"), st.sampled_from(["5", "1", "", "3"])
).map(lambda each: f"{each[0]},{each[1]},{each[2]},2024-01-0{1 + each[0] % 9}".encode())
bad_rows = st.sampled_from(
    [b"1,2", b"x,y,5,never", b'1,"a,5,2024-01-01', b"\xff,b,5,2024-01-01", b"9,c,77,2024-01-01"]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(good_rows, bad_rows), max_size=40), st.booleans())
def test_the_arithmetic_holds_for_any_rows(
    tmp_path_factory, lines: Sequence[bytes], dry: bool
) -> None:
    file: Path = tmp_path_factory.mktemp("rows") / "jobs.csv"
    file.write_bytes(HEADER.encode() + b"\n".join(lines) + b"\n")
    target = DryRun() if dry else FakeNode(refuse_late=lambda record: record.at % 7 == 0)
    tally = import_(file, target)
    assert tally.rows == len(lines)
    assert tally.rows == tally.applied + tally.rejected + tally.duplicates
    assert tally.rejected == len(rejected(file))
    again = import_(file, target)
    assert again.applied == 0
    assert again.records == 0
    assert again.rows == again.rejected + again.duplicates == len(lines)
