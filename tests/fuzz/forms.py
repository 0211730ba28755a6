"""Targets: decoders of the ledger's own bytes. All accept one form only."""

from typing import Any

from ledger import beside, block, epochs, fork, membership, record_rows, rows, trust
from ledger.batch import Batch, Header, Submission
from ledger.block import decode_seal, encode_seal
from ledger.bundle import decode_bundle
from ledger.bureau.answer import Answer, Question
from ledger.bureau.reading import decode_tally
from ledger.bureau.standing import Annotation, PlatformTally, RaterTally
from ledger.encoding import decode, encode
from ledger.erasure_rows import ErasureRow, FileRange
from ledger.errors import Malformed, StoreDamaged
from ledger.files import FileLeaf
from ledger.genesis import Genesis, check_genesis
from ledger.merkle import Frontier
from ledger.parameters import Parameters, check_parameters
from ledger.records import decode_record
from ledger.residue import RemainsForm, Residue
from ledger.rows import decode_row
from tests.fuzz import ground
from tests.fuzz.target import Target
from tests.ledger.world import FIRST_PARAMETERS, genesis_of
from tests.vectors.frozen import read

BYTES_MAX = 1_024 * 1_024


def frozen(kind: str) -> list[bytes]:
    return [bytes.fromhex(case["bytes"]) for case in read(kind) if "refused" not in case]


def value(name: str, kind: Any, *seeds: bytes) -> Target:
    """A Struct in canonical MessagePack."""
    return Target(
        f"value-{name}",
        lambda data: decode(kind, data, bytes_max=BYTES_MAX, what=name),
        lambda: seeds,
        encode,
    )


def row(name: str, kind: Any, prefix: bytes, *seeds: bytes) -> Target:
    """A row of the store, whose decoder blames the store."""
    return Target(
        f"row-{name}",
        lambda data: decode_row(kind, prefix + bytes(8), data),
        lambda: [*seeds, *ground.rows(prefix)],
        encode,
        (StoreDamaged,),
        cases=100,
    )


def _parameters(data: bytes) -> Parameters:
    made = decode(Parameters, data, bytes_max=BYTES_MAX)
    check_parameters(made)
    return made


def _genesis(data: bytes) -> Genesis:
    made = decode(Genesis, data, bytes_max=BYTES_MAX)
    check_genesis(made)
    return made


def _frontier(data: bytes) -> Frontier:
    if len(data) < 8:
        raise Malformed("no size")
    return Frontier.decode(int.from_bytes(data[:8]), data[8:])


def _trust() -> bytes:
    state = ground.world().state
    lanes = tuple(trust.LaneTrust(tip, 1, 1) for _, tip in sorted(state.cut.items()))
    return encode(
        trust.Trust(
            trust.FORMAT,
            state.chain,
            trust.policy_hash(ground.policy()),
            state.height,
            state.block_hash,
            state.time,
            state.epoch,
            state.log.size,
            state.log.root(),
            state.log.encode(),
            state.index.root(),
            state.parameters_hash,
            state.validators,
            lanes,
        )
    )


def _headers() -> bytes:
    return beside.encode_headers(
        [rows.HeaderRow(each.header, each.signature) for each in ground.batches()]
    )


def _members() -> list[membership.Validator]:
    return list(ground.world().state.validators)


def forms() -> list[Target]:
    """Every decoder of a value of the ledger."""
    batch = ground.batches()[0]
    leaf = decode_bundle(ground.bundles()[0]).files[0].leaves[0]
    question = decode_bundle(ground.bundles()[0]).question
    return [
        Target("record", decode_record, _records, encode, cases=600),
        Target("seal", decode_seal, lambda: frozen("seal"), encode_seal),
        Target("bundle", decode_bundle, _bundles, encode),
        Target("chain", epochs.decode_chain, lambda: [ground.chain()[1]], epochs.encode_chain),
        Target("fork", fork.decode_fork, lambda: [ground.fork()[1]], fork.encode_fork),
        Target("trust", trust.decode_trust, lambda: [_trust()], trust.encode_trust),
        Target("parameters", _parameters, lambda: [encode(FIRST_PARAMETERS)], encode),
        Target("genesis", _genesis, lambda: [encode(genesis_of(1))], encode, cases=60),
        Target(
            "platform-tally",
            decode_tally,
            lambda: [encode(PlatformTally(1, 2, 3, 4, 5, 6, 7))],
            encode,
        ),
        Target(
            "frontier",
            _frontier,
            lambda: [(5).to_bytes(8) + bytes(64), bytes(8)],
            lambda found: found.size.to_bytes(8) + found.encode(),
        ),
        Target(
            "block-file",
            beside.decode_block_file,
            lambda: [data for data, _ in ground.blocks()],
            encode,
        ),
        Target("headers", beside.decode_headers, lambda: [_headers()], beside.encode_headers),
        value("remains", RemainsForm, encode(ground.remains())),
        value("erasure", ErasureRow, encode(_erasure())),
        value("submission", Submission, encode(batch.submissions[0])),
        value("batch", Batch, *map(encode, ground.batches())),
        value("header", Header, encode(batch.header)),
        value("block", block.Block, encode(ground.world().next_block()[0])),
        value("tip", block.Tip, encode(ground.world().state.cut[1])),
        value("refusal", block.Refusal, encode(block.Refusal(1, 2, 3, bytes(32), bytes(32)))),
        value("residue", Residue, encode(Residue(bytes(32), 7, bytes(32), "", b"\x90"))),
        value("annotation", Annotation, encode(Annotation(1, 65_536, 0))),
        value("rater-tally", RaterTally, encode(RaterTally(1, 70_000, True))),
        value("question", Question, encode(question)),
        value("answer", Answer, *_answers()),
        value("leaf", FileLeaf, encode(leaf)),
        value("validator", membership.Validator, *map(encode, _members())),
        row("block", rows.BlockRow, b"B"),
        row("leaf", rows.LeafRow, b"E"),
        row("header", rows.HeaderRow, b"H"),
        row("subject", rows.SubjectRow, b"W"),
        row("engagement", rows.EngagementRow, b"G"),
        row("pair", rows.PairRow, b"P"),
        row("record", record_rows.RecordRow, b"X" + bytes(32), _refused()),
        row("summary", rows.SummaryRow, b"U", encode(rows.SummaryRow(4, b"now", b""))),
        row("checkpoint", rows.CheckpointRow, b"C", encode(_checkpoint())),
    ]


def _records() -> list[bytes]:
    made = [decode(Submission, each, bytes_max=BYTES_MAX) for each in ground.submissions()]
    return [*frozen("record"), *(each.record for each in made)]


def _bundles() -> list[bytes]:
    told = [bytes.fromhex(case["bundle"]) for case in read("bundle") if "refused" not in case]
    return [*ground.bundles(), *told]


def _erasure() -> ErasureRow:
    files = (FileRange(bytes(36), 1, 2),)
    return ErasureRow(1, bytes(32), bytes(32), files, (1, 2), None)


def _answers() -> list[bytes]:
    from ledger.bundle import verify_bundle

    found = [verify_bundle(data, ground.policy()).answer for data in ground.bundles()]
    return [encode(each) for each in found]


def _refused() -> bytes:
    return encode(record_rows.RecordRow(1, 2, 3, None, "malformed"))


def _checkpoint() -> rows.CheckpointRow:
    cosigned = tuple(rows.CosignatureRow(number, 5, bytes(64)) for number in (1, 2, 3))
    return rows.CheckpointRow(4, 9, bytes(32), cosigned)
