"""Telling the ledger what was found: once, in turns, never of oneself, never by an observer."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from ledger.governance_rows import ACCUSED, slot_name
from ledger.records import decode_record
from ledger.records.evidence import Evidence as EvidenceRecord
from ledger.statements import TWO_NOTARIZES, Evidence
from ledger.store import MemoryStore
from node import accusing
from node.accusing import Accuser
from node.intake import Accepted, Busy, Offer, Result


class Around:
    """What an accuser of platform 1 of four sees; `told` are the records that it hands in."""

    def __init__(self, *found: Evidence) -> None:
        self.store, self.told, self.busy, self.signs = (
            MemoryStore(),
            list[EvidenceRecord](),
            0,
            True,
        )
        self.halted: list[str] = []
        validators = [SimpleNamespace(number=number) for number in (1, 2, 3, 4)]
        driver: Any = SimpleNamespace(
            consensus=SimpleNamespace(evidence=dict(enumerate(found))),
            ledger=SimpleNamespace(validators=validators),
            may_seal=lambda: self.signs,
            halt=self.halted.append,
        )
        self.accuser = Accuser(driver, self.store, 1, self.submit)

    async def submit(self, offers: Sequence[Offer]) -> list[Result]:
        if self.busy:
            self.busy -= 1
            return [Busy(1)]
        (offer,) = offers
        record = decode_record(offer.record)
        assert isinstance(record, EvidenceRecord)
        assert offer.signatures == b""
        self.told.append(record)
        return [Accepted(bytes(32))]

    async def until_told(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.told) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.002)


def found(number: int, slot: int) -> Evidence:
    return Evidence(TWO_NOTARIZES, number, 1, slot, bytes(80), b"\x01" * 80)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accusing, "LOOK_S", 0.002)
    monkeypatch.setattr(accusing, "TURN_S", 0.01)


async def _look_on(around: Around, looks: int = 20) -> None:
    """Let it look so often (it does each 2 ms)."""
    for _ in range(looks):
        await asyncio.sleep(0.003)


async def test_evidence_is_told_once_and_in_full() -> None:
    around = Around(found(4, 8))
    around.accuser.start()
    await around.until_told(1)
    await _look_on(around)
    await around.accuser.stop()
    (record,) = around.told
    assert (record.platform, record.kind, record.number) == (1, TWO_NOTARIZES, 4)
    assert (record.epoch, record.slot) == (1, 8)
    assert (record.first, record.second) == (bytes(80), b"\x01" * 80)
    assert around.halted == []


async def test_it_is_told_again_where_the_intake_was_busy() -> None:
    around = Around(found(4, 8))
    around.busy = 3
    around.accuser.start()
    await around.until_told(1)
    await around.accuser.stop()
    assert around.busy == 0


async def test_what_the_ledger_knows_is_not_told_again() -> None:
    around = Around(found(4, 8), found(3, 8))
    around.store.write({ACCUSED + slot_name(4, TWO_NOTARIZES, 1, 8): b"row"})
    around.accuser.start()
    await around.until_told(1)
    await _look_on(around)
    await around.accuser.stop()
    assert [record.number for record in around.told] == [3]


async def test_nobody_tells_of_itself_and_an_observer_tells_nothing() -> None:
    around = Around(found(1, 8))
    around.accuser.start()
    await _look_on(around)
    await around.accuser.stop()
    watching = Around(found(4, 8))
    watching.signs = False
    watching.accuser.start()
    await _look_on(watching)
    assert (around.told, watching.told) == ([], [])
    watching.signs = True  # it is a member now
    await watching.until_told(1)
    await watching.accuser.stop()


@pytest.mark.parametrize("slot", range(4))
def test_whose_turn_is_first_goes_round_with_the_slot(slot: int) -> None:
    turns = []
    for number in (1, 2, 3, 4):
        around = Around()
        around.accuser._number = number
        turns.append(around.accuser._turn(found(9, slot)))
    assert sorted(turns) == [0, 1, 2, 3]
    assert turns[(4 - slot) % 4] == 0
