"""The view rules as a model: intact they hold in every schedule, broken they do not."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.simulation.model import Conflict, Rules, exhaust, walk

MUTANTS = {
    "broken_quorum": Rules(quorum_less=1),
    "broken_finalize": Rules(finalize_after_nullify=True),
    "broken_parent": Rules(unjustified_parent=True),
    "broken_notarize": Rules(two_notarizes=True),
}
SPECIFICATION = Path(__file__).parents[2] / "consensus" / "simplex.qnt"


@pytest.mark.parametrize(("n", "seeds"), [(4, 8_000), (7, 4_000)])
def test_random_schedules_agree(n: int, seeds: int) -> None:
    finalized = sum(len(walk(seed, n).finalized) - 1 for seed in range(seeds))
    assert finalized > seeds // 10, "schedules in which nothing becomes final tell nothing"


def test_every_schedule_of_two_views_agrees() -> None:
    assert exhaust(4, 2) > 100_000


@pytest.mark.parametrize("name", MUTANTS)
@pytest.mark.parametrize("n", [4, 7])
def test_a_broken_rule_forks(name: str, n: int) -> None:
    assert first_fork(n, MUTANTS[name]) is not None


@pytest.mark.parametrize("name", ["broken_quorum", "broken_finalize", "broken_parent"])
def test_two_views_are_enough_for_a_fork(name: str) -> None:
    with pytest.raises(Conflict):
        exhaust(4, 2, MUTANTS[name])


def first_fork(n: int, rules: Rules) -> int | None:
    for seed in range(1_000):
        try:
            walk(seed, n, rules)
        except Conflict:
            return seed
    return None


def quint(module: str, samples: int) -> subprocess.CompletedProcess[str]:
    program = shutil.which("quint")
    if program is None:
        pytest.skip("the specification's simulator (quint) is not on the PATH")
    bounds = ["--max-samples", str(samples), "--max-steps", "60"]
    return subprocess.run(
        [program, "run", str(SPECIFICATION), "--main", module, "--invariant", "agreement", *bounds],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("module", ["intact", "intact_of_seven"])
def test_the_specification_holds(module: str) -> None:
    assert quint(module, 100).returncode == 0


@pytest.mark.parametrize("module", MUTANTS)
def test_the_broken_specification_does_not(module: str) -> None:
    done = quint(module, 5_000)
    assert done.returncode != 0
    assert "Invariant violated" in done.stdout + done.stderr
