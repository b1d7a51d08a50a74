"""Lists in every format: what is taken, and what is rejected, line by line."""

from __future__ import annotations

import bz2
import csv
import datetime as dt
import gzip
import io
import json
import lzma
import os
import sys
import threading

import fsspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from heedful.model import Purpose
from heedful.registry.entries import Entry, Kind, address, index, match, prefix_key
from heedful.registry.sources import (
    Defaults,
    Format,
    Reject,
    SourceError,
    Terms,
    Urls,
    _files,
    _rows,
    export,
    list_name,
    open_source,
    read,
    surt,
)
from heedful.registry.sources import _export as exporting
from heedful.registry.sources._surt import surt_of
from heedful.registry.sources._text import LINE_MAX, batches, decoded

SHA = "ab" * 32
MD5 = "cd" * 16
LIST = "artists"


def everything(source, form=None, kind=None, **terms):
    """Entries (short), rejects as (line, words of the reason)."""
    given_ = Defaults(Terms(**{"list": LIST, **terms}), kind)
    taken, rejected = [], []
    for item in read(str(source), format=form, defaults=given_):
        if isinstance(item, Reject):
            rejected.append((item.line, item.why))
        else:
            taken += item.entries() if isinstance(item, Urls) else [item]
    return taken, rejected


@pytest.fixture
def lists(tmp_path):
    """Write a list, read it."""

    def write(content, form=None, kind=None, name="list.txt", **terms):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return everything(path, form, kind, **terms)

    return write


def short(entries):
    return [f"{'+' if entry.opt_in else ''}{entry.kind.value} {entry.text}" for entry in entries]


# -- a line at a time ----------------------------------------------------------------------------------------

# what the line gives: entries, or words of the reason for which it is rejected
LINES = {
    "urls": {
        "https://example.com/a.jpg": ["url https://example.com/a.jpg"],
        "  http://example.com/a b.jpg \t": ["url http://example.com/a b.jpg"],
        "example.com/a.jpg": ["url example.com/a.jpg"],
        "HTTP://EXAMPLE.COM/": ["url HTTP://EXAMPLE.COM/"],
        "https://example.com/#top": ["url https://example.com/#top"],
        "http://[half/a.jpg": ["url http://[half/a.jpg"],
        "ftp://example.com/a.jpg": ["url ftp://example.com/a.jpg"],
        "# https://example.com/b.jpg": [],
        "example.com": "no URL; for bare names use the format domains",
        "hello world": "no URL",
        "https://example.com/" + "x" * 20_000: "longer than 16384 characters",
        "https://example.com/" + "x" * LINE_MAX: "longer than 1048576 characters",
        "\0": "no URL",
    },
    "domains": {
        "example.com": ["domain example.com"],
        "*.example.com": ["domain *.example.com"],
        ".example.com": ["domain .example.com"],
        "EXAMPLE.com. # since 2020": ["domain EXAMPLE.com."],
        "https://example.com/": ["domain https://example.com/"],
        "bücher.example": ["domain bücher.example"],
        "127.0.0.1": ["domain 127.0.0.1"],
        "[::1]": ["domain [::1]"],
        "# example.com": [],
        "#": [],
        "com": "it has no dot",
        "*.com": "it has no dot",
        "https://example.com/a.jpg": "not a domain's name",
        "a b.example.com": "not a domain's name",
        "example.com\0": "not a domain's name",
        "x." * 600_000: "longer than 1048576 characters",
    },
    "hosts": {
        "0.0.0.0 example.com": ["host example.com"],
        "127.0.0.1\tone.example two.example # both": ["host one.example", "host two.example"],
        ":: six.example": ["host six.example"],
        "::1 localhost six.example": ["host six.example"],
        "127.0.0.1 localhost": [],
        "fe80::1%lo0 localhost": [],
        "255.255.255.255 broadcasthost": [],
        "0.0.0.0 0.0.0.0": [],
        "# 0.0.0.0 example.com": [],
        "::": "no names after an address",
        "example.com": "no names after an address",
        "192.168.1.4 printer.example": "192.168.1.4 does not block",
        "one.example two.example": "does not begin with an IP address",
        "0.0.0.0 printer": "printer: it has no dot",
        "0.0.0.0 *.example.com": "not a host's name",
        "0.0.0.0 " + "x." * 600_000: "longer than 1048576 characters",
    },
    "adblock": {
        "||example.com^": ["domain example.com"],
        "||example.com^*": ["domain example.com"],
        "||example.com^$all,match-case": ["domain example.com"],
        "||127.0.0.1^": ["domain 127.0.0.1"],
        "@@||art.example.com^": ["+domain art.example.com"],
        "||example.com/": ["path *.example.com/"],
        "||example.com:8080^": ["path *.example.com:8080/"],
        "||example.com/art/*": ["path *.example.com/art/"],
        "||example.com/art?id=1": ["path *.example.com/art?id=1"],
        "||example.com/a*b": ["pattern *.example.com/a*b"],
        "||example.com/*.jpg|": ["pattern *.example.com/*.jpg$"],
        "||example.com/a$b|": ["pattern *.example.com/a%24b$"],
        "||example.com/.": ["pattern *.example.com/."],
        "|https://example.com/a.jpg|": ["url https://example.com/a.jpg"],
        "|http://example.com/art": ["path example.com/art"],
        "|https://example.com/*.jpg|": ["pattern example.com/*.jpg$"],
        "|https://example.com^": ["host example.com"],
        "|https://example.com/": ["path example.com/"],
        "@@|https://example.com/free/": ["+path example.com/free/"],
        "! ||example.com^": [],
        "[Adblock Plus 2.0]": [],
        "# ||example.com^": [],
        "||example.com": "merely begin so",
        "||example.com^$third-party": "option $third-party cannot be kept",
        "@@||example.com^$document": "option $document cannot be kept",
        "||example.com^$all,domain=a.example": "option $domain=a.example cannot be kept",
        "||example.com/x$": "option $ cannot be kept",
        "||example.com^art": "neither ^ nor a path",
        "||example.com^|": "neither ^ nor a path",
        "||example.com/art^": "a ^ in its path cannot be kept",
        "||example.com/a|b": "a | in its path cannot be kept",
        "||example.com/#top": "a # in its path cannot be kept",
        "||*.example.com^": "its host is none",
        "||example.*^": "merely begin so",
        "||com^": "it has no dot",
        "||user@example.com^": "its host is none",
        "|http*://example.com/": "names no host",
        "example.com##.art": "hides parts of pages",
        "##.art": "hides parts of pages",
        "/art/*": "names no host",
        "/[a-z]+\\.jpg/": "names no host",
        "example.com": "names no host",
        "||" + "x." * 600_000: "longer than 1048576 characters",
    },
    "spawning": {
        '{"url": "https://a.example/", "optOut": true, "optIn": false}': ["url https://a.example/"],
        '{"url": "https://a.example/", "optOut": false, "optIn": true}': ["+url https://a.example/"],
        '{"url": "https://a.example/", "optOut": true, "optIn": true}': ["url https://a.example/"],
        '{"url": "https://a.example/", "optOut": false, "optIn": false}': [],
        '{"url": "https://a.example/", "optOut": true}': ["url https://a.example/"],
        '{"url": " a.example/x ", "optOut": true, "more": 1}': ["url a.example/x"],
        '{"urls": [{"url": "http://a.example/", "optOut": true}, {"url": "http://b.ex/", "optIn": true}]}': [
            "url http://a.example/",
            "+url http://b.ex/",
        ],
        '{"urls": []}': [],
        "[]": [],
        '{"urls": {}}': "no object with a url",
        '{"urls": [1]}': "item 1: it is no object with a url",
        '{"url": "https://a.example/"}': "not true or false",
        '{"url": "https://a.example/", "optOut": 1}': "not true or false",
        '{"url": "https://a.example/", "optOut": "true", "optIn": true}': "not true or false",
        '{"url": "hello", "optOut": true}': "no URL",
        '{"url": "", "optOut": true}': "no URL",
        '{"url": "http://a.example/\\ud800", "optOut": true}': "half a character",
        '{"url": 1, "optOut": true}': "no object with a url",
        "nothing": "not valid JSON",
        "[" * 100_000: "not valid JSON",
    },
}


@pytest.mark.parametrize(
    ("form", "line", "wanted"),
    [
        pytest.param(form, line, wanted, id=f"{form} {line[:50]!r}")
        for form, cases in LINES.items()
        for line, wanted in cases.items()
    ],
)
def test_lines(lists, form, line, wanted):
    taken, rejected = lists(f"\n{line}\n", form)
    assert short(taken) == (wanted if isinstance(wanted, list) else [])
    assert all(entry.list == LIST for entry in taken)
    if isinstance(wanted, list):
        assert rejected == []
    else:
        ((number, why),) = rejected
        assert number == 2
        assert wanted in why


KINDS = {
    "urls path": ("urls", Kind.PATH, "example.com/art/", ["path example.com/art/"]),
    "pattern": (None, Kind.PATTERN, "example.com/*.jpg$", ["pattern example.com/*.jpg$"]),
    "sha256": (None, Kind.SHA256, SHA.upper(), [f"sha256 {SHA.upper()}"]),
    "md5": (None, Kind.MD5, MD5, [f"md5 {MD5}"]),
    "host": (None, Kind.HOST, "example.com", ["host example.com"]),
    "url": (None, Kind.URL, "https://example.com/", ["url https://example.com/"]),
    "domains as hosts": ("domains", Kind.HOST, "example.com", ["host example.com"]),
    "hosts as domains": ("hosts", Kind.DOMAIN, "0.0.0.0 example.com", ["domain example.com"]),
}


@pytest.mark.parametrize(("form", "kind", "line", "wanted"), KINDS.values(), ids=KINDS)
def test_the_kind_of_bare_lines(lists, form, kind, line, wanted):
    assert short(lists(line, form, kind)[0]) == wanted


def test_a_wrong_digest_on_a_bare_line(lists):
    assert lists("xyz\n", None, Kind.MD5) == ([], [(1, "it is not 32 hexadecimal digits")])


# -- DenyPath ------------------------------------------------------------------------------------------------

DENY = {
    "all": ("Host a.example\nDenyPath .*", ["host a.example"]),
    "all of a domain": ("Domain a.example\n  DenyPath .*", ["domain a.example"]),
    "all, by a slash": ("Domain: a.example\n  DenyPath: /", ["domain a.example"]),
    "all, by any one": ("Domain a.example\n  DenyPathQuery .?", ["domain a.example"]),
    "a path": ("Host a.example\nDenyPath /art/", ["path a.example/art/", "pattern a.example/*/art/"]),
    "from the start": ("Host a.example\nDenyPath ^/art/.*", ["path a.example/art/"]),
    "a domain's path": ("Domain a.example\nDenyPath ^/art", ["path *.a.example/art"]),
    "a word": ("Host a.example\nDenyPath art", ["pattern a.example/*art"]),
    "an end": ("Host a.example\nDenyPath \\.jpg$", ["pattern a.example/*.jpg$", "pattern a.example/*.jpg?"]),
    "anywhere": ("Host a.example\nDenyPathQuery .*/x", ["path a.example/x", "pattern a.example/*/x"]),
    "whole": ("Host a.example\nDenyPathQuery ^/a\\?b=1$", ["pattern a.example/a?b=1$"]),
    "between": ("Host a.example\nDenyPathQuery ^/a/.*?x=\\$1\\*", ["pattern a.example/a/*x=%241%2A"]),
    "hidden files": ("Host a.example\nDenyPath ^/\\.", ["pattern a.example/."]),
    "comments": ("# x\nHost a.example # y\nDenyPath ^/b # z", ["path a.example/b"]),
    "two": (
        "HOST a.example\ndenypath ^/b\nDenyPath ^/c\nDomain b.example\nDenyPath .*",
        ["path a.example/b", "path a.example/c", "domain b.example"],
    ),
}


@pytest.mark.parametrize(("text", "wanted"), DENY.values(), ids=DENY)
def test_denypath(lists, text, wanted):
    taken, rejected = lists(text)
    assert (short(taken), rejected) == (wanted, [])


DENY_REJECTS = {
    "no host": ("DenyPath /x", 1, "no Host or Domain stands above it"),
    "every host": ("Domain .\nDenyPath /x", 2, "every host"),
    "two hosts": ("Host a.example b.example\nDenyPath /x", 2, "no single name"),
    "no name": ("Host:\nDenyPath .*", 2, "no single name"),
    "no host's name": ("Host a/b\nDenyPath .*", 2, "not a host's name"),
    "nothing denied": ("Host a.example\nHost b.example\nDenyPath .*", 1, "no DenyPath follows"),
    "nothing denied at the end": ("Host a.example\n", 1, "no DenyPath follows"),
    "an alternative": ("Host a.example\nDenyPath /(a|b)/", 2, "more of an expression"),
    "a class": ("Host a.example\nDenyPath /[ab]", 2, "more of an expression"),
    "any one sign": ("Host a.example\nDenyPath /a.jpg", 2, "more of an expression"),
    "at least one": ("Host a.example\nDenyPath /a.+", 2, "more of an expression"),
    "repeated": ("Host a.example\nDenyPath /ab+", 2, "more of an expression"),
    "a class by letter": ("Host a.example\nDenyPath /a\\d", 2, "more of an expression"),
    "an empty path": ("Host a.example\nDenyPath ^$", 2, "never found"),
    "no slash": ("Host a.example\nDenyPath ^art", 2, "never found"),
    "a query in a path": ("Host a.example\nDenyPath /a\\?b", 2, "write DenyPathQuery"),
    "two words": ("Host a.example\nDenyPath /a b", 2, "not one expression"),
    "an exception": ("Host a.example\nDenyPath .*\nAllowPath /a", 3, "none of Host, Domain"),
}


@pytest.mark.parametrize(("text", "line", "why"), DENY_REJECTS.values(), ids=DENY_REJECTS)
def test_denypath_rejects(lists, text, line, why):
    ((number, words),) = lists(text, "denypath")[1]
    assert number == line
    assert why in words


_PIECE = st.sampled_from(["/", "a", "b", "ab", ".jpg", "/a", "?", "=", "%2A"])


@given(
    begins=st.booleans(),
    parts=st.lists(st.lists(_PIECE, max_size=3).map("".join), min_size=1, max_size=3),
    ends=st.booleans(),
    path=st.lists(_PIECE, max_size=6).map("".join),
)
def test_denypathquery_finds_what_the_expression_finds(begins, parts, ends, path):
    import re

    from heedful.registry.sources import _denypath

    expression = "^" * begins + ".*".join(part.replace(".", "\\.").replace("?", "\\?") for part in parts)
    expression += "$" * ends
    target = address("http://a.example/" + path).target
    text = f"Host a.example\nDenyPathQuery {expression}\n".encode()
    found = list(_denypath.read([text], Defaults(Terms())))
    if any(isinstance(item, Reject) for item in found):
        assert not expression or "never found" in found[0].why
        return
    place = address("http://a.example/" + path)
    hits = False
    for entry in found:
        key = index(entry.kind, entry.text).key
        if entry.kind is Kind.HOST or key == prefix_key("a.example", place.target[: len(key) - 10]):
            hits = hits or match(entry, key, place) is not None
    assert hits == (re.search(expression, target) is not None)


# -- tables --------------------------------------------------------------------------------------------------

DAY = dt.date(2026, 1, 31)
GENERAL = {
    "all columns": (
        "kind,entry,list,date,purpose,expires,opt_in\n"
        "url,https://a.example/,mine,2026-01-31,train-generative,2026-01-31,yes\n",
        [
            Entry(
                Kind.URL,
                "https://a.example/",
                "mine",
                opt_in=True,
                date=DAY,
                purpose=Purpose.TRAIN_GENERATIVE,
                expires=DAY,
            )
        ],
    ),
    "defaults": ("Entry, KIND ,x\na.example,Domain,\n", [Entry(Kind.DOMAIN, "a.example", LIST)]),
    "empty cells": (
        "kind,entry,list,date,purpose,expires,opt_in\nhost, a.example ,,,,,\n",
        [Entry(Kind.HOST, "a.example", LIST)],
    ),
    "tabs": ("kind\tentry\nmd5\t" + MD5, [Entry(Kind.MD5, MD5, LIST)]),
    "semicolons": ("kind;entry\nsha256;" + SHA, [Entry(Kind.SHA256, SHA, LIST)]),
    "quotes": ('"kind","entry"\n"url","a.example/""x"",y"\n', [Entry(Kind.URL, 'a.example/"x",y', LIST)]),
    "a top-level domain": ("kind,entry\ndomain,museum\n", [Entry(Kind.DOMAIN, "museum", LIST)]),
    "no URL": ("kind,entry\nurl,hello\n", [Entry(Kind.URL, "hello", LIST)]),
    "JSON Lines": (
        '{"kind": "url", "entry": "https://a.example/", "opt_in": true, "date": "2026-01-31"}\n\n'
        '{"Kind": "path", "entry": "a.example/x", "opt_in": 0, "list": null}\n',
        [
            Entry(Kind.PATH, "a.example/x", LIST),
            Entry(Kind.URL, "https://a.example/", LIST, opt_in=True, date=DAY),
        ],
    ),
}


@pytest.mark.parametrize(("text", "wanted"), GENERAL.values(), ids=GENERAL)
def test_the_general_form(lists, text, wanted):
    assert lists(text) == (wanted, [])


ROW_REJECTS = {
    "kind": ("word,x,,", "its kind 'word' is none of url, host,"),
    "no kind": (",x,,", "its kind '' is none of"),
    "no entry": ("url,,,", "it is empty"),
    "opt_in": ("url,http://a.example/,2,", "its opt_in '2' is none of true, false"),
    "opt_in in words": ("url,http://a.example/,on,", "its opt_in 'on' is none of"),
    "a day that is not": ("url,http://a.example/,,2026-02-30", "its date '2026-02-30' is no date"),
    "another order": ("url,http://a.example/,,31.01.2026", "is no date"),
    "a time": ("url,http://a.example/,,2026-01-31T00:00:00", "is no date"),
    "a week": ("url,http://a.example/,,2026-W01-1", "is no date"),
    "digest": (f"md5,{SHA},,", "not 32 hexadecimal digits"),
    "host": ("host,a b,,", "not a host's name"),
    "too long": ("url,http://a.example/" + "x" * 17_000 + ",,", "longer than 16384 characters"),
    "field too large": ("url,http://a.example/" + "x" * 140_000 + ",,", "field larger than field limit"),
    "line too long": ("url,http://a.example/" + "x" * LINE_MAX + ",,", "line is longer than 1048576"),
    "too few": ("url,http://a.example/", "it has 2 columns, the first line has 4"),
    "too many": ("url,http://a.example/,,,", "it has 5 columns, the first line has 4"),
    "after a quote": ('url,"http://a.example/"x,,', "',' expected after '\"'"),
}


@pytest.mark.parametrize(("row", "why"), ROW_REJECTS.values(), ids=ROW_REJECTS)
def test_rows_that_are_rejected(lists, row, why):
    taken, rejected = lists(f"kind,entry,opt_in,date\nhost,a.example,,\n{row}\nhost,b.example,,\n")
    assert [entry.text for entry in taken] == ["a.example", "b.example"]
    ((number, words),) = rejected
    assert number == 3
    assert why in words


def test_purposes_are_checked(lists):
    ((_, why),) = lists("kind,entry,purpose\nhost,a.example,art\n")[1]
    assert why == "its purpose 'art' is none of train-any, train-generative, train-nongenerative"


JSON_REJECTS = {
    "a list": ("[1]", "no JSON object"),
    "broken": ('{"kind": ', "no JSON object"),
    "deep": ("[" * 100_000, "no JSON object"),
    "long": ('{"kind": "' + "x" * LINE_MAX + '"}', "longer than"),
    "entry": ('{"kind": "url", "entry": ["x"]}', "its entry (list) is no text"),
    "opt_in": ('{"kind": "url", "entry": "http://a.example/", "opt_in": {}}', "its opt_in (dict) is none"),
    "date": (
        '{"kind": "url", "entry": "http://a.example/", "date": 20260131}',
        "its date 20260131 is no date",
    ),
    "half": ('{"kind": "url", "entry": "http://a.example/\\udc00\\ud800"}', "half a character"),
}


@pytest.mark.parametrize(("line", "why"), JSON_REJECTS.values(), ids=JSON_REJECTS)
def test_json_rows_that_are_rejected(lists, line, why):
    taken, rejected = lists(f'{{"kind": "host", "entry": "a.example"}}\n{line}\n')
    assert len(taken) == 1
    ((number, words),) = rejected
    assert number == 2
    assert why in words


COLUMNS = {
    "url": ("url\nhttps://a.example/1,2.jpg\n", ["url https://a.example/1,2.jpg"]),
    "url and md5": (
        f"URL,Md5,caption\nhttps://a.example/,{MD5},x\nhttps://b.example/,,y\n,{MD5},\n",
        [f"md5 {MD5}", f"md5 {MD5}", "url https://a.example/", "url https://b.example/"],
    ),
    "sha256": (f"key\tsha256\n1\t{SHA}\n", [f"sha256 {SHA}"]),
    "domain": ("domain\nexample.com\n", ["domain example.com"]),
    "host and domain": ("host,domain\na.b.example,b.example\n", ["domain b.example", "host a.b.example"]),
    "a URL's host is no entry": ("url,host,domain\na.example/x,a.example,a.example\n", ["url a.example/x"]),
    "terms": ("url,opt_in\na.example/x,1\na.example/y,0\n", ["+url a.example/x", "url a.example/y"]),
    "JSON Lines": ('{"url": "a.example/x", "domain": "a.example"}\n{"domain": "b.example"}\n', [
        "url a.example/x",
        "domain b.example",
    ]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), COLUMNS.values(), ids=COLUMNS)
def test_columns(lists, text, wanted):
    taken, rejected = lists(text)
    assert (short(taken), rejected) == (wanted, [])


def test_a_cell_at_fault_does_not_take_the_others_with_it_unless_they_agree(lists):
    taken, rejected = lists("url,md5,opt_in\nhttp://a.example/,x,0\nhttp://b.example/,x,1\nhello,,\n,,\n")
    assert short(taken) == ["url http://a.example/"]
    digest = "it is not 32 hexadecimal digits"
    assert rejected == [(2, digest), (3, digest), (4, "it is no URL"), (5, "it is empty: no url, md5")]


def test_names_in_columns_need_a_dot(lists):
    assert "no dot" in lists("domain\ncom\n")[1][0][1]


# -- CSV -----------------------------------------------------------------------------------------------------


def test_quoted_newlines_keep_line_numbers(lists):
    text = 'url,caption\r\nhttps://a.example/,"two\r\nlines"\r\nhello,x\r\n"https://b.example/",""\r\n'
    taken, rejected = lists(text)
    assert [entry.text for entry in taken] == ["https://a.example/", "https://b.example/"]
    assert rejected == [(4, "it is no URL")]


@pytest.mark.parametrize("more", [3, _rows.RECORD_LINES_MAX + 20])
def test_a_quote_that_is_never_closed_takes_one_line_with_it(lists, more):
    rows = [f"https://a.example/{number},x" for number in range(more)]
    taken, rejected = lists("url,caption\n" + 'https://b.example/,"x\n' + "\n".join(rows))
    assert [entry.text for entry in taken] == [row.partition(",")[0] for row in rows]
    ((line, why),) = rejected
    assert line == 2
    assert why.startswith("a quote in it is not closed")


def test_a_long_line_within_quotes(lists):
    taken, rejected = lists(
        'url,caption\nhttps://a.example/,"x\n' + "y" * (LINE_MAX + 1) + '"\nb.example/,z\n'
    )
    assert [entry.text for entry in taken] == ["b.example/"]
    assert [line for line, _ in rejected] == [2, 3]


# -- which format it is --------------------------------------------------------------------------------------

RECOGNISED = {
    "urls": ("# artists\nhttps://a.example/1.jpg\nb.example/2.jpg\n", Format.URLS),
    "domains": ("example.com\n*.example.org # x\n.example.net\n", Format.DOMAINS),
    "hosts": ("# x\n127.0.0.1 localhost\n0.0.0.0 a.example b.example\n", Format.HOSTS),
    "adblock": ("! x\n||a.example^\n", Format.ADBLOCK),
    "adblock by header": ("[Adblock Plus 2.0]\nexample.com\n", Format.ADBLOCK),
    "adblock among others": ("a.example\nb.example\n||c.example^\n", Format.ADBLOCK),
    "adblock by hidden elements": ("a.example##.x\n", Format.ADBLOCK),
    "denypath": ("# x\nHost www.example.org\n  DenyPath /x\n", Format.DENYPATH),
    "denypath, tabs": ("Domain\texample.org\n\tDenyPath\t.*\n", Format.DENYPATH),
    "entries": ("kind,entry\nurl,x\n", Format.ENTRIES),
    "entries with a url": ("url\tkind\tentry\n", Format.ENTRIES),
    "entries in JSON": ('{"kind": "url", "entry": "x"}\n', Format.ENTRIES),
    "columns": ("key,URL,caption\n", Format.COLUMNS),
    "columns, one": ("domain\nexample.com\n", Format.COLUMNS),
    "columns in JSON": ('{"url": "x", "md5": "y"}\n', Format.COLUMNS),
    "spawning": ('{"urls": [{"url": "x", "optOut": true}]}', Format.SPAWNING),
    "spawning, items": ('{"url": "x", "optOut": true}\n', Format.SPAWNING),
    "spawning, indented": ('{\n  "urls": [\n    {"url": "x",\n "optIn": true}]}', Format.SPAWNING),
    "spawning, a list": ('[{"url": "x", "optIn": true}]', Format.SPAWNING),
    "a few others": ("".join(f"https://a.example/{n}\n" for n in range(99)) + "b.example\n", Format.URLS),
    "byte order mark": ("\ufeffurl\n", Format.COLUMNS),
    "old line ends": ("a.example\rb.example\r", Format.DOMAINS),
}


@pytest.mark.parametrize(("text", "wanted"), RECOGNISED.values(), ids=RECOGNISED)
def test_recognised(tmp_path, text, wanted):
    path = tmp_path / "list"
    path.write_bytes(text.encode())
    (source,) = open_source(str(path), defaults=Defaults(Terms()))
    assert source.format is wanted
    source.close()


UNKNOWN = {
    "two formats": ("https://a.example/1\nb.example\n", None, "formats: urls (1 lines), domains (1 lines)"),
    "nothing": ("", None, "it is empty: nothing tells its format; give it with --format"),
    "comments": ("# a\n# b\n", None, "its format cannot be told: give it with --format (entries, urls,"),
    "words": ("hello\nworld\n", None, "its format cannot be told"),
    "digests": (SHA, None, "for bare digests give --kind sha256, md5 or phash"),
    "JSON": ('{"a": 1}', None, "it is JSON, but neither"),
    "UTF-16": ("a.example\n".encode("utf-16"), None, "it is UTF-16: make it UTF-8 first"),
    "no header": ("https://a.example/\n", "entries", "it has no columns kind and entry in its first line"),
    "no column": ("kind,entry\n", "columns", "it has no column url, sha256, md5, phash, domain or host"),
    "a column twice": ("url,URL\n", None, "two of its columns are called url"),
    "a kind for a table": ("kind,entry\n", "entries", "--kind is for bare lines", {"kind": Kind.URL}),
    "opting in by adblock": ("||a.example^\n", None, "leave --opt-in out", {"opt_in": True}),
    "opting in by denypath": ("Host a.example\nDenyPath .*", None, "leave --opt-in out", {"opt_in": True}),
    "opting in by spawning": ('{"urls": []}', None, "leave --opt-in out", {"opt_in": True}),
    "damaged Parquet": (b"PAR1 and no more", None, "it is damaged"),
    "damaged gzip": (b"\x1f\x8b\x08 and no more", "urls", "cannot be read"),
    "truncated gzip": (gzip.compress(b"https://a.example/\n" * 9)[:-9], "urls", "cannot be read"),
    "truncated bzip2": (bz2.compress(b"https://a.example/\n" * 9)[:-9], "urls", "cannot be read"),
    "truncated xz": (lzma.compress(b"https://a.example/\n" * 9)[:-9], "urls", "cannot be read"),
    "truncated zstd": (zstandard.compress(b"https://a.example/\n" * 9)[:-9], "urls", "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize(("case"), UNKNOWN.values(), ids=UNKNOWN)
def test_not_read(lists, tmp_path, case):
    text, form, words, *more = case
    with pytest.raises(SourceError) as error:
        lists(text, form, **(more[0] if more else {}))
    (fault,) = error.value.faults
    assert words in fault
    assert fault.startswith(str(tmp_path / "list.txt"))
    assert fault.count(str(tmp_path)) == 1


# -- bytes ---------------------------------------------------------------------------------------------------


def test_bytes_of_all_kinds(lists):
    text = b"\xef\xbb\xbfhttps://a.example/1\r\nhttps://a.example/\xff\xc3\xa9\rhttps://a.example/\x00\n\r\nftp://b/\xfe"
    taken, rejected = lists(text, "urls")
    assert rejected == []
    assert sorted(os.fsencode(entry.text) for entry in taken) == [
        b"ftp://b/\xfe",
        b"https://a.example/\x00",
        b"https://a.example/1",
        b"https://a.example/\xff\xc3\xa9",
    ]


@given(
    st.lists(st.text(alphabet="ab\n\rü\u2028\x0b", max_size=9)),
    st.integers(1, 5),
)
def test_lines_do_not_depend_on_how_they_are_cut(texts, size):
    whole = "".join(texts)
    encoded = whole.encode()
    chunks = [encoded[at : at + size] for at in range(0, len(encoded), size)]
    wanted = io.StringIO(whole, newline=None).read().split("\n")
    got = [
        (number, line)
        for first, batch in batches(decoded(chunks))
        for number, line in enumerate(batch, first)
    ]
    assert got == [each for each in enumerate(wanted, 1) if each[0] < len(wanted) or each[1]]


def test_a_long_line_is_not_kept():
    found = list(batches(iter(["x" * 50, "y" * 50, "\nz"]), longest=60))
    (first, (long,)), (second, (last,)) = found
    assert (first, second, last) == (1, 2, "z")
    assert 60 < len(long) <= 111


WORDS = st.sampled_from(
    [
        *("kind", "entry", "url", "md5", "domain", "host", "opt_in", "urls", "optOut", "true", "PAR1"),
        *("http://", "a.example", "::1", "Host", "DenyPath", "||", "@@"),
        *'^$*./,;\t\n\r"{}[]:#!\\|\0\ufeff ',
    ]
)


@given(
    data=st.binary(max_size=200) | st.lists(WORDS, max_size=40).map(lambda words: "".join(words).encode()),
    form=st.sampled_from([None, *Format]),
    kind=st.sampled_from([None, None, None, *Kind]),
)
def test_any_bytes_give_entries_or_rejects(data, form, kind):
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/fuzz", data)
    try:
        items = list(read("memory://fuzz", format=form, defaults=Defaults(Terms("x"), kind)))
    except SourceError:
        return
    for item in items:
        if isinstance(item, Reject):
            assert 1 <= item.line <= data.count(b"\n") + data.count(b"\r") + 1
            assert item.why
        else:
            for entry in item.entries() if isinstance(item, Urls) else [item]:
                index(entry.kind, entry.text)  # it can be filed


# -- Parquet -------------------------------------------------------------------------------------------------


@pytest.fixture
def parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    def write(**columns):
        path = tmp_path / "list.parquet"
        pq.write_table(pa.table(columns), path)
        return path

    return write


def test_parquet_of_urls(parquet):
    path = parquet(URL=["https://a.example/", None, "b.example/x"], caption=["x", "y", "z"])
    assert everything(path) == (
        [Entry(Kind.URL, "b.example/x", LIST), Entry(Kind.URL, "https://a.example/", LIST)],
        [(2, "it is empty: no url")],
    )


def test_parquet_in_the_general_form(parquet):
    import pyarrow as pa

    evening = dt.datetime(2026, 2, 1, 20, tzinfo=dt.timezone.utc)  # there, it is the next day
    path = parquet(
        kind=pa.array(["host"] * 4).dictionary_encode(),
        entry=["a.example", "b.example", "c.example", "d.example"],
        opt_in=[True, False, None, True],
        date=pa.array([DAY, None, DAY, DAY]),
        expires=pa.array([evening] * 4, pa.timestamp("ns", "Asia/Tokyo")),
        purpose=["train-any", None, "", "x"],
    )  # fmt: skip
    taken, rejected = everything(path)
    assert [(e.text, e.opt_in, e.date, e.expires) for e in taken] == [
        ("a.example", True, DAY, dt.date(2026, 2, 1)),
        ("b.example", False, None, dt.date(2026, 2, 1)),
        ("c.example", False, DAY, dt.date(2026, 2, 1)),
    ]
    assert [line for line, _ in rejected] == [4]


def test_parquet_of_odd_columns(parquet):
    import pyarrow as pa

    strings = pa.Array.from_buffers(
        pa.string(), 2, pa.array([b"https://a.example/\xff", b"https://a.example/"]).buffers()
    )
    path = parquet(url=strings, md5=pa.array([b"\x00", 7 * b"x"]))
    taken, rejected = everything(path)
    assert sorted(os.fsencode(entry.text) for entry in taken) == [
        b"https://a.example/",
        b"https://a.example/\xff",
    ]
    assert len(rejected) == 2
    taken, rejected = everything(parquet(url=[1, 2]))
    assert rejected == [(1, "its url 1 is no text"), (2, "its url 2 is no text")]
    taken, rejected = everything(parquet(host=["a.example"] * 2, date=pa.array([10**6, 10**7], pa.date32())))
    assert len(taken) == 1 or len(rejected) == 2


def test_parquet_needs_the_extra(parquet, monkeypatch):
    path = parquet(url=["https://a.example/"])
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(SourceError, match=r"pip install 'heedful\[bulk\]'"):
        everything(path)


def test_parquet_without_a_column(parquet):
    with pytest.raises(SourceError, match="it has no column url"):
        everything(parquet(image=["x"]))


# -- where it comes from -------------------------------------------------------------------------------------

URLS = b"https://a.example/1\nhttps://a.example/2\n"
COMPRESS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.compress,
    "two gzip members": lambda data: gzip.compress(data[:20]) + gzip.compress(data[20:]),
    "two zstd frames": lambda data: zstandard.compress(data[:20]) + zstandard.compress(data[20:]),
    "not": lambda data: data,
}


@pytest.mark.parametrize("compress", COMPRESS.values(), ids=COMPRESS)
def test_compressed(lists, compress):
    taken, rejected = lists(compress(URLS), name="whatever")
    assert [entry.text for entry in taken] == URLS.decode().split()
    assert rejected == []


@pytest.mark.parametrize("compress", COMPRESS.values(), ids=COMPRESS)
def test_compressed_and_large(lists, compress):
    text = b"".join(b"https://a.example/%d/%s\n" % (n, os.urandom(24).hex().encode()) for n in range(30_000))
    taken, rejected = lists(compress(text))
    assert "".join(entry.text + "\n" for entry in taken).encode() == text
    assert rejected == []


def test_compressed_nothing(lists):
    for compress in (gzip.compress, bz2.compress, lzma.compress, zstandard.compress):
        assert lists(compress(b""), "urls") == ([], [])


def test_folders_and_wildcards(tmp_path):
    for name in ("part-1.csv", "sub/part-2.csv.gz", "_SUCCESS", ".part-1.csv.crc", "part-3.csv"):
        path = tmp_path / "lists" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        content = f"url\nhttps://a.example/{name}\n".encode()
        path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    (tmp_path / "lists" / "part-9.csv").touch()
    names = ["part-1.csv", "part-3.csv", "sub/part-2.csv.gz"]
    taken, _ = everything(tmp_path / "lists")
    assert [entry.text.partition("example/")[2] for entry in taken] == names
    taken, _ = everything(tmp_path / "lists" / "part-[13]*")
    assert [entry.text.partition("example/")[2] for entry in taken] == names[:2]


def test_a_file_whose_name_looks_like_a_wildcard(tmp_path):
    (tmp_path / "a[1]?.txt").write_bytes(URLS)
    assert len(everything(tmp_path / "a[1]?.txt")[0]) == 2


def test_memory_files():
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/lists/a.txt.gz", gzip.compress(URLS))
    fs.pipe_file("/lists/b.txt", URLS)
    assert len(everything("memory://lists/a.txt.gz")[0]) == 2
    assert len(everything("memory://lists")[0]) == 4
    assert len(everything("memory://lists/*.txt")[0]) == 2
    fs.rm("/lists", recursive=True)


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(URLS))))
    assert len(everything("-")[0]) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(URLS,))
    writer.start()
    assert len(everything(tmp_path / "pipe")[0]) == 2
    writer.join()


def test_parquet_from_standard_input(monkeypatch, parquet):
    data = parquet(url=["https://a.example/"]).read_bytes()
    unseekable = io.BytesIO(data)
    unseekable.seekable = lambda: False
    monkeypatch.setattr(sys, "stdin", type("In", (), {"buffer": unseekable}))
    with pytest.raises(SourceError, match="plain files only"):
        everything("-")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("missing.txt", "there is no such file"),
        ("missing/*.txt", "there is no such file"),
        (".", "there is no such file"),
        ("nothing://x", "cannot be read"),
        ("memory://missing", "there is no such file"),
    ],
)
def test_sources_that_are_not_there(tmp_path, monkeypatch, source, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=words):
        everything(source)


def test_how_far_it_is(tmp_path):
    path = tmp_path / "list"
    path.write_bytes(gzip.compress(URLS))
    (source,) = open_source(str(path), defaults=Defaults(Terms()))
    list(source)
    assert source.position == source.size == path.stat().st_size
    source.close()


NAMES = {
    "/a/artists.csv.gz": "artists",
    "artists": "artists",
    "v1.2.txt": "v1.2",
    "lists/artists/": "artists",
    "lists/part-*.csv": "lists",
    "s3://bucket/lists/*/*.parquet": "lists",
    "https://a.example/artists.csv?x=1": "artists",
    ".hosts": ".hosts",
    "hosts": "hosts",
    "*": "*",
    "-": "stdin",
    "C:\\lists\\artists.txt": "artists",
}


@pytest.mark.parametrize(("source", "name"), NAMES.items())
def test_names_of_lists(source, name):
    assert list_name(source) == name


# -- SURT ----------------------------------------------------------------------------------------------------

SURTS = {
    "http://example.com": "com,example)/",
    "https://www.example.com/a/": "com,example)/a",
    "http://WWW3.Example.com:8080/A//b/./c/../d/?": "com,example:8080)/a/b/d",
    "https://example.com:443/x": "com,example)/x",
    "http://user:pw@example.com/x#y": "com,example)/x",
    "http://example.com/?a=2&b&a=1": "com,example)/?a=1&a=2&b",
    "http://example.com/?b=10&b=2&b&a=": "com,example)/?a=&b&b=10&b=2",
    "http://example.com/%2541%2e%2e/B%20c": "com,example)/a../b%20c",
    "http://example.com/%E9%C3%89?%E9": "com,example)/%e9%c3%89?%e9",
    "http://example.com/50%": "com,example)/50%25",
    "http://example.com/x?jsessionid=" + "A0" * 16 + "&b=1": "com,example)/x?b=1",
    "http://example.com/x?a=1&PHPSESSID=" + "A0" * 16: "com,example)/x?&a=1",
    "http://example.com/x?cfid=1&cftoken=2": "com,example)/x",
    "http://example.com/(S(4hqa0555fwsecu455xqckv45))/a.aspx": "com,example)/a.aspx",
    "http://127.0.0.1/x": "1,0,0,127)/x",
    "http://bücher.example/ü": "example,xn--bcher-kva)/%c3%bc",
    "ftp://example.com/": "",
    "http://[": "",
}


@pytest.mark.parametrize(("url", "key"), SURTS.items())
def test_surt(url, key):
    assert surt(url) == key


@pytest.mark.parametrize(
    ("kind", "text", "key"),
    [
        (Kind.URL, "example.com/a", "com,example)/a"),
        (Kind.URL, "nonsense", ""),
        (Kind.HOST, "www.example.com", "com,example)/"),
        (Kind.DOMAIN, "*.example.com", "com,example"),
        (Kind.PATH, "example.com/Art/", "com,example)/art"),
        (Kind.PATH, "example.com:8080/Art", "com,example:8080)/art"),
        (Kind.PATH, "[::1]/Art", "[::1])/art"),
        (Kind.PATH, "*.example.com/Art", "com,example"),
        (Kind.PATH, "example.com/art?b=1", "com,example)/art"),
        (Kind.PATTERN, "example.com/a/*.jpg$", "com,example)/a"),
        (Kind.SHA256, SHA, ""),
    ],
)
def test_surt_of_entries(kind, text, key):
    assert surt_of(Entry(kind, text)) == key


_PATHS = st.text(alphabet="aB/.%2541?=&(;", max_size=12)


@given(_PATHS, _PATHS, st.sampled_from(["", "www.", "a."]), st.booleans())
def test_the_key_of_a_path_begins_the_keys_of_all_below_it(prefix, more, sub, below):
    scope = "*.example.com" if below else f"{sub}example.com"
    entry = Entry(Kind.PATH, f"{scope}/{prefix}")
    url = f"http://{sub}example.com/{prefix}{more}"
    key, found = index(entry.kind, entry.text).key, address(url)
    written = key[1:].decode().removeprefix(scope)
    if found.target.startswith(written):
        assert surt(url).startswith(surt_of(entry))


# -- export --------------------------------------------------------------------------------------------------

ENTRIES = [
    Entry(Kind.URL, "https://www.example.com/b.jpg", "one", opt_in=True, date=DAY, expires=DAY),
    Entry(Kind.URL, 'https://a.example/"a",b\nc\rd', "one"),
    Entry(Kind.URL, "ftp://a.example/ü", "a,\tb", purpose=Purpose.TRAIN_GENERATIVE),
    Entry(Kind.HOST, "a.example", "two"),
    Entry(Kind.DOMAIN, "b.example", "two"),
    Entry(Kind.PATH, "a.example/art/", "two"),
    Entry(Kind.PATTERN, "a.example/*.jpg$", "two"),
    Entry(Kind.SHA256, SHA, "two"),
    Entry(Kind.MD5, MD5, "two"),
]
RAW = Entry(Kind.URL, "https://a.example/\udcff", "raw")


@pytest.mark.parametrize("by_surt", [False, True])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_what_is_exported_is_read_back(tmp_path, suffix, by_surt):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    out = tmp_path / f"out.{suffix}"
    wanted = ENTRIES + [RAW] * (suffix == "csv")
    assert export(wanted, out, by_surt=by_surt) == len(wanted)
    taken, rejected = everything(out)
    assert rejected == []
    assert sorted(taken, key=repr) == sorted(wanted, key=repr)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_csv_is_sorted_by_key(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "RUN_MAX", 500)
    monkeypatch.setattr(exporting, "FAN", 3)
    entries = [Entry(Kind.URL, f"https://{n * 7919 % 500}.example/{n % 7}", "x") for n in range(500)]
    out = tmp_path / "out.csv"
    assert export(entries, out, by_surt=True) == 500
    with out.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["surt", "kind", "entry", "list", "date", "purpose", "expires", "opt_in"]
    assert [row[0] for row in rows] == sorted(surt(entry.text) for entry in entries)
    assert all(surt(row[2]) == row[0] for row in rows)
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_an_export_that_fails_leaves_the_old_file(tmp_path):
    pytest.importorskip("pyarrow")
    out = tmp_path / "out.parquet"
    out.write_bytes(b"old")
    with pytest.raises(Exception, match=r"export to \.csv"):
        export([*ENTRIES, RAW], out)
    assert out.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize("name", ["out.txt", "missing/out.csv"])
def test_an_export_that_cannot_be(tmp_path, name):
    with pytest.raises(Exception, match=r"must end in \.csv or \.parquet|cannot be written"):
        export(ENTRIES, tmp_path / name)


def test_nothing_is_exported(tmp_path):
    assert export([], tmp_path / "out.csv", by_surt=True) == 0
    assert everything(tmp_path / "out.csv") == ([], [])


_TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)


@given(
    st.lists(
        st.builds(
            Entry,
            kind=st.just(Kind.URL),
            text=_TEXT.map(lambda text: "https://a.example/" + text.strip()).map(str.strip),
            list=_TEXT.map(str.strip).filter(bool),
            opt_in=st.booleans(),
            date=st.none() | st.dates(),
            purpose=st.sampled_from(Purpose),
            expires=st.none() | st.dates(),
        )
    )
)
def test_any_entries_are_read_back(tmp_path_factory, entries):
    if sys.version_info < (3, 11):  # its csv module does not read U+0000
        entries = [entry for entry in entries if "\0" not in entry.text + entry.list]
    out = tmp_path_factory.mktemp("export") / "out.csv"
    export(entries, out)
    taken, rejected = everything(out)
    assert rejected == []
    assert sorted(taken, key=repr) == sorted(entries, key=repr)


def test_json_lines_of_spawning_after_a_broken_first_line(lists):
    item = json.dumps({"url": "https://a.example/", "optOut": True})
    taken, rejected = lists(f'{{"url": \n{item}\n{item[:-3]}\n', "spawning")
    assert len(taken) == 1
    assert [line for line, _ in rejected] == [1, 3]


def test_bulk_is_handed_on_in_portions(lists, monkeypatch):
    monkeypatch.setattr("heedful.registry.sources._items.URLS_MAX", 2)
    rows = "".join(f"https://a.example/{n},{n % 2}\n" for n in range(7))
    assert len(lists("url,opt_in\n" + rows)[0]) == 7
    items = "".join(f'{{"url": "https://a.example/{n}", "optOut": true}}\n' for n in range(7))
    assert len(lists(items)[0]) == 7
    rows = "".join(f"url,https://a.example/{n}\n" for n in range(7))
    assert len(lists("kind,entry\n" + rows)[0]) == 7


def test_files_are_found_by_name_and_size(tmp_path):
    (tmp_path / "a").write_bytes(URLS)
    (file,) = _files.find(str(tmp_path / "a"))
    assert (file.name, file.size) == (str(tmp_path / "a"), len(URLS))
