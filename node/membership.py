"""Following the sets: with whom to make links, when to say `member.ready`, which keys to show.

After every block, and every certified checkpoint:

- **Links** are made with the set of the next block; with the set before, until its last checkpoint
  is certified, and for `FORMER_S` longer, so that who leaves can still fetch that; with candidates,
  whose joining or new keys are approved: they may fetch and are sent what all are sent, and their
  votes count for nothing. A node far behind also trusts the set that its `node.epochs` leads to.
- **Ready.** Where this platform is such a candidate, and this node holds the keys and has caught
  up, it signs `member.ready` with them, over the newest executed checkpoint, once an epoch until
  the change binds. It goes into the own lane, or to a member in turn; if the ledger does not show
  it within `READY_AGAIN_S`, it is sent again.
- **Keys.** Consensus signs with whichever held keys the epoch's set names. Once that are the
  further ones, the links show the new certificate, checkpoints carry the new log key, and the old
  keys are destroyed (node/keyring.py). They may have come into force while this node was away, and
  nobody trusts the old certificate then: while no link stands, both are shown in turn.
- **The end.** When the set no longer names the platform, and the checkpoint of the epoch whose end
  says so is certified (consensus is in a later one), all signing keys are destroyed. A node that
  was away then is told by its former peers, with proof (node/links/farewell.py), or learns it from
  the file of epoch ends that it starts with, and does the same.

The log lines of the newest checkpoints are kept on disk before a log key is destroyed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Final

from consensus.effects import BatchResealed, BatchSealed, BatchVoid, Execute, Unsealed
from ledger.binding import Candidate
from ledger.epochs import Trusted
from ledger.errors import StandingError
from ledger.genesis import epoch_of
from ledger.position import Applied
from ledger.records import encode_record
from ledger.records.membership import MemberReady
from ledger.rows import CheckpointRow, ValidatorsRow, need_row, validators_key
from ledger.rules.signatures import record_message
from ledger.store import Changes
from node.driver import Driver
from node.intake import Intake, Offer, Result
from node.keyring import Held, Keyring
from node.links.peers import Peers
from node.links.tls import Guest, Party, certificate_key
from node.loglines import Writes
from node.platforms import Platforms
from node.relaying import Relay
from node.view import Notary

log = logging.getLogger(__name__)

FORMER_S: Final = 10.0
READY_AGAIN_S: Final = 1.0
LONELY_S: Final = 12.0
"""So long without a link, and the other certificate is shown."""
LONELY: Final = (
    "no link stands. If the other platforms' keys changed while this node was away, it cannot know "
    "theirs, and if this platform's membership has ended, nobody dials it: `standing node epochs "
    "NODE.toml --from URL` fetches the sets from any node, proven from genesis; then start again"
)

Submit = Callable[[Sequence[Offer]], Awaitable[list[Result]]]


class Membership:
    """One node's follower of the sets. It is a `Watcher` of the pump."""

    def __init__(
        self,
        *,
        driver: Driver,
        store: Writes,
        peers: Peers,
        keyring: Keyring,
        intake: Intake,
        relay: Relay,
        notary: Notary,
        platforms: Platforms,
        guests: Sequence[Guest],
        known: Trusted | None,
        wall_ms: Callable[[], int],
    ) -> None:
        self._driver, self._store, self._peers, self._keyring = driver, store, peers, keyring
        self._platforms, self._guests = platforms, tuple(guests)
        self._intake, self._relay, self._notary = intake, relay, notary
        self._known, self._wall_ms = known, wall_ms
        self._bounds = driver.ledger.foundation.bounds
        self._loop = asyncio.get_running_loop()
        self._former: dict[Party, float] = {}  # until when
        self._trusted: tuple[Party, ...] = ()
        self._looks = False
        self._timer: asyncio.TimerHandle | None = None
        self._saying: asyncio.Task[None] | None = None
        self._said = (b"", 0, 0.0)  # change, epoch, when
        self._lonely_s = self._loop.time()  # since when no link stands
        self._keeping = self._stopped = False

    def start(self) -> None:
        """Look once, at what the store says, and the file of epoch ends."""
        if self._known is not None and self._is_gone_by(self._known):
            self.dismissed(self._known.epoch - 1)
        self._look()

    def _is_gone_by(self, known: Trusted) -> bool:
        """Whether a newer set than the ledger's here names a platform no more that was a member."""
        number = self._keyring.number
        is_newer = known.epoch > self.since().epoch
        is_named = number in {each.number for each in known.validators}
        return is_newer and not is_named and number in self._platforms.codes

    def since(self) -> Trusted:
        """The newest set that this node has executed, to follow others' epoch ends from."""
        ledger = self._driver.ledger
        return Trusted(
            origin=ledger.foundation.origin,
            epoch_blocks=self._bounds.epoch_blocks,
            epoch=epoch_of(ledger.height + 1, self._bounds.epoch_blocks),
            validators=ledger.validators,
            height=ledger.height,
            size=ledger.size,
            root=ledger.log.root(),
            time=ledger.time,
        )

    def dismissed(self, epoch: int) -> None:
        """It is proven that the membership has ended with this epoch, while this node was away."""
        if self._keyring.observing is None and not self._keeping:
            log.warning("this platform's membership has ended while its node was away")
            self._keep_lines(partial(self._give_up, epoch))

    async def stop(self) -> None:
        """Look no more."""
        self._looks = self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._saying is not None:
            self._saying.cancel()
            await asyncio.gather(self._saying, return_exceptions=True)

    # --- the pump's news ---

    def sealed(self, effect: BatchSealed) -> None:
        """An own batch has its place."""

    def moved(self, effect: BatchVoid | BatchResealed | Unsealed) -> None:
        """An own batch has another."""

    def executed(self, block: Execute, applied: Applied) -> None:  # noqa: ARG002
        """A block was executed; its rows are in the store when the loop has its next turn."""
        self._soon()

    def certified(self, row: CheckpointRow) -> None:  # noqa: ARG002
        """A checkpoint has its quorum; with an epoch's last, the next epoch has begun."""
        self._soon()

    def _soon(self) -> None:
        if not self._looks:
            self._looks = True
            self._loop.call_soon(self._look_again)

    def _look_again(self) -> None:
        self._looks = False
        self._look()

    def _look(self) -> None:
        try:
            self._intake.go_on()
            self._take_further()
            self._take_leave()
            self._trust()
            self._be_ready()
            self._show_in_turn()
        except StandingError as error:
            self._driver.halt(f"the membership cannot be followed: {error}")

    def _later(self, seconds: float) -> None:
        """Look again after so long, or sooner if that was asked for before."""
        now_s = self._loop.time()
        if self._timer is not None:
            if now_s < self._timer.when() <= now_s + seconds:
                return
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._soon)

    # --- links ---

    def _trust(self) -> None:
        ledger = self._driver.ledger
        epoch = epoch_of(ledger.height + 1, self._bounds.epoch_blocks)
        certified = self._driver.consensus.checkpoints.certified
        first = min(epoch, epoch_of(certified + 1, self._bounds.epoch_blocks))
        trusted: list[Party] = [*ledger.validators, *(each.validator for each in ledger.candidates)]
        for before in range(first, epoch):
            trusted += need_row(self._store, ValidatorsRow, validators_key(before)).validators
        if self._known is not None and epoch < self._known.epoch:
            trusted += self._known.validators
        links = self._with_guests(self._with_former(dict.fromkeys(trusted)))
        self._peers.trust(links, self._platforms.former)

    def _with_guests(self, parties: list[Party]) -> list[Party]:
        """These, and the observers that this member lets follow, but who is trusted already. Each
        link key stands for whoever comes first: that of a join that is void may be another's by
        now, while the first one is trusted for a moment longer."""
        numbers = {each.number for each in parties}
        guests = [each for each in self._guests if each.number not in numbers]
        owners: dict[bytes, int] = {}
        return [
            each
            for each in (*parties, *guests)
            if owners.setdefault(certificate_key(each.certificate), each.number) == each.number
        ]

    def _with_former(self, current: dict[Party, None]) -> list[Party]:
        """These, and those who were trusted until a moment ago."""
        now_s = self._loop.time()
        for each in self._trusted:
            if each not in current:
                self._former.setdefault(each, now_s + FORMER_S)
        self._former = {
            each: until_s
            for each, until_s in self._former.items()
            if until_s > now_s and each not in current
        }
        self._trusted = (*current,)
        if self._former:
            self._later(max(0.1, min(self._former.values()) - now_s))
        return [*current, *self._former]

    # --- keys ---

    def _take_further(self) -> None:
        """Hold the keys of an own rotation once it is approved; show them once in force."""
        before, candidates = self._keyring.further, self._own_candidates()
        if candidates and not any(map(self._held_for, candidates)):
            found = self._keyring.look()
            if found is not None and (before is None or found.validator != before.validator):
                self._driver.hold(found.signers)
                log.info("holding the keys of an approved rotation")
        further, in_force = self._keyring.further, self._driver.keys
        if further is None or in_force is None or self._keeping:
            return
        if in_force.vote.public == further.validator.vote_key:
            self._keep_lines(partial(self._switch, further))

    def _keep_lines(self, then: Callable[[], None]) -> None:
        """Keep the log lines that only the key that goes can give; once on disk, do this."""
        self._keeping = True
        self._keep_some(self._notary.last_lines(), then)

    def _keep_some(self, turns: Iterator[Changes], then: Callable[[], None]) -> None:
        """One turn of it; the last one waits for the disk."""
        if self._stopped:
            return
        try:
            rows = next(turns, None)
        except StandingError as error:
            self._driver.halt(f"the log lines cannot be kept: {error}")
            return
        if rows is None:
            self._store.submit({}, partial(self._kept, then))
        else:
            self._store.submit(rows)
            self._loop.call_soon(self._keep_some, turns, then)

    def _kept(self, then: Callable[[], None]) -> None:
        self._keeping = False
        try:
            then()
        except OSError as error:
            self._driver.halt(f"keys cannot be destroyed: {error}")
        self._soon()

    def _switch(self, further: Held) -> None:
        self._notary.log_key = further.keys.log
        self._peers.become(further.validator, further.keys.link_seed)
        self._keyring.switch()
        self._driver.hold_only(further.signers)
        log.info("the new keys are in force; the old ones are destroyed")

    def _take_leave(self) -> None:
        """Destroy the keys of a membership that has ended, once that is certified. (A number is
        never given twice: who was a member and is none will not be one again.)"""
        number, consensus = self._keyring.number, self._driver.consensus
        members = {each.number for each in self._driver.ledger.validators}
        if (
            self._keyring.observing is None
            and not self._keeping
            and number not in members
            and number not in consensus.seats.by_number
            and number in self._platforms.codes
        ):
            self._keep_lines(partial(self._give_up, consensus.epoch - 1))

    def _give_up(self, epoch: int) -> None:
        self._keyring.give_up(self._wall_ms(), epoch)
        self._notary.log_key = None
        self._driver.hold_only(None)
        log.warning("%s", self._keyring.ended)

    def _show_in_turn(self) -> None:
        held, further, now_s = self._keyring.held, self._keyring.further, self._loop.time()
        if self._peers.linked():
            self._lonely_s = now_s
        elif now_s >= self._lonely_s + LONELY_S:
            self._lonely_s = now_s
            if held is None or further is None:
                log.warning(LONELY)
                return
            other = further if self._peers.shown == held.validator else held
            self._peers.become(other.validator, other.keys.link_seed)
            log.warning("no link stands: the other certificate is shown")
        self._later(LONELY_S)

    # --- ready ---

    def _own_candidates(self) -> list[Candidate]:
        """This platform's joining or rotations that are approved: of a rotation whose keys were
        lost meanwhile nobody is ever ready, and the next one must not wait for it."""
        number = self._keyring.number
        return [each for each in self._driver.ledger.candidates if each.number == number]

    def _held_for(self, candidate: Candidate) -> Held | None:
        for held in (self._keyring.held, self._keyring.further):
            if held is not None and held.validator == candidate.validator:
                return held
        return None

    def _be_ready(self) -> None:
        awaited = ((each, self._held_for(each)) for each in self._own_candidates())
        candidate, held = next(
            (each for each in awaited if each[1] is not None and not each[0].is_ready), (None, None)
        )
        if candidate is None or held is None:
            return
        self._later(READY_AGAIN_S)
        ledger = self._driver.ledger
        epoch = epoch_of(ledger.height + 1, self._bounds.epoch_blocks)
        change, said, when_s = self._said
        is_recent = self._loop.time() < when_s + READY_AGAIN_S
        if (change, said) == (candidate.change, epoch) and is_recent:
            return
        if not (self._driver.may_seal() or self._driver.follows()):
            return
        if self._saying is not None and not self._saying.done():
            return
        self._said = candidate.change, epoch, self._loop.time()
        self._saying = self._loop.create_task(self._say(self._ready(candidate, held, epoch)))

    def _ready(self, candidate: Candidate, held: Held, epoch: int) -> Offer:
        ledger, own = self._driver.ledger, held.validator
        record = MemberReady(
            own.number,
            min(self._wall_ms(), ledger.time),
            candidate.change,
            epoch,
            ledger.size,
            ledger.log.root(),
            own.vote_key,
            own.lane_key,
        )
        data = encode_record(record)
        message = record_message(ledger.chain, data)
        return Offer(data, held.keys.vote.sign(message) + held.keys.lane.sign(message))

    async def _say(self, offer: Offer) -> None:
        if self._driver.may_seal():
            (result,) = await self._intake.submit([offer])
            log.info("member.ready: %s", result)
        elif not self._relay.send(offer, members_linked(self._driver, self._peers)):
            log.info("member.ready waits: no link to a member stands")


def members_linked(driver: Driver, peers: Peers) -> list[int]:
    """The members of the next block's set whose links stand."""
    members = {each.number for each in driver.ledger.validators}
    return [number for number in peers.linked() if number in members]
