"""Holdings: what a node holds signed by each other validator, to tell who asks after a start.

`answer` gives a peer whatever stands here under its own signatures and could still count against
what it signs next:

- **votes** of all open views (above the last final one): those counted, those under certificates,
  those that came too late to be counted, those kept for the next epoch; and the newest vote of the
  views that are closed;
- **proposals** of open views, and those kept for the next epoch;
- **batches**: the header of its lane's highest on this node's branch, of all that lie off it, and
  of one that waits for its predecessor;
- the highest **cosignature**.

What of this outlives this node's own restart: batches (`H` rows, before they are hinted), proposals
(`Kp`, before they are voted for), certificates (`Kc`, before anything is sent that rests on them),
the last finalization (`Kf`), the newest certified checkpoint (`C`), and per validator the newest
vote of all views that are closed (`Kg`, in the write that closes them). A vote that was only
counted, in a view that is still open, is in memory alone: whoever forgets it can neither count it
nor show it to anybody later, so it need not be answered with; once it counted, it stands in a
certificate's row. No fsync is added for any of this.

The answer is as good as its signatures: whoever asked checks them, so nobody can be made to fall
silent by an invention.
"""

from collections.abc import Iterable, Iterator

from consensus import safety
from consensus.certificate import Certificate
from consensus.effects import Send
from consensus.messages import Answer, Cosignature, Proposal, Question, Vote
from consensus.state import Round, State
from ledger.encoding import encode
from ledger.rows import HeaderRow, header_key, read_row
from ledger.store import Changes

HEADERS_MAX = 16
PROPOSALS_MAX = 64
VOTES_MAX = 512


def close_views(state: State, rounds: Iterable[Round]) -> Changes:
    """Keep each validator's newest vote of views that are closed now; the rows to write."""
    changes: Changes = {}
    for round_ in rounds:
        for number, vote in _votes_of(state.epoch, round_):
            known = state.newest.get(number)
            if number != state.config.me and (known is None or _order(known) < _order(vote)):
                state.newest[number] = vote
                row = safety.NewestRow(vote.kind, vote.epoch, vote.view, vote.hash, vote.signature)
                changes[safety.newest_key(number)] = encode(row)
    return changes


def _order(vote: Vote) -> tuple[int, int, int]:
    return vote.epoch, vote.view, vote.kind


def _votes_of(epoch: int, round_: Round) -> Iterator[tuple[int, Vote]]:
    """All votes of a view, whoever signed them: (number, vote)."""
    for kind, tally in round_.tallies.items():
        for number, (hash_, signature) in tally.items():
            yield number, Vote(kind, epoch, round_.view, hash_, signature, False)
    for certificate in round_.certificates.values():
        yield from _signed_under(certificate)


def _signed_under(certificate: Certificate) -> Iterator[tuple[int, Vote]]:
    kind, epoch, view, hash_ = (
        certificate.kind,
        certificate.epoch,
        certificate.view,
        certificate.hash,
    )
    for each in certificate.signatures:
        yield each.number, Vote(kind, epoch, view, hash_, each.signature, False)


# --- answering ---


def answer(state: State, number: int, question: Question) -> None:
    """Upon `Question`: say what is held signed by that peer, and where this node stands."""
    message = Answer(
        question.start,
        state.epoch,
        state.final_view,
        state.final.block.height,
        tuple(_headers(state, number))[:HEADERS_MAX],
        tuple(_proposals(state, number))[:PROPOSALS_MAX],
        tuple(_votes(state, number))[:VOTES_MAX],
        _cosignature(state, number),
    )
    state.emit(Send(number, message))


def _headers(state: State, number: int) -> Iterator[HeaderRow]:
    lane = state.lanes.get(number)
    if lane is None:
        return
    for hash_ in (lane.top.hash, *sorted(lane.off)):
        held = state.lanes.held.get(hash_)
        if held is not None:
            yield HeaderRow(held.header, held.batch.signature)
    if lane.top.hash not in state.lanes.held and lane.top.height:
        row = read_row(state.reader, HeaderRow, header_key(lane.top.hash))
        if row is not None:
            yield row
    for _, batch in state.lanes.orphans.values():
        if batch.header.lane == number:
            yield HeaderRow(batch.header, batch.signature)
            return


def _proposals(state: State, number: int) -> Iterator[Proposal]:
    for view in sorted(state.rounds, reverse=True):
        proposal = state.rounds[view].proposal
        if proposal is not None and state.leader(view) == number:
            yield proposal
    for message in state.peers[number].next_epoch:
        if isinstance(message, Proposal):
            yield message


def _votes(state: State, number: int) -> Iterator[Vote]:
    for message in state.peers[number].next_epoch:
        if isinstance(message, Vote):
            yield message
    if number in state.newest:
        yield state.newest[number]
    if state.finalization is not None:
        yield from _of(number, _signed_under(state.finalization.certificate))
    seen: set[tuple[int, int, int]] = set()
    for view in sorted(state.rounds, reverse=True):
        for vote in _of(number, _votes_of(state.epoch, state.rounds[view])):
            if _order(vote) not in seen:
                seen.add(_order(vote))
                yield vote
        for vote in _late(state.epoch, state.rounds[view], number):
            if _order(vote) not in seen:
                yield vote


def _late(epoch: int, round_: Round, number: int) -> Iterator[Vote]:
    """Not counted and not checked, but evidence beside what contradicts them."""
    for kind, tally in round_.tallies.items():
        if number in tally.late:
            hash_, signature = tally.late[number]
            yield Vote(kind, epoch, round_.view, hash_, signature, False)


def _of(number: int, votes: Iterator[tuple[int, Vote]]) -> Iterator[Vote]:
    return (vote for signer, vote in votes if signer == number)


def _cosignature(state: State, number: int) -> Cosignature | None:
    checkpoints = state.checkpoints
    for waiting in (checkpoints.unchecked, checkpoints.checked):
        for height in sorted(waiting, reverse=True):
            if number in waiting[height]:
                return waiting[height][number]
    row = checkpoints.row
    for each in row.cosignatures if row is not None else ():
        if row is not None and each.number == number:
            return Cosignature(row.height, row.size, row.root, each.time_s, each.signature, False)
    return None
