"""Ed25519 signatures (RFC 8032) over manifests, by the library `cryptography` of the extra `[sign]`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from heedful.registry._errors import RegistryError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_BYTES: Final = 32
"""Octets of a raw private or public key (RFC 8032, section 5.1.5)."""

_CONTEXT: Final = b"heedful registry manifest\n"
"""Stands before what is signed, so that a signature made for another use of the key is none of a manifest."""


def sign(body: bytes, key: bytes | Path) -> str:
    """The signature of a manifest's body, in hexadecimal.

    Args:
        body: what is signed.
        key: the private key or its file: PEM (PKCS #8, not encrypted) or 32 raw octets.

    Raises:
        RegistryError: it is no such key, or `cryptography` is not installed.
    """
    return _private(key).sign(_CONTEXT + body).hex()


def verify(body: bytes, signature: str, key: bytes | Path) -> bool:
    """Whether `signature` is that of `body` by the owner of `key`.

    Args:
        body: what was signed.
        signature: in hexadecimal.
        key: the public key or its file: PEM or 32 raw octets.

    Raises:
        RegistryError: it is no such key, or `cryptography` is not installed.
    """
    return _verified(body, signature, _public(key))


def signed_by(body: bytes, signature: str, key: bytes | Path) -> bool:
    """As `verify`, with the private key itself."""
    return _verified(body, signature, _private(key).public_key())


def _verified(body: bytes, signature: str, key: Ed25519PublicKey) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra

    try:
        key.verify(bytes.fromhex(signature), _CONTEXT + body)
    except InvalidSignature:
        return False
    return True


def _private(key: bytes | Path) -> Ed25519PrivateKey:
    library = _library()
    data = _data(key)
    found: Ed25519PrivateKey
    try:
        if len(data) == KEY_BYTES:
            found = library.ed25519.Ed25519PrivateKey.from_private_bytes(data)
        else:
            found = library.serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, library.unsupported) as error:  # TypeError: it wants a password
        raise RegistryError(f"{_named(key)} is no private key that can be read: {error}.") from error
    fits = isinstance(found, library.ed25519.Ed25519PrivateKey)
    if not fits:
        raise RegistryError(f"{_named(key)} is not an Ed25519 key.")
    return found


def _public(key: bytes | Path) -> Ed25519PublicKey:
    library = _library()
    data = _data(key)
    found: Ed25519PublicKey
    try:
        if len(data) == KEY_BYTES:
            found = library.ed25519.Ed25519PublicKey.from_public_bytes(data)
        else:
            found = library.serialization.load_pem_public_key(data)
    except (ValueError, library.unsupported) as error:
        raise RegistryError(f"{_named(key)} is no public key that can be read: {error}.") from error
    fits = isinstance(found, library.ed25519.Ed25519PublicKey)
    if not fits:
        raise RegistryError(f"{_named(key)} is not an Ed25519 key.")
    return found


class _Library:
    """The parts of `cryptography` that are used."""

    def __init__(self) -> None:
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415

        self.unsupported = UnsupportedAlgorithm
        self.serialization: Any = serialization
        self.ed25519: Any = ed25519


def _library() -> _Library:
    try:
        return _Library()
    except ImportError as error:
        raise RegistryError("Signatures need the extra [sign]: pip install 'heedful[sign]'.") from error


def _data(key: bytes | Path) -> bytes:
    if isinstance(key, bytes):
        return key
    try:
        return Path(key).read_bytes()
    except OSError as error:
        raise RegistryError(f"The key {key} cannot be read: {error.strerror}.") from error


def _named(key: bytes | Path) -> str:
    return "The key given" if isinstance(key, bytes) else f"The key {key}"
