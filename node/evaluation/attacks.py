"""Attacks on the score, as seeded scripts of made-up events behind a real history.

| name | what happens, n the number in the name |
|---|---|
| boost-n | n fake accounts each find each bad target as good as can be, within a day |
| ring-n | the fakes first find each other good (5 each) and praise 3 established each, then boost |
| infiltrated-n | each fake first has 3 genuine good deals with established ones, then all boost |
| drip-n | a boost spread over 20 weeks |
| bomb-n | n fakes each find each good target as bad as can be, within a day |
| ring-bomb-n | the ring of above, then a bomb |
| infiltrated-bomb-n | the infiltrators of above, then a bomb |
| idle-bomb-n | a bomb on good targets that have not worked for a year |
| self-dealing-n | n established accomplices each praise each bad target ten times in ten days |
| whitewash | each bad target begins again under a new name |
| idle-bad | the bad targets do nothing for two years |

*before* is the targets' mean probability at the attack's end without the attack (whitewash, idle:
at its beginning), *after* is that with it. So what mere time does is not the attack's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from node.evaluation.events import Event, batches
from node.evaluation.models import Forecast
from node.evaluation.scene import DAY_MS, Scene, Script, Who

SMALL: Final = 20
LARGE: Final = 300
RING_DEALS: Final = 5
CAMOUFLAGE_DEALS: Final = 3
GENUINE_DEALS: Final = 3
ACCOMPLICE_DEALS: Final = 10
DRIP_DAYS: Final = 140
IDLE_DAYS: Final = 730


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack on a scene: its events, whom it is about, and when it is judged.

    `renamed`: under whose names the targets stand afterwards. `from_start`: before is at the
    attack's beginning.
    """

    name: str
    targets: tuple[Who, ...]
    renamed: tuple[Who, ...]
    events: tuple[Event, ...]
    end_ms: int
    from_start: bool = False


@dataclass(frozen=True, slots=True)
class Effect:
    """The targets' mean probability before and after."""

    before: float
    after: float


def attacks_on(scene: Scene, seed: int) -> list[Attack]:
    """All attacks of the table."""
    made = []
    for count in (SMALL, LARGE):
        for name, act in _BY_FAKES.items():
            made.append(_scripted(f"{name}-{count}", scene, seed, act, count))
    made.extend(
        _scripted(f"self-dealing-{count}", scene, seed, self_dealing, count)
        for count in (1, 2, 3, 5)
    )
    return [*(each for each in made if each.targets), _whitewash(scene, seed), _idle(scene)]


Act = Callable[[Script, int], tuple[Who, ...]]
"""Writes a script with so many fakes (or accomplices), and tells the targets."""


def _scripted(name: str, scene: Scene, seed: int, act: Act, count: int) -> Attack:
    script = Script(scene, seed)
    targets = act(script, count)
    events = script.events()
    end = events[-1].time_ms + 1 if events else scene.now_ms + 1
    return Attack(name, targets, targets, events, end)


def boost(script: Script, count: int) -> tuple[Who, ...]:
    """Fakes praise the bad targets within a day."""
    return _strike(script, script.fakes(count), script.scene.bad, 0.0, 1.0, good=True)


def drip(script: Script, count: int) -> tuple[Who, ...]:
    """The same, slowly."""
    fakes = script.fakes(count)
    return _strike(script, fakes, script.scene.bad, 0.0, float(DRIP_DAYS), good=True)


def ring(script: Script, count: int) -> tuple[Who, ...]:
    """Fakes praise each other and honest people before they praise the targets."""
    return _strike(script, _ring(script, count), script.scene.bad, 30.0, 1.0, good=True)


def infiltrated(script: Script, count: int) -> tuple[Who, ...]:
    """Fakes earn genuine praise before they praise the targets."""
    return _strike(script, _infiltrators(script, count), script.scene.bad, 30.0, 1.0, good=True)


def bomb(script: Script, count: int) -> tuple[Who, ...]:
    """Fakes blame the good targets within a day."""
    return _strike(script, script.fakes(count), script.scene.good, 0.0, 1.0, good=False)


def ring_bomb(script: Script, count: int) -> tuple[Who, ...]:
    """A ring blames the good targets."""
    return _strike(script, _ring(script, count), script.scene.good, 30.0, 1.0, good=False)


def infiltrated_bomb(script: Script, count: int) -> tuple[Who, ...]:
    """Infiltrators blame the good targets."""
    return _strike(script, _infiltrators(script, count), script.scene.good, 30.0, 1.0, good=False)


def idle_bomb(script: Script, count: int) -> tuple[Who, ...]:
    """Fakes blame good targets that have not worked for a year."""
    return _strike(script, script.fakes(count), script.scene.idle, 0.0, 1.0, good=False)


def self_dealing(script: Script, count: int) -> tuple[Who, ...]:
    """Established accomplices praise the bad targets again and again."""
    accomplices = script.scene.established[:count]
    for deal in range(ACCOMPLICE_DEALS):
        for nth, (_, name) in enumerate(accomplices):
            for each, target in enumerate(script.scene.bad):
                script.deal(name, target, deal + nth / 10 + each / 100, good=True)
    return script.scene.bad


_BY_FAKES: Final[Mapping[str, Act]] = {
    "boost": boost,
    "ring": ring,
    "infiltrated": infiltrated,
    "drip": drip,
    "bomb": bomb,
    "ring-bomb": ring_bomb,
    "infiltrated-bomb": infiltrated_bomb,
    "idle-bomb": idle_bomb,
}


def _ring(script: Script, count: int) -> list[str]:
    fakes = script.fakes(count)
    platform = script.scene.bad[0][0]
    for nth, name in enumerate(fakes):
        for step in range(1, min(RING_DEALS, count - 1) + 1):
            other = (platform, fakes[(nth + step) % count])
            script.deal(name, other, 20 * (nth / count) + step / 10, good=True)
        for honest in script.draw.sample(
            script.scene.established, min(CAMOUFLAGE_DEALS, len(script.scene.established))
        ):
            script.deal(name, honest, 22 + nth / count, good=True)
    return fakes


def _infiltrators(script: Script, count: int) -> list[str]:
    fakes = script.fakes(count)
    platform = script.scene.bad[0][0]
    for nth, name in enumerate(fakes):
        genuine = min(GENUINE_DEALS, len(script.scene.established))
        for step, (_, honest) in enumerate(script.draw.sample(script.scene.established, genuine)):
            script.deal(honest, (platform, name), 7 * step + 5 * nth / count, good=True)
    return fakes


def _strike(
    script: Script,
    fakes: list[str],
    targets: tuple[Who, ...],
    day: float,
    days: float,
    *,
    good: bool,
) -> tuple[Who, ...]:
    """Every fake deals with every target once, evenly over so many days."""
    for nth, name in enumerate(fakes):
        for each, target in enumerate(targets):
            share = (nth + each / len(targets)) / len(fakes)
            script.deal(name, target, day + days * share, good=good)
    return targets


def _whitewash(scene: Scene, seed: int) -> Attack:
    renamed = tuple((platform, f"again {seed} {name}") for platform, name in scene.bad)
    return Attack("whitewash", scene.bad, renamed, (), scene.now_ms + 1, from_start=True)


def _idle(scene: Scene) -> Attack:
    end_ms = scene.now_ms + IDLE_DAYS * DAY_MS
    return Attack("idle-bad", scene.bad, scene.bad, (), end_ms, from_start=True)


def carry_out(attack: Attack, model: Forecast, now_ms: int) -> Effect:
    """What an attack does to its targets in the eyes of one model that has learned and settled the
    history, and is not changed."""
    before = mean_of(model, attack.targets, now_ms if attack.from_start else attack.end_ms)
    attacked = model.branch()
    play(attacked, attack.events, now_ms)
    attacked.settle(attack.end_ms)
    return Effect(before, mean_of(attacked, attack.renamed, attack.end_ms))


def play(model: Forecast, events: tuple[Event, ...], now_ms: int) -> None:
    """Let a model learn made-up events as it learns real ones."""
    for batch in batches(events):
        model.foresee(batch, now_ms)
        model.learn(batch)
        now_ms = batch[0].time_ms


def mean_of(model: Forecast, people: tuple[Who, ...], as_of_ms: int) -> float:
    """The mean probability over some people."""
    return fmean(model.expect(platform, name, as_of_ms)[0] for platform, name in people)
