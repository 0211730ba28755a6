"""What the HTTP face asks of a node. The composition root's `Node` is one; tests have another."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiohttp import web

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from ledger.genesis import Genesis
    from ledger.membership import Validator
    from ledger.position import State
    from ledger.store import Reader
    from node.config import Config
    from node.events import Events
    from node.intake import Offer, Result
    from node.seat import Role
    from node.tracking import RecordStatus
    from node.view import Certificate
    from node.witness import Witness


class Node(Protocol):
    """A running node, as far as HTTP needs it."""

    @property
    def config(self) -> "Config": ...  # noqa: D102
    @property
    def genesis(self) -> "Genesis": ...  # noqa: D102
    @property
    def chain(self) -> bytes: ...  # noqa: D102
    @property
    def origin(self) -> str: ...  # noqa: D102
    @property
    def number(self) -> int: ...  # noqa: D102
    @property
    def code(self) -> str: ...  # noqa: D102
    @property
    def role(self) -> "Role": ...  # noqa: D102
    @property
    def validators(self) -> "Sequence[Validator]": ...  # noqa: D102
    @property
    def codes(self) -> "Mapping[int, str]": ...  # noqa: D102
    @property
    def reader(self) -> "Reader": ...  # noqa: D102
    @property
    def state(self) -> "State": ...  # noqa: D102
    @property
    def certified(self) -> "Certificate | None": ...  # noqa: D102
    @property
    def witnessed(self) -> bytes | None: ...  # noqa: D102
    @property
    def witness(self) -> "Witness | None": ...  # noqa: D102
    @property
    def events(self) -> "Events": ...  # noqa: D102
    @property
    def metrics(self) -> "CollectorRegistry": ...  # noqa: D102
    @property
    def linked(self) -> Sequence[int]: ...  # noqa: D102
    @property
    def ready(self) -> bool: ...  # noqa: D102
    @property
    def forgotten(self) -> str: ...  # noqa: D102

    def certificate(self, size: int) -> "Certificate | None":
        """The certified checkpoint of this size, or None; only where `certified` is not None."""
        ...

    async def submit(self, offers: "Sequence[Offer]", who: str = "") -> "list[Result]":
        """Hand in offers; returns when those accepted are on disk. `who`: the token's name."""
        ...

    async def wait_final(
        self, record_ids: Sequence[bytes], timeout_s: float
    ) -> "list[RecordStatus]":
        """The records' states once each is final or refused, or when the time is up."""
        ...

    def status(self, record_id: bytes) -> "RecordStatus | None":
        """What became of a record, or None if this node does not know it."""
        ...

    async def handles(self, kind: str, references: Sequence[str]) -> list[bytes]:
        """Handles of the platform's own references."""
        ...


NODE: Final[web.AppKey[Any]] = web.AppKey("node", object)
