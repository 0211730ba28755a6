"""A node with a new store waits until it knows its own lane; one with an old store does not."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from ledger.store import MemoryStore
from node.joining import NEW_KEY, Joining


@dataclass
class Driver:
    """A network of four as this node, number 1, sees it."""

    heard_from: set[int] = field(default_factory=set)
    finals: dict[int, int] = field(default_factory=lambda: {2: 0, 3: 0, 4: 0})
    ledger: Any = field(default_factory=lambda: SimpleNamespace(height=0))
    ahead: dict[int, object] = field(default_factory=dict)

    @property
    def consensus(self) -> Any:
        return SimpleNamespace(
            config=SimpleNamespace(validators=range(4), me=1),
            peers={n: SimpleNamespace(final_height=h) for n, h in self.finals.items()},
            lanes=SimpleNamespace(lanes={1: SimpleNamespace(ahead=self.ahead)}),
        )


class Store(MemoryStore):
    def submit(self, changes: dict[bytes, bytes | None]) -> None:
        self.write(changes)


def _joining(driver: Driver, store: Store) -> Joining:
    return Joining(driver, store)  # type: ignore[arg-type]


def test_an_old_store_does_not_wait() -> None:
    assert _joining(Driver(), Store()).is_over()


def test_a_new_store_waits_for_a_quorum_the_final_blocks_and_the_own_lane() -> None:
    driver, store = Driver(), Store()
    store.write({NEW_KEY: b""})
    joining = _joining(driver, store)
    assert not joining.is_over()
    driver.heard_from = {2}
    assert not joining.is_over()
    driver.heard_from = {2, 3}
    driver.finals[3] = 7
    driver.ahead[2] = object()
    assert not joining.is_over()
    driver.ledger.height = 7
    assert not joining.is_over()
    driver.ahead.clear()
    assert joining.is_over()
    assert store.get(NEW_KEY) is None
    driver.heard_from.clear()
    assert joining.is_over()
    assert _joining(driver, store).is_over()


def test_a_restart_while_joining_goes_on_waiting() -> None:
    store = Store()
    store.write({NEW_KEY: b""})
    assert not _joining(Driver(), store).is_over()
    assert not _joining(Driver(), store).is_over()
