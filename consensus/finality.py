"""Final blocks: from a finalization to execution, and from an epoch to the next.

Upon a finalization whose block and ancestors are known: all of them down to the last final block
become final, in order of height: rows `Kf`, and what stood in the views up to the finalization's is
removed in the same write. A tail block makes E final and is dropped.
Upon a final block whose batches are all held, in order: `Execute`, a bounded number at a time.
Upon `Executed`: lanes move their bases, `Kh` rows go, the checkpoint is cosigned; E's names the
next set (consensus.seating).
Upon q cosignatures of E's checkpoint, E being executed: the next epoch begins at view 1.
"""

from collections.abc import Sequence

from consensus import cosign, safety, seating
from consensus.certificate import FINALIZE, Certificate
from consensus.effects import Execute
from consensus.epochs import epoch_end
from consensus.gate import drop_siblings
from consensus.holdings import close_views
from consensus.inputs import Executed
from consensus.lane import Held
from consensus.lanes import Path
from consensus.messages import CertificateMessage
from consensus.proposals import candidate_of, end_of
from consensus.state import Candidate, Final, State
from ledger.block import Block, Tip
from ledger.encoding import encode
from ledger.store import Changes


def finalize(state: State) -> bool:
    """Make final what a finalization allows; True if something became final."""
    for view in sorted(state.rounds, reverse=True):
        certificate = state.rounds[view].certificates.get(FINALIZE)
        if certificate is None or view <= state.final_view:
            continue
        candidate = candidate_of(state, certificate.hash)
        if candidate is None:
            continue
        last = end_of(state, candidate)
        tail = None if last.hash == candidate.hash else candidate.block
        commit(state, _chain_to(state, last), certificate, tail)
        return True
    return False


def _chain_to(state: State, candidate: Candidate) -> list[Candidate]:
    """The candidates above the last final block up to this one, ascending."""
    chain: list[Candidate] = []
    while candidate.hash != state.final.hash:
        chain.append(candidate)
        parent = candidate.block.parent
        candidate = state.final if parent == state.final.hash else state.candidates[parent]
    return chain[::-1]


def commit(
    state: State,
    chain: Sequence[Candidate],
    certificate: Certificate,
    tail: Block | None,
    *,
    is_told: bool = False,
) -> None:
    """Make a chain of blocks final; the certificate is of the last of them or of its tail block,
    and `is_told` if it came whole from others.

    An empty chain with a tail block finalizes E again: only the view moves on.
    """
    changes: Changes = {}
    for candidate in chain:
        row = safety.FinalRow(candidate.block, None, None)
        changes[safety.final_key(candidate.block.height)] = encode(row)
        state.queue.append(Final(candidate, state.final.cut, is_told))
        state.final = candidate
    last = state.final.block
    changes[safety.final_key(last.height)] = encode(safety.FinalRow(last, certificate, tail))
    state.final_view = certificate.view
    state.finalization = CertificateMessage(certificate, tail or last)
    changes.update(_forget_views(state))
    state.persist(changes)
    state.view = max(state.view, certificate.view + 1)
    waits, timing = state.waits, state.config.timing
    waits.view_timeout_ms = max(waits.view_timeout_ms // 2, timing.view_timeout_ms)
    state.lanes.finalize(state.final.cut)
    drop_siblings(state)


def _forget_views(state: State) -> Changes:
    """Drop views up to the last final one, and candidates that no longer extend a final block."""
    floor = state.final_view
    changes: Changes = {}
    for view in [view for view in state.rows if view <= floor]:
        changes.update(dict.fromkeys(state.rows.pop(view)))
    closed = [view for view in state.rounds if view <= floor]
    changes.update(close_views(state, [state.rounds[view] for view in closed]))
    for view in closed:
        for hash_ in state.rounds.pop(view).hashes:
            state.blocks.pop(hash_, None)
    state.candidates.clear()
    return changes


def execute(state: State) -> bool:
    """Ask for the execution of the next final block, once its batches are held."""
    if state.issued >= min(len(state.queue), state.config.limits.executions_max):
        return False
    final = state.queue[state.issued]
    batches: list[Held] = []
    for tip in final.candidate.block.tips:
        low = final.before.get(tip.lane) or Tip(tip.lane, 0, state.config.chain)
        path = state.lanes.path(low, tip)
        if isinstance(path, Path):
            return False
        batches.extend(path)
    state.issued += 1
    state.emit(
        Execute(
            final.candidate.block,
            final.candidate.hash,
            tuple((held.hash, held.batch) for held in batches),
            final.is_told,
        )
    )
    return True


def executed(state: State, result: Executed) -> None:
    """Upon `Executed`."""
    height = result.height
    assert state.issued > 0, "a result answers an Execute"
    final = state.queue.popleft()
    state.issued -= 1
    assert final.candidate.block.height == height, "results come in order"
    state.executed_height = height
    state.is_erasing, state.is_changing = result.is_erasing, result.is_changing
    done = state.lanes.execute(final.candidate.cut)
    changes: Changes = {
        safety.pending_key(held.header.lane, held.header.height, held.hash): None for held in done
    }
    if changes:
        state.persist(changes)
    drop_siblings(state)
    ends = height == epoch_end(state.config, state.epoch)
    assert ends == (result.validators is not None), "an epoch's last seal names the next set"
    if result.validators is not None:
        seating.prepare(state, result.validators)
    cosign.executed(state, height, result.size, result.root)


def begin_epoch(state: State) -> bool:
    """Begin the next epoch, if this one's last block is executed and certified."""
    end = epoch_end(state.config, state.epoch)
    if state.executed_height < end or state.checkpoints.certified < end:
        return False
    assert state.final.block.height == end, "nothing is final past an epoch that has not ended"
    changes: Changes = {key: None for keys in state.rows.values() for key in keys}
    changes.update(close_views(state, state.rounds.values()))
    if changes:
        state.persist(changes)
    state.rows.clear()
    state.rounds.clear()
    state.blocks.clear()
    state.candidates.clear()
    state.epoch += 1
    state.view, state.final_view = 1, 0
    state.waits.view_waited = 0
    state.waits.entered_at = state.now.steady_ms
    seating.take_seats(state)
    return True
