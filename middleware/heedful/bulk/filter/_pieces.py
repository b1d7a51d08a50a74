"""What the formats share: a piece of a file, which one process filters, and that a file cannot be read."""

from __future__ import annotations

from typing import Any, NamedTuple

from heedful.errors import HeedfulError


class Piece(NamedTuple):
    """A part of a file.

    Attributes:
        number: counts from 0.
        start: where it begins: a row group, or an octet.
        stop: where the next one does.
    """

    number: int
    start: int
    stop: int


class UnreadableError(HeedfulError):
    """A file cannot be read; all others can still be filtered."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(path, why)
        self.path = path
        self.why = why

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.why)
