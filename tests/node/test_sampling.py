"""Where processor time goes: which room a module works in, and what is counted for it."""

import time

import pytest
from prometheus_client import CollectorRegistry

from ledger.patricia import Tree
from node.sampling import METRIC, ROOMS, VARIABLE, Sampler, room_of, sampler_of


@pytest.mark.parametrize(
    ("module", "room"),
    [
        ("ledger.patricia", "index"),
        ("ledger.execution", "execution"),
        ("ledger.rules.erasure", "checks"),
        ("ledger.merkle", None),
        ("ledger.bureau.score", None),
        ("consensus.simplex", "consensus"),
        ("consensus.gate", "checks"),
        ("node.storage.sealing", "store"),
        ("node.api.records", "intake"),
        ("node.links.wire", "links"),
        ("node.eraser", "other"),
        ("aiohttp.web_protocol", "intake"),
        ("aiohttp.web_ws", "links"),
        ("aiohttp._websocket.writer", "links"),
        ("msgspec", None),
        ("", None),
    ],
)
def test_each_module_works_in_a_room_or_for_its_caller(module, room):
    assert room_of(module) == room


def counted(registry, room):
    return registry.get_sample_value(f"{METRIC}_total", {"room": room}) or 0.0


def test_what_a_thread_uses_counts_for_the_room_that_it_works_in():
    registry = CollectorRegistry()
    sampler = Sampler(registry, 2)
    leaves = b"".join(n.to_bytes(4) * 16 for n in range(1, 4_000))
    deadline = time.monotonic() + 60
    sampler.start()
    try:
        while counted(registry, "index") < 0.2:  # this thread works in the room of the index
            assert time.monotonic() < deadline, "nothing was counted"
            Tree().plant_leaves(bytearray(leaves))
    finally:
        sampler.stop()
    others = ("intake", "consensus", "checks", "store")
    assert counted(registry, "index") > sum(counted(registry, room) for room in others)
    assert all(counted(registry, room) >= 0 for room in ROOMS)


@pytest.mark.parametrize("value", ["", "0", "-1", "1001", "x", "1.5"])
def test_nobody_looks_unless_asked_to(monkeypatch, value):
    monkeypatch.setenv(VARIABLE, value)
    assert sampler_of(CollectorRegistry()) is None


def test_the_environment_asks(monkeypatch):
    monkeypatch.setenv(VARIABLE, "5")
    assert sampler_of(CollectorRegistry()) is not None
