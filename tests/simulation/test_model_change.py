"""Another model in a simulated network: an idle one comes to its epoch's end, who joins later by
snapshot has all parameters, and a snapshot without the old ones is found out."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from ledger import snapshot
from ledger.batch import commitment
from ledger.bureau.model import FIRST_MODEL
from ledger.parameters import parameters_hash
from ledger.records.membership import MemberApprove
from ledger.records.model import ModelActivate
from ledger.rows import parameters_key
from ledger.store import MemoryStore
from tests.ledger.world import genesis_of
from tests.simulation.taking import Pinning
from tests.simulation.test_snapshot import Ahead, manifest_of

FIRST = genesis_of(4).foundation.parameters
OTHER = replace(FIRST_MODEL, id="other", half_life_days=400)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "CHUNK_BYTES", 2_048)


def models(market: Ahead) -> set[str]:
    """What the nodes that run have in force."""
    return {
        node.ledger.state.parameters.model.id
        for node in market.cluster.nodes.values()
        if isinstance(getattr(node, "ledger", None), Pinning)
    }


def agreed(market: Ahead) -> Ahead:
    """The model is asked for by one and approved by the two others that run, and nobody works."""
    world = market.world
    named = parameters_hash(market.genesis.foundation.parameters)
    asked = world.submit(ModelActivate(1, world.time, named, OTHER))
    market.seal(1, asked)
    for number in (2, 3):
        market.seal(number, MemberApprove(number, world.time, commitment(asked)))
    market.cluster.run_ms(6_000)
    return market


def test_an_idle_network_goes_on_to_the_epochs_end_for_an_approved_model() -> None:
    market = agreed(Ahead())
    assert models(market) == {"other"}
    height = market.cluster.nodes[1].ledger.head.height
    market.cluster.run_ms(6_000)
    assert market.cluster.nodes[1].ledger.head.height == height, "and is silent again"


def test_who_joins_by_snapshot_has_all_parameters() -> None:
    market = agreed(Ahead().busy(6)).busy(8)
    taking = market.take().start()
    assert taking.run() == "snapshot"
    market.end()
    joined = market.cluster.nodes[4]
    first = market.genesis.foundation.parameters
    for model in (FIRST_MODEL, OTHER):
        key = parameters_key(parameters_hash(replace(first, model=model)))
        assert joined.store.get(key) is not None
    assert models(market) == {"other"}


def no_parameters_in_force(rows: MemoryStore) -> None:
    parameters = replace(FIRST, model=OTHER)
    rows.write({parameters_key(parameters_hash(parameters)): None})


def no_first_parameters(rows: MemoryStore) -> None:
    rows.write({parameters_key(parameters_hash(FIRST)): None})


@pytest.mark.parametrize("forge", [no_parameters_in_force, no_first_parameters])
def test_givers_that_keep_parameters_back_are_found_out(
    forge: Callable[[MemoryStore], None],
) -> None:
    market = agreed(Ahead().busy(6)).busy(8)
    for number in (1, 2, 3):
        ledger = market.cluster.nodes[number].ledger
        assert isinstance(ledger, Pinning)
        for height, rows in ledger.pins.items():
            forge(rows)
            ledger.manifests[height] = manifest_of(rows, ledger.manifests[height])
    taking = market.take().start()
    result = taking.run(180_000)
    assert result.startswith("replay: "), result
    market.end()
    assert models(market) == {"other"}
