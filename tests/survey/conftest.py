from __future__ import annotations

import pytest

from heedful._origin import ALL
from heedful.gate import Gate
from heedful.model import OriginFile
from heedful.survey._classify import Asked, Reach, row_of
from heedful.survey._parts import Parts, Terms

AT = 1_790_000_000.0  # 2026-09-21T14:13:20Z
ORIGIN = "https://a.example"
TOKEN = "PictureBot"


def files(origin=ORIGIN, *, at=AT, **bodies):
    """The files of a site, by path; a number is a status, what is not given is not there."""
    given = dict.fromkeys(ALL, 404) | bodies
    return {
        origin + path: OriginFile(origin + path, said, fetched=at)
        if isinstance(said, int)
        else OriginFile(origin + path, 200, (), said.encode("utf-8", "surrogateescape"), at)
        for path, said in given.items()
    }


def row(name="a.example", reach=Reach.ANSWERED, *, policy="standard", token=TOKEN, at=AT, **bodies):
    """The row of a site with these files."""
    origin = f"https://{name}"
    found = files(origin, at=at, **bodies) if reach is Reach.ANSWERED else {}
    return row_of(Asked(name, reach, origin, found, at), Gate(token, policy))


@pytest.fixture
def survey(tmp_path):
    """Write rows as a survey; its folder."""

    def write(rows, *, folder="survey", size=2, policy="standard"):
        parts = Parts(tmp_path / folder, Terms.of(Gate(TOKEN, policy)), size=size)
        for each in rows:
            parts.add(each)
        parts.close()
        return tmp_path / folder

    return write


CLOSED = "User-agent: {}\nDisallow: /\n"


@pytest.fixture
def small(survey):
    """A survey of one site of each kind."""
    return survey(
        [
            row("open.example"),
            row("robots.example", **{"/robots.txt": CLOSED.format("*")}),
            row(
                "both.example",
                at=AT + 86_400,
                **{
                    "/robots.txt": CLOSED.format("GPTBot\nUser-agent: CCBot")
                    + "\nUser-agent: *\nContent-Signal: Search = yes, ai-train=no\n",
                    "/.well-known/tdmrep.json": '[{"location": "/", "tdm-reservation": 1}]',
                },
            ),
            row("part.example", **{"/.well-known/tdmrep.json": '[{"location": "/x", "tdm-reservation": 1}]'}),
            row("broken.example", **{"/.well-known/tdmrep.json": "{<script>"}),
            row("away.example", Reach.NO_ADDRESS),
        ]
    )
