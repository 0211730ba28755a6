"""TLS 1.3 between members: self-signed Ed25519 certificates, pinned by the ledger.

Each context trusts exactly the members' certificates; there is no authority, no name check and no
older version of TLS. After the handshake the raw public key of the other side's certificate is
looked up among the members' (`member_keys`); a dialler demands a key of the platform it dialled.
"""

import ssl
import tempfile
from asyncio import BaseTransport
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ledger.errors import Malformed
from ledger.membership import MEMBER_NUMBER_MAX

GUEST: Final = MEMBER_NUMBER_MAX + 1
"""Numbers from here on are guests': observers that a member lets follow, by its configuration."""

_NOT_BEFORE: Final = datetime(2020, 1, 1, tzinfo=UTC)
_NOT_AFTER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280: no expiry


class Party(Protocol):
    """Who may be at the other end of a link: a `Validator` of the ledger, or a guest."""

    @property
    def number(self) -> int:
        """How it is known on links."""
        ...

    @property
    def code(self) -> str:
        """The platform's code, under which its address is known."""
        ...

    @property
    def certificate(self) -> bytes:
        """What it shows (DER)."""
        ...


@dataclass(frozen=True, slots=True)
class Guest:
    """An observer, as it shows itself on links."""

    number: int
    code: str
    certificate: bytes


def guest(code: str, certificate: bytes) -> Guest:
    """The guest of a certificate. Both ends of a link compute its number: 2³¹ + the first 31 bits
    of the link key's SHA-256.

    Raises:
        Malformed: the certificate cannot be read.
    """
    digest = sha256(certificate_key(certificate)).digest()
    return Guest(GUEST | int.from_bytes(digest[:4]) >> 1, code, certificate)


def make_certificate(link_seed: bytes, platform_code: str) -> bytes:
    """The self-signed certificate (DER) of a link key. The same seed and code, the same bytes."""
    key = Ed25519PrivateKey.from_private_bytes(link_seed)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, platform_code)])
    serial = int.from_bytes(key.public_key().public_bytes_raw()[:16]) >> 1 | 1
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, algorithm=None)
    )
    return certificate.public_bytes(Encoding.DER)


@lru_cache(maxsize=1_024)
def certificate_key(der: bytes) -> bytes:
    """The raw 32-byte Ed25519 key of a certificate.

    Raises:
        Malformed: not a certificate, or of another kind of key.
    """
    try:
        key = x509.load_der_x509_certificate(der).public_key()
    except ValueError as error:
        raise Malformed("is not an X.509 certificate in DER", field="certificate") from error
    if not isinstance(key, Ed25519PublicKey):
        raise Malformed("is not of an Ed25519 key", field="certificate")
    return key.public_bytes_raw()


def member_keys(validators: Sequence[Party]) -> dict[bytes, int]:
    """Raw link key → platform number; a platform may have several.

    Raises:
        Malformed: a certificate that cannot be read, or a key that two members share.
    """
    keys: dict[bytes, int] = {}
    for each in validators:
        if keys.setdefault(certificate_key(each.certificate), each.number) != each.number:
            raise Malformed("two members share one link key", field="certificate")
    return keys


def key_of(certificate_der: bytes | None) -> bytes | None:
    """The raw key of the certificate that the other side showed, or None if it showed none."""
    if certificate_der is None:
        return None
    try:
        return certificate_key(certificate_der)
    except Malformed:
        return None


def key_shown(transport: BaseTransport | None) -> bytes | None:
    """The raw key of the certificate that the other end of a TLS connection has shown."""
    return key_of(certificate_of(transport.get_extra_info("ssl_object") if transport else None))


def contexts(
    link_seed: bytes, own: Party, validators: Sequence[Party]
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The (listening, dialling) contexts of a node."""
    trusted = "".join(
        ssl.DER_cert_to_PEM_cert(certificate)
        for certificate in sorted(
            {each.certificate for each in validators if each.number != own.number}
        )
    )
    made = (
        _context(ssl.PROTOCOL_TLS_SERVER, link_seed, own.certificate, trusted),
        _context(ssl.PROTOCOL_TLS_CLIENT, link_seed, own.certificate, trusted),
    )
    made[0].num_tickets = 0  # every handshake shows its certificate anew
    return made


def _context(protocol: int, link_seed: bytes, own: bytes, trusted: str) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the key is compared, not a name
    context.verify_mode = ssl.CERT_REQUIRED
    # A platform whose keys change has two certificates of one name: the very one must be found.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if trusted:
        context.load_verify_locations(cadata=trusted)
    key = Ed25519PrivateKey.from_private_bytes(link_seed)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # The ssl module reads keys from files only: a folder of mode 0700, gone at once.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "link.pem")
        path.touch(mode=0o600)
        path.write_bytes(pem + ssl.DER_cert_to_PEM_cert(own).encode())
        context.load_cert_chain(path)
    return context


def certificate_of(ssl_object: Any) -> bytes | None:
    """The certificate (DER) that the other side of a connection has shown, if it has."""
    der: bytes | None = ssl_object.getpeercert(True) if ssl_object is not None else None
    return der
