from __future__ import annotations

import gzip

import pytest

from heedful.registry.sources import SourceError
from heedful.survey._sites import Queue, Rejected, Site, from_arguments, from_file

SITES = {
    "a domain": ("example.com", "example.com", ("https://example.com", "http://example.com")),
    "a host": (
        " www.Example.COM. ",
        "www.example.com",
        ("https://www.example.com", "http://www.example.com"),
    ),
    "a port": ("a.example:8443", "a.example:8443", ("https://a.example:8443", "http://a.example:8443")),
    "its scheme's own port": ("https://a.example:443/x", "https://a.example", ("https://a.example",)),
    "a URL": ("HTTP://a.example/x.jpg?y#z", "http://a.example", ("http://a.example",)),
    "a path without a scheme": ("a.example/x", "a.example", ("https://a.example", "http://a.example")),
    "a query without a path": ("http://a.example?x", "http://a.example", ("http://a.example",)),
    "another script": ("bücher.example", "xn--bcher-kva.example", None),
    "an underscore": ("a_b.example", "a_b.example", None),
    "an address": ("127.0.0.2:80", "127.0.0.2:80", ("https://127.0.0.2:80", "http://127.0.0.2:80")),
    "an IPv6 address": ("[::1]:8080", "[::1]:8080", ("https://[::1]:8080", "http://[::1]:8080")),
    "this machine": ("localhost", "localhost", None),
}


@pytest.mark.parametrize(("text", "name", "origins"), SITES.values(), ids=SITES)
def test_sites(text, name, origins):
    site = Site.parse(text)
    assert site.name == name
    assert site.origins == (origins or (f"https://{name}", f"http://{name}"))
    assert Site.parse(site.name) == site


NONE = {
    "a word": ("example", "no dot"),
    "nothing": ("https:///x", "no host"),
    "another scheme": ("ftp://a.example/", "neither"),
    "a mail address": ("me@a.example", "an @"),
    "white space": ("a example.com", "no host name"),
    "a wildcard": ("*.example.com", "no host name"),
    "an address in disguise": ("0x7f.0.0.1", "the address 127.0.0.1"),
    "a number": ("2130706433", "the address 127.0.0.1"),
    "too long": (".".join(["a" * 60] * 5), "no host name"),
    "a lone surrogate": ("\ud800.example", "no host name"),
    "a tag": ("<script>alert(1)</script>.example", "no host name"),
}


@pytest.mark.parametrize(("text", "why"), NONE.values(), ids=NONE)
def test_what_is_none(text, why):
    with pytest.raises(ValueError, match=why):
        Site.parse(text)


def test_arguments():
    assert list(from_arguments(["a.example", "b"])) == [
        Site.parse("a.example"),
        Rejected("arguments", 2, "b", "it has no dot: a domain is such as example.com"),
    ]


TABLE = "domain,rank\na.example,1\nb.example,2\n"
LISTS = {
    "lines": "# the best\na.example\n\n  b.example  # a comment\nhttps://c.example/x#y\n",
    "a column": "rank,domain\n1,a.example\n2,b.example\n3,https://c.example\n",
    "a column of URLs": "url;sha256\nhttps://a.example/1;00\nb.example;01\nhttps://c.example/2;\n",
    "JSON Lines": '{"domain": "a.example"}\n{"domain": "b.example"}\n{"url": "https://c.example/1"}\n',
    "a header alone in its line": "domain\na.example\nb.example\nhttps://c.example\n",
}


@pytest.mark.parametrize("text", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "compressed"])
def test_lists(tmp_path, text, pack):
    path = tmp_path / "list"
    path.write_bytes(pack(text.encode()))
    names = [each.name.removeprefix("https://") for each in from_file(str(path))]
    assert names == ["a.example", "b.example", "c.example"]


def test_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "list.parquet"
    cells = ["https://a.example/1.jpg", None, "no URL", "https://b.example/2.jpg"]
    parquet.write_table(pa.table({"URL": cells, "WIDTH": [1, 2, 3, 4]}), path)
    found = list(from_file(str(path)))
    assert [each.name for each in found if isinstance(each, Site)] == [
        "https://a.example",
        "https://b.example",
    ]
    assert [each[1:3] for each in found if isinstance(each, Rejected)] == [(3, "no URL")]


FAULTY = {
    "no such file": (None, "there is no such file"),
    "no column": (b"sha256,list\n00,a\n", "it has no column domain, host or url"),
    "damaged Parquet": (b"PAR1\x00\x00", "it is damaged"),
}


@pytest.mark.parametrize(("data", "why"), FAULTY.values(), ids=FAULTY)
def test_what_cannot_be_read(tmp_path, data, why):
    path = tmp_path / "list"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(SourceError, match=why) as error:
        list(from_file(str(path)))
    assert str(path) in str(error.value)


def test_bad_lines_are_told_with_their_places(tmp_path):
    path = tmp_path / "list"
    path.write_bytes(b"a.example\n\xff\xfe.example\nb\n")
    assert [each[1:] for each in from_file(str(path)) if isinstance(each, Rejected)] == [
        (2, "\udcff\udcfe.example", "it is no host name"),
        (3, "b", "it has no dot: a domain is such as example.com"),
    ]


def test_the_queue_has_each_site_once_in_order():
    queue = Queue()
    names = [f"site{number % 1500}.example" for number in range(3000)]
    queue.add(Site.parse(name) for name in names)
    assert (queue.given, queue.all, len(queue)) == (3000, 1500, 1500)
    queue.done(["site0.example", "site1499.example", "elsewhere.example"])
    assert [site.name for site in queue] == names[1:1499]
    assert len(queue) == 1498
    queue.close()
