"""The gallery as data: its sites, what each says of AI training, and what is wanted of each picture.

To add an exhibit, add a row to `_EXHIBITS`, and to `_SITES` where it needs an origin file of its own. Numbers
are given in the order of the rows. A text may hold `{{site}}`, which stands for that site's origin.
"""

from __future__ import annotations

import html
import itertools
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

from heedful.model import Action, Headers, Reason
from heedful.testing import embed
from heedful.testing.pictures import CONTENT_TYPES, Format, Picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TOKEN = "PictureBot"
"""The product token that the gallery's robots rules are written for."""

PROFILES = ("standard", "strict", "letter", "opt-in")
"""The policies of which each exhibit says what is wanted."""

LARGE = 96 * 1024
"""Bytes of a large picture: above the 64 KiB that a crawler may read in one go."""

HUGE = 3 * 512 * 1024
"""Bytes of a huge picture: more than the sockets between server and crawler can hold unread."""


class Fault(Enum):
    """What a server does instead of answering: reset the connection, or stay silent until it is closed."""

    RESET = "reset"
    STALL = "stall"


@dataclass(frozen=True, slots=True)
class File:
    """What is served at one path.

    Attributes:
        body: bytes as they are; a str is UTF-8 encoded, `{{site}}` in it replaced; a picture is drawn.
        status: the HTTP status.
        headers: header lines in order, repeats allowed, `{{site}}` in values replaced.
        chunked: sent in chunks, without a Content-Length.
        fault: the request is not answered, but this happens.
    """

    body: bytes | str | Picture = b""
    status: int = 200
    headers: Headers = ()
    chunked: bool = False
    fault: Fault | None = None


def redirect(url: str, *, status: int = 302, headers: Headers = ()) -> File:
    """A redirect to `url`, in which `{{site}}` is replaced."""
    return File(status=status, headers=(("Location", url), *headers))


@dataclass(frozen=True, slots=True)
class Site:
    """An origin of its own.

    Attributes:
        files: what it serves, by path (with the query, if any); any other path is 404.
        title: its name on its own page and in links to it.
        head: more markup for its page's head.
        headers: more header lines of its page's response.
    """

    files: Mapping[str, File] = field(hash=False)
    title: str = ""
    head: str = ""
    headers: Headers = ()

    def find(self, target: str) -> File | None:
        """The file at a request's target: path and query, else the path alone."""
        return self.files.get(target) or self.files.get(target.partition("?")[0])


@dataclass(frozen=True, slots=True)
class Web:
    """Sites by name, each to be served on an origin of its own; the first is where a crawl starts."""

    sites: Mapping[str, Site] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Hop:
    """Where a redirect leads; `headers` are those of the response there."""

    site: str
    path: str
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry of the gallery's registry.

    Attributes:
        kind: what it names, as in `heedful.registry.entries.Kind`.
        entry: its text, in which `{{site}}` is replaced; empty: the exhibit's own URL, or its file's digest.
        list: the list that it stands in.
        opt_in: the owner agrees; else the owner declines.
    """

    kind: Literal["url", "host", "domain", "path", "pattern", "sha256", "md5"]
    entry: str = ""
    list: str = "artists"
    opt_in: bool = False


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A picture on the web, and the truth about it.

    Attributes:
        name: unique, for tests and tables.
        site: the name of the site that it is linked on.
        path: the path there, in URL form.
        id: the number that the picture carries; wherever a redirect leads to, no other picture has it.
        signal: in words, how it is opted out, or why it is free.
        wanted: what a crawler should do under each of `PROFILES`. `FAILED`: there is nothing to store.
        reason: the reason under `standard`, None unless it is skipped or deferred there. Under `opt-in`,
            what `standard` stores is skipped for `no-opt-in`.
        format: the file format.
        headers: header lines of the response at `path`.
        status: its status; other than 200, there is no picture.
        min_bytes: the picture is at least so large.
        chunked: sent without a Content-Length.
        content_type: the media type declared, if not that of the format.
        xmp, jumbf: an XMP packet or a C2PA manifest store in the file.
        listed: the entries of the gallery's registry that are about it.
        hops: the redirects from `path` on, the last of which has the picture.
        shown_on: the site whose page shows it, if not its own.
    """

    name: str
    site: str
    path: str
    signal: str
    wanted: Mapping[str, Action] = field(hash=False)
    reason: Reason | None = None
    id: int = 0
    format: Format = "JPEG"
    headers: Headers = ()
    status: int = 200
    min_bytes: int = 0
    chunked: bool = False
    content_type: str | None = None
    xmp: bytes = b""
    jumbf: bytes = b""
    listed: tuple[Listed, ...] = ()
    hops: tuple[Hop, ...] = ()
    shown_on: str | None = None

    @property
    def picture(self) -> Picture:
        """The picture itself."""
        return Picture(self.id, self.format, min_bytes=self.min_bytes, xmp=self.xmp, jumbf=self.jumbf)

    def files(self) -> Iterable[tuple[str, str, File]]:
        """What is to be served for it: site, path, file."""
        site, path, headers = self.site, self.path, self.headers
        for hop in self.hops:
            yield site, path, redirect(f"{{{{{hop.site}}}}}{hop.path}", headers=headers)
            site, path, headers = hop.site, hop.path, hop.headers
        if self.status == 200:
            kind = self.content_type or CONTENT_TYPES[self.format]
            body: str | Picture = self.picture
        else:
            kind, body = "text/plain", f"{self.status}\n"
        yield site, path, File(body, self.status, (("Content-Type", kind), *headers), self.chunked)


@dataclass(frozen=True, slots=True)
class Gallery(Web):
    """A web of which the truth is known."""

    exhibits: tuple[Exhibit, ...] = ()

    def wanted(self, profile: str, action: Action | str) -> tuple[Exhibit, ...]:
        """The exhibits of which `action` is wanted under `profile`."""
        return tuple(exhibit for exhibit in self.exhibits if exhibit.wanted[profile] == action)

    def exhibit(self, name: str) -> Exhibit:
        """The exhibit of that name.

        Raises:
            KeyError: there is none.
        """
        for exhibit in self.exhibits:
            if exhibit.name == name:
                return exhibit
        raise KeyError(name)


def build(sites: Mapping[str, Site], exhibits: Iterable[Exhibit]) -> Gallery:
    """A gallery of `exhibits`, numbered and put on `sites`, with a page on each site that shows any."""
    numbered = tuple(replace(exhibit, id=number) for number, exhibit in enumerate(exhibits, _FIRST_ID))
    files = {name: dict(site.files) for name, site in sites.items()}
    for site, path, file in itertools.chain.from_iterable(exhibit.files() for exhibit in numbered):
        if path in files[site]:
            raise ValueError(f"two files at {path} on {site}")
        files[site][path] = file
    shown: dict[str, list[Exhibit]] = {name: [] for name in sites}
    for exhibit in numbered:
        shown[exhibit.shown_on or exhibit.site].append(exhibit)
    open_to_visitors = {name: sites[name].title for name, hung in shown.items() if hung}
    for name in open_to_visitors:
        page = _page(name, shown[name], open_to_visitors, sites[name].head)
        headers = (("Content-Type", "text/html; charset=utf-8"), *sites[name].headers)
        files[name]["/"] = File(page, headers=headers)
    return Gallery({name: replace(site, files=files[name]) for name, site in sites.items()}, numbered)


_FIRST_ID = 101

_STYLE = """
body { margin: 0 auto; max-width: 70rem; padding: 2rem; font: 1rem/1.5 Georgia, serif }
body { color: #222; background: #faf8f4 }
h1 { font-weight: normal; margin: 0 }
nav { margin: .5rem 0 2rem; font-size: .9rem }
nav a { color: #7a4b1e; margin-right: .8rem; white-space: nowrap }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1.5rem }
figure { margin: 0; background: #fff; padding: .8rem; box-shadow: 0 1px 4px #0003 }
img { width: 100%; aspect-ratio: 1; display: block; background: #eee }
figcaption { margin-top: .6rem; font-size: .85rem; overflow-wrap: anywhere }
"""


def _page(site: str, hung: Iterable[Exhibit], titles: Mapping[str, str], head: str) -> str:
    figures = "\n".join(
        f'<figure><img src="{{{{{exhibit.site}}}}}{html.escape(exhibit.path)}" '
        f'alt="Picture {exhibit.id}: {html.escape(exhibit.name.replace("-", " "))}">'
        f"<figcaption>{html.escape(exhibit.signal)}</figcaption></figure>"
        for exhibit in hung
    )
    links = "\n".join(
        f'<a href="{{{{{name}}}}}/">{html.escape(title)}</a>'
        for name, title in titles.items()
        if name != site
    )
    title = html.escape(titles[site])
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'{head}<link rel="icon" href="data:,">\n<style>{_STYLE}</style>\n</head>\n'
        f"<body>\n<h1>{title}</h1>\n<nav>\n{links}\n</nav>\n<main>\n{figures}\n</main>\n</body>\n</html>\n"
    )


_Want = tuple["Mapping[str, Action]", "Reason | None"]


def _want(
    standard: Action, strict: Action, letter: Action, opt_in: Action, reason: Reason | None = None
) -> _Want:
    return dict(zip(PROFILES, (standard, strict, letter, opt_in), strict=True)), reason


def _denied(reason: Reason) -> _Want:
    return _want(Action.SKIP, Action.SKIP, Action.SKIP, Action.SKIP, reason)


def _not_by_the_letter(reason: Reason) -> _Want:
    return _want(Action.SKIP, Action.SKIP, Action.STORE, Action.SKIP, reason)


_FREE = _want(Action.STORE, Action.STORE, Action.STORE, Action.SKIP)
_ALLOWED = _want(Action.STORE, Action.STORE, Action.STORE, Action.STORE)
_STRICT_ONLY = _want(Action.STORE, Action.SKIP, Action.STORE, Action.SKIP)
_ALLOWED_UNLESS_STRICT = _want(Action.STORE, Action.SKIP, Action.STORE, Action.STORE)
_STRICT_DEFERS = _want(Action.STORE, Action.DEFER, Action.STORE, Action.SKIP)
_LISTED_URL = _denied(Reason.REGISTRY_URL)
_LISTED_HOST = _denied(Reason.REGISTRY_HOST)
_LISTED_HASH = _denied(Reason.REGISTRY_HASH)
_INFERRED = _not_by_the_letter(Reason.ROBOTS_AI_TOKEN)
_FAILED = _want(Action.FAILED, Action.FAILED, Action.FAILED, Action.FAILED)
_DOWN = _want(Action.DEFER, Action.DEFER, Action.DEFER, Action.DEFER, Reason.ROBOTS_UNREACHABLE)
_DISALLOWED = _denied(Reason.ROBOTS_DISALLOW)
_TAGGED = _denied(Reason.X_ROBOTS_TAG)
_INDEX_RULE = _not_by_the_letter(Reason.X_ROBOTS_TAG)
_RESERVED = _denied(Reason.TDMREP)
_RESERVED_ALIAS = _not_by_the_letter(Reason.TDMREP)
_SIGNAL_NO = _denied(Reason.CONTENT_SIGNAL)
_SIGNAL_STAR = _not_by_the_letter(Reason.CONTENT_SIGNAL)
_LEGACY = _not_by_the_letter(Reason.ROBOTS_LEGACY)
_AI_TXT = _denied(Reason.AI_TXT)
_TRUST_NO = _denied(Reason.TRUST_TXT)
_RSL = _denied(Reason.RSL)
_USAGE_N = _denied(Reason.CONTENT_USAGE)
_MINED = _denied(Reason.DATA_MINING)
_TRAINED = _denied(Reason.TRAINING_MINING)
_USAGE_ALIAS = _not_by_the_letter(Reason.CONTENT_USAGE)


def _text(body: str, status: int = 200) -> File:
    return File(body, status, (("Content-Type", "text/plain; charset=utf-8"),))


def _json(body: str) -> File:
    return File(body, headers=(("Content-Type", "application/json"),))


def _rsl(contents: str) -> File:
    body = f'<rsl xmlns="https://rslstandard.org/rsl">{contents}</rsl>'
    return File(body, headers=(("Content-Type", "application/rsl+xml"),))


_ROBOTS = "/robots.txt"
_TDMREP = "/.well-known/tdmrep.json"

_SITES: dict[str, Site] = {
    "home": Site({}, "The open wall"),
    # RFC 9309, 2.2.1: the groups that name the token are merged, and replace `*`; tokens match as a whole.
    "studio": Site(
        {
            _ROBOTS: _text(
                "User-agent: *\nDisallow: /\n\n"
                "User-agent: PictureBot\nDisallow: /closed/\n\n"
                "User-agent: Picture\nUser-agent: PictureBot-News\nDisallow: /open/\n\n"
                "User-agent: PICTUREBOT/1.0\nDisallow: /also-closed/\n"
            )
        },
        "A studio with rules of our own",
    ),
    # RFC 9309, 2.2.2 and 2.2.3: two groups for all, a byte order mark, wildcards, percent-encoding.
    "museum": Site(
        {
            _ROBOTS: _text(
                "\ufeffUser-agent: *\n"
                "Disallow: /private/\n"
                "Disallow: /*.gif$\n"
                "Disallow: /%7Eanna/\n"
                "Disallow: /schön/\n"
                "Disallow: /east%2Fwest/\n"
                "Disallow: /tie/\nAllow: /tie/\n\n"
                "User-agent: otherbot\nAllow: /\n\n"
                "User-agent: *\nDisallow: /sketches/\nAllow: /sketches/public/\n"
            )
        },
        "A museum with rules for all",
    ),
    # Records that are no rules do not split a run of User-agent lines.
    "archive": Site(
        {
            _ROBOTS: _text(
                "User-agent: otherbot\nSitemap: {{archive}}/sitemap.xml\n"
                "User-agent: PictureBot\nDisallow: /closed/\n\n"
                "User-agent: PictureBot\nContent-Signal: search=yes\n"
                "User-agent: thirdbot\nDisallow: /vault/\n"
            )
        },
        "An archive with other lines between",
    ),
    "press": Site({_ROBOTS: _text("User-agent: *\nAllow: /\n")}, "A press agency's tags"),
    "agency": Site(
        {
            "/licence.xml": _rsl(
                '<content url="/"><license><prohibits type="usage">all</prohibits></license></content>'
            )
        },
        "An agency's headers",
    ),
    "usage": Site(
        {
            _ROBOTS: _text(
                "User-agent: *\nAllow: /\nContent-Usage: train-ai=n\nContent-Usage: /ai-ok/ train-ai=y\n"
            )
        },
        "A site with usage preferences",
    ),
    # TDMRep: the first entry that matches wins, even where its value is in error.
    "rights": Site(
        {
            _TDMREP: _json(
                '[{"location": "/press/", "tdm-reservation": 0},\n'
                ' {"location": "/gallery/*", "tdm-reservation": 1},\n'
                ' {"location": "/gallery/free/", "tdm-reservation": 0},\n'
                ' {"location": "/quoted/", "tdm-reservation": "1"},\n'
                ' {"location": "/broken/", "tdm-reservation": "no"},\n'
                ' {"location": "/*.png$", "tdm-reservation": 1},\n'
                ' {"location": "/broken/", "tdm-reservation": 1}]\n'
            )
        },
        "A site with reserved folders",
    ),
    "reserved": Site(
        {
            _TDMREP: _json(
                '[{"location": "/*", "tdm-reservation": 1, "tdm-policy": "{{reserved}}/policy.json"}]\n'
            )
        },
        "A site reserved as a whole",
    ),
    "rights-down": Site({_TDMREP: _text("500\n", 500)}, "A site whose reservation cannot be read"),
    # Cloudflare's Content Signals, and an expired draft's lines; the rules of the * group are not ours.
    "signals": Site(
        {
            _ROBOTS: _text(
                "Content-Signal: search=yes\n\n"
                "User-agent: *\nContent-Signal: ai-train=no\nDisallowAITraining: /\nDisallow: /\n\n"
                "User-agent: PictureBot\nContent-Signal: ai-train=yes\nAllow: /\n"
            )
        },
        "A site whose * group reserves training",
    ),
    "signal-no": Site(
        {_ROBOTS: _text("User-agent: *\nContent-Signal: search=yes, ai-train=no\nAllow: /\n")},
        "A site with Content-Signal: ai-train=no",
    ),
    "signal-yes": Site(
        {
            _ROBOTS: _text(
                "User-agent: GPTBot\nUser-agent: CCBot\nDisallow: /\n\n"
                "User-agent: *\nContent-Signal: ai-train=yes\nAllow: /\n"
            )
        },
        "A site closed to two trainers, yet with ai-train=yes",
    ),
    "legacy": Site(
        {
            _ROBOTS: _text(
                "User-agent: *\nDisallowAITraining: /kept/\nAllowAITraining: /kept/free/\nAllow: /\n"
            )
        },
        "A site with DisallowAITraining",
    ),
    # What is said to other agents: formally not ours.
    "trainers": Site(
        {
            _ROBOTS: _text(
                "User-agent: GPTBot\nDisallow: /two/\nDisallow: /one/\n\n"
                "User-agent: ClaudeBot\nDisallow: /two/\n\n"
                "User-agent: Google-Extended\nDisallow: /policy/\n\n"
                "User-agent: img2dataset\nDisallow: /dataset/\n\n"
                "User-agent: OAI-SearchBot\nUser-agent: ChatGPT-User\nDisallow: /search/\n"
            )
        },
        "A site closed to trainers of AI",
    ),
    # Spawning's ai.txt: an allow for PNG is an explicit one.
    "ai-txt": Site(
        {
            "/ai.txt": _text("User-Agent: *\nDisallow: *.jpg\nAllow: *.png\n/\n"),
        },
        "A site with ai.txt",
    ),
    "ai-json": Site(
        {
            "/.well-known/ai.json": _json(
                '{"site": {"name": "Art", "url": "{{ai-json}}"}, "policies": {"training": "conditional"}, '
                '"trainingPaths": {"allow": ["/open/*"], "deny": ["/open/not/*"]}}'
            )
        },
        "A site with ai.json",
    ),
    "trust-no": Site({"/trust.txt": _text("datatrainingallowed=no\n")}, "A publisher with trust.txt: no"),
    "trust-yes": Site(
        {
            "/.well-known/trust.txt": _text("DataTrainingAllowed = Yes\n"),
            "/trust.txt": _text("datatrainingallowed=no\n"),
        },
        "A publisher with trust.txt: yes",
    ),
    "rsl": Site(
        {
            _ROBOTS: _text("License: {{rsl}}/license.xml\n\nUser-agent: *\nAllow: /\n"),
            "/license.xml": _rsl(
                '<content url="/art/"><license><prohibits type="usage">ai-train</prohibits></license>'
                "</content>"
                '<content url="/paid/"><license><permits type="usage">ai-all</permits>'
                '<payment type="purchase"/></license></content>'
                '<content url="/search/"><license><permits type="usage">search</permits></license></content>'
                '<content url="/free/"><license><permits type="usage">ai-train</permits></license></content>'
            ),
        },
        "A site that licenses by RSL",
    ),
    # Pages that speak of the pictures on them; the sites of the pictures do not.
    "page-meta": Site({}, "A page with a noai meta tag", head='<meta name="Robots" content="noindex, NoAI">'),
    "page-header": Site({}, "A page with a noai header", headers=(("X-Robots-Tag", "noimageai"),)),
    "page-noindex": Site({}, "A page with noindex", head='<meta name="robots" content="noindex">'),
    "darkroom": Site({}, "Pictures that speak for themselves"),
    "registered": Site({}, "Pictures whose owners had their wishes registered"),
    # The sites from here on have no page: their pictures are shown by the first site, as from a CDN.
    "listed-host": Site({}),
    "listed-domain": Site({}),
    "robots-500": Site({_ROBOTS: _text("500\n", 500)}),
    "robots-429": Site({_ROBOTS: _text("429\n", 429)}),
    "robots-reset": Site({_ROBOTS: File(fault=Fault.RESET)}),
    "robots-403": Site({_ROBOTS: _text("403\n", 403)}),
    "robots-moved": Site({_ROBOTS: redirect("{{cdn}}/shared/robots.txt", status=301)}),
    "cdn": Site(
        {
            _ROBOTS: _text("User-agent: *\nDisallow: /closed/\n"),
            "/shared/robots.txt": _text("User-agent: *\nDisallow: /\n"),
        }
    ),
}

_NOAI: Headers = (("X-Robots-Tag", "noai"),)


def _tagged(name: str, words: str, want: _Want, *lines: str, header: str = "X-Robots-Tag") -> Exhibit:
    headers = tuple((header, line) for line in lines)
    return Exhibit(name, "press", f"/{name}.jpg", words, *want, headers=headers)


def _headed(name: str, words: str, want: _Want, *headers: tuple[str, str]) -> Exhibit:
    return Exhibit(name, "agency", f"/{name}.jpg", words, *want, headers=headers)


def _listed(name: str, words: str, want: _Want, *listed: Listed, **more: Any) -> Exhibit:
    return Exhibit(name, "registered", f"/{name}.jpg", words, *want, listed=listed, **more)


def _moved(name: str, words: str, want: _Want, first: str, *hops: Hop, **more: Any) -> Exhibit:
    return Exhibit(name, "home", first, words, *want, hops=hops, **more)


_DMI_TRAINING = "DMI-PROHIBITED-AIMLTRAINING"
_DMI_SEARCH = "DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING"


def _said(
    name: str,
    signal: str,
    want: _Want,
    format: Format = "JPEG",  # noqa: A002
    **more: Any,
) -> Exhibit:
    """An exhibit whose file speaks."""
    return Exhibit(name, "darkroom", f"/{name}.{format.lower()}", signal, *want, format=format, **more)


def _mined(
    name: str,
    signal: str,
    want: _Want,
    format: Format,  # noqa: A002
    value: str,
    form: embed.Form = "resource",
    **more: Any,
) -> Exhibit:
    return _said(name, signal, want, format, xmp=embed.dmi_packet(value, form=form), **more)


def _asserted(
    name: str,
    signal: str,
    want: _Want,
    format: Format,  # noqa: A002
    entries: Mapping[str, str],
) -> Exhibit:
    label = next(iter(entries)).partition(".")[0] + ".training-mining"
    return _said(name, signal, want, format, jumbf=embed.training_mining_store(entries, label=label))


_EXHIBITS: tuple[Exhibit, ...] = (
    # Nothing said.
    Exhibit("free-jpeg", "home", "/harbour.jpg", "no signal", *_FREE),
    Exhibit("free-png", "home", "/hills.png", "no signal, PNG", *_FREE, format="PNG"),
    Exhibit("free-webp", "home", "/meadow.webp", "no signal, WebP", *_FREE, format="WEBP"),
    Exhibit("free-large", "home", "/panorama.jpg", "no signal, large", *_FREE, min_bytes=LARGE),
    Exhibit("free-chunked", "home", "/stream.jpg", "no signal, sent in chunks", *_FREE, chunked=True),
    Exhibit("free-query", "home", "/picture?id=7&size=l", "no signal, no file name", *_FREE),
    Exhibit("missing", "home", "/missing.jpg", "404, no signal", *_FAILED, status=404),
    # robots.txt.
    Exhibit("own-group-free", "studio", "/open/1.jpg", "closed to all but us", *_FREE),
    Exhibit("own-group", "studio", "/closed/1.jpg", "robots.txt, our own group", *_DISALLOWED),
    Exhibit("own-group-second", "studio", "/also-closed/1.jpg", "robots.txt, our second group", *_DISALLOWED),
    Exhibit("star-group", "museum", "/private/1.jpg", "robots.txt, first group after a BOM", *_DISALLOWED),
    Exhibit("star-group-second", "museum", "/sketches/1.jpg", "robots.txt, second * group", *_DISALLOWED),
    Exhibit("star-group-longer", "museum", "/sketches/public/1.jpg", "robots.txt, a longer Allow", *_FREE),
    Exhibit("star-group-tie", "museum", "/tie/1.jpg", "robots.txt, Allow wins a tie", *_FREE),
    Exhibit("star-group-outside", "museum", "/hall/1.jpg", "robots.txt, no rule for the path", *_FREE),
    Exhibit("wildcard", "museum", "/loops/wave.gif", "robots.txt, /*.gif$", *_DISALLOWED, format="GIF"),
    Exhibit("wildcard-anchored", "museum", "/loops/wave.gif.jpg", "robots.txt, not /*.gif$", *_FREE),
    Exhibit("percent-unreserved", "museum", "/~anna/1.jpg", "robots.txt, /%7Eanna/ is /~anna/", *_DISALLOWED),
    Exhibit("percent-utf8", "museum", "/sch%C3%B6n/1.jpg", "robots.txt, /schön/", *_DISALLOWED),
    Exhibit("percent-slash", "museum", "/east/west/1.jpg", "robots.txt, %2F is not /", *_FREE),
    Exhibit("sitemap-between", "archive", "/closed/1.jpg", "robots.txt, Sitemap inside", *_DISALLOWED),
    Exhibit("signal-between", "archive", "/vault/1.jpg", "robots.txt, Content-Signal in it", *_DISALLOWED),
    Exhibit("archive-free", "archive", "/open/1.jpg", "robots.txt, no rule for the path", *_FREE),
    Exhibit("robots-500", "robots-500", "/1.jpg", "robots.txt answers 500", *_DOWN, shown_on="home"),
    Exhibit("robots-429", "robots-429", "/1.jpg", "robots.txt answers 429", *_DOWN, shown_on="home"),
    Exhibit("robots-reset", "robots-reset", "/1.jpg", "robots.txt resets", *_DOWN, shown_on="home"),
    Exhibit("robots-403", "robots-403", "/1.jpg", "robots.txt answers 403", *_FREE, shown_on="home"),
    Exhibit(
        "robots-moved", "robots-moved", "/1.jpg", "robots.txt lies elsewhere", *_DISALLOWED,
        shown_on="home",
    ),
    # X-Robots-Tag.
    _tagged("noai", "X-Robots-Tag: noai", _TAGGED, "noai"),
    _tagged("noimageai", "X-Robots-Tag: noimageai", _TAGGED, "noimageai"),
    _tagged("noml", "X-Robots-Tag: noml", _TAGGED, "noml"),
    _tagged("noai-mixed", "X-Robots-Tag: NoAI", _TAGGED, "NoAI"),
    _tagged("noai-upper", "X-ROBOTS-TAG: NOAI", _TAGGED, "NOAI", header="X-ROBOTS-TAG"),
    _tagged("noai-lower", "x-robots-tag: noai", _TAGGED, "noai", header="x-robots-tag"),
    _tagged("noai-second-line", "noai in a second line", _TAGGED, "googlebot: nofollow", "noai"),
    _tagged("noai-all", "noai for *", _TAGGED, "*: noai"),
    _tagged("noai-own", "noai for PictureBot", _TAGGED, "PictureBot: noai"),
    _tagged("noai-own-spaced", "noai for picturebot, with a space", _TAGGED, "picturebot : noai"),
    _tagged("noai-other", "noai for another bot only", _FREE, "otherbot: noai"),
    _tagged("noai-after-snippet", "noai after a rule with a colon", _TAGGED, "max-snippet:0, noai"),
    _tagged("noai-after-date", "noai after date", _TAGGED, "unavailable_after: 25 Jun 2030 15:00 PST, noai"),
    _tagged("noai-semicolon", "noai;", _TAGGED, "noai;"),
    _tagged("noindex", "noindex", _INDEX_RULE, "noindex"),
    _tagged("noarchive", "noarchive", _STRICT_ONLY, "noarchive"),
    _tagged("nosnippet", "nosnippet says nothing of AI", _FREE, "nosnippet, max-image-preview:large"),
    Exhibit("noai-large", "press", "/large.jpg", "noai, large", *_TAGGED, headers=_NOAI, min_bytes=LARGE),
    Exhibit("noai-chunked", "press", "/chunks.jpg", "noai, in chunks", *_TAGGED, headers=_NOAI, chunked=True),
    Exhibit(
        "noai-chunked-huge", "press", "/endless.jpg", "noai, huge, in chunks", *_TAGGED,
        headers=_NOAI, min_bytes=HUGE, chunked=True,
    ),
    Exhibit(
        "noai-octets", "press", "/octets", "noai, as application/octet-stream", *_TAGGED,
        headers=_NOAI, content_type="application/octet-stream",
    ),
    Exhibit(
        "noai-html", "press", "/page", "noai, as text/html", *_TAGGED,
        headers=_NOAI, content_type="text/html",
    ),
    Exhibit("noai-missing", "press", "/gone.jpg", "noai on a 404", *_TAGGED, headers=_NOAI, status=404),
    # TDMRep.
    _headed(
        "tdm-1", "tdm-reservation: 1", _RESERVED,
        ("tdm-reservation", "1"), ("tdm-policy", "{{agency}}/policy.json"),
    ),
    _headed("tdm-0", "tdm-reservation: 0", _ALLOWED, ("TDM-Reservation", "0")),
    _headed("tdm-yes", "tdm-reservation: yes, an error", _FREE, ("tdm-reservation", "yes")),
    _headed(
        "tdm-both", "tdm-reservation: 0, then 1", _RESERVED,
        ("tdm-reservation", "0"), ("tdm-reservation", "1"),
    ),
    Exhibit(
        "tdm-huge", "agency", "/huge.png", "tdm-reservation: 1, huge", *_RESERVED,
        format="PNG", headers=(("TDM-Reservation", "1"),), min_bytes=HUGE,
    ),
    Exhibit("tdm-file-0", "rights", "/press/1.jpg", "tdmrep.json, 0 for the folder", *_ALLOWED),
    Exhibit(
        "tdm-file-0-first", "rights", "/press/1.png", "tdmrep.json, 0, then 1", *_ALLOWED,
        format="PNG",
    ),
    Exhibit("tdm-file-1", "rights", "/gallery/1.jpg", "tdmrep.json, 1 for the folder", *_RESERVED),
    Exhibit("tdm-file-1-first", "rights", "/gallery/free/1.jpg", "tdmrep.json, 1, then 0", *_RESERVED),
    Exhibit("tdm-file-png", "rights", "/hall/1.png", "tdmrep.json, /*.png$", *_RESERVED, format="PNG"),
    Exhibit("tdm-file-quoted", "rights", "/quoted/1.jpg", 'tdmrep.json, "1"', *_RESERVED_ALIAS),
    Exhibit("tdm-file-error", "rights", "/broken/1.jpg", "tdmrep.json, an error, then 1", *_FREE),
    Exhibit("tdm-file-outside", "rights", "/hall/1.jpg", "tdmrep.json, no entry for the path", *_FREE),
    Exhibit(
        "tdm-header-1", "rights", "/press/2.jpg", "tdm-reservation: 1 over 0 in the file", *_RESERVED,
        headers=(("tdm-reservation", "1"),),
    ),
    Exhibit("tdm-0-noai", "rights", "/press/3.jpg", "tdmrep.json 0, but noai", *_TAGGED, headers=_NOAI),
    Exhibit("tdm-file-all", "reserved", "/1.jpg", "tdmrep.json, 1 for /*", *_RESERVED),
    Exhibit(
        "tdm-header-0", "reserved", "/2.jpg", "tdm-reservation: 0 over 1 in the file", *_ALLOWED,
        headers=(("tdm-reservation", "0"),),
    ),
    Exhibit("tdm-file-500", "rights-down", "/1.jpg", "tdmrep.json answers 500", *_STRICT_DEFERS),
    # Content-Usage.
    _headed("usage-n", "Content-Usage: train-ai=n", _USAGE_N, ("Content-Usage", "train-ai=n")),
    _headed("usage-y", "Content-Usage: train-ai=y", _ALLOWED, ("Content-Usage", "train-ai=y, search=n")),
    _headed("usage-search", "Content-Usage: search=n", _FREE, ("Content-Usage", "search=n")),
    _headed("usage-genai", "Content-Usage: genai=n", _USAGE_ALIAS, ("Content-Usage", "genai=n")),
    _headed("usage-no", "Content-Usage: train-ai=no", _STRICT_ONLY, ("Content-Usage", "train-ai=no")),
    _headed("usage-case", "Content-Usage: Train-AI=n", _STRICT_ONLY, ("Content-Usage", "Train-AI=n")),
    _headed(
        "usage-last-n", "Content-Usage: y, then n", _USAGE_N,
        ("Content-Usage", "train-ai=y"), ("Content-Usage", "train-ai=n"),
    ),
    _headed(
        "usage-last-y", "Content-Usage: n, then y", _ALLOWED_UNLESS_STRICT,
        ("Content-Usage", "train-ai=n"), ("Content-Usage", "train-ai=y"),
    ),
    _headed(
        "usage-y-tdm-1", "Content-Usage: train-ai=y, but tdm-reservation: 1", _RESERVED,
        ("Content-Usage", "train-ai=y"), ("tdm-reservation", "1"),
    ),
    Exhibit("usage-robots-n", "usage", "/1.jpg", "robots.txt, train-ai=n", *_USAGE_N),
    Exhibit("usage-robots-y", "usage", "/ai-ok/1.jpg", "robots.txt, /ai-ok/ train-ai=y", *_ALLOWED),
    Exhibit(
        "usage-robots-y-header-n", "usage", "/ai-ok/2.jpg", "y in robots.txt, n in the header", *_USAGE_N,
        headers=(("Content-Usage", "train-ai=n"),),
    ),
    # Content-Signal and DisallowAITraining.
    Exhibit("signal-star", "signals", "/1.jpg", "Content-Signal no for *, yes for us", *_SIGNAL_STAR),
    Exhibit("signal-no", "signal-no", "/1.jpg", "Content-Signal: ai-train=no", *_SIGNAL_NO),
    Exhibit("signal-yes", "signal-yes", "/1.jpg", "two trainers disallowed, but ai-train=yes", *_ALLOWED),
    _headed("signal-header", "Content-Signal: ai-train=no", _SIGNAL_NO, ("Content-Signal", "ai-train=no")),
    _headed(
        "signal-alias", "Content-Signal: ai-train=deny", _not_by_the_letter(Reason.CONTENT_SIGNAL),
        ("Content-Signal", "ai-train=deny"),
    ),
    _headed("signal-use", "Content-Signal: use=reference", _STRICT_ONLY, ("Content-Signal", "use=reference")),
    Exhibit("legacy", "legacy", "/kept/1.jpg", "DisallowAITraining: /kept/", *_LEGACY),
    Exhibit("legacy-free", "legacy", "/kept/free/1.jpg", "AllowAITraining: /kept/free/", *_FREE),
    # Other agents' tokens.
    Exhibit("trainers-two", "trainers", "/two/1.jpg", "GPTBot and ClaudeBot disallowed", *_INFERRED),
    Exhibit("trainers-one", "trainers", "/one/1.jpg", "GPTBot disallowed", *_STRICT_ONLY),
    Exhibit("trainers-policy", "trainers", "/policy/1.jpg", "Google-Extended disallowed", *_INFERRED),
    Exhibit("trainers-dataset", "trainers", "/dataset/1.jpg", "img2dataset disallowed", *_INFERRED),
    Exhibit("trainers-search", "trainers", "/search/1.jpg", "search agents disallowed", *_FREE),
    # ai.txt and trust.txt.
    Exhibit("ai-txt-jpg", "ai-txt", "/1.jpg", "ai.txt, Disallow: *.jpg", *_AI_TXT),
    Exhibit("ai-txt-upper", "ai-txt", "/2.JPG?w=1", "ai.txt, Disallow: *.jpg, for .JPG?w=1", *_AI_TXT),
    Exhibit("ai-txt-png", "ai-txt", "/1.png", "ai.txt, Allow: *.png", *_ALLOWED, format="PNG"),
    Exhibit("ai-txt-webp", "ai-txt", "/1.webp", "ai.txt, no rule for .webp", *_FREE, format="WEBP"),
    Exhibit("ai-txt-type", "ai-txt", "/picture/1", "ai.txt, a JPEG without an extension", *_AI_TXT),
    Exhibit("ai-json-open", "ai-json", "/open/1.jpg", "ai.json, allowed path", *_ALLOWED),
    Exhibit("ai-json-not", "ai-json", "/open/not/1.jpg", "ai.json, denied path", *_AI_TXT),
    Exhibit("ai-json-other", "ai-json", "/1.jpg", "ai.json, conditional, no match", *_AI_TXT),
    Exhibit("trust-no", "trust-no", "/1.jpg", "trust.txt, datatrainingallowed=no", *_TRUST_NO),
    Exhibit("trust-yes", "trust-yes", "/1.jpg", "trust.txt, the first location says yes", *_ALLOWED),
    # RSL.
    Exhibit("rsl-prohibits", "rsl", "/art/1.jpg", "RSL, training prohibited", *_RSL),
    Exhibit("rsl-paid", "rsl", "/paid/1.jpg", "RSL, training for payment", *_RSL),
    Exhibit("rsl-search", "rsl", "/search/1.jpg", "RSL, search only", *_RSL),
    Exhibit("rsl-free", "rsl", "/free/1.jpg", "RSL, training permitted", *_ALLOWED),
    Exhibit("rsl-outside", "rsl", "/1.jpg", "RSL, no content for the path", *_FREE),
    _headed(
        "rsl-link", "Link to an RSL document", _RSL,
        ("Link", '<{{agency}}/licence.xml>; rel="license"; type="application/rsl+xml"'),
    ),
    # Robots-Tag, and what pages say of their pictures.
    _headed("robots-tag", "Robots-Tag: *;noai", _denied(Reason.ROBOTS_TAG), ("Robots-Tag", "*;noai")),
    _headed("robots-tag-other", "Robots-Tag: otherbot;noai", _FREE, ("Robots-Tag", "otherbot;noai")),
    Exhibit("page-meta", "page-meta", "/1.jpg", "noai in its page's meta tag", *_denied(Reason.META_ROBOTS)),
    Exhibit("page-header", "page-header", "/1.jpg", "noimageai in its page's header", *_TAGGED),
    Exhibit("page-noindex", "page-noindex", "/1.jpg", "noindex in its page's meta tag", *_FREE),
    # What the files themselves say: PLUS, C2PA and CAWG, TDMRep.
    _mined("dmi-jpeg", "DMI-PROHIBITED in a JPEG", _MINED, "JPEG", "DMI-PROHIBITED"),
    _mined("dmi-png", "no AI training, as text in a PNG", _MINED, "PNG", _DMI_TRAINING, "element"),
    _mined("dmi-webp", "no AI training, as a label in a WebP", _MINED, "WEBP", _DMI_TRAINING, "label"),
    _mined("dmi-avif", "no AI training, attribute in an AVIF", _MINED, "AVIF", _DMI_TRAINING, "attribute"),
    _mined("dmi-gif", "search engines only, in a GIF", _MINED, "GIF", _DMI_SEARCH, "bag"),
    _mined("dmi-generative", "no generative AI training", _MINED, "JPEG", "DMI-PROHIBITED-GENAIMLTRAINING"),
    _mined("dmi-allowed", "DMI-ALLOWED", _ALLOWED, "JPEG", "DMI-ALLOWED"),
    _mined("dmi-unspecified", "DMI-UNSPECIFIED", _FREE, "PNG", "DMI-UNSPECIFIED"),
    _mined(
        "dmi-allowed-noai", "DMI-ALLOWED, but noai", _TAGGED, "JPEG", "DMI-ALLOWED", headers=_NOAI,
    ),
    _mined("dmi-large", "DMI-PROHIBITED in a large PNG", _MINED, "PNG", "DMI-PROHIBITED", min_bytes=HUGE),
    _mined(
        "dmi-text-plain", "DMI-PROHIBITED, sent as text/plain", _MINED, "JPEG", "DMI-PROHIBITED",
        content_type="text/plain",
    ),
    _said("dmi-foreign", "DataMining in a namespace that is not PLUS's", _FREE, xmp=embed.dmi_packet(
        "DMI-PROHIBITED", prefix="other", namespace="http://other.example/",
    )),
    _said("usage-terms-noai", "noai in the usage terms", _MINED, "WEBP", xmp=embed.xmp_packet(
        "<r:UsageTerms><rdf:Alt><rdf:li xml:lang='x-default'>All rights reserved, noai</rdf:li></rdf:Alt>"
        "</r:UsageTerms>", 'xmlns:r="http://ns.adobe.com/xap/1.0/rights/"',
    )),
    _said("tdm-in-the-file", "TDMRep's reservation: 1 in the file", _RESERVED, "PNG", xmp=embed.xmp_packet(
        "<tdm:reservation>1</tdm:reservation>", 'xmlns:tdm="http://www.w3.org/ns/tdmrep/"',
    )),
    _said("ai-made", "a digital source type, which is no opt-out", _FREE, xmp=embed.xmp_packet(
        "<e:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
        "</e:DigitalSourceType>", 'xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"',
    )),
    _asserted(
        "cawg-jpeg", "CAWG, training notAllowed, in a JPEG", _TRAINED, "JPEG",
        {"cawg.ai_training": "notAllowed", "cawg.ai_generative_training": "notAllowed"},
    ),
    _asserted(
        "cawg-webp", "CAWG, constrained, in a WebP", _TRAINED, "WEBP",
        {"cawg.ai_generative_training": "constrained"},
    ),
    _asserted(
        "c2pa-png", "C2PA, data_mining notAllowed, in a PNG", _TRAINED, "PNG",
        {"c2pa.data_mining": "notAllowed"},
    ),
    _asserted(
        "c2pa-avif", "C2PA, ai_training notAllowed, in an AVIF", _TRAINED, "AVIF",
        {"c2pa.ai_training": "notAllowed"},
    ),
    _asserted(
        "c2pa-inference", "C2PA, only ai_inference notAllowed", _FREE, "JPEG",
        {"c2pa.ai_inference": "notAllowed"},
    ),
    _asserted(
        "cawg-unsigned", "CAWG, allowed, but not signed", _FREE, "PNG",
        {"cawg.ai_training": "allowed", "cawg.ai_generative_training": "allowed"},
    ),
    # Registries: wishes that count wherever the picture lies.
    _listed("listed-url", "its URL is registered", _LISTED_URL, Listed("url")),
    Exhibit(
        "listed-path", "registered", "/series/4/1.jpg", "its path is registered",
        *_denied(Reason.REGISTRY_PATH), listed=(Listed("path", "{{registered}}/series/"),),
    ),
    Exhibit(
        "listed-pattern", "registered", "/a/large/1.jpg", "a pattern for its path is registered",
        *_denied(Reason.REGISTRY_PATTERN), listed=(Listed("pattern", "{{registered}}/*/large/*.jpg$"),),
    ),
    Exhibit(
        "listed-host", "listed-host", "/1.jpg", "its host is registered", *_LISTED_HOST,
        listed=(Listed("host", "{{listed-host}}"),), shown_on="home",
    ),
    Exhibit(
        "listed-domain", "listed-domain", "/1.jpg", "its domain is registered",
        *_denied(Reason.REGISTRY_DOMAIN), listed=(Listed("domain", "{{listed-domain}}"),), shown_on="home",
    ),
    _listed("listed-sha256", "a copy of a registered file (sha256)", _LISTED_HASH, Listed("sha256")),
    _listed("listed-md5", "a copy of a registered file (md5)", _LISTED_HASH, Listed("md5")),
    _listed(
        "listed-large", "a copy of a registered large file", _LISTED_HASH, Listed("sha256"), min_bytes=LARGE,
    ),
    _listed("listed-opt-in", "an opt-in is registered", _ALLOWED, Listed("url", opt_in=True)),
    _listed(
        "listed-opt-in-noai", "an opt-in is registered, but noai", _TAGGED,
        Listed("url", opt_in=True), headers=_NOAI,
    ),
    Exhibit(
        "listed-exception", "listed-host", "/2.jpg", "its host is registered, its URL opts in, in one list",
        *_ALLOWED, listed=(Listed("url", opt_in=True),), shown_on="home",
    ),
    Exhibit(
        "listed-two-lists", "listed-host", "/3.jpg", "its host is registered, another list opts its URL in",
        *_LISTED_HOST, listed=(Listed("url", list="agency", opt_in=True),), shown_on="home",
    ),
    # Redirects: each hop is judged on its own origin.
    _moved("moved-free", "moved to another site", _FREE, "/moved/1.jpg", Hop("cdn", "/a/1.jpg")),
    _moved(
        "moved-twice", "moved twice", _FREE,
        "/moved/2.jpg", Hop("cdn", "/moved/2.jpg"), Hop("home", "/harbour-2.jpg"),
    ),
    _moved(
        "moved-to-noai", "moved to where it has noai", _TAGGED,
        "/moved/3.jpg", Hop("cdn", "/a/3.jpg", _NOAI),
    ),
    _moved(
        "moved-to-disallowed", "moved to where robots.txt disallows", _DISALLOWED,
        "/moved/4.jpg", Hop("cdn", "/closed/4.jpg"),
    ),
    _moved(
        "moved-to-reserved", "moved to where tdmrep.json reserves", _RESERVED,
        "/moved/5.jpg", Hop("cdn", "/moved/5.jpg"), Hop("reserved", "/a/5.jpg"),
    ),
    _moved(
        "moved-with-noai", "noai on the redirect itself", _TAGGED,
        "/moved/6.jpg", Hop("cdn", "/a/6.jpg"), headers=_NOAI,
    ),
    Exhibit(
        "moved-from-disallowed", "museum", "/private/moved.jpg", "disallowed, and moved", *_DISALLOWED,
        hops=(Hop("cdn", "/a/7.jpg"),),
    ),
    _moved(
        "moved-to-listed", "moved to a URL that is registered", _LISTED_URL,
        "/moved/9.jpg", Hop("registered", "/hop/9.jpg"),
        listed=(Listed("url", "{{registered}}/hop/9.jpg"),),
    ),
    _moved(
        "moved-to-unreachable", "moved to where robots.txt answers 500", _DOWN,
        "/moved/8.jpg", Hop("robots-500", "/a/8.jpg"),
    ),
)  # fmt: skip

GALLERY = build(_SITES, _EXHIBITS)
"""The gallery that comes with heedful."""
