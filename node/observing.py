"""The folder of an observer: a node that follows, verifies and serves reads, and signs nothing.

HOME/node.toml                         role = "observer"; it dials the members that are named
HOME/genesis.json, HOME/epochs         what it trusts, and which sets lead to today's
HOME/keys/link.key                     its one key (mode 0600); no other node has it
HOME/keys/observer.json, observer.crt  whose node it is; the certificate that members list in
                                       `peers.observers` so that they let it follow
HOME/token                             a bearer token that may read (mode 0600)
"""

import os
import secrets
from hashlib import sha256
from pathlib import Path
from typing import Final

from ledger.errors import InvalidInput, Misconfigured
from ledger.genesis import Foundation, chain_id
from ledger.signing import SEED_BYTES
from node.home import CONFIG_FILE, EPOCHS_FILE, TOKEN_BYTES, TOKEN_FILE, Plan
from node.keyring import OBSERVER_CERTIFICATE, Observing, write_observing
from node.keystore import key_path, write_secret, write_seed, write_whole
from node.links.tls import make_certificate
from node.network import GENESIS_FILE

_TOML: Final = """\
# An observer of platform {code} (number {number}) in the network of {origin}.
[node]
role = "observer"                # it signs nothing
data = "data"                    # this node's store; nothing else writes there
genesis = "genesis.json"         # what all nodes share
keys = "keys"                    # its link key, of mode 0600
{epochs}
[api]
listen = "{api}"

[peers]
listen = "{peers}"
addresses = {{ {addresses} }}

[[tokens]]
name = "reader"                  # the token itself lies in the file `token`
sha256 = "{token_sha256}"
may = ["read"]
"""


def make_observer(
    home: Path, plan: Plan, foundation: Foundation, *, genesis: bytes, epochs: bytes | None
) -> Path:
    """Write the folder of an observer of the platform that the plan names; the path of the
    certificate that is to be given to the members whom it dials.

    Raises:
        Misconfigured: the folder is not empty, or cannot be written, or nobody is dialled.
    """
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise Misconfigured(f"{home} exists and is not empty; choose another folder")
    if not plan.addresses:
        raise Misconfigured("an observer dials members: name at least one, CODE=HOST:PORT")
    seed, token, keys = os.urandom(SEED_BYTES), secrets.token_urlsafe(TOKEN_BYTES), home / "keys"
    try:
        certificate = make_certificate(seed, plan.code)
        keys.mkdir(parents=True, mode=0o700)
        write_seed(key_path(keys, "link"), seed)
        write_secret(home / TOKEN_FILE, token)
        (home / GENESIS_FILE).write_bytes(genesis)
        if epochs is not None:
            write_epochs(home / EPOCHS_FILE, epochs)
        text = _TOML.format(
            code=plan.code,
            number=plan.number,
            origin=foundation.origin,
            epochs="" if epochs is None else f'epochs = "{EPOCHS_FILE}"\n',
            api=plan.api,
            peers=plan.peers,
            addresses=", ".join(f'{code} = "{at}"' for code, at in plan.addresses.items()),
            token_sha256=sha256(token.encode()).hexdigest(),
        )
        (home / CONFIG_FILE).write_text(text, encoding="utf-8")
        chain = chain_id(foundation)
        write_observing(keys, Observing(chain, plan.number, plan.code, certificate, 0, 0))
    except InvalidInput as error:
        raise Misconfigured(f"no observer can be made of this: {error}") from error
    except OSError as error:
        raise Misconfigured(f"{error.filename} cannot be written: {error.strerror}") from error
    return keys / OBSERVER_CERTIFICATE


def write_epochs(path: Path, chain: bytes) -> None:
    """Write a file of epoch ends, whole or not at all.

    Raises:
        Misconfigured: it cannot be written.
    """
    try:
        write_whole(path, chain)
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error.strerror}") from error
