"""`heedful check`: what the web says now."""

from __future__ import annotations

import json

import pytest

from heedful.testing import GALLERY, TOKEN


@pytest.fixture
def check(heedful, gallery, tmp_path):
    """Check exhibits by their names."""

    def run(*names, options=()):
        urls = [gallery.exhibit_url(GALLERY.exhibit(name)) for name in names]
        return heedful("check", *urls, "--token", TOKEN, "--cache", tmp_path / "cache", *options)

    return run


def named(profile, action, count=1):
    plain = [each for each in GALLERY.wanted(profile, action) if not each.listed and not each.shown_on]
    return [each.name for each in plain[:count]]


@pytest.mark.parametrize(
    ("actions", "code"),
    [
        pytest.param(["store", "store"], 0, id="free"),
        pytest.param(["store", "skip"], 1, id="one opted out"),
        pytest.param(["store", "defer"], 3, id="one in doubt"),
        pytest.param(["defer", "skip", "store"], 1, id="opted out before in doubt"),
        pytest.param(["failed"], 3, id="not there"),
    ],
)
def test_exit_codes(check, actions, code):
    done = check(*(named("standard", action)[0] for action in actions))
    assert done.returncode == code, done.stderr
    assert [line.split()[0].lower() for line in done.stdout.splitlines() if line[0] != " "] == actions


def test_all_exhibits(check, gallery, tmp_path):
    registry = gallery.registry(tmp_path / "gallery.heed")
    page_free = [
        each.name for each in GALLERY.exhibits if each.reason != "meta-robots" and "page" not in each.name
    ]
    done = check(*page_free, options=("--registry", registry, "--json"))
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row.get("asked", row["url"]): row["action"] for row in rows} == {
        gallery.exhibit_url(GALLERY.exhibit(name)): GALLERY.exhibit(name).wanted["standard"].value
        for name in page_free
    }


def test_what_a_page_says_counts(check, gallery):
    (exhibit,) = [each for each in GALLERY.exhibits if each.reason == "meta-robots"]
    page = gallery.url(exhibit.shown_on or exhibit.site)
    assert check(exhibit.name).returncode == 0
    done = check(exhibit.name, options=("--page", page))
    assert done.returncode == 1
    assert "meta-robots" in done.stdout


def test_evidence_is_shown(check):
    (name,) = [each.name for each in GALLERY.exhibits if each.reason == "robots.ai-token"][:1]
    done = check(name)
    assert "SKIP" in done.stdout
    assert "robots.ai-token: Disallow:" in done.stdout
    assert "/robots.txt" in done.stdout


@pytest.mark.parametrize(
    ("url", "action"),
    [
        pytest.param("ftp://127.0.0.1/1.jpg", "defer", id="no http"),
        pytest.param("nonsense", "failed", id="no URL"),
        pytest.param("http://127.0.0.1:9/1.jpg", "defer", id="nobody there"),
    ],
)
def test_what_cannot_be_asked(heedful, tmp_path, url, action):
    done = heedful("check", url, "--token", TOKEN, "--cache", tmp_path, "--json")
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["action"] == action


def test_wrong_options(heedful, tmp_path):
    done = heedful("check", "http://h/", "--policy", "strickt", "--registry", "none.heed", cwd=tmp_path)
    assert done.returncode == 2
    assert "--token is missing" in done.stderr
    assert "no policy 'strickt'" in done.stderr
    assert "none.heed" in done.stderr
