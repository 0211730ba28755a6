"""A node's folder, as `standing network create` and `standing network join` write it:

HOME/node.toml            the node's configuration
HOME/keys/<purpose>.key   lane, vote, cosigner, log, link, witness (mode 0600)
HOME/root.key             the platform's root key: keep it offline
HOME/token                a bearer token that may read and write (mode 0600): for the back office
HOME/govern-token         one that may govern, and nothing else (mode 0600): for who decides who is
                          a member; `standing network … --home HOME` finds it
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from node.config import Address
from node.keystore import key_path, write_secret, write_seed

CONFIG_FILE: Final = "node.toml"
TOKEN_FILE: Final = "token"  # noqa: S105 - a file's name
GOVERN_TOKEN_FILE: Final = "govern-token"  # noqa: S105 - a file's name
EPOCHS_FILE: Final = "epochs"
TOKEN_BYTES: Final = 24

_TOML: Final = """\
# Node of platform {code} (number {number}) in the network of {origin}.
[node]
data = "data"                    # this node's store; nothing else writes there
genesis = "{genesis}"{space}# what all nodes share
keys = "keys"                    # lane, vote, cosigner, log, link, witness; mode 0600
{epochs}
[api]
listen = "{api}"

[peers]
listen = "{peers}"
addresses = {{ {addresses} }}

[[tokens]]
name = "operator"                # the token itself lies in the file `token`
sha256 = "{token}"
may = ["read", "write"]

[[tokens]]
name = "governor"                # in `govern-token`: who is a member, which model; nothing else
sha256 = "{govern_token}"
may = ["govern"]
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a platform's node is to be: who it is, where it listens, whom it dials (by code)."""

    number: int
    code: str
    api: Address
    peers: Address
    addresses: Mapping[str, Address]


def write_home(
    home: Path,
    plan: Plan,
    seeds: Mapping[str, bytes],
    *,
    origin: str,
    genesis: str,
    epochs: bool = False,
) -> None:
    """Write keys, tokens and configuration; `genesis` is the file's path from there, `epochs` tells
    whether a file of epoch ends lies beside the configuration.

    Raises:
        OSError: a file cannot be written.
    """
    (home / "keys").mkdir(parents=True, mode=0o700)
    for purpose, seed in seeds.items():
        write_seed(key_path(home if purpose == "root" else home / "keys", purpose), seed)
    text = _TOML.format(
        code=plan.code,
        number=plan.number,
        origin=origin,
        genesis=genesis,
        space=" " * max(2, 21 - len(genesis)),
        epochs=f'epochs = "{EPOCHS_FILE}"\n' if epochs else "",
        api=plan.api,
        peers=plan.peers,
        addresses=", ".join(f'{code} = "{at}"' for code, at in plan.addresses.items()),
        token=_make_token(home / TOKEN_FILE),
        govern_token=_make_token(home / GOVERN_TOKEN_FILE),
    )
    (home / CONFIG_FILE).write_text(text, encoding="utf-8")


def _make_token(path: Path) -> str:
    """Write a new token; its hash in hex, as a configuration names it."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    write_secret(path, token)
    return sha256(token.encode()).hexdigest()
