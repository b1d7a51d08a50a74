"""The bytes of a picture, and what is made of them once, however often they are judged."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Final

from heedful import fingerprint
from heedful.model import Source
from heedful.signals import embedded

_NOWHERE: Final = Source("")


class Body:
    """A picture's bytes as they were sent, content encoding undone, before anything re-encodes them."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @cached_property
    def embedded(self) -> embedded.Embedded:
        """What the file says of itself; the evidence does not yet say of which file."""
        return embedded.read(self.data, _NOWHERE)

    @cached_property
    def media_type(self) -> str | None:
        """Its type by its first bytes; None if that cannot be told."""
        return embedded.media_type(self.data)

    @cached_property
    def sha256(self) -> bytes:
        """The SHA-256 digest."""
        return hashlib.sha256(self.data).digest()

    @cached_property
    def md5(self) -> bytes:
        """The MD5 digest, by which some lists name files."""
        return hashlib.md5(self.data, usedforsecurity=False).digest()

    @property
    def fingerprints(self) -> tuple[fingerprint.Fingerprint, ...]:
        """What its copies may look like; none: that says nothing, or cannot be told, or it is no picture."""
        return self._views[0]

    @property
    def undecodable(self) -> str | None:
        """Why its fingerprints cannot be told, although it claims to be a picture; None: they can."""
        return self._views[1]

    @cached_property
    def _views(self) -> tuple[tuple[fingerprint.Fingerprint, ...], str | None]:
        try:
            return fingerprint.views(self.data, quick=True), None
        except fingerprint.Undecodable as error:
            return (), str(error)
