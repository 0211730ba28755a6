"""What an erasure would take if it were asked for now, as a node's certified files tell."""

from dataclasses import dataclass
from typing import Any, Final

from node.client import Client

PAGE_LEAVES: Final = 1_000
COUNTED_LEAVES_MAX: Final = 20_000
FILES_MAX: Final = 16
_NEVER_TAKEN: Final = ("erasure", "erasure.ack")


@dataclass(frozen=True, slots=True)
class Taking:
    """How many records of which files (platform:handle); `is_all`: they were counted to the end."""

    records: int
    files: tuple[str, ...]
    is_all: bool

    def __str__(self) -> str:
        least = "" if self.is_all else "at least "
        what = "record" if self.records == 1 else "records"
        return f"{least}{self.records} {what} in {', '.join(self.files)}"


async def what_it_takes(client: Client, subject: str, scope: str) -> Taking:
    """Count what stands in the files in scope and is not erased; of long files the first leaves.

    Raises:
        ProblemAnswered: among others, of a subject that nobody has registered.
        Unreachable: the node does not answer.
    """
    files: list[str] = []
    records, left = 0, COUNTED_LEAVES_MAX
    waiting, is_all = [subject], True
    while waiting and len(files) < FILES_MAX:
        page: dict[str, Any] = await client.file(waiting.pop(), limit=str(PAGE_LEAVES))
        if page["subject"] in files:
            continue
        files.append(page["subject"])
        if scope == "whole":
            waiting += page["links"]
        while True:
            records += sum(_is_taken(leaf) for leaf in page["leaves"])
            left -= len(page["leaves"])
            if page["next"] is None:
                break
            if left <= 0:
                is_all = False
                break
            page = await client.file(
                page["subject"], limit=str(PAGE_LEAVES), **{"from": str(page["next"])}
            )
    return Taking(records, tuple(sorted(files)), is_all)


def _is_taken(leaf: dict[str, Any]) -> bool:
    return leaf["erasure"] is None and leaf["type"] not in _NEVER_TAKEN
