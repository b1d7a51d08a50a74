"""What an attempt to ask comes to."""

from __future__ import annotations

from typing import NamedTuple


class Reply(NamedTuple):
    """An answer.

    Attributes:
        status: its HTTP status.
        retry_after: its Retry-After header.
        location: its Location header.
        body: its body; empty unless the status is 200.
    """

    status: int
    retry_after: str | None
    location: str | None
    body: bytes


class NoReplyError(Exception):
    """There was no answer that could be read.

    Attributes:
        why: in a few words.
        again: it may be otherwise the next time.
    """

    def __init__(self, why: str, *, again: bool) -> None:
        super().__init__(why)
        self.why = why
        self.again = again
