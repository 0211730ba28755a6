"""The keys that a platform holds: those in use, and further ones that wait for a rotation to bind.

KEYS/<purpose>.key, KEYS/request.json             in use (genesis's members have no request)
KEYS.next/<purpose>.key, KEYS.next/request.json   made by `standing network rotate`
KEYS.old/                                         on its way to be destroyed

A *request* is the public half: chain id, validator, proofs of possession, as JSON. It is what a
joining platform sends to a member, and what a node knows itself by where genesis does not name it.
The request is written last, so a folder with one is whole.

When the ledger's set names the further keys, `switch` puts them in the place of the old ones, which
are destroyed: overwritten, synced and removed. (A disk may keep copies elsewhere: where that
matters, keep the folder on an encrypted one.) A crash in between is mended at the next start.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from consensus.config import Keys
from ledger.encoding import Hash, Value
from ledger.errors import InvalidInput, Misconfigured
from ledger.genesis import Foundation, chain_id
from ledger.membership import Proofs, Validator, check_possession
from ledger.signing import SigningKey
from node.api.json_records import value_from_json, value_to_json
from node.keystore import Keystore
from node.links.tls import certificate_key

REQUEST: Final = "request.json"
REQUEST_BYTES_MAX: Final = 64 * 1_024


class Request(Value):
    """What a platform shows of itself: whom it wants to be, on which chain."""

    chain: Hash
    validator: Validator
    proofs: Proofs


@dataclass(frozen=True, slots=True)
class Held:
    """A validator with its private keys."""

    validator: Validator
    keys: Keystore

    @property
    def signers(self) -> Keys:
        """The keys that consensus signs with."""
        return Keys(lane=self.keys.lane, vote=self.keys.vote, cosigner=self.keys.cosigner)


def encode_request(request: Request) -> bytes:
    """A request's JSON form."""
    return msgspec.json.format(msgspec.json.encode(value_to_json(request)), indent=1) + b"\n"


def read_request(path: Path) -> Request:
    """Read a request and check its keys and proofs.

    Raises:
        Misconfigured: it cannot be read, or is no request whose proofs hold.
    """
    try:
        with path.open("rb") as file:
            data = file.read(REQUEST_BYTES_MAX + 1)
    except OSError as error:
        raise Misconfigured(f"the request {path} cannot be read: {error.strerror}") from error
    try:
        request: Request = value_from_json(Request, data, bytes_max=REQUEST_BYTES_MAX)
        check_possession(request.validator, request.proofs)
    except InvalidInput as error:
        raise Misconfigured(f"{path} is no request whose proofs hold: {error}") from error
    return request


def next_folder(folder: Path) -> Path:
    """Where the keys lie that wait for a rotation."""
    return folder.with_name(folder.name + ".next")


def _old_folder(folder: Path) -> Path:
    return folder.with_name(folder.name + ".old")


class Keyring:
    """The keys of one node's folder."""

    def __init__(self, folder: Path, foundation: Foundation) -> None:
        """Read the folder; what a crash left half done is finished first.

        Raises:
            Misconfigured: keys are missing, malformed, readable by others, or nobody's.
        """
        self._folder, self._chain = folder, chain_id(foundation)
        self._mend()
        self.held = self._read(folder, foundation.validators)
        self.further: Held | None = None
        self.look()

    def look(self) -> Held | None:
        """The further keys, if they have been made.

        Raises:
            Misconfigured: they cannot be used.
        """
        folder = next_folder(self._folder)
        if self.further is None and (folder / REQUEST).exists():
            further = self._read(folder, ())
            if further.validator.number != self.held.validator.number:
                raise Misconfigured(f"the keys in {folder} are another platform's")
            self.further = further
        return self.further

    def switch(self) -> None:
        """The further keys are in force: put them in place of the old ones and destroy those."""
        assert self.further is not None, "there are further keys"
        self.held, self.further = self.further, None
        self._folder.rename(_old_folder(self._folder))
        self._mend()

    def _mend(self) -> None:
        folder, old = self._folder, _old_folder(self._folder)
        if not folder.exists() and (next_folder(folder) / REQUEST).exists():
            next_folder(folder).rename(folder)
        if folder.exists() and old.exists():
            _destroy(old)

    def _read(self, folder: Path, validators: tuple[Validator, ...]) -> Held:
        keys = Keystore.load(folder)
        lane = keys.lane.public
        if (folder / REQUEST).exists():
            request = read_request(folder / REQUEST)
            if request.chain != self._chain:
                raise Misconfigured(f"the keys in {folder} were made for another network")
            validators = (request.validator,)
        own = next((each for each in validators if each.lane_key == lane), None)
        if own is None:
            raise Misconfigured(
                "the lane key belongs to no platform of this genesis, and there is no "
                f"{folder / REQUEST} beside it; check node.keys"
            )
        _check_match(own, keys)
        return Held(own, keys)


def _check_match(own: Validator, keys: Keystore) -> None:
    for purpose in ("vote", "cosigner", "log"):
        if own.key(purpose) != getattr(keys, purpose).public:
            raise Misconfigured(f"the {purpose} key is not the one that is named for {own.code}")
    if certificate_key(own.certificate) != SigningKey.from_seed(keys.link_seed).public:
        raise Misconfigured(f"the link key is not that of {own.code}'s certificate")


def _destroy(folder: Path) -> None:
    """Overwrite and remove every file of a folder, and the folder."""
    for path in sorted(folder.iterdir()):
        with path.open("r+b", buffering=0) as file:
            file.write(bytes(path.stat().st_size))
            os.fsync(file.fileno())
        path.unlink()
    with suppress(OSError):
        folder.rmdir()
