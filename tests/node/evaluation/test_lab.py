"""The attack lab: purchases, their search, and newcomers who are turned away."""

import json

import pytest
from typer.testing import CliRunner

from node.evaluation import lab
from node.evaluation.measures import Prediction
from node.evaluation.newcomers import turned_away
from node.evaluation.purchase import Purchase, Tried, search, told_of
from tests.node.evaluation.made import event
from tests.node.evaluation.test_cli import folder_of


def test_the_cost_model_by_hand():
    # 10 accounts, 3 genuine deals each, a deal each; 2 accomplices, 5 praises each; 3 + 4 weeks
    cost = Purchase(10, 3, 2, 5, 28).cost
    assert cost == 10 + 10 * 3 * 5 + 10 * 0.1 + 2 * 20 + 10 * 0.1 + 7
    assert Purchase(0, 3, 2, 5, 28).cost == 2 * 20 + 10 * 0.1 + 4
    assert Purchase(0, 3, 2, 5, 28).plain == Purchase(0, 0, 2, 5, 28)
    assert Purchase(4, 3, 0, 5, 28).plain == Purchase(4, 3, 0, 1, 28)


def test_the_search_finds_the_cheapest_of_a_known_market():
    def attempt(purchase):
        return Tried(purchase, 30.0 * purchase.accomplices + 0.1 * purchase.fakes)

    seen: list[float] = []
    best = search(attempt, 1, 300, seen.append)
    assert best.is_enough
    assert best.purchase.accomplices == 2
    assert best.purchase.cost < 45
    assert search(attempt, 1, 300, seen.append) == best
    assert max(seen) < 1


def test_one_means_alone_is_found_in_few_tries():
    tried = []

    def attempt(purchase):
        tried.append(purchase)
        return Tried(purchase, 60.0 if purchase.accomplices >= 3 else 0.0)

    best = search(attempt, 1, 20, lambda _share: None)
    assert (best.purchase.accomplices, best.purchase.fakes) == (3, 0)
    assert len(tried) == len(set(tried)) <= 20
    enough = next(nth for nth, each in enumerate(tried) if each.accomplices >= 3)
    dearest = tried[enough].cost
    assert all(each.cost < dearest for each in tried[enough + 1 :])
    assert not [each for each in tried if each != each.plain]


def test_what_cannot_be_bought_is_said_to_be_so():
    best = search(lambda purchase: Tried(purchase, 1.0), 1, 20, lambda _share: None)
    told = told_of(best, None)
    assert not told["reached"]
    assert told["honest_deals"] is None


def test_who_is_turned_away_by_hand():
    def person(name, results, chances, earlier=0):
        return [
            Prediction(p, good, 0, earlier + n, event=event(n, name, good=good))
            for n, (good, p) in enumerate(zip(results, chances, strict=True))
        ]

    low_then_high = person("a", [True] * 5, [0.9, 0.7, 0.9, 0.9, 0.9])
    high = person("b", [True] * 6, [0.9] * 6)
    caught = person("c", [False] * 5, [0.9, 0.5, 0.4, 0.3, 0.2])
    known_before = person("d", [True] * 5, [0.1] * 5, earlier=3)
    few = person("e", [True] * 4, [0.1] * 4)
    away = turned_away([*low_then_high, *high, *caught, *known_before, *few])
    assert (away.honest, away.dishonest) == (2, 1)
    assert away.false_rejection == {"0": 0.0, "1": 0.5, "3": 0.0, "4": 0.0}
    assert away.true_rejection == {"0": 0.0, "1": 1.0, "3": 1.0, "4": 1.0}


@pytest.mark.usefixtures("few_fakes")
def test_the_lab_attacks_two_versions(tmp_path):
    import typer

    folder = folder_of(tmp_path, 500)
    other = tmp_path / "other.json"
    other.write_text('{"id": "other", "standing_floor": 0}', encoding="utf-8")
    first = tmp_path / "first.json"
    first.write_text("{}", encoding="utf-8")
    app = typer.Typer()
    app.command()(lab.main)
    told = ["--data", str(folder), "--tries", "4", "--targets", "1", "--json"]
    done = CliRunner().invoke(app, [*told, "--model", str(first), "--model", str(other)])
    figures = json.loads(done.stdout)
    ours, theirs = figures["versions"]
    assert theirs["model"] == "other"
    effects = [each["attacks"]["boost-20"]["standing"] for each in (ours, theirs)]
    raised = [each["after"] - each["before"] for each in effects]
    assert raised[1] < raised[0]  # a stranger's word that weighs nothing buys nothing
    assert len(ours["purchases"]) == 1
    assert set(ours["newcomers"]) >= {"honest", "false_rejection"}
    assert done.exit_code == 1 - all(
        check["met"] for each in figures["versions"] for check in each["checks"]
    )
