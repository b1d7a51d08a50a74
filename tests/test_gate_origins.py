"""What a gate keeps ready of an origin's files: it judges by the files that it is given, and by no others."""

from __future__ import annotations

import threading

import pytest

from heedful import Gate, Needs, OriginFile, Reason
from heedful.gate import _READY_BYTES_MAX, _READY_MAX

ORIGIN = "http://art.example"
ROBOTS = "User-agent: *\nDisallow: {}\n"


def files(origin=ORIGIN, **given):
    """Origin files by their names, without folder and extension; those that are not given are 404."""
    made = {}
    for url in (*Gate("PictureBot").origin_files(f"{origin}/"), f"{origin}/trust.txt"):
        content = given.get(url.rpartition("/")[2].partition(".")[0], 404)
        if isinstance(content, str):
            made[url] = OriginFile(url, 200, body=content.encode(), fetched=1.0)
        else:
            made[url] = OriginFile(url, content, fetched=1.0)
    return made


def reason(gate, given, path="/art/1.jpg", origin=ORIGIN):
    return gate.judge(origin + path, origin_files=given).reason


CHANGES = {
    "robots.txt closes": ({"robots": ROBOTS.format("/none/")}, {"robots": ROBOTS.format("/art/")}),
    "robots.txt comes": ({}, {"robots": ROBOTS.format("/")}),
    "robots.txt cannot be read": ({}, {"robots": 503}),
    "tdmrep.json comes": ({}, {"tdmrep": '[{"location": "/", "tdm-reservation": 1}]'}),
    "trust.txt comes": ({}, {"trust": "datatrainingallowed=no\n"}),
}


@pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=CHANGES.keys())
def test_changed_files_are_read_anew(before, after):
    gate = Gate("PictureBot")
    for given in (before, after, before, after):
        assert reason(gate, files(**given)) is reason(Gate("PictureBot"), files(**given))
    assert reason(gate, files(**before)) is None
    assert reason(gate, files(**after)) is not None


def test_a_file_that_was_there_can_be_missing():
    gate = Gate("PictureBot")
    given = files()
    assert reason(gate, given) is None
    del given[f"{ORIGIN}/robots.txt"]
    assert gate.judge(f"{ORIGIN}/art/1.jpg", origin_files=given) == Needs((f"{ORIGIN}/robots.txt",))


def test_each_picture_is_judged_by_its_own_path():
    gate = Gate("PictureBot")
    given = files(robots=ROBOTS.format("/closed/") + "User-agent: CCBot\nDisallow: /art/\n")
    said = {path: reason(gate, given, path) for path in ("/closed/1.jpg", "/art/1.jpg", "/free/1.jpg")}
    assert said == {
        "/closed/1.jpg": Reason.ROBOTS_DISALLOW,
        "/art/1.jpg": Reason.ROBOTS_AI_TOKEN,
        "/free/1.jpg": None,
    }


def test_origins_are_told_apart():
    gate = Gate("PictureBot")
    for origin, robots in ((ORIGIN, "/"), ("https://art.example", "/none/"), (f"{ORIGIN}:8080", "/")):
        denied = Reason.ROBOTS_DISALLOW if robots == "/" else None
        assert reason(gate, files(origin, robots=ROBOTS.format(robots)), origin=origin) is denied


def test_what_is_kept_is_bounded():
    gate = Gate("PictureBot")
    large = files(robots=ROBOTS.format("/") + "#" * _READY_BYTES_MAX)
    assert reason(gate, large) is Reason.ROBOTS_DISALLOW
    assert not gate._origins
    for number in range(_READY_MAX + 10):
        origin = f"http://{number}.example"
        reason(gate, files(origin), origin=origin)
        assert len(gate._origins) <= _READY_MAX


def test_threads_may_share_it():
    gate = Gate("PictureBot")
    given = [files(robots=ROBOTS.format("/art/")), files(robots=ROBOTS.format("/none/"))]
    wrong = []

    def judge(number):
        for turn in range(200):
            which = (turn + number) % 2
            if reason(gate, given[which]) is not (None if which else Reason.ROBOTS_DISALLOW):
                wrong.append((number, turn))

    threads = [threading.Thread(target=judge, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_second_location_is_asked_once_all_else_is_there():
    gate = Gate("PictureBot")
    known = {url: file for url, file in files().items() if url != f"{ORIGIN}/trust.txt"}
    robots = known.pop(f"{ORIGIN}/robots.txt")
    needs = gate.judge(f"{ORIGIN}/1.jpg", origin_files=known)
    assert needs.urls == (robots.url,)
    assert gate.judge(f"{ORIGIN}/1.jpg", origin_files={**known, robots.url: robots}).urls == (
        f"{ORIGIN}/trust.txt",
    )


@pytest.mark.parametrize("place", ["/robots.txt", "/ai.txt", "/trust.txt", "/.well-known/tdmrep.json"])
def test_a_file_that_is_announced_as_a_licence_is_read_as_both(place):
    """An origin's file is read by its place's grammar, and once more as the RSL document that it is not."""
    gate = Gate("PictureBot")
    robots = ROBOTS.format("/closed/") + f"License: {ORIGIN}{{}}\n"
    elsewhere = files(robots=robots.format("/licence.xml"))
    elsewhere[f"{ORIGIN}/licence.xml"] = OriginFile(f"{ORIGIN}/licence.xml", 200, body=b"no licence")
    given = files(robots=robots.format(place), ai="no licence", trust="no licence", tdmrep="[]")
    for path in ("/art/1.jpg", "/closed/1.jpg"):
        assert reason(gate, given, path) is reason(gate, elsewhere, path)
    heard = gate.judge(f"{ORIGIN}/art/1.jpg", origin_files=given).heard
    assert f"{ORIGIN}{place}" in {
        each.statement.evidence.source_url for each in heard if each.protocol == "rsl"
    }
