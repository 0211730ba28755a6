"""The keys that a platform holds: those in use, and further ones that wait for a rotation to bind.

KEYS/<purpose>.key, KEYS/request.json             in use (genesis's members have no request)
KEYS.next/<purpose>.key, KEYS.next/request.json   made by `standing network rotate`
KEYS.old/                                         on its way to be destroyed

A *request* is the public half: chain id, validator, proofs of possession, as JSON. It is what a
joining platform sends to a member, and what a node knows itself by where genesis does not name it.
The request is written last, so a folder with one is whole.

When the ledger's set names the further keys, `switch` puts them in the place of the old ones, which
are destroyed: overwritten, synced and removed. A crash in between is mended at the next start.

KEYS/observer.json                                this node holds no signing keys, and why
KEYS/observer.crt, KEYS/link.key                  how it shows itself to who lets it follow

An *observer* has no signing keys. It was made so (`standing node observe`), or its platform's
membership has ended: then `give_up` writes observer.json first and destroys the keys behind it.
"""

import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from consensus.config import Keys
from ledger.encoding import Hash, PlatformNumber, Uint, Value
from ledger.errors import InvalidInput, Misconfigured
from ledger.genesis import Foundation, chain_id
from ledger.membership import (
    Certificate,
    PlatformCode,
    Proofs,
    Validator,
    check_possession,
)
from ledger.signing import SigningKey
from node.api.json_records import value_from_json, value_to_json
from node.keystore import (
    SIGNING,
    Keystore,
    destroy,
    key_path,
    read_seed,
    sync_folder,
    write_whole,
)
from node.links.tls import Party, certificate_key, guest

REQUEST: Final = "request.json"
OBSERVER: Final = "observer.json"
OBSERVER_CERTIFICATE: Final = "observer.crt"
REQUEST_BYTES_MAX: Final = 64 * 1_024


class Request(Value):
    """What a platform shows of itself: whom it wants to be, on which chain."""

    chain: Hash
    validator: Validator
    proofs: Proofs


class Observing(Value):
    """What a node without signing keys knows itself by: whose node it is, and the certificate that
    it shows. `destroyed`: when its keys were (ms), behind the end of `epoch`; 0: it had none."""

    chain: Hash
    number: PlatformNumber
    code: PlatformCode
    certificate: Certificate
    destroyed: Uint
    epoch: Uint


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

    def __init__(self, folder: Path, foundation: Foundation, *, is_observer: bool = False) -> None:
        """Read the folder; what a crash left half done is finished first. `is_observer`: the node
        is to have no signing keys.

        Raises:
            Misconfigured: keys are missing, malformed, readable by others, nobody's, or there
                where none may be.
        """
        self._folder, self._chain = folder, chain_id(foundation)
        try:
            self._mend()
        except OSError as error:
            raise Misconfigured(
                f"keys that are to be destroyed cannot be: {error.filename or folder}: "
                f"{error.strerror}; see that this node may write there, then start again"
            ) from error
        self.held: Held | None = None
        self.further: Held | None = None
        self.observing = self._read_observing(is_observer=is_observer)
        if self.observing is None:
            self.held = self._read(folder, foundation.validators)
            self.look()

    @property
    def number(self) -> int:
        """The platform's number."""
        return self.observing.number if self.observing else self._held.validator.number

    @property
    def code(self) -> str:
        """The platform's code."""
        return self.observing.code if self.observing else self._held.validator.code

    @property
    def me(self) -> int:
        """The number by which consensus knows this node: the platform's, but for an observer that
        is not the platform's one node and never was."""
        other = self.observing is not None and not self.observing.destroyed
        return self.shown[0].number if other else self.number

    @property
    def shown(self) -> tuple[Party, bytes]:
        """What this node shows on links from the start, and the seed of its link key."""
        if self.observing is None:
            return self._held.validator, self._held.keys.link_seed
        return (
            guest(self.observing.code, self.observing.certificate),
            read_seed(key_path(self._folder, "link")),
        )

    @property
    def ended(self) -> str:
        """That the platform's membership has ended, and what became of its keys; or nothing."""
        if self.observing is None or not self.observing.destroyed:
            return ""
        return (
            f"the membership of platform {self.code} has ended, at the latest with epoch "
            f"{self.observing.epoch}: its lane, vote, cosigner and log keys are destroyed, and "
            f"this node goes on as an observer. A member that is given {OBSERVER_CERTIFICATE} "
            "beside the link key may let it follow, once both have started again"
        )

    @property
    def own_validators(self) -> tuple[Validator, ...]:
        """All whose keys are held."""
        return tuple(each.validator for each in (self.held, self.further) if each is not None)

    @property
    def own(self) -> Validator:
        """The validator whose keys are held.

        Raises:
            Misconfigured: none are, for good.
        """
        if self.held is None:
            raise Misconfigured(f"{self._folder} holds no signing keys: this node is an observer")
        return self.held.validator

    @property
    def _held(self) -> Held:
        assert self.held is not None, "who is no observer holds keys"
        return self.held

    def look(self) -> Held | None:
        """The further keys, if they have been made; those that lie there now, in place of earlier
        ones that were given up.

        Raises:
            Misconfigured: they cannot be used.
        """
        folder = next_folder(self._folder)
        if self.observing is None and (folder / REQUEST).exists():
            further = self._read(folder, ())
            if further.validator.number != self.number:
                raise Misconfigured(f"the keys in {folder} are another platform's")
            self.further = further
        return self.further

    def switch(self) -> None:
        """The further keys are in force: put them in place of the old ones and destroy those."""
        assert self.further is not None, "there are further keys"
        self.held, self.further = self.further, None
        self._folder.rename(_old_folder(self._folder))
        self._mend()

    def give_up(self, at_ms: int, epoch: int) -> None:
        """The membership has ended with an epoch: destroy all signing keys. The link key stays: a
        member may let this node follow.

        Raises:
            OSError: the folder cannot be written; the next start, or the next look, goes on.
        """
        own = self._held.validator
        observing = Observing(self._chain, own.number, own.code, own.certificate, at_ms, epoch)
        write_observing(self._folder, observing)
        self.observing, self.held, self.further = observing, None, None
        self._mend()

    def _mend(self) -> None:
        folder, old, further = self._folder, _old_folder(self._folder), next_folder(self._folder)
        if not folder.exists() and (further / REQUEST).exists():
            further.rename(folder)
        if folder.exists() and old.exists():
            sync_folder(folder.parent)  # no power cut may bring an overwritten key back in place
            _destroy(old)
        if (folder / OBSERVER).exists() and read_observing(folder).destroyed:
            destroy(folder, _signing(folder))
            if further.exists():
                _destroy(further)

    def _read_observing(self, *, is_observer: bool) -> Observing | None:
        folder = self._folder
        if not (folder / OBSERVER).exists():
            if is_observer:
                raise Misconfigured(
                    f'node.role is "observer", and {folder} has no {OBSERVER}: make a folder for '
                    "an observer with `standing node observe`; the platform's signing keys stay "
                    "at its one node"
                )
            return None
        observing = read_observing(folder)
        if observing.chain != self._chain:
            raise Misconfigured(f"the keys in {folder} were made for another network")
        if _signing(folder):
            raise Misconfigured(
                f"{folder} has {OBSERVER} and {_signing(folder)[0].name}: an observer holds no "
                "signing keys; remove them here, they belong to the platform's one node"
            )
        link = SigningKey.from_seed(read_seed(key_path(folder, "link"))).public
        if certificate_key(observing.certificate) != link:
            raise Misconfigured(f"the link key in {folder} is not that of {OBSERVER}")
        return observing

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


def read_observing(folder: Path) -> Observing:
    """What makes a folder of keys an observer's.

    Raises:
        Misconfigured: it cannot be read, or has another form.
    """
    path = folder / OBSERVER
    try:
        with path.open("rb") as file:
            data = file.read(REQUEST_BYTES_MAX + 1)
        found: Observing = value_from_json(Observing, data, bytes_max=REQUEST_BYTES_MAX)
        certificate_key(found.certificate)
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror}") from error
    except InvalidInput as error:
        raise Misconfigured(f"{path} does not say whose observer this is: {error}") from error
    return found


def write_observing(folder: Path, observing: Observing) -> None:
    """Make a folder of keys an observer's: on disk, whole or not at all, when this returns."""
    text = msgspec.json.format(msgspec.json.encode(value_to_json(observing)), indent=1) + b"\n"
    pem = ssl.DER_cert_to_PEM_cert(observing.certificate).encode()
    write_whole(folder / OBSERVER_CERTIFICATE, pem)
    write_whole(folder / OBSERVER, text)


def are_lost(folder: Path) -> bool:
    """Whether a folder of keys has no signing key at all, and was not an observer's."""
    return not (folder / OBSERVER).exists() and not _signing(folder)


def _signing(folder: Path) -> list[Path]:
    """The signing keys that lie in a folder."""
    return [path for path in (key_path(folder, each) for each in SIGNING) if path.exists()]


def _destroy(folder: Path) -> None:
    """Overwrite and remove every file of a folder, and the folder."""
    destroy(folder, sorted(folder.iterdir()))
    with suppress(OSError):
        folder.rmdir()
    sync_folder(folder.parent)
