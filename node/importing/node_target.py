"""A node as the target of an import, by its HTTP API."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Self

from ledger.errors import StandingError
from ledger.rules.codes import SUBJECT_EXISTS
from node.client import SETTLED, Client
from node.importing.plan import Reference
from node.importing.target import Answer

SETTLE_ROUNDS: Final = 10
CONFLICT_STATUS: Final = 409


class NodeLags(StandingError):
    """The node took the records, but does not get them final, or is too busy to take more."""


class NodeTarget:
    """Hands records to one platform's node. Answers come once they are on its disk."""

    def __init__(self, client: Client, platform: int) -> None:
        self._client = client
        self._platform = platform

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str, token: str) -> AsyncIterator[Self]:
        """The node at an address.

        Raises:
            StandingError: it does not answer, or does not know the token.
        """
        async with Client(url, token) as client:
            network = await client.network()
            yield cls(client, network["platform"])

    @property
    def platform(self) -> int:
        """The platform whose node it is."""
        return self._platform

    async def handles(self, references: Sequence[Reference]) -> list[bytes]:
        """The node's random handles for the platform's own references."""
        found: dict[Reference, bytes] = {}
        for kind in ("subject", "engagement"):
            wanted = [each for each in references if each.kind == kind]
            if wanted:
                made = await self._client.handles(kind, [each.text for each in wanted])
                found.update(zip(wanted, made, strict=True))
        return [found[each] for each in references]

    async def offer(self, records: Sequence[bytes]) -> list[Answer]:
        """Hand in records in their order."""
        answers = await self._client.submit_msgpack([(record, b"") for record in records])
        return [_answer(each) for each in answers]

    async def settle(self, record_ids: Sequence[str]) -> dict[str, str]:
        """Wait until all are final; the broken rule of each that execution refused.

        Raises:
            NodeLags: they are not final after SETTLE_ROUNDS minutes.
        """
        refused: dict[str, str] = {}
        waiting = list(record_ids)
        for _ in range(SETTLE_ROUNDS):
            states = await self._client.states(waiting, wait_final=True)
            for record_id, (state, rule) in zip(waiting, states, strict=True):
                if state == "refused":
                    refused[record_id] = f"refused at execution (rule {rule})"
            waiting = [
                record_id
                for record_id, (state, _) in zip(waiting, states, strict=True)
                if state not in SETTLED
            ]
            if not waiting:
                return refused
        raise NodeLags(
            f"{len(waiting)} records are on the node's disk and not final: "
            "are enough platforms' nodes up?"
        )


def _answer(made: dict[str, Any]) -> Answer:
    problem = made.get("problem")
    if problem is None:
        return Answer("duplicate" if made.get("duplicate") else "accepted", made["id"])
    if problem.get("retry_after_s"):
        raise NodeLags("the node has too many records that are not final; import again later")
    rule = problem.get("rule", "")
    detail = problem.get("detail") or problem.get("title", "")
    is_known = problem.get("status") == CONFLICT_STATUS or rule == SUBJECT_EXISTS
    return Answer("conflict" if is_known else "refused", reason=f"{detail} (rule {rule})")
