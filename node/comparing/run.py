"""One comparison from its beginning to its figures."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ledger.bureau.model import Model
from ledger.errors import StandingError
from ledger.genesis import Genesis
from ledger.parameters import Parameters, parameters_hash
from ledger.source import Source
from ledger.store import Reader
from node.api.changes import moves_of
from node.api.json_records import value_to_json
from node.audit.spill import store_for
from node.comparing.outcomes import Outcomes, Predicted, calibration
from node.comparing.subjects import Compared, compared, drawn, most_moved, moves
from node.comparing.twins import Twins

GROUPS_MAX: Final = 64
"""Groups that are shown for each kind, the largest ones."""
KINDS: Final = ("platform", "role", "format", "domain")

Progress = Callable[[str, int, int], None]
"""(what is done, how much of it, of how much)."""


class Ledger(Protocol):
    """A ledger with its openings: `node.audit.folder.FolderLedger` or a running node's."""

    @property
    def source(self) -> Source:
        """Its blocks and batches."""
        ...

    @property
    def stored(self) -> Reader | None:
        """Where its openings are held, if it is a folder."""
        ...

    def genesis(self) -> Genesis:
        """Its genesis."""
        ...

    def size(self) -> int:
        """How many entries its log has; 0: nobody knows."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared: a model, over at most so many outcomes and subjects, drawn by a seed."""

    model: Model
    events_max: int
    subjects_max: int
    seed: int


def compare(
    ledger: Ledger,
    plan: Plan,
    in_force: Parameters,
    *,
    on_progress: Progress = lambda _what, _done, _total: None,
) -> dict[str, Any]:
    """How many move, by how much, who crosses the thin line, and calibration, as JSON shows it.

    `in_force`: the parameters that are in force at the ledger's end.

    Raises:
        StandingError: the ledger cannot be read, is not right, or has other parameters in force.
    """
    genesis, size = ledger.genesis(), ledger.size()
    with ExitStack() as stack:
        stores = [store_for(size) for _ in range(2)]
        for store in stores:
            stack.callback(store.close)
        twins = Twins(
            genesis,
            ledger.source,
            plan.model,
            rows=stores[0],
            other_rows=stores[1],
            stored=ledger.stored,
        )
        outcomes = Outcomes(twins, in_force, plan.events_max, plan.seed)
        time_ms = genesis.foundation.created
        for block in twins.blocks():
            outcomes.note(block)
            time_ms = block.applied.seal.time
            on_progress("replay", block.size, size)
        if twins.now != in_force:
            raise StandingError("another model has come into force meanwhile: compare again")
        total, names = drawn(stores[0], plan.subjects_max, plan.seed)
        found: list[Compared] = []
        for done, each in enumerate(compared(twins, names, time_ms), 1):
            if each is not None:
                found.append(each)
            on_progress("score", done, len(names))
        codes = {each.number: each.code for each in twins.replay.state.validators}
        return {
            **_what(twins, time_ms),
            "seed": plan.seed,
            "subjects": {"of": total, "drawn": len(names), "compared": len(found)},
            "outcomes": {"of": outcomes.total, "predicted": len(outcomes.predicted)},
            **_figures(found, outcomes.predicted),
            "most_moved": most_moved(found, "on_the_day"),
            "by": _groups(found, outcomes.predicted, codes),
        }


def _what(twins: Twins, time_ms: int) -> dict[str, Any]:
    before, after = twins.now, twins.proposed
    return {
        "chain": twins.replay.state.chain.hex(),
        "height": twins.place.height,
        "size": twins.place.size,
        "time": time_ms,
        "before": {"id": before.model.id, "parameters": parameters_hash(before).hex()},
        "after": {"id": after.model.id, "parameters": parameters_hash(after).hex()},
        "numbers": [value_to_json(each) for each in moves_of(before.model, after.model)],
    }


def _figures(subjects: Sequence[Compared], predicted: Sequence[Predicted]) -> dict[str, Any]:
    return {
        "on_the_day": moves(subjects, "on_the_day"),
        "replayed": moves(subjects, "replayed"),
        "calibration": calibration(predicted),
    }


def _groups(
    subjects: Sequence[Compared], predicted: Sequence[Predicted], codes: dict[int, str]
) -> dict[str, Any]:
    """The same figures by platform, role, format and first domain; the largest groups first."""
    whole: dict[str, Any] = {}
    for kind in KINDS:
        members = _by(kind, subjects)
        events = _by(kind, predicted) if kind != "role" else {"worker": list(predicted)}
        names = sorted(
            {*members, *events},
            key=lambda name: (-len(members.get(name, ())), -len(events.get(name, ())), str(name)),
        )
        whole[kind] = {
            _name(kind, name, codes): _figures(members.get(name, []), events.get(name, []))
            for name in names[:GROUPS_MAX]
        }
    return whole


def _by(kind: str, items: Iterable[Any]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = {}
    for each in items:
        found.setdefault(getattr(each, kind), []).append(each)
    return found


def _name(kind: str, name: Any, codes: dict[int, str]) -> str:
    return f"{name} {codes.get(name, '')}".strip() if kind == "platform" else str(name)
