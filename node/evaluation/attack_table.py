"""The attack table: every attack on every model, beside what must be and what is aimed at."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Final

from node.evaluation.attacks import LARGE, SMALL, Attack, Effect, carry_out
from node.evaluation.models import Forecast
from node.evaluation.targets import OWN, Check, check_least, check_most

Table = dict[str, dict[str, Effect]]
"""Attack → model → effect."""

RAISES: Final = ("boost", "ring", "infiltrated", "drip")
LOWERS: Final = ("bomb", "ring-bomb", "infiltrated-bomb", "idle-bomb")
RAISE_MUST: Final = 0.05
RAISE_AIM: Final = 0.03
LOWER_MUST: Final = -0.15
LOWER_AIM: Final = -0.10
IDLE_MUST: Final = 0.15
ACCOMPLICES: Final = "self-dealing-5"
ACCOMPLICES_MUST: Final = 0.20
ACCOMPLICES_AIM: Final = 0.15
FLAT_MUST: Final = 0.02
"""What 280 fakes more may gain. That they gain less is no fault: an attacker would take fewer."""


def attack_all(
    models: Mapping[str, Forecast],
    attacks: Iterable[Attack],
    now_ms: int,
    on_progress: Callable[[float], None] = lambda _share: None,
) -> Table:
    """The effect of each attack on each model; the models are as they were afterwards."""
    told = list(attacks)
    table: Table = {attack.name: {} for attack in told}
    done = 0
    for name, model in models.items():
        settled = model.branch()
        settled.settle(now_ms)
        for attack in told:
            table[attack.name][name] = carry_out(attack, settled, now_ms)
            done += 1
            on_progress(done / (len(told) * len(models)))
    return table


def figures_of_tables(tables: Sequence[Table]) -> dict[str, dict[str, dict[str, float]]]:
    """Tables as FIGURES.md has them: {attack: {model: {before, after}}}; of several sets the mean
    over those on which the attack could be made."""
    found: dict[str, dict[str, list[Effect]]] = {}
    for table in tables:
        for attack, effects in table.items():
            for model, effect in effects.items():
                found.setdefault(attack, {}).setdefault(model, []).append(effect)
    return {
        attack: {
            model: {
                "before": round(fmean(each.before for each in effects), 4),
                "after": round(fmean(each.after for each in effects), 4),
            }
            for model, effects in models.items()
        }
        for attack, models in found.items()
    }


def checks_of(table: Table) -> list[Check]:
    """What the node's own model must and is meant to withstand."""
    own = {name: effects[OWN] for name, effects in table.items() if OWN in effects}
    found = []
    for name, effect in own.items():
        kind, _, number = name.rpartition("-")
        moved = effect.after - effect.before
        if kind in RAISES:
            found.append(check_most(f"{name} raises by", moved, RAISE_MUST, RAISE_AIM))
        elif kind in LOWERS:
            found.append(check_least(f"{name} moves by", moved, LOWER_MUST, LOWER_AIM))
        elif name == ACCOMPLICES:
            found.append(check_most(f"{name} raises by", moved, ACCOMPLICES_MUST, ACCOMPLICES_AIM))
        elif name == "idle-bad":
            found.append(check_most("idle-bad is at", effect.after, IDLE_MUST, None))
        if number == str(LARGE) and f"{kind}-{SMALL}" in own:
            more = effect.after - own[f"{kind}-{SMALL}"].after
            gained = -more if kind in LOWERS else more
            found.append(check_most(f"{kind} flat, {SMALL} to {LARGE}", gained, FLAT_MUST, None))
    return found
