"""Votes of a view: signing own ones, counting all, forming certificates, entering the next view.

Upon a proposal of the view's leader: store it. A second one of the same view is evidence. Upon a
vote: check its signature once, count it; q equal votes are a certificate. Upon a certificate,
formed or received: store it; a notarization, nullification or finalization of view v ≥ the current
one opens view v + 1. Each view that is nullified doubles the time that the next one is given, each
final block halves it again, within the bounds of `Timing`. Upon a notarization of a view that this
node has not nullified: it votes finalize. Every own vote stands behind the `Persist` of its row.

Two notarizes, or finalize and nullify, of one validator in a view are evidence, whichever way they
came: as votes that count, under a certificate, or too late to count (those are checked only once
something contradicts them).

Before its first vote or proposal a node whose lane is empty seals an empty batch: so whoever has
voted has a lane, and a lost store is known by a batch, which outlives all restarts of others.
"""

from collections.abc import Iterator

from consensus import evidence, safety, silence
from consensus.certificate import (
    FINALIZE,
    NOTARIZE,
    NULLIFY,
    PROPOSE,
    Certificate,
    check_certificate,
    statement_message,
)
from consensus.effects import Broadcast
from consensus.gate import keep_evidence, seal
from consensus.messages import CertificateMessage, Proposal, Vote
from consensus.silence import may_seal, may_sign
from consensus.state import Round, State
from consensus.votes import Counted
from ledger.block import Block, block_hash
from ledger.encoding import encode
from ledger.errors import InvalidInput
from ledger.hashing import ZERO_HASH

# --- signing ---


def sign_vote(state: State, round_: Round, kind: int, hash_: bytes) -> None:
    """Make, store, send and count an own vote; the rules of `safety` have been asked."""
    config, keys = state.config, state.keys
    assert keys is not None, "a member votes"
    begin_lane(state)
    message = statement_message(config.chain, kind, state.epoch, round_.view, hash_)
    signature = keys.vote.sign(message)
    vote = round_.own[kind] = Vote(kind, state.epoch, round_.view, hash_, signature, False)
    key = safety.vote_key(state.epoch, round_.view, kind)
    keep_row(state, round_.view, key, encode(safety.VoteRow(hash_, signature)))
    state.emit(Broadcast(vote))
    count_vote(state, config.me, vote)


def begin_lane(state: State) -> None:
    """Seal an empty batch, if the own lane has none yet (and is not about to end)."""
    if may_seal(state) and not state.lanes.lanes[state.config.me].top.height:
        seal(state, ())


def sign_proposal(state: State, block: Block) -> None:
    """Store and send an own proposal."""
    config, keys = state.config, state.keys
    assert keys is not None, "a member proposes"
    begin_lane(state)
    hash_ = block_hash(config.chain, block)
    message = statement_message(config.chain, PROPOSE, state.epoch, block.view, hash_)
    proposal = Proposal(block, keys.vote.sign(message), False)
    keep_proposal(state, state.round(block.view), proposal, hash_)
    state.emit(Broadcast(proposal))


def keep_row(state: State, view: int, key: bytes, value: bytes) -> None:
    """Persist a row of this epoch's view; it goes when a block is final at or above the view."""
    state.rows.setdefault(view, []).append(key)
    state.persist({key: value})


# --- proposals ---


def receive_proposal(state: State, peer: int, proposal: Proposal) -> None:
    """Upon a proposal of this epoch, of a view above the last final one and within bounds."""
    config, block = state.config, proposal.block
    if state.leader(block.view) != peer:
        state.refuse(peer, "proposal_leader")
        return
    round_ = state.round(block.view)
    hash_ = block_hash(config.chain, block)
    if hash_ in round_.hashes and hash_ == round_.hash:
        return
    message = statement_message(config.chain, PROPOSE, block.epoch, block.view, hash_)
    key = state.seats.by_number[peer].vote_key
    if not config.verify(key, message, proposal.signature):
        state.refuse(peer, "proposal_signature")
        return
    if round_.proposal is None:
        keep_proposal(state, round_, proposal, hash_)
        return
    _accuse_leader(state, round_, peer, hash_, proposal.signature)
    keep_block(state, block, hash_)


def keep_proposal(state: State, round_: Round, proposal: Proposal, hash_: bytes) -> None:
    """Store the first proposal of a view."""
    round_.proposal, round_.hash = proposal, hash_
    state.waits.proposed_at = state.now.steady_ms
    keep_block(state, proposal.block, hash_)
    row = encode(safety.ProposalRow(proposal.block, proposal.signature))
    keep_row(state, round_.view, safety.proposal_key(state.epoch, round_.view, hash_), row)


def keep_block(state: State, block: Block, hash_: bytes) -> None:
    """Remember a block of this epoch, within the bound of blocks per view."""
    if hash_ in state.blocks or block.view <= state.final_view:
        return
    round_ = state.round(block.view)
    if len(round_.hashes) >= state.config.limits.blocks_per_view_max and (
        hash_ != round_.notarized
    ):
        return
    round_.hashes.append(hash_)
    state.blocks[hash_] = block


def _accuse_leader(state: State, round_: Round, peer: int, hash_: bytes, signature: bytes) -> None:
    assert round_.proposal is not None, "a conflict needs a first proposal"
    assert round_.hash is not None, "a proposal has its hash"
    pairs = sorted([(round_.hash, round_.proposal.signature), (hash_, signature)])
    parts = [
        evidence.part((state.epoch, round_.view, each), signature_) for each, signature_ in pairs
    ]
    found = evidence.Evidence(
        evidence.TWO_PROPOSALS, peer, state.epoch, round_.view, parts[0], parts[1]
    )
    keep_evidence(state, found)


# --- counting ---


def receive_vote(state: State, peer: int, vote: Vote) -> None:
    """Upon a vote of this epoch, of a view above the last final one and within bounds."""
    round_ = state.round(vote.view)
    if vote.kind == NULLIFY and vote.hash != ZERO_HASH:
        state.refuse(peer, "vote_hash")
        return
    counted = round_.tallies[vote.kind].look(peer, vote.hash)
    if counted is Counted.KNOWN:
        return
    certificate = round_.certificates.get(vote.kind)
    if counted is Counted.ADDED and certificate is not None and certificate.hash == vote.hash:
        late = round_.tallies[vote.kind].late.setdefault(peer, (vote.hash, vote.signature))
        if late[1] == vote.signature and not any(_contradictions(round_, peer, vote)):
            return  # another signature of the same is looked at: the first may be worth nothing
    message = statement_message(state.config.chain, vote.kind, vote.epoch, vote.view, vote.hash)
    key = state.seats.by_number[peer].vote_key
    if not state.config.verify(key, message, vote.signature):
        state.refuse(peer, "vote_signature")
        return
    count_vote(state, peer, vote)


def count_vote(state: State, number: int, vote: Vote) -> None:
    """Count a vote whose signature holds; form the certificate that it completes."""
    round_ = state.round(vote.view)
    counted = round_.tallies[vote.kind].add(number, vote.hash, vote.signature)
    _accuse_voter(state, round_, number, vote)
    if counted is Counted.ADDED:
        _complete(state, round_, vote)


def count_own(state: State) -> None:
    """Upon a start: one's own vote may be a quorum (q = 1) whose certificate was not stored."""
    for round_ in list(state.rounds.values()):
        for vote in round_.own.values():
            _complete(state, round_, vote)


def _complete(state: State, round_: Round, vote: Vote) -> None:
    """Form the certificate of what a vote says, if q have said so."""
    tally, quorum = round_.tallies[vote.kind], state.seats.quorum
    if vote.kind not in round_.certificates and tally.count(vote.hash) >= quorum:
        signatures = tally.signatures(vote.hash, quorum)
        add_certificate(state, Certificate(vote.kind, vote.epoch, vote.view, vote.hash, signatures))


OPPOSITE = {NOTARIZE: NOTARIZE, FINALIZE: NULLIFY, NULLIFY: FINALIZE}
"""Of which kind is what must not be signed beside a vote, in one view."""


def _contradictions(round_: Round, number: int, vote: Vote) -> Iterator[tuple[bytes, bytes]]:
    """What a validator has signed against a vote of its own, (hash, signature): notarizes of other
    blocks, nullify beside finalize. Counted, under a certificate, or late and not yet checked."""
    kind = OPPOSITE[vote.kind]
    tally, certificate = round_.tallies[kind], round_.certificates.get(kind)
    found = [tally.vote_of(number), tally.late.get(number)]
    if certificate is not None:
        signed = {each.number: each.signature for each in certificate.signatures}
        if number in signed:
            found.insert(1, (certificate.hash, signed[number]))
    for each in found:
        if each is not None and (kind != vote.kind or each[0] != vote.hash):
            yield each


def _accuse_voter(state: State, round_: Round, number: int, vote: Vote) -> None:
    """Upon a vote whose signature holds: keep it beside one that it contradicts."""
    for hash_, signature in _contradictions(round_, number, vote):
        kind = OPPOSITE[vote.kind]
        message = statement_message(state.config.chain, kind, vote.epoch, vote.view, hash_)
        key = state.seats.by_number[number].vote_key
        if not state.config.verify(key, message, signature):
            continue  # a late one that nobody had checked
        other = evidence.part((vote.epoch, vote.view, hash_), signature)
        this = evidence.part((vote.epoch, vote.view, vote.hash), vote.signature)
        if vote.kind == NOTARIZE:
            found, parts = evidence.TWO_NOTARIZES, sorted([other, this])
        else:
            found = evidence.FINALIZE_AND_NULLIFY
            parts = [this, other] if vote.kind == FINALIZE else [other, this]
        keep_evidence(
            state, evidence.Evidence(found, number, vote.epoch, vote.view, parts[0], parts[1])
        )
        return


# --- certificates ---


def receive_certificate(state: State, peer: int, message: CertificateMessage) -> None:
    """Upon a certificate of this epoch above the last final view, with or without its block."""
    certificate, block = message.certificate, message.block
    round_ = state.rounds.get(certificate.view)
    known = round_.certificates.get(certificate.kind) if round_ is not None else None
    if known is None or known.hash != certificate.hash:
        try:
            check_certificate(state.config.chain, state.seats, state.config.verify, certificate)
        except InvalidInput:
            state.refuse(peer, "certificate")
            return
        silence.look(state, peer, certificate)
        _accuse_signers(state, certificate)
        if known is not None:
            return  # more than f have signed both; what is followed stays followed
        add_certificate(state, certificate)
        state.fetched_view(peer, certificate.view)
    round_ = state.round(certificate.view)
    if block is None or block.view != certificate.view or block.epoch != state.epoch:
        return
    hash_ = block_hash(state.config.chain, block)
    if hash_ == round_.notarized:
        keep_certified_block(state, block, hash_)


def _accuse_signers(state: State, certificate: Certificate) -> None:
    """Upon a certificate that holds: who signed it may have told this node something else."""
    round_ = state.round(certificate.view)
    for each in certificate.signatures:
        kind, view, hash_ = certificate.kind, certificate.view, certificate.hash
        vote = Vote(kind, certificate.epoch, view, hash_, each.signature, False)
        _accuse_voter(state, round_, each.number, vote)


def keep_certified_block(state: State, block: Block, hash_: bytes) -> None:
    """Remember and store a block that q validators signed."""
    if hash_ in state.blocks:
        return
    keep_block(state, block, hash_)
    row = encode(safety.ProposalRow(block, safety.UNSIGNED))
    keep_row(state, block.view, safety.proposal_key(state.epoch, block.view, hash_), row)


def add_certificate(state: State, certificate: Certificate) -> None:
    """Store a certificate that holds, and follow it into the next view."""
    view, kind = certificate.view, certificate.kind
    state.round(view).certificates[kind] = certificate
    key = safety.certificate_key(state.epoch, view, kind)
    keep_row(state, view, key, encode(certificate))
    if view < state.view:
        return
    if kind == NULLIFY:
        waits, timing = state.waits, state.config.timing
        waits.view_timeout_ms = min(2 * waits.view_timeout_ms, timing.view_timeout_max_ms)
    state.view = view + 1
    state.waits.entered_at = state.now.steady_ms
    state.waits.view_waited = 0


def vote_finalize(state: State) -> bool:
    """Finalize every notarized view that the rules allow; True if a vote was signed."""
    voted = False
    if not may_sign(state):
        return voted
    for view in sorted(state.rounds):
        round_ = state.rounds[view]
        hash_ = round_.notarized
        if hash_ is None or FINALIZE in round_.certificates or not safety.may_finalize(round_):
            continue
        sign_vote(state, round_, FINALIZE, hash_)
        voted = True
    return voted
