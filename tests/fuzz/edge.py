"""Targets: what comes over the node's links and its HTTP edge, and the files that people import."""

import json
from collections.abc import Sequence
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, get_args

import msgspec

from consensus import messages
from consensus.certificate import Certificate, Seats, Signed, check_certificate, statement_message
from consensus.evidence import Evidence
from ledger.batch import Submission
from ledger.encoding import decode, encode
from ledger.errors import InvalidInput, Malformed, Misconfigured
from ledger.genesis import FIRST_BOUNDS, Genesis
from ledger.records import decode_record
from ledger.rows import CheckpointRow, CosignatureRow
from ledger.rules import check_stateless, read_record
from ledger.signing import SigningKey, verify
from node.api import json_records, json_text, parameters, streams
from node.api.auth import find_token
from node.api.problems import NotFound, problem_of
from node.api.session import Sessions
from node.api.signatures import Received, check_request, parse_input, sign_request
from node.api.subjects import parse_subject
from node.config import Token, parse_address, parse_config
from node.importing.mapping import parse_mapping
from node.importing.rows import BadRow, Row, Source, read_rows
from node.importing.times import BadTime, parse_time
from node.links import wire
from node.network import parse_genesis
from tests.fuzz import ground
from tests.fuzz.forms import frozen
from tests.fuzz.outside import text
from tests.fuzz.sample import sample
from tests.fuzz.target import Target
from tests.ledger.world import genesis_of, key_of
from tests.node.test_config import GOOD as CONFIG

ROOT = Path(__file__).resolve().parents[2]
JSON_MAX = 64 * 1_024
NOW = 1_800_000_000
KEY = SigningKey.from_seed(b"k" * 32)


# --- links ---


def _messages() -> list[messages.Message]:
    block, made = ground.world().next_block()[0], ground.batches()
    tips = tuple(tip for _, tip in sorted(ground.world().state.cut.items()))
    signed = tuple(Signed(number, bytes(64)) for number in (1, 2, 3))
    certificate = Certificate(3, 1, 2, bytes(32), signed)
    row = CheckpointRow(1, 2, bytes(32), (CosignatureRow(1, 5, bytes(64)),))
    made_by_hand: list[messages.Message] = [
        messages.Proposal(block, bytes(64), False),
        messages.Vote(1, 1, 2, bytes(32), bytes(64), True),
        messages.CertificateMessage(certificate, None),
        messages.Cosignature(1, 2, bytes(32), 5, bytes(64), False),
        messages.CheckpointMessage(row),
        messages.Hint(tips, False),
        messages.Batches(made[:2]),
        messages.FetchBatches(1, 2, tips[0]),
        messages.FetchViews(1, 2, 3),
        messages.FetchBlocks(300),
        messages.Blocks((block,), None, certificate, row),
        messages.Status(1, 2, 3, 4, tips),
        messages.RemainsMessage((ground.remains(),)),
    ]
    others = set(get_args(messages.Message)) - {type(each) for each in made_by_hand}
    return made_by_hand + [sample(kind) for kind in sorted(others, key=str)]


def _certificates() -> list[bytes]:
    chain, found = ground.world().chain, []
    for kind, name in ((1, bytes([7]) * 32), (2, bytes(32)), (3, bytes([7]) * 32)):
        message = statement_message(chain, kind, 1, 2, name)
        signed = tuple(Signed(n, key_of(n, "vote").sign(message)) for n in (1, 2, 4))
        found.append(encode(Certificate(kind, 1, 2, name, signed)))
    return found


def _certificate(data: bytes) -> None:
    found = decode(Certificate, data, bytes_max=65_535, what="certificate")
    seats = Seats.of(ground.world().state.validators)
    check_certificate(ground.world().chain, seats, verify, found)
    assert data in _certificates()


def _frames(data: bytes) -> None:
    """Frames one behind the other, as u16be length ‖ frame: what a link reads after its hello."""
    box, given, told = wire.Assembler(message_bytes_max=4_096), 0, 0
    while len(data) > 2:
        length = int.from_bytes(data[:2])
        frame, data = data[2 : 2 + length], data[2 + length :]
        given += len(frame)
        for message in box.feed(frame):
            told += len(message)
    assert told <= given


def _framed() -> list[bytes]:
    out = wire.Outbox(frame_bytes_max=64, queue_bytes_max=10_000)
    for size in (0, 5, 30, 200, 1):
        out.put(bytes(size), bulk=size > 20)
    frames = []
    while (frame := out.next_frame()) is not None:
        frames.append(len(frame).to_bytes(2) + frame)
    return [b"".join(frames), b"".join(frames[:1])]


# --- HTTP ---


def _json(data: bytes) -> Any:
    found = json_text.parse_json(data, bytes_max=JSON_MAX)
    json_text.refuse_duplicates(found)
    assert json_text.parse_json(json.dumps(found), bytes_max=4 * JSON_MAX) == found
    return found


def _records() -> list[bytes]:
    records = [json_records.record_to_json(each) for each in frozen("record")]
    signed = [{**records[0], "signatures": ["00" * 64]}]
    return [json.dumps(each).encode() for each in (*records, *signed)]


def _record(data: bytes) -> None:
    """What is taken in is a canonical record, and its own JSON form reads back to it."""
    try:
        record, signatures = json_records.record_from_json(data)
    except InvalidInput as error:
        msgspec.json.encode(problem_of(error))
        raise
    decode_record(record)
    again = json.dumps(json_records.record_to_json(record, signatures)).encode()
    assert json_records.record_from_json(again) == (record, signatures)


def _genesis(data: bytes) -> None:
    found = parse_genesis(data)
    assert decode(Genesis, encode(found), bytes_max=len(data)) == found


class _Content:
    """A request's body in pieces, as aiohttp hands it on."""

    def __init__(self, data: bytes) -> None:
        self.total_bytes = len(data)
        self._pieces = [data[at : at + 50] for at in range(0, len(data), 50)]

    async def iter_any(self) -> Any:
        for piece in self._pieces:
            yield piece


def _run(steps: Any) -> list[Any]:
    async def all_of() -> list[Any]:
        return [each async for each in steps]

    coroutine = all_of()
    try:
        coroutine.send(None)
    except StopIteration as done:
        return list(done.value)
    raise AssertionError("nothing here waits")


def _arrays(data: bytes) -> None:
    for array in _run(streams.arrays(_Content(data))):  # type: ignore[arg-type]
        for pair in array:
            try:
                streams._offer_of_pair(pair)
            except InvalidInput:
                continue


def _ndjson(data: bytes) -> None:
    numbers = []
    for piece in _run(streams.numbered_lines(_Content(data))):  # type: ignore[arg-type]
        for number, line in piece:
            numbers.append(number)
            try:
                streams._offer_of_line(line)
            except InvalidInput as error:
                msgspec.json.encode(problem_of(error))
    assert numbers == sorted(set(numbers))


def _signature_input(data: bytes) -> bytes:
    found = parse_input(text(data))
    return f"{found.label}={found.params}".encode("utf-8", "surrogateescape")


REQUEST = Received("POST", "node.example:8440", "/v1/records", "?wait=final", {}, b'{"a":1}')
PARTS = ("content-digest", "signature-input", "signature")


def _signed_requests() -> list[bytes]:
    made = {name.lower(): value for name, value in sign_request(KEY, "ci", REQUEST, NOW).items()}
    head = "\n".join(made[name] for name in PARTS)
    return [f"{head}\n/v1/records\n?wait=final\n".encode() + REQUEST.body]


def _signed_request(data: bytes) -> None:
    """Three headers, path, query and body, a line each."""
    lines = text(data).split("\n", 5)
    if len(lines) < 6:
        raise Malformed("is no request of this form")
    headers = dict(zip(PARTS, lines, strict=False))
    body = lines[5].encode("utf-8", "surrogateescape")
    request = Received("POST", "node.example:8440", lines[3], lines[4], headers, body)
    check_request(request, {"ci": KEY.public}.get, NOW)
    assert lines[3:5] == ["/v1/records", "?wait=final"]
    assert body == REQUEST.body


# --- imports ---


class _File:
    """A path, as far as a reader of rows asks it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def open(self, mode: str) -> BytesIO:
        assert mode == "rb"
        return BytesIO(self._data)


def _rows(form: Any, columns: Sequence[str], *, header: bool) -> Any:
    def check(data: bytes) -> None:
        file: Any = _File(data)
        found = list(read_rows(file, Source(form, tuple(columns), header)))
        assert [each.index for each in found] == list(range(len(found)))
        assert [each.end for each in found] == sorted(each.end for each in found)
        for each in found:
            match each:
                case Row():
                    assert each.raw
                    assert set(each.cells) <= {*columns} if form == "jsonl" else each.cells
                    "".join(each.cells.values()).encode()
                case BadRow():
                    assert each.reason
                    each.reason.encode()

    return check


CSV = b'job,who,stars\n1,"a ""b""\nc",5\r\n2,\xc3\xa9,4\n\n3,d,1\n'
JSONL = b'{"job": 1, "who": "a\\u00e9", "stars": 5.0}\n{"job": "2", "who": null, "stars": true}\n'


def _mappings() -> list[bytes]:
    return [path.read_bytes() for path in sorted((ROOT / "configs/mappings").glob("*.toml"))]


def _config(data: bytes) -> None:
    parse_config(text(data), base=ROOT)


def _subject(data: bytes) -> bytes:
    number, handle = parse_subject(text(data), _Platforms())  # type: ignore[arg-type]
    return f"{number}:{handle.hex()}".encode()


class _Platforms:
    """As much of a node as the reader of a subject's name asks for."""

    def __init__(self) -> None:
        validators = ground.world().state.validators
        self.codes = {each.number: each.code for each in validators}


def _address(data: bytes) -> None:
    parse_address(text(data))


def _rules(data: bytes) -> None:
    """A submission as intake judges it, before anything is looked up."""
    found = decode(Submission, data, bytes_max=8_192, what="submission")
    record = read_record(found.record, FIRST_BOUNDS)
    check_stateless(ground.world().chain, record, found.signatures)


SECRET = "a token? é"
TOKEN = Token("fuzz", sha256(SECRET.encode()).hexdigest(), frozenset({"read"}))


def _token(data: bytes) -> bytes:
    """A bearer token as it stands in a header: no other text opens what it opens."""
    if find_token((TOKEN,), text(data)) is None:
        raise InvalidInput("is not known")
    return SECRET.encode()


def _session() -> Target:
    sessions = Sessions(lambda: 0.0)
    secret, code = sessions.open(TOKEN).encode(), sessions.offer_code(TOKEN).encode()

    def check(data: bytes) -> bytes:
        found = sessions.holder(text(data)), sessions.peek_code(text(data))
        if found == (None, None):
            raise InvalidInput("is not known")
        return secret if found[0] else code

    return Target("session", check, lambda: [secret, code], lambda found: found)


def _time(data: bytes) -> None:
    kind, _, rest = text(data).partition(" ")
    if kind not in ("s", "ms", "iso", "iso-utc"):
        raise BadTime("no unit")
    assert isinstance(parse_time(rest, kind), int)  # type: ignore[arg-type]


def _number(data: bytes) -> bytes:
    return b"%d" % parameters.parse_number(text(data), "n")


def _hello(data: bytes) -> tuple[wire.Hello, list[Any]]:
    """A hello, and what a later minor version has appended, which is passed over."""
    hello = wire.decode_hello(data)
    return hello, msgspec.msgpack.decode(data[1:])[len(wire.Hello.__struct_fields__) :]


def _hello_again(found: tuple[wire.Hello, list[Any]]) -> bytes:
    hello, later = found
    return wire.encode_hello(hello)[:1] + encode([*msgspec.structs.astuple(hello), *later])


def edge() -> list[Target]:
    """Every decoder of what a peer, a client or an importing person hands in."""
    hello = wire.encode_hello(wire.Hello(2, bytes(32), 3, 5))
    later = _hello_again((wire.Hello(2, bytes(32), 3, 5, 1), ["later", 7]))
    evidence = encode(Evidence(1, 2, 0, 7, b"one", b"two"))
    genesis = json.dumps(json_records.value_to_json(genesis_of(1))).encode()
    pairs = encode([(each, b"") for each in frozen("record")])
    lines = b"\n".join(_records())
    return [
        Target(
            "message",
            messages.decode_message,
            lambda: [encode(each) for each in _messages()],
            messages.encode_message,
            cases=900,
        ),
        Target("certificate", _certificate, _certificates, cases=100),
        Target(
            "evidence",
            lambda data: decode(Evidence, data, bytes_max=200_000, what="evidence"),
            lambda: [evidence],
            encode,
        ),
        Target("hello", _hello, lambda: [hello, later], _hello_again),
        Target("frames", _frames, _framed),
        Target("json", _json, lambda: [*_records(), b"[1, null, true]"]),
        Target("json-record", _record, _records, cases=900),
        Target("json-genesis", _genesis, lambda: [genesis], cases=60),
        Target("msgpack-body", _arrays, lambda: [pairs, pairs + pairs]),
        Target(
            "ndjson-body", _ndjson, lambda: [lines, lines + b"\n\n"], cases=150, never_refuses=True
        ),
        Target(
            "signature-input",
            _signature_input,
            lambda: _signed_requests()[0].split(b"\n")[1:2],
            lambda found: found,
        ),
        Target("signed-request", _signed_request, _signed_requests),
        Target("parameter", _number, lambda: [b"0", b"12", b"9007199254740991"], lambda n: n),
        Target("csv", _rows("csv", ("job", "who"), header=True), lambda: [CSV]),
        Target(
            "csv-headless",
            _rows("csv", ("a", "b", "c"), header=False),
            lambda: [CSV],
            never_refuses=True,
        ),
        Target(
            "jsonl",
            _rows("jsonl", ("job", "who", "stars"), header=False),
            lambda: [JSONL],
            never_refuses=True,
        ),
        Target("config", _config, lambda: [CONFIG.encode()], None, (Misconfigured,), cases=200),
        Target("rules", _rules, ground.submissions, cases=600),
        Target(
            "subject",
            _subject,
            lambda: [b"1:" + b"0a" * 32, b"4:" + b"ff" * 32],
            lambda named: named,
            (Malformed, NotFound),
        ),
        Target(
            "address",
            _address,
            lambda: [b"127.0.0.1:8440", b"[::1]:9440", b"node.example:1"],
            None,
            (Misconfigured,),
        ),
        Target("token", _token, lambda: [SECRET.encode()], lambda found: found),
        _session(),
        Target("mapping", parse_mapping, _mappings, None, (Misconfigured,), cases=200),
        Target(
            "time",
            _time,
            lambda: [b"s 12.5", b"ms 7", b"iso 2020-01-01T00:00:00+01:00", b"iso-utc 2020-01-01"],
            None,
            (BadTime,),
        ),
    ]
