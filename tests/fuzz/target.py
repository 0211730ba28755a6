"""What a fuzz target is: a decoder or verifier of outside bytes, good inputs, and its contract.

`check(data)` reads the bytes and returns what `restore` turns back into bytes (or asserts what
acceptance implies by itself). The contract, demanded by `attempt`:

- whatever is not accepted is refused by one of `errors`, and by nothing else;
- whatever is accepted encodes back to the same bytes, where the target has a `restore`;
- an error's words and field can be printed as UTF-8.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ledger.errors import InvalidInput, StandingError


@dataclass(frozen=True)
class Target:
    """One decoder or verifier. `make` yields the seeds: inputs that it must accept."""

    name: str
    check: Callable[[bytes], Any]
    make: Callable[[], Sequence[bytes]]
    restore: Callable[[Any], bytes] | None = None
    errors: tuple[type[BaseException], ...] = (InvalidInput,)
    cases: int = 300
    never_refuses: bool = False  # a reader of rows: what it cannot read, it yields as such

    @cached_property
    def seeds(self) -> list[bytes]:
        """The good inputs, made once."""
        return list(self.make())


def attempt(target: Target, data: bytes) -> bool:
    """Whether the target accepts the bytes; fails if its contract does not hold."""
    try:
        found = target.check(data)
    except target.errors as error:
        str(error).encode()
        if isinstance(error, StandingError):
            str(getattr(error, "field", "")).encode()
        return False
    if target.restore is not None:
        assert target.restore(found) == data, f"{target.name} accepts what is not canonical"
    return True
