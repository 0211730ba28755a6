"""Log lines that a node lacks: asked of members, checked, kept, and served to who asks."""

import asyncio
from dataclasses import dataclass, field

import pytest

from ledger.checkpoint import Checkpoint, cosignature_message, verify_checkpoint_strict
from ledger.encoding import encode
from ledger.epochs import policy_of
from ledger.rows import CheckpointRow, CosignatureRow
from ledger.signing import SigningKey
from ledger.store import CHECKPOINT, Changes
from node import loglines, view
from node.loglines import ANSWERS_MAX, ASK, LINE, LogLines
from node.view import Notary
from tests.ledger.world import World, genesis_of, key_of


@dataclass
class Side:
    """One node's notary and lines, over its own copy of a ledger of four members."""

    log_key: SigningKey | None
    world: World = field(default_factory=lambda: World(genesis_of(4)))
    sent: list[tuple[int, bytes]] = field(default_factory=list)
    blamed: list[tuple[int, str]] = field(default_factory=list)
    found: list[CheckpointRow] = field(default_factory=list)
    members: list[int] = field(default_factory=lambda: [1, 2, 3])

    def __post_init__(self) -> None:
        foundation = self.world.genesis.foundation
        self.notary = Notary(foundation.origin, self.log_key, self.world.store)
        self.lines = LogLines(
            notary=self.notary,
            store=self,  # type: ignore[arg-type]
            links=self,
            members=lambda: self.members,
            refused=lambda peer, reason: self.blamed.append((peer, reason)),
            found=self.found.append,
        )
        self.get, self.scan = self.world.store.get, self.world.store.scan

    def linked(self) -> list[int]:
        return [1, 2, 3, 9]

    def send(self, peer: int, message: bytes, *, bulk: bool) -> None:
        assert not bulk
        self.sent.append((peer, message))

    def submit(self, changes: Changes) -> None:
        self.world.store.write(changes)

    def certify(self) -> CheckpointRow:
        """A further block and its certified checkpoint; the node is told."""
        self.world.block()
        state, origin = self.world.state, self.world.genesis.foundation.origin
        text = Checkpoint(origin, state.log.size, state.log.root()).text()
        rows = tuple(
            CosignatureRow(n, 5, key_of(n, "cosigner").sign(cosignature_message(5, text)))
            for n in (1, 2, 3)
        )
        row = CheckpointRow(state.height, state.log.size, state.log.root(), rows)
        self.world.store.write({CHECKPOINT + row.height.to_bytes(8): encode(row)})
        self.lines.certified(row)
        return row


@pytest.fixture
def observer() -> Side:
    return Side(None)


@pytest.fixture
def member() -> Side:
    return Side(key_of(2, "log"))


async def test_an_observer_asks_and_serves_a_note_that_a_strict_reader_accepts(
    observer: Side, member: Side
) -> None:
    row = observer.certify()
    assert member.certify() == row
    assert observer.notary.certify(row) is None
    ((_, asked),) = observer.sent
    member.lines.received(9, asked)
    ((to, line),) = member.sent
    assert to == 9
    observer.lines.received(2, line)
    assert observer.found == [row]
    certificate = observer.notary.certify(row)
    assert certificate is not None
    foundation = observer.world.genesis.foundation
    policy = policy_of(foundation.origin, foundation.validators)
    assert verify_checkpoint_strict(certificate.note, policy).size == row.size
    assert observer.notary.newest() == certificate, "after a restart, too"
    assert observer.blamed == member.blamed == []
    observer.lines.received(2, line)
    assert observer.found == [row], "a late answer changes nothing"
    observer.sent.clear()
    observer.lines.received(3, asked)
    assert observer.sent == [(3, line)], "and whoever has one gives it on"
    observer.lines.stop()


async def test_a_member_answers_later_what_it_has_not_certified_yet(
    observer: Side, member: Side
) -> None:
    row = observer.certify()
    member.lines.received(9, observer.sent[0][1])
    assert member.sent == []
    assert member.certify() == row
    assert [peer for peer, _ in member.sent] == [9]
    observer.lines.stop()


async def test_another_is_asked_where_one_does_not_answer(
    observer: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loglines, "AGAIN_S", 0.005)
    observer.certify()
    async with asyncio.timeout(10):
        while len({peer for peer, _ in observer.sent}) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    observer.lines.stop()


@pytest.mark.parametrize("wrong", ["key", "signature", "short", "kind"])
async def test_a_line_that_does_not_hold_is_refused_and_kept_by_nobody(
    observer: Side, member: Side, wrong: str
) -> None:
    row = observer.certify()
    member.certify()
    line = member.notary.own_line(row)
    assert line is not None
    stranger = key_of("nobody")
    height = row.height.to_bytes(8)
    message = {
        "key": LINE + height + stranger.public + stranger.sign(b"x"),
        "signature": LINE + height + line.key + bytes(64),
        "short": LINE + height + line.key,
        "kind": ASK + height + b"?",
    }[wrong]
    observer.lines.received(2, message)
    assert observer.blamed == [(2, "log-line")]
    assert observer.notary.certify(row) is None
    observer.lines.stop()


async def test_a_peer_that_asks_without_end_is_answered_so_often_and_refused(member: Side) -> None:
    row = member.certify()
    for _ in range(4 * ANSWERS_MAX):  # within two seconds at most
        member.lines.received(9, ASK + row.height.to_bytes(8))
    assert ANSWERS_MAX <= len(member.sent) <= 2 * ANSWERS_MAX
    assert len(member.blamed) == 4 * ANSWERS_MAX - len(member.sent)


async def test_a_member_asks_nobody_and_older_lines_outlive_its_key(
    member: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    member.certify()
    row = member.certify()
    before = member.notary.certify(row)
    assert member.sent == []
    monkeypatch.setattr(view, "LINES_AT_ONCE", 1)
    turns = [*member.notary.last_lines()]
    assert len(turns) > 1
    assert {len(rows) for rows in turns} == {1}
    for rows in turns:
        member.submit(rows)
    member.notary.log_key = key_of("a further log key")
    assert member.notary.certify(row) == before, "the very note that was served then"
    kept = member.notary.kept(row.height)
    assert kept is not None
    assert kept.key == key_of(2, "log").public
