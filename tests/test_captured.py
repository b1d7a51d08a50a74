from __future__ import annotations

import base64
import json

import pytest

from heedful import Action, ConfigurationError, Reason
from heedful.captured import Captured
from heedful.testing import embed, make

URL = "https://art.example/1.jpg"
ROBOTS = "https://art.example/robots.txt"
CLOSED = "User-agent: *\nDisallow: /\n"
TOKEN = "PictureBot"
NOAI = {"status": 200, "headers": [["X-Robots-Tag", "noai"]]}


def row(**fields):
    return json.dumps({"id": "x", "url": URL, **fields})


def judge(token=TOKEN, **fields):
    return Captured.parse(row(**fields)).judge(token=token, policy="standard")


PACKET = embed.dmi_packet("DMI-PROHIBITED")
DENYING_SVG = embed.xmp(b'<svg xmlns="http://www.w3.org/2000/svg"><g/></svg>', PACKET).decode()
DENYING_JPEG = base64.b64encode(embed.xmp(make(1), PACKET)).decode()

CASES = {
    "a picture": ({"response": {"body_base64": DENYING_JPEG}}, "skip", ["data-mining"]),
    "a picture that is text": ({"response": {"body": DENYING_SVG}}, "skip", ["data-mining"]),
    "a redirect's body is none": (
        {"hops": [{"url": URL, "response": {"status": 302, "body_base64": DENYING_JPEG}}], "url": URL + "?2"},
        "store",
        [],
    ),
    "no files: all are absent": ({}, "store", []),
    "a file": ({"origin_files": {ROBOTS: {"status": 200, "body": CLOSED}}}, "skip", ["robots.disallow"]),
    "a file in base64": (
        {"origin_files": {ROBOTS: {"body_base64": base64.b64encode(CLOSED.encode()).decode()}}},
        "skip",
        ["robots.disallow"],
    ),
    "no answer": ({"origin_files": {ROBOTS: {"status": 0}}}, "defer", ["robots.unreachable"]),
    "a response": ({"response": NOAI}, "skip", ["x-robots-tag"]),
    "everything the row holds": (
        {"origin_files": {ROBOTS: {"body": CLOSED}}, "response": NOAI},
        "skip",
        ["robots.disallow", "x-robots-tag"],
    ),
    "the row's token": (
        {"token": "OtherBot", "origin_files": {ROBOTS: {"body": "User-agent: otherbot\nDisallow: /"}}},
        "skip",
        ["robots.disallow"],
    ),
    "the row's policy": ({"policy": "opt-in"}, "skip", ["no-opt-in"]),
    "the row's purpose": (
        {
            "purpose": "train-nongenerative",
            "response": {"status": 200, "headers": [["Content-Usage", "train-ai=n"]]},
        },
        "store",
        [],
    ),
    "a redirected file": (
        {
            "origin_files": {
                ROBOTS: {"status": 301, "headers": [["Location", "https://b.example/r"]]},
                "https://b.example/r": {"body": CLOSED},
            }
        },
        "skip",
        ["robots.disallow"],
    ),
    "a file redirected to no answer": (
        {
            "origin_files": {
                ROBOTS: {"status": 301, "headers": [["Location", "/r"]]},
                ROBOTS[:-10] + "r": {"status": 0},
            }
        },
        "defer",
        ["robots.unreachable"],
    ),
    "a file redirected to one not given": (
        {"origin_files": {ROBOTS: {"status": 301, "headers": [["Location", "/r"]]}}},
        "store",
        [],
    ),
    "a hop's headers": (
        {"hops": [{"url": "https://b.example/", "response": {"status": 302, "headers": NOAI["headers"]}}]},
        "skip",
        ["x-robots-tag"],
    ),
    "a hop's origin": (
        {
            "hops": [{"url": "https://b.example/x", "response": {"status": 302, "headers": []}}],
            "origin_files": {"https://b.example/robots.txt": {"body": CLOSED}},
        },
        "skip",
        ["robots.disallow"],
    ),
    "a hop is silent under opt-in": (
        {
            "policy": "opt-in",
            "hops": [{"url": "https://b.example/x", "response": {"status": 302, "headers": []}}],
            "response": {"status": 200, "headers": [["tdm-reservation", "0"]]},
        },
        "store",
        [],
    ),
    "skip beats a hop's defer": (
        {
            "hops": [{"url": "https://b.example/x"}],
            "origin_files": {"https://b.example/robots.txt": {"status": 500}},
            "response": NOAI,
        },
        "skip",
        ["x-robots-tag", "robots.unreachable"],
    ),
}


@pytest.mark.parametrize(("fields", "action", "reasons"), CASES.values(), ids=CASES)
def test_rows(fields, action, reasons):
    verdict = judge(**fields)
    assert (verdict.action, list(verdict.reasons)) == (action, reasons)


def test_want_is_met_when_its_reasons_are_among_those_given():
    want = Captured.parse(row(want={"action": "skip", "reasons": ["x-robots-tag"]})).want
    assert want.met_by(judge(response=NOAI))
    assert want.met_by(judge(response=NOAI, origin_files={ROBOTS: {"body": CLOSED}}))
    assert not want.met_by(judge(origin_files={ROBOTS: {"body": CLOSED}}))
    assert not want.met_by(judge())
    assert (want.action, want.reasons) == (Action.SKIP, (Reason.X_ROBOTS_TAG,))


BAD = {
    "no JSON": ("{", "not JSON"),
    "too deep": ("[" * 100_000, "not JSON"),
    "no object": ("[]", "a row must be an object"),
    "no URL": ("{}", "'url' is missing"),
    "an unknown key": (row(ulr="x"), "unknown key 'ulr'"),
    "an unknown key of a file": (row(origin_files={ROBOTS: {"text": ""}}), "unknown key 'text'"),
    "an unknown key of a response": (row(response={"text": ""}), "unknown key 'text'"),
    "a file that is none": (row(origin_files={ROBOTS: "x"}), "must be an object"),
    "a status that is none": (row(response={"status": "200"}), "'status' must be a whole number"),
    "a true status": (row(response={"status": True}), "'status' must be a whole number"),
    "headers as an object": (row(response={"headers": {"a": "b"}}), "'headers' must be an array"),
    "half a header": (row(response={"headers": [["a"]]}), "pairs"),
    "base64 that is none": (row(origin_files={ROBOTS: {"body_base64": "?"}}), "'body_base64'"),
    "an unknown action": (row(want={"action": "drop"}), "'drop'"),
    "an unknown reason": (row(want={"action": "skip", "reasons": ["robots"]}), "'robots'"),
    "an unknown purpose": (row(purpose="art"), "'art'"),
    "a hop that is none": (row(hops=["x"]), "a hop must be an object"),
}


@pytest.mark.parametrize(("line", "words"), BAD.values(), ids=BAD)
def test_what_is_no_row_is_told(line, words):
    with pytest.raises(ValueError, match=words.replace("'", ".")):
        Captured.parse(line)


def test_a_row_needs_a_token_from_somewhere():
    with pytest.raises(ConfigurationError, match="give one with --token"):
        judge(token=None)


def test_command(heedful, tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text(
        "\n".join(
            [
                row(id="a", response=NOAI, want={"action": "skip", "reasons": ["x-robots-tag"]}),
                "",
                row(id="b", want={"action": "store"}),
                row(id="c"),
            ]
        )
    )
    done = heedful("judge", file, "--token", "PictureBot")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["id"], each["action"], each["reason"]) for each in rows] == [
        ("a", "skip", "x-robots-tag"),
        ("b", "store", None),
        ("c", "store", None),
    ]
    assert list(rows[0]) == ["id", "action", "reason", "reasons", "evidence"]
    assert rows[0]["evidence"][0]["raw"] == "noai"
    assert done.stderr == "3 judged, 2 of 2 wants met\n"


def test_command_with_a_want_unmet(heedful, tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text(row(id="a\x1b", want={"action": "skip", "reasons": ["tdmrep"]}))
    done = heedful("judge", file, "--token", "PictureBot")
    assert done.returncode == 1
    assert rf"{file}:1: a\x1b: wanted skip tdmrep, got store" in done.stderr


@pytest.mark.parametrize(
    ("args", "line", "words"),
    [
        (["--token", "a b"], row(), "'a b' is no product token"),
        (["--policy", "x"], row(token="T"), "There is no policy 'x'"),
        ([], row(), ":1: The row has no token: give one with --token."),
        ([], row(token="a b"), ":1: 'a b' is no product token"),
        ([], "{", ":1: not JSON"),
    ],
    ids=["token", "policy", "no token", "the row's token", "no row"],
)
def test_command_with_bad_input(heedful, tmp_path, args, line, words):
    file = tmp_path / "rows.jsonl"
    file.write_text(line)
    done = heedful("judge", file, *args)
    assert done.returncode == 2
    assert words in done.stderr
    assert heedful("judge", tmp_path / "none.jsonl").returncode == 2
