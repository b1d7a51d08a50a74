"""Bytes into lines, whatever bytes they are, in bounded memory."""

from __future__ import annotations

import codecs
import io
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LINE_MAX: Final = 1_048_576
"""Longest line, in characters; the longest entry has 16,384, the rest is for the other columns of a table."""

TOO_LONG: Final = f"its line is longer than {LINE_MAX} characters"


def decoded(chunks: Iterable[bytes], *, newlines: bool = True) -> Iterator[str]:
    """UTF-8 text, without a byte order mark; undecodable bytes become surrogates (PEP 383).

    Args:
        chunks: the file.
        newlines: every CR LF and CR becomes a LF.
    """
    utf8 = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
    decoder = io.IncrementalNewlineDecoder(utf8, translate=True) if newlines else utf8
    for chunk in chunks:
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def batches(texts: Iterable[str], longest: int = LINE_MAX) -> Iterator[tuple[int, list[str]]]:
    """Lines, without their ends, many at a time, each time with the number of the first.

    A line that is longer than `longest` characters may have lost some, but is still too long.
    """
    number, rest = 1, ""
    for text in texts:
        lines = (rest + text).split("\n")
        rest = lines.pop()
        if lines:
            yield number, lines
            number += len(lines)
        if len(rest) > longest:
            rest = rest[: longest + 1]
    if rest:
        yield number, [rest]


def lines(chunks: Iterable[bytes], longest: int = LINE_MAX) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, stripped, but the blank ones."""
    for first, batch in batches(decoded(chunks), longest):
        for number, line in enumerate(batch, first):
            text = line.strip()
            if text:
                yield number, text
