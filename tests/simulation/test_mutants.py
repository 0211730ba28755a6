"""Rules broken on purpose: the same kind of schedules must find a fork; intact, none.

A check that the checker can fail, and that each rule is needed.
"""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from consensus import recall, safety
from consensus.certificate import FINALIZE, NULLIFY, Seats, statement_message
from consensus.config import Config, Keys, Timing
from consensus.messages import (
    Blocks,
    CertificateMessage,
    Cosignature,
    Message,
    Proposal,
    Vote,
)
from consensus.proposals import candidate_of, end_of
from consensus.quorum import quorum
from consensus.state import Candidate, Round, State
from tests.simulation.actors import ACTORS
from tests.simulation.checkers import Violation
from tests.simulation.cluster import Cluster, Weather, quick_bounds
from tests.simulation.schedules import Schedule, draw, run
from tests.simulation.shrink import reduce, violation_of

ROUGH = ("delay", "loss", "reorder", "hasty", "lost_finality", "partition")
"""Faults among which a broken rule soon shows."""
Fork = tuple[Schedule, Violation]


def _lose_finality(cluster: Cluster, random: Random, but: int = 0) -> None:
    """Let finalizations be seen by few: most votes to finalize and most certificates are lost, but
    for one platform's."""
    send = type(cluster.network).send

    def filtered(source: int, target: int, message: Message) -> None:
        fragile = isinstance(message, CertificateMessage | Blocks | Cosignature) or (
            isinstance(message, Vote) and message.kind == FINALIZE
        )
        if not fragile or source == but or random.random() < 0.4:
            send(cluster.network, source, target, message)

    cluster.network.send = filtered  # type: ignore[method-assign]


def forks(actors: tuple[str, ...], seeds: int = 250) -> Fork | None:
    """The first random schedule that forks, with one liar, and what it breaks."""
    for seed in range(seeds):
        schedule = draw(seed, 4, mix=(*ROUGH, actors[seed % len(actors)]))
        violation = violation_of(schedule, forks_only=True)
        if violation is not None:
            if "fork" not in str(violation) and "two " not in str(violation):
                raise violation
            return schedule, violation
    return None


def only_one(round_: Round, kind: int) -> bool:
    return kind not in round_.own


def test_a_quorum_less_one_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consensus.certificate.quorum", lambda n: quorum(n) - 1)
    assert forks(("two_faced_voter", "equivocator")) is not None


def test_a_violation_is_reduced_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shortest story names the two blocks of one view and who signed for both."""
    monkeypatch.setattr("consensus.certificate.quorum", lambda n: quorum(n) - 1)
    found = forks(("equivocator",))
    assert found is not None
    schedule, violation = found
    reduced = reduce(schedule, violation, trials_max=120, forks_only=True)
    assert len(reduced.schedule.events) <= len(schedule.events) // 3
    assert reduced.violation.kind() == violation.kind()
    again = violation_of(reduced.schedule, forks_only=True)
    assert str(again) == str(reduced.violation), "what is left runs alike"
    told = reduced.transcript
    assert told[-1] == f"violation: {reduced.violation}"
    view = ".".join(map(str, reduced.violation.views[0]))
    votes = [line for line in told if f"signs notarize in view {view} " in line]
    blocks = {line.split(f"in view {view} ")[1].split()[0] for line in votes}
    liars = {line.split(f"in view {view} ")[1].split()[0] for line in votes if "(equiv" in line}
    assert len(blocks) == 2, told
    assert liars == blocks, told
    assert any("byzantine" in line and "equivocator" in line for line in told)


def test_finalize_after_nullify_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safety, "may_finalize", lambda round_: only_one(round_, FINALIZE))
    monkeypatch.setattr(safety, "may_nullify", lambda round_: only_one(round_, NULLIFY))
    assert forks(("two_faced_voter", "equivocator")) is not None


def test_an_unjustified_parent_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    def any_parent(state: State, view: int) -> Candidate:
        for at in range(view - 1, state.final_view, -1):
            round_ = state.rounds.get(at)
            found = candidate_of(state, round_.notarized) if round_ and round_.notarized else None
            if found is not None:
                return end_of(state, found)
        return state.final

    monkeypatch.setattr("consensus.proposals.unjustified", lambda *_: None)
    monkeypatch.setattr("consensus.pacing.best_parent", any_parent)
    assert forks(("invalid_parent_leader",)) is not None


def test_two_notarizes_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    from consensus import rounds
    from ledger.block import block_hash

    intact = rounds.receive_proposal

    def receive_any(state: State, peer: int, proposal: Any) -> None:
        intact(state, peer, proposal)
        round_ = state.rounds.get(proposal.block.view)
        if round_ is not None and round_.proposal is not None:
            round_.proposal = proposal
            round_.hash = block_hash(state.config.chain, proposal.block)

    monkeypatch.setattr(rounds, "receive_proposal", receive_any)
    monkeypatch.setattr(
        safety,
        "may_notarize",
        lambda round_: 1 not in round_.own or round_.own[1].hash != round_.hash,
    )
    assert forks(("double_proposer",)) is not None


def epochs(seed: int) -> None:
    """An epoch that begins with nullified views, and one in which a Byzantine platform brings them
    up again while finalizations are seen by few."""
    random = Random(seed)
    hasty = Timing(view_timeout_ms=60, view_timeout_max_ms=200)
    weather = Weather(delay_us=2_000, jitter_us=20_000, reorder=True)
    cluster = Cluster(4, seed, weather=weather, timing=hasty, bounds=quick_bounds(4))
    cluster.checker.forks_only = True
    liar = cluster.make_byzantine(random.randrange(1, 5), ACTORS["epoch_shifter"]())
    send = type(cluster.network).send

    def without_leaders(source: int, target: int, message: Message) -> None:
        if not isinstance(message, Proposal) or message.block.view > 6:
            send(cluster.network, source, target, message)

    cluster.network.send = without_leaders  # type: ignore[method-assign]
    cluster.start()
    for at in range(300):
        cluster.submit(1 + at % 4, 1)
        cluster.run_ms(50)
        if cluster.nodes[1 + liar.number % 4].state.epoch > 1:
            break
    _lose_finality(cluster, random, liar.number)
    for _ in range(40):
        cluster.submit(random.randrange(1, 5), 1)
        cluster.run_ms(random.choice([30, 100]))


def grown(seed: int) -> None:
    """Four become seven, which are then split in two."""
    random = Random(seed)
    cluster = Cluster(4, seed, bounds=quick_bounds(2))
    cluster.checker.forks_only = True
    cluster.start()
    for number in (5, 6, 7):
        cluster.add_node(number)
        cluster.admit(number, by=1)
        cluster.run_until(lambda n=number: n in cluster.members(), 30_000, "not joined")  # type: ignore[misc]
        cluster.run_ms(500)
    side = tuple(random.sample(range(1, 8), 3))
    cluster.partition(side, tuple(set(range(1, 8)) - set(side)))
    for _ in range(20):
        for number in range(1, 8):
            cluster.submit(number, 1)
        cluster.run_ms(300)
    cluster.heal()
    cluster.run_ms(3_000)


def copied(seed: int) -> None:
    """A joiner's store is set back to before it joined, in the first epoch in which it votes."""
    cluster = Cluster(4, seed, bounds=quick_bounds(24)).start()
    cluster.add_node(5)
    cluster.run_ms(300)
    old = cluster.nodes[5].store.copy()
    cluster.admit(5, by=1)
    cluster.run_until(lambda: 5 in cluster.members(), 60_000, "not joined")
    for at in range(20 + seed):
        cluster.submit(1 + at % 5, 1)
        cluster.run_ms(35)
    cluster.set_back(5, old)
    cluster.restart(5)
    for at in range(60):
        cluster.submit(1 + at % 5, 1)
        cluster.run_ms(35)


def found(schedule: Callable[[int], None], seeds: int) -> bool:
    """Whether a schedule forks."""
    for seed in range(seeds):
        try:
            schedule(seed)
        except Violation as violation:
            if not any(text in str(violation) for text in ("fork", "two ", "twice", "sent before")):
                raise
            return True
    return False


def breaks(text: str, seeds: int) -> bool:
    """Whether a random schedule with changes of members breaks a rule in these words."""
    for seed in range(seeds):
        try:
            run(seed, 4, changes=True)
        except Violation as violation:
            if text in str(violation):
                return True
    return False


def test_signatures_that_do_not_bind_the_epoch_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_any(chain: bytes, kind: int, epoch: int, view: int, hash_: bytes) -> bytes:
        return statement_message(chain, kind, 0, view, hash_)

    for module in ("consensus.certificate", "consensus.rounds", "consensus.recall"):
        monkeypatch.setattr(f"{module}.statement_message", of_any)
    # Else they fall silent: each is shown what its keys seem to have signed in this epoch.
    monkeypatch.setattr("consensus.silence.look", lambda *_: None)
    assert found(epochs, 60)


def test_the_old_sets_quorum_after_a_change_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Seats, "quorum", property(lambda _: quorum(4)))
    assert found(grown, 5)


def test_new_keys_that_do_not_ask_sign_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    def begin_at_once(state: State) -> None:
        recall.begin(state)
        if state.keys is not None:
            state.silence = None
            state.memory.signs_above = (state.epoch, state.final_view)

    monkeypatch.setattr("consensus.seating.begin_keys", begin_at_once)
    assert found(copied, 10)


def test_void_batches_that_are_taken_in_accuse_the_honest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consensus.gate.is_void", lambda *_: False)
    assert breaks("accuses honest", 24)


def test_old_keys_that_sign_on_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def whichever(config: Config, seats: Seats) -> Keys | None:
        return config.keys if config.me in seats.by_number else None

    monkeypatch.setattr("consensus.seating.keys_of", whichever)
    assert breaks("another key than its set names", 5)


def test_intact_epochs_do_not_fork() -> None:
    assert not found(epochs, 12)
    assert not found(grown, 3)
    assert not found(copied, 4)


def test_intact_rules_do_not_fork() -> None:
    actors = ("two_faced_voter", "equivocator", "double_proposer", "invalid_parent_leader")
    assert forks(actors, 24) is None
