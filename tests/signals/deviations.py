"""Where our reading of robots.txt differs from that of other parsers, and why ours stands.

The one list of known deviations. Each entry can level a question: put it into words that the other parser
reads as we read the original. A difference is explained when the levelled question gets our answer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

GOOGLE, FAST, PROTEGO = "google/robotstxt", "fast-robotstxt", "Protego"


class Question(NamedTuple):
    """May `token` fetch `path` under `robots`?"""

    robots: str
    token: str
    path: str


class Deviation(NamedTuple):
    """One difference.

    Attributes:
        name: what is read differently.
        peers: the parsers that read it otherwise.
        reason: why ours stands.
        level: the question without it; None where no words of the file or the URL can level it.
    """

    name: str
    peers: frozenset[str]
    reason: str
    level: Callable[[Question], Question] | None


# -- rewriting a file --

_START = r"(?<![^\r\n])[ \t]*"  # of a line, whatever ends lines
_AGENT = r"user[- ]?agent"
_DISALLOW = r"dis[s]?allow|dissalow|disalow|diasllow|disallaw"
_NOBODY = "Nobody"


def _sub(pattern: str, replacement: str | Callable[[re.Match[str]], str], text: str) -> str:
    return re.sub(pattern, replacement, text, flags=re.IGNORECASE)


def _agents(question: Question, change: Callable[[str], str]) -> str:
    """The file with other values in its User-agent lines."""
    return _sub(
        rf"({_START}{_AGENT}[ \t]*:[ \t]*)([^\r\n#]*)",
        lambda line: line[1] + change(line[2].strip()),
        question.robots,
    )


def _patterns(question: Question, change: Callable[[str], str]) -> str:
    """The file with other values in its Allow and Disallow lines."""
    return _sub(
        rf"({_START}(?:allow|{_DISALLOW})[ \t]*:[ \t]*)([^\r\n#]*)",
        lambda line: line[1] + change(line[2].strip()),
        question.robots,
    )


def _both(question: Question, change: Callable[[str], str]) -> Question:
    """The question with patterns and path changed alike."""
    return question._replace(robots=_patterns(question, change), path=change(question.path))


# -- the levels; capitals that the questions do not hold stand for what is special to a peer --


def _robots_itself(question: Question) -> Question:
    return question._replace(robots="") if re.match(r"/robots\.txt(\?|\Z)", question.path) else question


def _index(question: Question) -> Question:
    return _both(question, lambda text: text.replace("/index.htm", "/indexUhtm"))


_LETTERS = str.maketrans("0123456789", "GHJKMPQVWX")


def _digits(question: Question) -> Question:
    return question._replace(
        robots=_agents(question, lambda value: value.translate(_LETTERS)),
        token=question.token.translate(_LETTERS),
    )


def _token_end(question: Question) -> Question:
    def whole(value: str) -> str:
        token = re.split(r"[\s/]", value, maxsplit=1)[0]
        return token if re.fullmatch(r"[A-Za-z0-9_-]*|\*", token) else _NOBODY

    return question._replace(robots=_agents(question, whole))


def _part_of_token(question: Question) -> Question:
    ours = question.token.lower()

    def whole(value: str) -> str:
        named = value.lower()
        return _NOBODY if named and ours.startswith(named) and named != ours else value

    return question._replace(robots=_agents(question, whole))


def _longer_key(question: Question) -> Question:
    keys = rf"({_START})(?:{_AGENT}|allow|{_DISALLOW})[\w-]+(?=[ \t]*:)"
    return question._replace(robots=_sub(keys, r"\1X-Other", question.robots))


def _no_colon(question: Question) -> Question:
    end = r"[ \t]*(?=[\r\n#]|\Z)"
    one_value = rf"({_START}(?:{_AGENT}|{_DISALLOW}))[ \t]+([^\s:#][^\s#]*){end}"
    other = rf"{_START}(?:{_AGENT}|{_DISALLOW}|allow)(?:[ \t]+[^\s:#][^\r\n]*|{end})"
    return question._replace(robots=_sub(other, "#", _sub(one_value, r"\1: \2", question.robots)))


def _without(characters: str, by: str = "") -> Callable[[Question], Question]:
    return lambda question: question._replace(robots=re.sub(f"[{characters}]", by, question.robots))


def _content_usage(question: Question) -> Question:
    return question._replace(
        robots=_sub(rf"({_START})Content-Usage:[^\r\n]*", r"\1Disallow:", question.robots)
    )


def _records(question: Question) -> Question:
    known = rf"(?:{_AGENT}|allow|{_DISALLOW}|content-usage)[ \t]*:"
    return question._replace(
        robots=_sub(rf"({_START})(?!{known})[\w-]*[ \t]*:[^\r\n]*", r"\1#", question.robots)
    )


def _escape_stays(question: Question) -> Question:
    return _both(
        question, lambda text: _sub("%(2F|3F|25|26|E9)", lambda escape: "Z" + escape[1].upper(), text)
    )


def _unreserved(question: Question) -> Question:
    return _both(question, lambda text: _sub("%(61|7E)", lambda escape: chr(int(escape[1], 16)), text))


def _octets_of_encoded(question: Question) -> Question:
    def encoded(pattern: str) -> str:
        body = pattern.removesuffix("$")
        return body.replace(" ", "%20").replace("$", "%24") + pattern[len(body) :]

    return question._replace(robots=_patterns(question, encoded))


def _octets_of_reserved(question: Question) -> Question:
    # The file's own path stays: it is judged apart.
    return _both(question, lambda text: re.sub(r"(?<!\A/robots\.txt)\?", "Q", text.replace("&", "Y")))


def _literal_dollar(question: Question) -> Question:
    def pattern(text: str) -> str:
        body = text.removesuffix("$")
        return path(body) + text[len(body) :]

    def path(text: str) -> str:
        return text.replace("%24", "WWW").replace("$", "WWW")

    return question._replace(robots=_patterns(question, pattern), path=path(question.path))


def _empty_query(question: Question) -> Question:
    return _octets_of_reserved(question) if question.path.endswith("?") else question


def _of(*peers: str) -> frozenset[str]:
    return frozenset(peers)


DEVIATIONS = [
    Deviation(
        "the file itself",
        _of(GOOGLE, FAST),
        "RFC 9309, section 2.2.2: /robots.txt is implicitly allowed",
        _robots_itself,
    ),
    Deviation("NUL", _of(FAST, PROTEGO), "a NUL is no part of any text: removed", _without("\0")),
    Deviation(
        "byte order mark",
        _of(GOOGLE, FAST, PROTEGO),
        "it shows where two files were joined; the line after it counts",
        _without("\ufeff"),
    ),
    Deviation(
        "line ends",
        _of(PROTEGO),
        "RFC 9309, section 2.2: CR, LF and CRLF, nothing else",
        _without("\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029", " "),
    ),
    Deviation(
        "white space of Unicode",
        _of(FAST),
        "not seen by who wrote it; no part of a value",
        _without("\xa0", " "),
    ),
    Deviation(
        "longer keys",
        _of(GOOGLE, FAST),
        "RFC 9309, section 2.2: a key is a word, not the start of one; DisallowAITraining is another record",
        _longer_key,
    ),
    Deviation(
        "missing colon",
        _of(GOOGLE, FAST, PROTEGO),
        "read before exactly one value, which may hold a colon, and not after Allow: repairs only deny",
        _no_colon,
    ),
    Deviation(
        "Content-Usage", _of(FAST), "it is a rule, and so it ends a run of User-agent lines", _content_usage
    ),
    Deviation(
        "records",
        _of(PROTEGO),
        "RFC 9309, section 2.2.4: other records do not split a run of User-agent lines",
        _records,
    ),
    Deviation(
        "end of a token",
        _of(GOOGLE, FAST, PROTEGO),
        "at white space or /: what goes on with another character is another name",
        _token_end,
    ),
    Deviation(
        "part of a token", _of(PROTEGO), "RFC 9309, section 2.2.1: tokens match as a whole", _part_of_token
    ),
    Deviation(
        "digits in a token", _of(GOOGLE, FAST), "agents in the field have them: img2dataset, AI2Bot", _digits
    ),
    Deviation("index.html", _of(GOOGLE, FAST, PROTEGO), "a path like any other in RFC 9309", _index),
    Deviation(
        "unreserved escapes",
        _of(GOOGLE, FAST),
        "RFC 9309, section 2.2.2: decoded before comparing, and before octets are counted",
        _unreserved,
    ),
    Deviation(
        "other escapes",
        _of(FAST, PROTEGO),
        "RFC 9309, section 2.2.2: an encoded reserved character is not the character, %2F is no /",
        _escape_stays,
    ),
    Deviation(
        "literal $",
        _of(PROTEGO),
        "RFC 9309, section 2.2.3: a trailing $ is the end of the pattern, and not the character as well",
        _literal_dollar,
    ),
    Deviation(
        "octets of what must be encoded",
        _of(FAST),
        "RFC 9309, section 2.2.2: octets are counted in the encoded form",
        _octets_of_encoded,
    ),
    Deviation(
        "octets of what need not be encoded",
        _of(PROTEGO),
        "RFC 9309, section 2.2.2: reserved characters of a URL stand as they are",
        _octets_of_reserved,
    ),
    Deviation("empty query", _of(FAST), "RFC 3986, section 6.2.3: /a? is not /a", _empty_query),
    Deviation(
        "escaping of the URL",
        _of(GOOGLE),
        "URLs are brought into the encoded form by us, not by the caller",
        None,
    ),
    Deviation(
        "empty URL", _of(GOOGLE), "no URL, so that no path is asked for: never taken for the root", None
    ),
    Deviation(
        "long lines",
        _of(GOOGLE),
        "a pattern that is cut is another pattern: lines are read to their end",
        None,
    ),
]
BY_NAME = {deviation.name: deviation for deviation in DEVIATIONS}
