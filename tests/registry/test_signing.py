"""Ed25519 signatures over manifests."""

from __future__ import annotations

import subprocess
import sys

import pytest

from heedful.registry._errors import RegistryError
from heedful.registry._signing import sign, signed_by, verify

ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
from cryptography.hazmat.primitives import serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402

BODY = b'{"version":1}'
SECRET = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
PKCS8, SPKI = serialization.PrivateFormat.PKCS8, serialization.PublicFormat.SubjectPublicKeyInfo
PEM, RAW = serialization.Encoding.PEM, serialization.Encoding.Raw
PLAIN = serialization.NoEncryption()
LOCKED = serialization.BestAvailableEncryption(b"secret")

PRIVATE = {
    "pem": SECRET.private_bytes(PEM, PKCS8, PLAIN),
    "raw": SECRET.private_bytes(RAW, serialization.PrivateFormat.Raw, PLAIN),
}
PUBLIC = {
    "pem": SECRET.public_key().public_bytes(PEM, SPKI),
    "raw": SECRET.public_key().public_bytes(RAW, serialization.PublicFormat.Raw),
}


@pytest.mark.parametrize("as_file", [False, True], ids=["octets", "file"])
@pytest.mark.parametrize("form", PRIVATE)
def test_signed_and_verified(tmp_path, form, as_file):
    private, public = PRIVATE[form], PUBLIC[form]
    if as_file:
        (tmp_path / "private").write_bytes(private)
        (tmp_path / "public").write_bytes(public)
        private, public = tmp_path / "private", tmp_path / "public"
    signature = sign(BODY, private)
    assert len(signature) == 128
    assert verify(BODY, signature, public)
    assert signed_by(BODY, signature, private)
    assert not verify(BODY + b" ", signature, public)
    assert not signed_by(BODY + b" ", signature, private)
    assert not verify(BODY, sign(BODY, OTHER.private_bytes_raw()), public)


def test_a_signature_for_another_use_is_none():
    assert not verify(BODY, SECRET.sign(BODY).hex(), PUBLIC["raw"])


def test_every_bit_of_a_signature_counts():
    signature = bytes.fromhex(sign(BODY, PRIVATE["raw"]))
    for bit in range(8 * len(signature)):
        forged = bytearray(signature)
        forged[bit // 8] ^= 1 << bit % 8
        assert not verify(BODY, forged.hex(), PUBLIC["raw"])


UNUSABLE = {
    "nothing": (b"", "no private key that can be read"),
    "31 octets": (bytes(31), "no private key that can be read"),
    "locked": (SECRET.private_bytes(PEM, PKCS8, LOCKED), "no private key that can be read"),
    "public": (PUBLIC["pem"], "no private key that can be read"),
    "another algorithm": (
        ec.derive_private_key(7, ec.SECP256R1()).private_bytes(PEM, PKCS8, PLAIN),
        "is not an Ed25519 key",
    ),
}


@pytest.mark.parametrize(("key", "words"), UNUSABLE.values(), ids=UNUSABLE)
def test_no_private_key(key, words):
    with pytest.raises(RegistryError, match=f"The key given .*{words}"):
        sign(BODY, key)


UNUSABLE_PUBLIC = {
    "nothing": (b"", "no public key that can be read"),
    "private": (PRIVATE["pem"], "no public key that can be read"),
    "another algorithm": (
        ec.derive_private_key(7, ec.SECP256R1()).public_key().public_bytes(PEM, SPKI),
        "is not an Ed25519 key",
    ),
}


@pytest.mark.parametrize(("key", "words"), UNUSABLE_PUBLIC.values(), ids=UNUSABLE_PUBLIC)
def test_no_public_key(key, words):
    with pytest.raises(RegistryError, match=words):
        verify(BODY, "00" * 64, key)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(RegistryError, match=r"The key .*none cannot be read: No such file"):
        sign(BODY, tmp_path / "none")


def test_a_secret_key_is_in_no_message():
    with pytest.raises(RegistryError) as caught:
        sign(BODY, b"-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----\n")
    assert "hush" not in str(caught.value)


def test_without_the_library():
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from heedful.registry._signing import sign\n"
        "try: sign(b'', bytes(32))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "RegistryError Signatures need the extra [sign]: pip install 'heedful[sign]'.\n"
