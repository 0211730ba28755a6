"""`standing model …`: what it shows, which files it takes, what it hands in, and when not."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from ledger.bureau.model import FIRST_MODEL, Model
from ledger.errors import Misconfigured
from ledger.governing import read_changes
from node.api.json_records import value_to_json
from node.audit.public import CHECKPOINT, GENESIS
from node.cli import model as commands
from node.cli import place
from node.cli.model_text import (
    MODEL_FILE_BYTES_MAX,
    number_text,
    q16_fields,
    read_model,
    toml_text,
)
from node.comparing import run as comparing

OTHER = replace(FIRST_MODEL, id="other", half_life_days=FIRST_MODEL.half_life_days + 1)


@pytest.fixture
def call(home):
    def run(*arguments: object, typed: str = ""):
        return CliRunner().invoke(commands.app, [*map(str, arguments)], input=typed)

    return run


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "other.toml"
    path.write_text(toml_text(OTHER))
    return path


# --- files ---


def test_a_model_file_is_read_as_it_was_written(tmp_path) -> None:
    for model in (FIRST_MODEL, OTHER):
        path = tmp_path / "model.toml"
        path.write_text(toml_text(model))
        assert read_model(path) == model


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("half_life_days", "half_life"), "half_life"),
        (lambda text: text + "more = 1\n", "more"),
        (lambda text: text.replace("points_odds = 4", "points_odds = 4.0"), "points_odds"),
        (lambda text: text.replace("points_odds = 4", "points_odds = 0"), "points_odds"),
        (lambda text: text.replace("points_max = 850", "points_max = 2"), "points_base"),
        (lambda text: text.replace('id = "other"', 'id = "No Code"'), "id"),
        (lambda text: text.replace('id = "other"\n', ""), "id"),
        (lambda text: text + "x = [", "no model file"),
        (lambda text: text + "#" * MODEL_FILE_BYTES_MAX, "more than"),
    ],
)
def test_what_is_no_model_file_is_refused_by_name(file, change, words) -> None:
    text = file.read_text()
    changed = change(text)
    assert changed != text
    file.write_text(changed)
    with pytest.raises(Misconfigured, match=words):
        read_model(file)
    with pytest.raises(Misconfigured, match="cannot be read"):
        read_model(file.with_name("nowhere"))


def test_q16_numbers_are_shown_as_decimals() -> None:
    assert {"floor_bad", "severity_cap", "newcomer_rate"} <= q16_fields()
    assert not {"id", "half_life_days", "points_base", "newcomer_window"} & q16_fields()
    assert number_text("floor_bad", 32_768) == "0.5"
    assert number_text("severity_cap", 4 * 65_536) == "4"
    assert number_text("adverse_stop_days", 2_555) == "2,555"
    assert number_text("floor_bad", [0, 65_536]) == "[0, 1]"


# --- show ---


def test_show_tells_every_number(governed, call) -> None:
    shown = call("show").stdout
    assert [line.split()[0] for line in shown.splitlines()] == list(Model.__struct_fields__)
    of_node = call("show", "--node", governed.url).stdout
    parameters = governed.node.state.parameters_hash.hex()
    assert of_node == f"{shown}epoch 1: {FIRST_MODEL.id}, parameters {parameters}\n"
    assert call("show", "--toml").stdout == toml_text(FIRST_MODEL)
    told = json.loads(call("show", "--node", governed.url, "--json").stdout)
    assert told["model"] == value_to_json(FIRST_MODEL)
    assert told["parameters"] == parameters


# --- propose ---


def asked_for(governed) -> list[str]:
    return [row.model.id for _, row in read_changes(governed.node.reader) if row.model is not None]


def test_propose_hands_in_the_whole_model(governed, home, call, file) -> None:
    result = call("propose", "--model", file, "--home", home, "--yes", "--no-compare")
    assert result.exit_code == 0, result.output
    for words in (
        "p1 proposes the model other, and so approves it: model.activate",
        "it needs 3 of 4 members",
        f"half_life_days: {FIRST_MODEL.half_life_days} → {OTHER.half_life_days}",
        "the model other is proposed: final, record ",
    ):
        assert words in result.stdout, words
    [(_, row)] = read_changes(governed.node.reader)
    assert (row.model, row.proposer) == (OTHER, 1)
    again = call("propose", "--model", file, "--home", home, "--yes", "--no-compare")
    assert again.exit_code == 1
    assert "activation-exists" in again.stderr


def test_propose_asks_a_person_and_needs_one(governed, home, call, file, monkeypatch) -> None:
    wanted = ("propose", "--model", file, "--home", home, "--no-compare")
    assert call(*wanted).exit_code == 2
    monkeypatch.setattr(place, "is_terminal", lambda: True)
    assert call(*wanted, typed="n\n").exit_code == 1
    assert asked_for(governed) == []
    assert call(*wanted, typed="y\n").exit_code == 0
    assert asked_for(governed) == ["other"]


def test_propose_compares_with_the_token_that_may_read(
    governed, home, call, file, monkeypatch
) -> None:
    """The node of this test has no blocks to give: what counts is whom it would ask, and how."""
    seen = []

    def compare(target, plan, token_file):
        seen.append((target, plan, token_file))
        raise commands.typer.Exit(2)

    monkeypatch.setattr(commands, "_compared", compare)
    assert call("propose", "--model", file, "--home", home, "--yes").exit_code == 2
    [(target, plan, token_file)] = seen
    assert target.rstrip("/") == governed.url.rstrip("/")
    assert plan == comparing.Plan(OTHER, commands.EVENTS, commands.SUBJECTS, 0)
    assert token_file == home / "token"
    assert asked_for(governed) == [], "nothing is handed in without its comparison"


def test_what_is_in_force_is_not_proposed(governed, home, call, file) -> None:
    file.write_text(toml_text(FIRST_MODEL))
    result = call("propose", "--model", file, "--home", home, "--yes", "--no-compare")
    assert (result.exit_code, "is the model in force" in result.stderr) == (2, True)
    file.write_text("id = 1")
    result = call("propose", "--model", file, "--home", home, "--yes", "--no-compare")
    assert (result.exit_code, "no model file" in " ".join(result.stderr.split())) == (2, True)


# --- compare ---


def test_an_exported_log_has_nothing_to_score(call, file, tmp_path) -> None:
    for name in (CHECKPOINT, GENESIS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    result = call("compare", tmp_path, "--model", file)
    assert result.exit_code == 2
    assert "holds no openings" in " ".join(result.stderr.split())


def test_a_folder_without_a_ledger_is_named(call, file, tmp_path) -> None:
    result = call("compare", tmp_path, "--model", file)
    assert result.exit_code == 2
    assert "is no node's folder" in " ".join(result.stderr.split())
