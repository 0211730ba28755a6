"""Checkpoints: cosigning every executed block, collecting q cosignatures, certified rows.

Upon `Executed`: cosign the checkpoint (size, root) after the block, store it (`Ks`), send it to
all; blocks that are known to be certified already (catching up) are not cosigned again, and a
silent node (consensus.silence) cosigns when its silence ends. Upon a cosignature: once the block is
executed here, compare, check the signature, count. q equal ones are a certified checkpoint: row
`C`, exactly q of them, ascending by number. Heights only rise: a checkpoint above makes those below
it that are not complete unnecessary.

    signed = `cosignature/v1\\ntime <s>\\n` ‖ checkpoint text, by the cosigner key

If f + 1 validators cosign another root or size after a block than execution found here, the node
halts: either its execution or f + 1 others are wrong, and going on would certify it. Two roots of
one platform for a size are evidence, whether each came by itself, before or after the block was
executed, or under a certified checkpoint, this node's or one that a peer shows.
"""

from collections.abc import Iterator

from consensus import evidence, safety
from consensus.certificate import Seats
from consensus.effects import Broadcast, Certified, Halt
from consensus.epochs import epoch_at
from consensus.gate import keep_evidence
from consensus.messages import Cosignature
from consensus.silence import may_sign
from consensus.state import State
from ledger.checkpoint import Checkpoint, cosignature_message
from ledger.encoding import encode
from ledger.rows import CheckpointRow, CosignatureRow, read_row
from ledger.store import CHECKPOINT


def executed(state: State, height: int, size: int, root: bytes) -> None:
    """Upon the result of a block's execution."""
    checkpoints = state.checkpoints
    checkpoints.results[height] = (size, root)
    rows = [row for row in checkpoints.ahead.values() if row.height == height]
    for row in rows:
        take_row(state, None, row)
    if height > checkpoints.certified:
        if may_sign(state):
            _cosign(state, height, size, root)
        for number, each in checkpoints.unchecked.pop(height, {}).items():
            receive(state, number, each)
    _forget(state)


def cosign_all(state: State) -> None:
    """Upon the end of silence: cosign what was executed meanwhile and is not certified."""
    checkpoints = state.checkpoints
    for height in sorted(checkpoints.results):
        if height > checkpoints.certified and height not in checkpoints.own:
            _cosign(state, height, *checkpoints.results[height])


def _cosign(state: State, height: int, size: int, root: bytes) -> None:
    config, keys = state.config, state.keys
    assert keys is not None, "a member cosigns"
    time_s = max(0, state.now.wall_ms // 1_000)
    message = cosignature_message(time_s, Checkpoint(config.origin, size, root).text())
    signature = keys.cosigner.sign(message)
    own = Cosignature(height, size, root, time_s, signature, False)
    state.checkpoints.own[height] = own
    row = safety.CosignedRow(size, root, time_s, signature)
    state.persist({safety.cosigned_key(height): encode(row)})
    state.emit(Broadcast(own))
    count(state, config.me, own)


def receive(state: State, number: int, cosignature: Cosignature) -> None:
    """Upon a cosignature above the last certified height (the caller answers the others)."""
    checkpoints, height = state.checkpoints, cosignature.height
    if height <= checkpoints.certified:
        return
    if height not in checkpoints.results:
        if height <= state.executed_height + state.config.limits.uncertified_heights_max:
            _keep_unchecked(state, number, cosignature)
        return
    known = checkpoints.checked.get(height, {}).get(number)
    if known is not None and (known.size, known.root) == (cosignature.size, cosignature.root):
        return
    if not _holds(state, number, cosignature):
        state.refuse(number, "cosignature")
    elif known is not None:
        _accuse(state, number, known, cosignature)
    else:
        count(state, number, cosignature)


def _keep_unchecked(state: State, number: int, cosignature: Cosignature) -> None:
    """Keep one of a block that is not executed here; it is checked then, or once it is contradicted
    (so that a liar's second root does not take the place of its first unseen)."""
    waiting = state.checkpoints.unchecked.setdefault(cosignature.height, {})
    known = waiting.get(number)
    is_other = known is not None and known.root != cosignature.root
    if known is not None and is_other and _seats(state, cosignature.height) is not None:
        if not _holds(state, number, cosignature):
            state.refuse(number, "cosignature")
            return
        if _holds(state, number, known):
            _accuse(state, number, known, cosignature)
            return
    waiting[number] = cosignature


def _seats(state: State, height: int) -> Seats | None:
    return state.sets.of(epoch_at(state.config, height))


def _holds(state: State, number: int, cosignature: Cosignature) -> bool:
    """Whether a member of the height's epoch has signed it."""
    config, seats = state.config, _seats(state, cosignature.height)
    seat = seats.by_number.get(number) if seats is not None else None
    text = Checkpoint(config.origin, cosignature.size, cosignature.root).text()
    message = cosignature_message(cosignature.time_s, text)
    return seat is not None and config.verify(seat.cosigner_key, message, cosignature.signature)


def compare(state: State, number: int, cosignature: Cosignature) -> None:
    """Upon a cosignature of a height that is certified here: one of another root, by a platform
    that stands under the certified one, is evidence. Only near the newest height: so bounded."""
    row = _near(state, cosignature.height)
    if row is None or (row.size, row.root) == (cosignature.size, cosignature.root):
        return
    if not _holds(state, number, cosignature):
        state.refuse(number, "cosignature")
        return
    for known in _under(row):
        if known[0] == number:
            _accuse(state, number, known[1], cosignature)


def _compare_row(state: State, peer: int, row: CheckpointRow) -> None:
    """`compare` for a whole checkpoint that a peer shows: who stands under both is accused."""
    own = _near(state, row.height)
    if own is None or own.size != row.size or own.root == row.root:
        return
    known = dict(_under(own))
    for number, each in _under(row):
        if number in known and not _holds(state, number, each):
            state.refuse(peer, "checkpoint")
            return
        if number in known:
            _accuse(state, number, known[number], each)


def _near(state: State, height: int) -> CheckpointRow | None:
    """The certified checkpoint of a height, if that is no further back than what may lack one."""
    if height + state.config.limits.uncertified_heights_max < state.checkpoints.certified:
        return None
    return stored_checkpoint(state, height)


def _under(row: CheckpointRow) -> Iterator[tuple[int, Cosignature]]:
    """The cosignatures of a checkpoint, each with its platform's number."""
    for each in row.cosignatures:
        yield (
            each.number,
            Cosignature(row.height, row.size, row.root, each.time_s, each.signature, False),
        )


def stored_checkpoint(state: State, height: int) -> CheckpointRow | None:
    """The row of a certified checkpoint."""
    if state.checkpoints.row is not None and state.checkpoints.row.height == height:
        return state.checkpoints.row
    return read_row(state.reader, CheckpointRow, CHECKPOINT + height.to_bytes(8))


def count(state: State, number: int, cosignature: Cosignature) -> None:
    """Count a cosignature that holds; certify or halt when there are enough."""
    height = cosignature.height
    checked = state.checkpoints.checked.setdefault(height, {})
    checked[number] = cosignature
    size, root = state.checkpoints.results[height]
    seats = state.sets.need(epoch_at(state.config, height))
    equal = {n: each for n, each in checked.items() if (each.size, each.root) == (size, root)}
    if len(checked) - len(equal) >= seats.witnesses:
        _halt(state, height, size, root)
    elif len(equal) >= seats.quorum:
        numbers = sorted(equal)[: seats.quorum]
        signed = tuple(CosignatureRow(n, equal[n].time_s, equal[n].signature) for n in numbers)
        _certify(state, CheckpointRow(height, size, root, signed))


def take_row(state: State, peer: int | None, row: CheckpointRow) -> None:
    """Upon q cosignatures from a peer, or from those kept until execution reached them."""
    checkpoints, height = state.checkpoints, row.height
    if height <= checkpoints.certified:
        if peer is not None:
            _compare_row(state, peer, row)
        return
    result = checkpoints.results.get(height)
    if result is None:
        if peer is not None and height <= state.final.block.height:
            highest = max(checkpoints.ahead.get(peer, row), row, key=lambda each: each.height)
            checkpoints.ahead[peer] = highest
        return
    config = state.config
    seats = state.sets.need(epoch_at(config, height))
    if not row_holds(state, seats, row):
        if peer is not None:
            state.refuse(peer, "checkpoint")
    elif result != (row.size, row.root):
        _halt(state, height, *result)
    else:
        _certify(state, row)


def row_holds(state: State, seats: Seats, row: CheckpointRow) -> bool:
    """Whether the row has exactly q valid cosignatures of distinct validators, ascending."""
    numbers = [each.number for each in row.cosignatures]
    if len(numbers) != seats.quorum or numbers != sorted(set(numbers)):
        return False
    text = Checkpoint(state.config.origin, row.size, row.root).text()
    return all(
        each.number in seats.by_number
        and state.config.verify(
            seats.by_number[each.number].cosigner_key,
            cosignature_message(each.time_s, text),
            each.signature,
        )
        for each in row.cosignatures
    )


def _certify(state: State, row: CheckpointRow) -> None:
    if row.height <= state.checkpoints.certified:
        return
    state.persist({CHECKPOINT + row.height.to_bytes(8): encode(row)})
    state.checkpoints.certified, state.checkpoints.row = row.height, row
    state.emit(Certified(row))
    _forget(state)


def _forget(state: State) -> None:
    """Drop what stands at or below the last certified height."""
    checkpoints = state.checkpoints
    floor = checkpoints.certified
    stale = [height for height in checkpoints.own if height <= floor]
    if stale:
        state.persist({safety.cosigned_key(height): None for height in stale})
    for heights in (checkpoints.own, checkpoints.unchecked, checkpoints.checked):
        for height in [height for height in heights if height <= floor]:
            del heights[height]
    for height in [height for height in checkpoints.results if height < floor]:
        del checkpoints.results[height]
    for peer in [peer for peer, row in checkpoints.ahead.items() if row.height <= floor]:
        del checkpoints.ahead[peer]


def _accuse(state: State, number: int, one: Cosignature, other: Cosignature) -> None:
    if one.size != other.size:
        return
    first, second = sorted(
        evidence.part((each.size, each.root, each.time_s), each.signature) for each in (one, other)
    )
    found = evidence.Evidence(evidence.TWO_ROOTS, number, 0, one.size, first, second)
    keep_evidence(state, found)


def _halt(state: State, height: int, size: int, root: bytes) -> None:
    state.halted = True
    state.emit(
        Halt(
            f"enough validators cosigned another result for block {height} than this node's "
            f"size {size}, root {root.hex()}: compare the entries of the block with a peer's"
        )
    )
