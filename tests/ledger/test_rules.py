"""Each rule by its code: what is refused, what just passes, and that refusals change nothing."""

import ast
import itertools
from pathlib import Path

import pytest
from msgspec.structs import replace

from ledger import rules
from ledger.encoding import encode
from ledger.errors import Refused
from ledger.files import read_subject
from ledger.genesis import FIRST_BOUNDS
from ledger.records import RECORD_TYPES, Rating, SubjectLink, SubjectRegister, encode_record
from ledger.rules import EARLIEST_MS, RULES, check_stateless, files_touched, read_record
from ledger.rules.engagement import CONSISTENT, DUE_MS_MAX
from ledger.signing import SigningKey
from ledger.store import subject_key
from tests.ledger.world import DAY, World, genesis_of, handle, key_of

SMALL_ORDER = bytes([1]) + bytes(31)


@pytest.fixture
def world() -> World:
    """w and c on platform 1, w2 and c2 on platform 2, each with a key; engagement "a" is open."""
    made = World()
    made.put(1, [made.register(name, key=True) for name in ("w", "c")])
    made.put(2, [made.register(name, 2, key=True) for name in ("w2", "c2")])
    made.block()
    assert made.rules(made.open("a")) == [""]
    return made


def key(name: str) -> SigningKey:
    return key_of("subject", name)


# --- every record ---


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        encode((99, 1, 2)),
        encode((10, 1)),
        b"\x96\x01\x01\x00" + encode(bytes(32)) + encode(b"") + encode("none") + b"\x00",
        encode({"a": 1}),
        b"\xff" * 40,
        b"\x96\x01\xcd\x00\x01\xcf\x00\x00\x01\x8b\xcf\xe5\x68\x00" + b"\xc4\x20" + bytes(32)
        + b"\xc4\x00" + b"\xa4none",
        b"\x91" * 4_000,
    ],
)  # fmt: skip
def test_malformed(world: World, data: bytes) -> None:
    assert world.rules(world.submit(data), world.register("n")) == ["malformed", ""]


def test_malformed_by_size(world: World) -> None:
    length = len(encode_record(world.register("n", key=True)))
    for bound, rule in ((length, ""), (length - 1, "malformed")):
        small = World(genesis_of(bounds=replace(FIRST_BOUNDS, record_bytes_max=bound)))
        assert small.rules(small.register("n", key=True)) == [rule]
    assert world.rules(world.submit(b"\x00" * 5_000)) == ["malformed"]


def test_dates(world: World) -> None:
    time = world.time + 10
    assert world.rules(
        world.register("early", at=EARLIEST_MS - 1),
        world.register("first", at=EARLIEST_MS),
        world.register("now", at=time),
        world.register("future", at=time + 1),
        time=time,
    ) == ["dated-too-early", "", "", "dated-after-batch"]


def test_foreign_platform(world: World) -> None:
    assert (
        world.rules(
            world.register("n"),
            world.open("x"),
            world.outcome("a"),
            world.rating("a"),
            lane=2,
        )
        == ["foreign-platform"] * 4
    )


def test_another_platforms_handle(world: World) -> None:
    assert world.rules(world.open("x", "w", "c", platform=2), lane=2) == ["unknown-subject"]
    assert world.rules(world.register("w", 2), lane=2) == [""], "the same handle, another subject"


def test_bound_on_files() -> None:
    world = World(genesis_of(bounds=replace(FIRST_BOUNDS, record_files_max=1)))
    assert world.rules(world.register("w"), world.register("c"), world.open("a")) == [
        "",
        "",
        "too-many-files",
    ]
    assert [files_touched(kind) for kind in RECORD_TYPES] == [1, 2, 2, 2, 2, *[0] * 10]


def test_platform_signed_records_carry_no_signature(world: World) -> None:
    signed = [
        world.submit(record, key("w"))
        for record in (world.register("n"), world.open("x"), world.outcome("a"), world.rating("a"))
    ]
    assert world.rules(*signed) == ["signature-count"] * 4


# --- subjects ---


def test_register(world: World) -> None:
    bad = replace(world.register("n"), key=SMALL_ORDER)
    short = replace(world.register("n"), key=b"\x01" * 31)
    assert world.rules(world.register("w"), bad, short, world.register("n")) == [
        "subject-exists",
        "bad-key",
        "bad-key",
        "",
    ]


def test_link(world: World) -> None:
    good = world.link((1, "w"), (2, "w2"))
    record = read_record(good.record, FIRST_BOUNDS)
    assert isinstance(record, SubjectLink)
    turned = SubjectLink(
        1, record.at,
        record.second_platform, record.second_handle, record.second_key,
        record.first_platform, record.first_handle, record.first_key,
    )  # fmt: skip
    itself = replace(turned, second_platform=2, second_handle=handle("w2"))
    cases = [
        (world.submit(turned, key("w2"), key("w")), "link-order"),
        (world.submit(itself, key("w2"), key("w")), "link-order"),
        (world.submit(record, key("w")), "signature-count"),
        (world.submit(record, key("w"), key("w2"), key("w")), "signature-count"),
        (world.submit(record, key("w2"), key("w")), "bad-signature"),
        (world.submit(record, key("w"), key("c")), "bad-signature"),
        (world.submit(replace(record, first_handle=handle("q")), key("w"), key("w2")),
         "unknown-subject"),
        (world.submit(replace(record, first_key=key("c").public), key("c"), key("w2")),
         "key-not-registered"),
        (world.submit(replace(record, second_key=key("c").public), key("w"), key("c")),
         "key-not-registered"),
        (good, ""),
        (world.link((1, "w"), (2, "w2")), "link-exists"),
    ]  # fmt: skip
    assert world.rules(*(each for each, _ in cases), lane=2) == [rule for _, rule in cases]


def test_link_needs_registered_keys(world: World) -> None:
    world.run(world.register("bare"))
    assert world.rules(world.link((1, "bare"), (2, "w2"))) == ["subject-has-no-key"]


def test_links_of_a_subject_stand_in_order_of_subject_keys(world: World) -> None:
    names = sorted((f"n{i}" for i in range(4)), key=handle, reverse=True)
    world.run(*(world.register(name, key=True) for name in names))
    assert world.rules(*(world.link((1, "w"), (1, name)) for name in names)) == [""] * 4
    row = read_subject(world.store, 1, handle("w"))
    assert row is not None
    assert row.links == tuple(subject_key(1, handle(name)) for name in reversed(names))


def test_links_form_a_forest_of_at_most_16_files(world: World) -> None:
    names = [f"n{i}" for i in range(17)]
    world.run(*(world.register(name, key=True) for name in names))
    chain = [world.link((1, a), (1, b)) for a, b in itertools.pairwise(names[:16])]
    assert world.rules(*chain) == [""] * 15
    assert world.rules(
        world.link((1, names[0]), (1, names[15])),
        world.link((1, names[16]), (2, "w2")),
        world.link((1, names[7]), (1, names[16])),
    ) == ["link-exists", "", "too-many-links"]


# --- engagements ---


def test_open(world: World) -> None:
    at = world.time
    assert world.rules(
        world.open("a"),
        world.open("n1", "w", "w"),
        world.open("n2", "nobody"),
        world.open("n3", client="nobody"),
        world.open("n4", domains=("writing", "software")),
        world.open("n5", domains=("writing", "writing")),
        world.open("n6", domains=("astrology",)),
        world.open("n7", due_from=at + 2, due_until=at + 1),
        world.open("n8", due_from=at - 2, due_until=at - 1),
        world.open("n9", due_until=at + DUE_MS_MAX + 1),
        world.open("n10", due_until=at + DUE_MS_MAX, domains=("software", "writing")),
    ) == [
        "engagement-exists",
        "same-party",
        "unknown-subject",
        "unknown-subject",
        "domains-unsorted",
        "domains-unsorted",
        "unknown-domain",
        "due-window",
        "due-window",
        "due-window",
        "",
    ]


def test_outcome(world: World) -> None:
    assert world.rules(
        world.outcome("never opened"),
        world.outcome("a", at=world.time - DAY),
        world.outcome("a"),
        world.outcome("a", status="late", lateness_band=1),
    ) == ["unknown-engagement", "dated-before-open", "", "outcome-exists"]


def test_outcomes_that_contradict_themselves(world: World) -> None:
    accepted: set[str] = set()
    for status, (faults, bands, acceptances) in CONSISTENT.items():
        for fault in ("none", "worker", "client", "shared"):
            for band in range(6):
                for acceptance in ("accepted", "partial", "rejected", "unknown"):
                    record = world.outcome(
                        "a", status=status, fault=fault, lateness_band=band, acceptance=acceptance
                    )
                    fits = fault in faults and band in bands and acceptance in acceptances
                    if fits:
                        check_stateless(world.chain, record, b"")
                        accepted.add(status)
                        continue
                    with pytest.raises(Refused) as refused:
                        check_stateless(world.chain, record, b"")
                    assert refused.value.rule == "outcome-inconsistent"
                    assert refused.value.field in {"fault", "lateness_band", "acceptance"}
    assert accepted == set(CONSISTENT)


@pytest.mark.parametrize(
    ("status", "change"),
    [
        ("completed", {"lateness_band": 1}),
        ("late", {"lateness_band": 0}),
        ("force-majeure", {"fault": "worker", "acceptance": "unknown"}),
        ("no-show", {"acceptance": "accepted"}),
        ("unresolved", {"fault": "client", "acceptance": "unknown"}),
    ],
)
def test_inconsistent_examples(world: World, status: str, change: dict[str, object]) -> None:
    assert world.rules(world.outcome("a", status=status, **change)) == ["outcome-inconsistent"]


# --- ratings ---


def test_rating(world: World) -> None:
    assert world.rules(
        world.rating("never opened"),
        world.rating("a", at=world.time - DAY),
        world.rating("a", "w"),
        world.rating("a", "c", direction="of-client"),
        world.rating("a", "stranger"),
        world.rating("a", scale="moons"),
        world.rating("a", value=0),
        world.rating("a", value=6),
        world.rating("a", dimensions=(("speed", 6),)),
        world.rating("a", dimensions=(("speed", 5), ("care", 4))),
        world.rating("a", dimensions=(("care", 5), ("care", 4))),
        world.rating("a", value=1, dimensions=(("care", 5), ("speed", 4))),
        world.rating("a", value=5),
        world.rating("a", "w", direction="of-client"),
        world.rating("a", "w", direction="of-client", value=1),
    ) == [
        "unknown-engagement",
        "dated-before-open",
        "not-a-party",
        "not-a-party",
        "not-a-party",
        "unknown-scale",
        "value-out-of-scale",
        "value-out-of-scale",
        "value-out-of-scale",
        "dimensions-unsorted",
        "dimensions-unsorted",
        "",
        "rating-exists",
        "",
        "rating-exists",
    ]


def test_rating_by_the_raters_own_key_comes_through_any_lane(world: World) -> None:
    world.run(world.register("bare"), world.open("b", "w", "bare"))
    by_key = world.rating("a", rater_key=key("c").public)
    assert world.rules(
        world.submit(by_key),
        world.submit(by_key, key("w")),
        world.submit(replace(by_key, rater_key=key("w").public), key("w")),
        world.submit(world.rating("b", "bare", rater_key=key("c").public), key("c")),
        world.submit(by_key, key("c")),
        lane=2,
    ) == ["signature-count", "bad-signature", "key-not-registered", "subject-has-no-key", ""]


def test_signature_is_bound_to_its_chain(world: World) -> None:
    other = World(genesis_of(platforms=3))
    by_key = world.rating("a", rater_key=key("c").public)
    assert world.rules(other.submit(by_key, key("c"))) == ["bad-signature"]


# --- as a whole ---


def test_refused_records_change_nothing(world: World) -> None:
    before = dict(world.store.scan(b"\x00", b"\xff"))
    world.run(
        world.outcome("nothing"),
        world.rating("a", "stranger"),
        world.register("w"),
        world.submit(b"junk"),
        world.link((1, "w"), (2, "nobody")),
    )
    after = dict(world.store.scan(b"\x00", b"\xff"))
    touched = {key[:1] for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert touched == set(map(bytes, zip(b"ABEHJLMSTXZ", strict=True)))


def test_every_code_is_documented_and_short() -> None:
    readme = (Path(rules.__file__).parent.parent / "README.md").read_text("utf-8")
    for code in RULES:
        assert len(code) <= 48
        assert f"`{code}`" in readme, code


def test_every_code_is_used_once_defined() -> None:
    folder = Path(rules.__file__).parent
    used = {
        node.id
        for path in folder.glob("*.py")
        if path.name != "codes.py"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Name)
    }
    defined = {
        name
        for name, value in vars(rules.codes).items()
        if isinstance(value, str) and value in RULES
    }
    assert len(defined) == len(RULES)
    assert defined <= used


def test_rating_is_what_its_bytes_say(world: World) -> None:
    record = world.rating("a")
    assert read_record(encode_record(record), FIRST_BOUNDS) == record
    assert isinstance(record, Rating)
    assert not isinstance(record, SubjectRegister)
