"""The set changes under load, as processes and by commands: scripts/membership-demo."""

from pathlib import Path

from node.demo.changes import FOUNDERS, JOINER, tell_story


async def test_five_changes_under_load_lose_no_record(tmp_path: Path) -> None:
    said: list[str] = []
    figures = await tell_story(tmp_path / "story", said.append)
    assert figures.is_good, (figures.to_json(), said)
    assert set(figures.seconds) == {"join", "rotate", "leave", "remove"}
    assert figures.epoch_ends >= 4, "one proof for each change"
    old = tmp_path / "story" / "net" / "b"
    assert not (old / "keys.next").exists()
    assert not (old / "keys.old").exists()
    assert JOINER not in FOUNDERS
