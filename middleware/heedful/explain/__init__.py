"""Tells the story of a URL: from ledgers and the snapshots of origin files, never from the network."""

from heedful.explain._excerpt import Excerpt, ExcerptLine, excerpt
from heedful.explain._hosts import Host, Near, nearest, summarise
from heedful.explain._lines import Line, Lines
from heedful.explain._stories import Decision, Role, Story, said, silent, stories

__all__ = [
    "Decision",
    "Excerpt",
    "ExcerptLine",
    "Host",
    "Line",
    "Lines",
    "Near",
    "Role",
    "Story",
    "excerpt",
    "nearest",
    "said",
    "silent",
    "stories",
    "summarise",
]
