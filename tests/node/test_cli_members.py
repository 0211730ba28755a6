"""`standing network …`: what each command hands in, what it shows and asks first, how it ends."""

import json

import pytest
from msgspec.structs import replace as struct_replace
from typer.testing import CliRunner

from ledger.block import decode_seal
from ledger.bureau.model import FIRST_MODEL
from ledger.epochs import decode_chain
from ledger.genesis import FIRST_BOUNDS, chain_id
from ledger.governing import read_changes
from ledger.records import NAME_OF_TAG
from node.api.changes import fingerprint
from node.cli import place
from node.cli.changes import grouped
from node.cli.model_text import number_text
from node.cli.network import app
from node.config import Address, load_config
from node.home import Plan
from node.joining import make_home
from node.keyring import read_request
from tests.ledger.members import party
from tests.ledger.world import genesis_of


@pytest.fixture
def call(home):
    def run(*arguments: object, typed: str = ""):
        return CliRunner().invoke(app, [*map(str, arguments)], input=typed)

    return run


@pytest.fixture
def asked(governed, home, call):
    """The same, with the platform's folder."""

    def run(*arguments: object, typed: str = ""):
        return call(*arguments, "--home", home, typed=typed)

    return run


@pytest.fixture
def at_terminal(monkeypatch) -> None:
    monkeypatch.setattr(place, "is_terminal", lambda: True)


def changes_of(governed) -> list[tuple[str, int, list[int]]]:
    """(type, about whom, who approved) of each change on the ledger."""
    return [
        (NAME_OF_TAG[row.type], row.number, [each.number for each in row.approvals])
        for _, row in read_changes(governed.node.reader)
    ]


# --- join and propose ---


def joined(governed, call, tmp_path, *more: object):
    folder = tmp_path / "e"
    result = call(
        *("join", folder, "--genesis", governed.url, "--code", "e"),
        *("--peer", "p1=127.0.0.1:9440", *more),
    )
    return folder, result


def test_join_writes_a_folder_and_a_fingerprint(governed, call, tmp_path) -> None:
    chain = governed.node.chain.hex()
    folder, result = joined(governed, call, tmp_path, "--chain", chain, "--json")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    request = read_request(folder / "request.json")
    assert request.chain == chain_id(governed.node.genesis.foundation)
    assert (request.validator.number, request.validator.code) == (5, "e")
    assert (figures["number"], figures["code"], figures["chain"]) == (5, "e", chain)
    assert figures["fingerprint"] == fingerprint(request.validator).hex()
    config = load_config(folder / "node.toml")
    assert [token.may for token in config.tokens] == [{"read", "write"}, {"govern"}]
    assert config.peer_addresses == {"p1": Address("127.0.0.1", 9440)}


def test_join_brings_the_sets_that_lead_to_todays(governed, call, tmp_path) -> None:
    """Of a network that has agreed on something; one that has not is joined by genesis alone."""
    folder, _ = joined(governed, call, tmp_path)
    assert decode_chain((folder / "epochs").read_bytes()) == ()
    for _ in range(FIRST_BOUNDS.epoch_blocks + 1):
        governed.say(lambda _: governed.node.finalise())
    folder, result = joined(governed, call, tmp_path / "later")
    assert result.exit_code == 0, result.output
    [end] = decode_chain((folder / "epochs").read_bytes())
    assert decode_seal(end.seal).height == FIRST_BOUNDS.epoch_blocks


def test_join_refuses_what_cannot_be(governed, call, tmp_path) -> None:
    for arguments, code, words in (
        (("--chain", "00" * 32), 1, "another network"),
        (("--code", "77"), 2, "not digits alone"),
        (("--code", "E"), 2, "no platform's code"),
        (("--peer", "a:1"), 2, "CODE=HOST:PORT"),
    ):
        folder, result = joined(governed, call, tmp_path, *arguments)
        assert (result.exit_code, words in " ".join(result.stderr.split())) == (code, True)
        assert not folder.exists()


def test_propose(governed, call, asked, tmp_path) -> None:
    folder, _ = joined(governed, call, tmp_path)
    result = asked("propose", folder / "request.json")
    assert result.exit_code == 0, result.output
    request = read_request(folder / "request.json")
    first, second, last = result.stdout.splitlines()
    assert first == f"fingerprint {grouped(fingerprint(request.validator).hex())}"
    assert second == "members 4 → 5; 4 of them must agree, 1 may fail"
    assert last.startswith("e is proposed as platform 5: final, record ")
    assert changes_of(governed) == [("member.propose", 5, [1])]
    again = asked("propose", folder / "request.json", "--json")
    assert again.exit_code == 1
    assert json.loads(again.stdout)["problem"]["rule"] == "name-taken"


def test_propose_refuses_a_request_for_another_network(governed, asked, tmp_path) -> None:
    other = genesis_of(2).foundation
    plan = Plan(9, "z", Address("127.0.0.1", 1), Address("127.0.0.1", 2), {})
    make_home(tmp_path / "z", plan, other, genesis=b"{}", epochs=None)
    result = asked("propose", tmp_path / "z" / "request.json")
    assert (result.exit_code, changes_of(governed)) == (2, [])
    assert "another network" in result.stderr
    result = asked("propose", tmp_path / "none.json")
    assert result.exit_code == 2


# --- approve ---


def test_approve_shows_the_whole_change_first(governed, asked) -> None:
    fifth = party(5)
    change = governed.say(lambda say: say.ask(2, say.propose(2, fifth))).hex()
    result = asked("approve", change[:8], "--yes")
    assert result.exit_code == 0, result.output
    shown = result.stdout
    for words in (
        "p5 (platform 5) joins: member.propose",
        f"change {change}",
        "asked by p2, 20",
        "approved by p2, 20",
        "2 more must approve, of: p1, p3, p4",
        f"fingerprint {grouped(fingerprint(fifth.validator).hex())}",
        f"lane key {fifth.validator.lane_key.hex()}",
        "members 4 → 5; 4 of them must agree, 1 may fail",
        "lapses after ",
    ):
        assert words in shown, (words, shown)
    assert shown.splitlines()[-1].startswith("approved: final, record ")
    assert changes_of(governed) == [("member.propose", 5, [2, 1])]


def test_approve_shows_which_keys_a_rotation_replaces(governed, asked) -> None:
    new = party(2, "new", root=party(2).keys["root"])
    change = governed.say(lambda say: say.ask(2, say.rotate(new))).hex()
    result = asked("approve", change, "--yes")
    assert result.exit_code == 0, result.output
    old = party(2).validator
    assert f"lane key {new.validator.lane_key.hex()} instead of {old.lane_key.hex()}" in (
        result.stdout
    )
    assert "p2 (platform 2) changes its keys" in result.stdout
    assert f"root key {old.root_key.hex()}\n" in result.stdout


def test_approve_shows_which_numbers_of_the_model_move(governed, asked) -> None:
    model = struct_replace(FIRST_MODEL, id="slow", half_life_days=400, floor_bad=32_768)
    change = governed.say(lambda say: say.ask(2, say.activate(2, model))).hex()
    result = asked("approve", change[:8], "--yes")
    assert result.exit_code == 0, result.output
    floor = number_text("floor_bad", FIRST_MODEL.floor_bad)
    for words in (
        "model slow comes into force: model.activate",
        f"    half_life_days: {FIRST_MODEL.half_life_days} → 400",
        f"    floor_bad: {floor} → 0.5",
        "2 more must approve, of: p1, p3, p4",
    ):
        assert words in result.stdout, (words, result.stdout)
    assert changes_of(governed) == [("model.activate", 2, [2, 1])]
    listed = asked("changes").stdout
    assert f"{change[:12]}  model.activate slow, asked by p2 (2), 2 of 3 approve" in listed


@pytest.mark.usefixtures("at_terminal")
def test_approve_asks_a_person(governed, asked) -> None:
    change = governed.say(lambda say: say.ask(2, say.remove(2, 4))).hex()
    for typed in ("n\n", "\n"):
        result = asked("approve", change, typed=typed)
        assert (result.exit_code, changes_of(governed)) == (1, [("member.remove", 4, [2])])
        assert "p4 (platform 4) is removed" in result.stdout
    result = asked("approve", change, typed="y\n")
    assert (result.exit_code, changes_of(governed)) == (0, [("member.remove", 4, [2, 1])])


def test_approve_needs_the_name_of_one_open_change(governed, asked) -> None:
    change = governed.say(lambda say: say.ask(2, say.leave(2))).hex()
    for named, words in ((change[:5], "at least 6"), ("ff" * 8, "names no open change")):
        result = asked("approve", named, "--yes")
        assert (result.exit_code, words in " ".join(result.stderr.split())) == (2, True)
    result = asked("approve", change, "--yes")
    assert result.exit_code == 1
    assert "needs-no-approval" in result.stderr


# --- remove and leave ---


def test_remove_says_what_follows(governed, asked) -> None:
    result = asked("remove", "4", "--yes")
    assert result.exit_code == 0, result.output
    for words in (
        "p1 proposes that p4 (platform 4) is removed, and so approves it",
        "it needs 3 of 4 members",
        "are lost",
        "members 4 → 3; 3 of them must agree, 0 may fail",
        "as a new platform only",
    ):
        assert words in result.stdout, words
    assert changes_of(governed) == [("member.remove", 4, [1])]
    result = asked("remove", "nobody", "--yes")
    assert result.exit_code == 2
    assert "p1 (1), p2 (2)" in result.stderr


def test_leave_says_what_follows(governed, asked) -> None:
    result = asked("leave", "--yes")
    assert result.exit_code == 0, result.output
    for words in (
        f"p1 (platform 1) leaves {governed.node.origin}",
        "cannot be taken back",
        "lane ends",
        "destroys its signing keys",
        "standing network join",
        "p1 leaves: final, record ",
    ):
        assert words in result.stdout, words
    assert changes_of(governed) == [("member.leave", 1, [1])]


@pytest.mark.parametrize("command", [("leave",), ("remove", "p4")])
def test_nothing_is_handed_in_where_nobody_can_be_asked(governed, asked, command) -> None:
    for more in ((), ("--json",)):
        result = asked(*command, *more, typed="y\n")
        assert (result.exit_code, changes_of(governed)) == (2, [])
        assert "say --yes" in result.stderr


@pytest.mark.usefixtures("at_terminal")
@pytest.mark.parametrize("command", [("leave",), ("remove", "p4")])
def test_a_person_is_asked(governed, asked, command) -> None:
    result = asked(*command, typed="n\n")
    assert (result.exit_code, changes_of(governed)) == (1, [])
    assert "nothing was handed in" in result.stderr
    result = asked(*command, typed="y\n")
    assert (result.exit_code, len(changes_of(governed))) == (0, 1)


# --- rotate and changes ---


def test_rotate_makes_keys_and_asks_for_them(governed, call, home) -> None:
    result = call("rotate", home)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("new keys are asked for: final, record ")
    assert changes_of(governed) == [("key.rotate", 1, [1])]
    made = read_request(home / "keys.next" / "request.json").validator
    [(_, row)] = read_changes(governed.node.reader)
    assert row.validator == made
    assert made.root_key == party(1).validator.root_key
    (home / "root.key").write_bytes((home / "keys" / "lane.key").read_bytes())
    result = call("rotate", home)
    assert result.exit_code == 1, "another root key signs it"
    assert f"{home / 'keys.next'} were asked for before" in " ".join(result.stderr.split())


def test_changes_shows_who_approved_and_what_is_missing(governed, asked) -> None:
    result = asked("changes")
    assert (result.exit_code, "no change is open" in result.stdout) == (0, True)
    change = governed.say(lambda say: say.ask(2, say.propose(2, party(5)))).hex()
    governed.say(lambda say: say.ask(3, say.leave(3)))
    lines = asked("changes").stdout.splitlines()
    assert lines[0].startswith("epoch 1, which ends in ")
    assert lines[1] == (
        f"{change[:12]}  member.propose p5 (5), 1 of 3 approve, 2 missing, open, "
        "from epoch 2 at the earliest"
    )
    assert lines[4] == "    2 more must approve, of: p1, p3, p4"
    assert lines[6].endswith("member.leave p3 (3), complete, from epoch 2 at the earliest")
    governed.say(lambda say: say.end())
    assert len(json.loads(asked("changes", "--json").stdout)["changes"]) == 1
    every = json.loads(asked("changes", "--all", "--json").stdout)["changes"]
    assert [each["state"] for each in every] == ["open", "bound"]
    assert "holds from epoch 2" in asked("changes", "--all").stdout


# --- tokens and folders ---


def test_the_back_offices_token_is_refused_and_told_which_to_use(governed, call, home) -> None:
    result = call("leave", "--yes", "--node", governed.url, "--token-file", home / "token")
    assert (result.exit_code, changes_of(governed)) == (1, [])
    words = " ".join(result.stderr.split())
    assert "member.leave" in words
    assert "'govern'" in words
    assert "govern-token" in words
    result = call("leave", "--yes", "--node", governed.url, "--token-file", home / "govern-token")
    assert result.exit_code == 0, result.output


def test_a_folder_without_its_token_is_named(call, home, tmp_path) -> None:
    (home / "govern-token").unlink()
    result = call("leave", "--yes", "--home", home)
    assert result.exit_code == 2
    assert "govern-token" in " ".join(result.stderr.split())
    assert call("leave", "--yes", "--home", tmp_path / "none").exit_code == 2


def test_a_node_that_listens_everywhere_is_asked_here(home) -> None:
    text = (home / "node.toml").read_text()
    port = load_config(home / "node.toml").api_listen.port
    for written, dialled in (("0.0.0.0", "127.0.0.1"), ("[::]", "[::1]")):
        listens = text.replace(f"127.0.0.1:{port}", f"{written}:{port}")
        (home / "node.toml").write_text(listens)
        found = place.place_of(home, "", None)
        assert found == (f"http://{dialled}:{port}", home / "govern-token")
