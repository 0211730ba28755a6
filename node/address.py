"""Addresses of sockets, as configurations and commands write them: `host:port`."""

import re
from dataclasses import dataclass
from typing import Final

from ledger.errors import Misconfigured

_PORT_MAX: Final = 65_535


@dataclass(frozen=True, slots=True)
class Address:
    """Where a socket listens or is dialled."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """The address of `host:port`.

    Raises:
        Misconfigured: it is none.
    """
    host, _, port = text.rpartition(":")
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > _PORT_MAX:
        raise Misconfigured(f"{text!r} is no address: write host:port, as in 127.0.0.1:8440")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))
