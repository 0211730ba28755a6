"""The frozen vectors of our own formats through the ledger; a fresh run yields the same."""

import msgspec
import pytest
from msgspec.structs import astuple, replace

from ledger.batch import (
    ENTRY_BYTES,
    Header,
    Submission,
    batch_root,
    commitment,
    entry_of,
    header_hash,
    header_message,
)
from ledger.binding import bind, outlook
from ledger.block import Block, block_hash, decode_seal, encode_seal
from ledger.bundle import verify_bundle
from ledger.bundle_form import answer_hash
from ledger.bureau.answer import Answer, Question
from ledger.bureau.evidence import Fact, OpenFile
from ledger.bureau.model import FIRST_MODEL
from ledger.bureau.reading import NO_ANNOTATION, decode_tally
from ledger.bureau.score import score
from ledger.bureau.standing import Annotation
from ledger.bureau.whatif import Asked, base_rate
from ledger.bureau.whatif import outlook as outlook_of
from ledger.certificate import link_certificate, link_key
from ledger.checkpoint import verify_checkpoint, verify_checkpoint_strict
from ledger.encoding import decode, encode
from ledger.errors import InvalidInput
from ledger.governance_rows import Approval, ChangeRow
from ledger.merkle import leaf_hash
from ledger.parameters import Parameters, check_parameters
from ledger.policy import Policy
from ledger.receipt import verify_receipt
from ledger.records import decode_record, encode_record
from ledger.signing import SigningKey, verify
from ledger.statements import Evidence, conflict
from tests.ledger.members import party
from tests.vectors.all import ABOUT, files
from tests.vectors.frozen import FOLDER, Case, read, shown

BYTES_MAX = 1_000_000
FILES_BYTES_MAX = 1_100_000


def cases(name: str) -> list[object]:
    return [pytest.param(case, id=case["name"]) for case in read(name)]


def raw(text: str) -> bytes:
    return bytes.fromhex(text)


def held(case: Case, check):  # type: ignore[no-untyped-def]
    """What a check yields, or None where the case is to be refused; then it must be, with the error
    that the case names."""
    if "refused" not in case:
        return check()
    with pytest.raises(InvalidInput) as caught:
        check()
    assert type(caught.value).__name__ == case["refused"]
    return None


def test_a_fresh_run_yields_the_files() -> None:
    made = files()
    for name, text in made.items():
        path = FOLDER / f"{name}.json"
        assert path.read_text() == text, f"{name}: scripts/make-vectors, if this is on purpose"
    assert {path.stem for path in FOLDER.glob("*.json")} == set(ABOUT)
    assert sum(map(len, made.values())) < FILES_BYTES_MAX


@pytest.mark.parametrize("case", cases("record"))
def test_records(case: Case) -> None:
    record = held(case, lambda: decode_record(raw(case["bytes"])))
    if record is not None:
        assert type(record).__name__ == case["type"]
        assert shown(record) == case["fields"]
        assert encode_record(record).hex() == case["bytes"]


@pytest.mark.parametrize("case", cases("certificate"))
def test_certificates(case: Case) -> None:
    key = held(case, lambda: link_key(raw(case["bytes"]), case["code"]))
    if key is not None:
        assert key.hex() == case["key"]
        made = link_certificate(SigningKey.from_seed(raw(case["seed"])), case["code"])
        assert made.hex() == case["bytes"]


@pytest.mark.parametrize("case", cases("evidence"))
def test_evidence(case: Case) -> None:
    fields = case["fields"]
    found = Evidence(**{**fields, **{side: raw(fields[side]) for side in ("first", "second")}})
    sides = held(case, lambda: conflict(raw(case["chain"]), case["origin"], found))
    for side, message in zip(sides or (), case.get("messages", ()), strict=True):
        assert (side.purpose, side.message.hex()) == (case["purpose"], message)
        assert verify(raw(case["key"]), side.message, side.signature)


@pytest.mark.parametrize("case", cases("binding"))
def test_bindings(case: Case) -> None:
    keys = party(9).validator
    current = tuple(replace(keys, number=number) for number in case["current"])
    changes = [
        (
            each["log_index"],
            ChangeRow(
                each["type"],
                bytes(32),
                1,
                each["number"],
                replace(keys, number=each["number"]) if each["type"] in {50, 55} else None,
                each["model"] and replace(FIRST_MODEL, id=each["model"]),
                tuple(Approval(*pair) for pair in each["approvals"]),
                each["ready"],
                each["ready_epoch"],
                None,
                None,
                0,
            ),
        )
        for each in case["changes"]
    ]
    result, ahead = (do(current, changes, case["epoch"]) for do in (bind, outlook))
    assert [each.number for each in result.validators] == case["next"]
    assert [list(result.bound), list(result.void)] == [case["bound"], case["void"]]
    assert (result.model and result.model.id) == case["model"]
    assert ahead.waits == case["waits"]
    assert [each.log_index for each in ahead.candidates] == case["candidates"]


@pytest.mark.parametrize("case", cases("batch"))
def test_batches(case: Case) -> None:
    submissions = [Submission(*map(raw, each.values())) for each in case["submissions"]]
    commitments = [commitment(each) for each in submissions]
    assert shown(commitments) == case["commitments"]
    assert batch_root(commitments).hex() == case["root"]


@pytest.mark.parametrize("case", cases("header"))
def test_headers(case: Case) -> None:
    header = held(case, lambda: decode(Header, raw(case["bytes"]), bytes_max=1_024))
    if header is None:
        return
    chain, message = raw(case["chain"]), raw(case["message"])
    assert shown(header) == case["fields"]
    assert header_hash(chain, header).hex() == case["hash"]
    assert header_message(chain, header) == message
    assert verify(raw(case["key"]), message, raw(case["signature"]))


@pytest.mark.parametrize("case", cases("entry"))
def test_entries(case: Case) -> None:
    entry = entry_of(case["lane"], case["height"], case["position"], raw(case["commitment"]))
    assert (entry.hex(), len(entry)) == (case["bytes"], ENTRY_BYTES)
    assert leaf_hash(entry).hex() == case["leaf_hash"]


@pytest.mark.parametrize("case", cases("seal"))
def test_seals(case: Case) -> None:
    seal = held(case, lambda: decode_seal(raw(case["bytes"])))
    if seal is None:
        return
    block = decode(Block, raw(case["block_bytes"]), bytes_max=1_024)
    assert (shown(seal), shown(block)) == (case["fields"], case["block"])
    assert encode_seal(seal).hex() == case["bytes"]
    assert block_hash(raw(case["chain"]), block).hex() == case["block_hash"] == seal.block.hex()
    assert leaf_hash(raw(case["bytes"])).hex() == case["leaf_hash"]


@pytest.mark.parametrize("case", cases("policy"))
def test_policies(case: Case) -> None:
    policy = held(case, lambda: Policy.parse(case["text"]))
    if policy is not None:
        assert (policy.origin, policy.quorum) == (case["origin"], case["quorum"])
        assert [each.public_key.hex() for each in policy.log_keys] == case["log_keys"]
        assert [each.public_key.hex() for _, each in policy.witnesses] == case["witnesses"]


@pytest.mark.parametrize("case", cases("checkpoint"))
def test_checkpoints(case: Case) -> None:
    policy = Policy.parse(case["policy"])
    for rule, check in (("strict", verify_checkpoint_strict), ("tolerant", verify_checkpoint)):
        if case[rule]:
            with pytest.raises(InvalidInput) as caught:
                check(raw(case["note"]), policy)
            assert type(caught.value).__name__ == case[rule]
        else:
            found = check(raw(case["note"]), policy)
            assert (found.size, found.root.hex()) == (case["size"], case["root"])


@pytest.mark.parametrize("case", cases("receipt"))
def test_receipts(case: Case) -> None:
    policy = Policy.parse(case["policy"])
    found = held(case, lambda: verify_receipt(case["text"].encode(), policy, ENTRY_BYTES))
    if found is not None:
        assert (found.index, found.checkpoint.size) == (case["index"], case["size"])
        assert (found.entry.hex(), found.opening.hex()) == (case["entry"], case["opening"])


@pytest.mark.parametrize("case", cases("bundle"))
def test_bundles(case: Case) -> None:
    found = verify_bundle(raw(case["bundle"]), Policy.parse(case["policy"]))
    assert found.valid == ("refused" not in case)
    if not found.valid:
        assert (found.steps[-1].name, found.steps[-1].ok) == (case["refused"], False)
        return
    assert [[step.name, step.detail] for step in found.steps] == case["steps"]
    assert found.answer == msgspec.msgpack.decode(raw(case["answer"]), type=Answer)
    assert answer_hash(found.answer).hex() == case["answer_hash"]
    assert (found.answer.points, found.answer.probability_q16) == (
        case["points"],
        case["probability_q16"],
    )


def _asked(case: Case) -> Asked:
    parameters = decode(Parameters, raw(case["parameters"]), bytes_max=BYTES_MAX)
    check_parameters(parameters)
    question = decode(Question, raw(case["question"]), bytes_max=1_024)
    told = [
        OpenFile(
            each["platform"],
            raw(each["handle"]),
            [_fact(time, record, annotation) for time, record, annotation in each["facts"]],
        )
        for each in case["files"]
    ]
    tally = None if case["tally"] is None else decode_tally(raw(case["tally"]))
    return Asked(told, tally, parameters, question)


@pytest.mark.parametrize("case", cases("outlook"))
def test_outlooks(case: Case) -> None:
    asked = _asked(case)
    found = outlook_of(asked)
    base = base_rate(asked.summary, asked.question.role, asked.parameters.model)
    assert found.answer.points == case["points"]
    assert [list(astuple(each)) for each in found.counterfactuals] == case["counterfactuals"]
    assert [list(astuple(each)) for each in found.information] == case["information"]
    assert [base.rate_q16, base.probability_q16, base.points] == case["base"]


@pytest.mark.parametrize("case", cases("score"))
def test_scores(case: Case) -> None:
    given = _asked(case)
    answer = held(case, lambda: score(given.files, given.summary, given.parameters, given.question))
    if answer is not None:
        assert encode(answer).hex() == case["answer"]
        assert (answer.points, answer.probability_q16) == (case["points"], case["probability_q16"])
        assert [answer.low_q16, answer.high_q16] == case["interval_q16"]


def _fact(time: int, record_hex: str | None, annotation_hex: str | None) -> Fact:
    if record_hex is None or annotation_hex is None:
        return Fact(time, None, None)  # erased
    record, annotation = raw(record_hex), raw(annotation_hex)
    told = None
    if annotation != NO_ANNOTATION:
        told = decode(Annotation, annotation, bytes_max=64)
    return Fact(time, decode_record(record), told)
