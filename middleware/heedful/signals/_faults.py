"""What is malformed in a file that was parsed once: it becomes a warning with each URL judged by the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from heedful.model import ParseWarning

if TYPE_CHECKING:
    from heedful.model import Reason, Source


class Fault(NamedTuple):
    """Something malformed, of which nothing is allowed.

    Attributes:
        message: what is wrong.
        where: the place in the file.
        raw: the text there.
    """

    message: str
    where: str
    raw: str

    def warning(self, signal: Reason, source: Source) -> ParseWarning:
        """The warning that it gives, with evidence."""
        return ParseWarning(signal, self.message, source.at(self.where, self.raw))
