"""Link certificates: the one form of X.509 in which a platform shows its link key to its peers.

    certificate = SEQUENCE { tbs, Ed25519, BIT STRING signature }                          DER
    tbs         = SEQUENCE { [0] INTEGER 2, INTEGER serial, Ed25519, name, validity, name,
                             SEQUENCE { Ed25519, BIT STRING key },
                             [3] SEQUENCE { basicConstraints, critical, SEQUENCE {} } }
    name        = commonName, UTF8String: the platform's code
    validity    = 2020-01-01 to 9999-12-31T23:59:59Z, which says that it does not end (RFC 5280)
    serial      = the first 16 bytes of the key as a number, halved, its last bit set
    signature   = Ed25519 by the key itself over tbs

So a certificate is told by code, key and signature alone, and no two of them show one key. What a
record of the membership carries has exactly this form: a certificate that some node's TLS could not
read would cut that node off, and all nodes judge alike. Genesis's certificates are not judged.
"""

from typing import Final

from ledger.errors import BadSignature, Malformed
from ledger.signing import (
    PUBLIC_KEY_BYTES,
    SIGNATURE_BYTES,
    SigningKey,
    is_valid_public_key,
    verify,
)

_SEQUENCE: Final = 0x30
_SET: Final = 0x31
_INTEGER: Final = 0x02
_BIT_STRING: Final = 0x03
_UTF8: Final = 0x0C
_ED25519: Final = bytes.fromhex("300506032b6570")
_COMMON_NAME: Final = bytes.fromhex("0603550403")
_VERSION: Final = bytes.fromhex("a003020102")
_EXTENSIONS: Final = bytes.fromhex("a310300e300c0603551d130101ff04023000")
_VALIDITY: Final = bytes.fromhex("3020170d") + b"200101000000Z" + b"\x18\x0f99991231235959Z"
_SERIAL_BYTES: Final = 16
_SHORT: Final = 0x80


def _item(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < _SHORT:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, _SHORT | len(length)]) + length + content


def _to_sign(key: bytes, code: str) -> bytes:
    number = int.from_bytes(key[:_SERIAL_BYTES]) >> 1 | 1
    serial = number.to_bytes(number.bit_length() // 8 + 1)
    text = _item(_UTF8, code.encode())
    name = _item(_SEQUENCE, _item(_SET, _item(_SEQUENCE, _COMMON_NAME, text)))
    public = _item(_SEQUENCE, _ED25519, _item(_BIT_STRING, b"\0", key))
    return _item(
        _SEQUENCE,
        _VERSION,
        _item(_INTEGER, serial),
        _ED25519,
        name,
        _VALIDITY,
        name,
        public,
        _EXTENSIONS,
    )


def _certificate(key: bytes, code: str, signature: bytes) -> bytes:
    signed = _item(_BIT_STRING, b"\0", signature)
    return _item(_SEQUENCE, _to_sign(key, code), _ED25519, signed)


def link_certificate(key: SigningKey, code: str) -> bytes:
    """The self-signed certificate (DER) of a link key. The same key and code, the same bytes."""
    return _certificate(key.public, code, key.sign(_to_sign(key.public, code)))


def link_key(certificate: bytes, code: str) -> bytes:
    """The raw link key of a platform's certificate.

    Raises:
        Malformed: not of the one form, of another code, or its key is not a valid point.
        BadSignature: it is not signed by its own key.
    """
    behind = len(_item(_BIT_STRING, b"\0", bytes(SIGNATURE_BYTES))) + len(_ED25519)
    end = len(certificate) - behind - len(_EXTENSIONS)
    key = certificate[max(0, end - PUBLIC_KEY_BYTES) : max(0, end)]
    signature = certificate[-SIGNATURE_BYTES:]
    if len(key) != PUBLIC_KEY_BYTES or certificate != _certificate(key, code, signature):
        raise Malformed("is not a link certificate in its one form", field="certificate")
    if not is_valid_public_key(key):
        raise Malformed("is of a key that is not a valid Ed25519 key", field="certificate")
    if not verify(key, _to_sign(key, code), signature):
        raise BadSignature("the certificate is not signed by its own key", field="certificate")
    return key
