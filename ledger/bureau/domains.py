"""How near one domain of the tree lies to another: the same work, the same branch, or neither."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from ledger.errors import InvalidInput
from ledger.parameters import Parameters

Nearness = Literal["on", "near", "far"]

_RANK: Final[dict[Nearness, int]] = {"far": 0, "near": 1, "on": 2}


class DomainTree:
    """The domain tree of some parameters, for look-ups."""

    def __init__(self, parameters: Parameters) -> None:
        self._paths: Mapping[str, tuple[str, ...]] = _paths(parameters)

    def check(self, domain: str) -> None:
        """Refuse a domain that is not in the tree. The empty domain is all work.

        Raises:
            InvalidInput: names it.
        """
        if domain and domain not in self._paths:
            raise InvalidInput(f"there is no domain {domain}", field="domain")

    def nearness(self, asked: str, domains: Iterable[str]) -> Nearness:
        """The best of: `on` (the domain asked about, or below it), `near` (in one branch below a
        top of the tree), `far`."""
        if not asked:
            return "on"
        return max((self._one(asked, each) for each in domains), key=_RANK.__getitem__)

    def _one(self, asked: str, domain: str) -> Nearness:
        path = self._paths.get(domain, (domain,))
        if asked in path:
            return "on"
        wanted = self._paths[asked]
        branches = len(path) > 1 and len(wanted) > 1
        return "near" if branches and path[1] == wanted[1] else "far"


def _paths(parameters: Parameters) -> dict[str, tuple[str, ...]]:
    """Each domain's path from the top of its tree, itself last."""
    paths: dict[str, tuple[str, ...]] = {}
    for domain in parameters.domains:
        paths[domain.code] = (*paths.get(domain.parent, ()), domain.code)
    return paths
