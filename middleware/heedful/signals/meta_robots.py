"""What the page on which a picture was found says of its pictures: robots meta tags, and its X-Robots-Tag.

The HTML parser hands over tags as it meets them and builds no tree: there are pages of 50 KB of which a tree
takes gigabytes.
"""

from __future__ import annotations

import codecs
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Final

from lxml import etree

from heedful.model import Reading, Reason
from heedful.signals import x_robots_tag

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from heedful.model import Headers, Source, Statement

PAGE_RULES: Final = x_robots_tag.AI_RULES | {"noimageindex"}
"""The rules of a page that apply to the pictures on it; `noindex` and others speak of the page alone."""

_HINTS: Final = (*sorted(PAGE_RULES), "&#")

HTML_MAX: Final = 524_288
"""How much of a page is read, in octets or characters; robots meta tags belong into its head."""


def read(html: str | bytes, token: str, source: Source) -> Reading:
    """What the robots meta tags of a page say of training with its pictures.

    Args:
        html: the page; octets are taken as UTF-8, or as UTF-16 if they have its byte order mark.
        token: our product token.
        source: the page.
    """
    ours = {"robots", token.lower()}
    statements: dict[str, Statement] = {}
    for name, rules, text in _speaking(html):
        if name in ours:
            evidence = source.at(f'meta name="{name}"', text)
            for statement in x_robots_tag.denials(rules, Reason.META_ROBOTS, evidence):
                statements.setdefault(statement.rule, statement)
    return Reading(tuple(statements.values()))


def tags(html: str | bytes) -> tuple[str, ...]:
    """The meta tags that say anything of pictures, to any bot: all that `read` needs of the page.

    Args:
        html: the page, as for `read`.

    Returns:
        The text of each such tag, equal ones once.
    """
    return tuple(dict.fromkeys(text for _, _, text in _speaking(html)))


def page_headers(headers: Headers, token: str, source: Source, *, joined: bool = False) -> Reading:
    """What the X-Robots-Tag lines of a page's response say of training with the pictures on it.

    Args:
        headers: the page's header lines.
        token: our product token.
        source: the page.
        joined: as for `heedful.signals.x_robots_tag.read`.
    """
    reading = x_robots_tag.read(headers, token, source, joined=joined)
    return Reading(
        tuple(
            replace(
                statement, evidence=replace(statement.evidence, where=f"page's {statement.evidence.where}")
            )
            for statement in reading.statements
            if statement.rule in PAGE_RULES
        )
    )


def _speaking(html: str | bytes) -> Iterator[tuple[str, list[str], str]]:
    """The meta tags with a rule for pictures: the bot, the rules, and the tag's text."""
    text = _decoded(html)
    # Most pages hold none of the rules, nor a character reference that could stand for a letter of one.
    lowered = text.lower()
    if not any(hint in lowered for hint in _HINTS):
        return
    for attributes in _metas(text):
        name, content = attributes.get("name", ""), attributes.get("content", "")
        pieces = content.lower().replace(";", ",").split(",")
        rules = [rule for rule in map(str.strip, pieces) if rule in PAGE_RULES]
        if rules:
            yield name.strip().lower(), rules, f'<meta name="{escape(name)}" content="{escape(content)}">'


def _decoded(html: str | bytes) -> str:
    if isinstance(html, str):
        return html[:HTML_MAX]
    utf16 = html.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return html[:HTML_MAX].decode("utf-16" if utf16 else "utf-8", "replace")


class _Metas:
    """A parser's target that keeps the meta tags which are in force: not those in templates."""

    def __init__(self) -> None:
        self._found: list[dict[str, str]] = []
        self._templates = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "template":
            self._templates += 1
        elif tag == "meta" and not self._templates:
            kept: dict[str, str] = {}
            for name, value in attributes.items():
                kept.setdefault(name.lower(), value)  # the first of equal names counts
            self._found.append(kept)

    def end(self, tag: str) -> None:
        if tag == "template":
            self._templates = max(0, self._templates - 1)

    def data(self, _: str) -> None:
        pass

    def comment(self, _: str) -> None:
        pass

    def close(self) -> list[dict[str, str]]:
        return self._found


def _metas(html: str) -> list[dict[str, str]]:
    """The attributes of the meta tags outside of comments, text and templates."""
    target = _Metas()
    parser = etree.HTMLParser(target=target, encoding="utf-8")
    try:
        parser.feed(html.encode("utf-8", "replace"))
        parser.close()
    except (etree.LxmlError, ValueError):  # nothing in it, or nothing that can be read on
        pass
    return target.close()
