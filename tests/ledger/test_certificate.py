"""Link certificates: the one form, and that nothing else passes for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.certificate import link_certificate, link_key
from ledger.errors import InvalidInput
from ledger.signing import SigningKey
from node.links.tls import certificate_key, make_certificate

seeds = st.binary(min_size=32, max_size=32)
codes = st.from_regex(r"\A[a-z0-9]{1,32}\Z")
CERTIFICATE = link_certificate(SigningKey.from_seed(bytes(32)), "acme")


@given(seeds, codes)
def test_is_the_certificate_that_the_node_makes(seed, code):
    """Ours and that of an X.509 library, byte for byte; both read the same key out of it."""
    key = SigningKey.from_seed(seed)
    made = link_certificate(key, code)
    assert made == make_certificate(seed, code)
    assert link_key(made, code) == certificate_key(made) == key.public


def test_no_changed_byte_passes():
    for at in range(len(CERTIFICATE)):
        for bit in range(8):
            changed = bytearray(CERTIFICATE)
            changed[at] ^= 1 << bit
            with pytest.raises(InvalidInput):
                link_key(bytes(changed), "acme")


@pytest.mark.parametrize(
    "data", [b"", b"\x30", CERTIFICATE[:-1], CERTIFICATE + b"\0", bytes(2_048)]
)
def test_other_bytes_are_refused(data):
    with pytest.raises(InvalidInput, match="certificate"):
        link_key(data, "acme")


def test_a_certificate_of_another_code_is_refused():
    with pytest.raises(InvalidInput, match="one form"):
        link_key(CERTIFICATE, "acne")
