from __future__ import annotations

import base64
import io
import json
import random
import re
import subprocess
import sys
import threading
import zlib
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cbor2
import pytest
from PIL import Image

from heedful import _c2pa_child, c2pa
from heedful.c2pa import check
from heedful.model import Signature
from heedful.testing import embed, make

ALLOWED = {
    "cawg.training-mining": {
        "entries": {"cawg.ai_training": {"use": "allowed"}, "cawg.ai_generative_training": {"use": "allowed"}}
    }
}
TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "TIFF": "image/tiff",
}


@pytest.fixture(scope="module")
def signed(c2pa_signed):
    return {name: c2pa_signed(make(7, format=name), kind, ALLOWED) for name, kind in TYPES.items()}


@pytest.mark.parametrize("name", TYPES)
def test_signed_files_are_valid(signed, name):
    assert check(signed[name], TYPES[name]) == Signature(valid=True, words="valid")
    assert Image.open(io.BytesIO(signed[name])).format == name


@pytest.mark.parametrize("media_type", ["", "image/png", "text/plain", "\0", "image/\udcff"], ids=repr)
def test_bytes_count_more_than_the_media_type(signed, media_type):
    answer = check(signed["JPEG"], media_type)
    assert answer.valid == ("\udcff" not in media_type), answer


def flipped(data, at):
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF"])
def test_changed_pixels(signed, name):
    pixels = {"JPEG": -300, "PNG": -40, "WEBP": 200, "GIF": -100}[name]
    answer = check(flipped(signed[name], pixels), TYPES[name])
    assert not answer.valid
    assert answer.words == "invalid: assertion.dataHash.mismatch"


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_changed_assertion(signed, name):
    before = signed[name]
    at = before.index(b"gallowed", before.index(b"cawg.ai_generative_training"))
    answer = check(before[: at + 1] + b"Allowed" + before[at + 8 :], TYPES[name])
    assert not answer.valid
    assert answer.words == "invalid: assertion.hashedURI.mismatch"


def enlarged(data, at, by):
    """The box at this offset, longer by some octets."""
    size = int.from_bytes(data[at : at + 4], "big") + by
    data[at : at + 4] = size.to_bytes(4, "big")


def holder(data, label):
    """Where the superbox with this label begins: 4 octets of length, `jumb`, then its description box."""
    return data.rindex(b"jumb", 0, data.index(label + b"\0")) - 4


def test_assertion_added_in_place_of_padding(c2pa_signed):
    """The hash of a file leaves its store out, and the signature is padded: a store of the same length."""
    png = bytearray(c2pa_signed(make(7, format="PNG"), "image/png", {}))
    content = cbor2.dumps(ALLOWED["cawg.training-mining"])
    added = embed._superbox(b"cbor", "cawg.training-mining", embed._box(b"cbor", content))
    pad = png.index(b"\x63pad\x59") + 5  # a string with two octets of length, in the signature
    room = int.from_bytes(png[pad : pad + 2], "big")
    png[pad : pad + 2 + room] = (room - len(added)).to_bytes(2, "big") + bytes(room - len(added))
    signature = holder(png, b"c2pa.signature")
    enlarged(png, signature, -len(added))
    enlarged(png, png.index(b"cbor", png.index(b"c2pa.signature\0")) - 4, -len(added))
    assertions = holder(png, b"c2pa.assertions")
    end = assertions + int.from_bytes(png[assertions : assertions + 4], "big")
    enlarged(png, assertions, len(added))
    png[end:end] = added
    chunk = png.index(b"caBX")
    store = png[chunk : chunk + 4 + int.from_bytes(png[chunk - 4 : chunk], "big")]
    png[chunk + len(store) : chunk + len(store) + 4] = zlib.crc32(store).to_bytes(4, "big")
    assert store.count(b"cawg.training-mining") == 1
    answer = check(bytes(png), "image/png")
    assert not answer.valid
    assert re.match("invalid: (AssertionNotFound|assertion.undeclared)", answer.words)


NOT_SIGNED = {
    "empty": b"",
    "text": b"hello",
    "no-manifest": make(7),
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'></svg>",
    "unsigned": embed.jumbf(make(7), embed.training_mining_store({"cawg.ai_training": "allowed"})),
    "unsigned-png": embed.jumbf(
        make(7, format="PNG"), embed.training_mining_store({"cawg.ai_training": "allowed"})
    ),
    "not-jumbf": embed.jumbf(make(7), b"\0\0\0\x20jumb" + bytes(24)),
    "noise": random.Random(2).randbytes(5000),
    "noise-jpeg": b"\xff\xd8\xff\xeb" + random.Random(3).randbytes(5000),
    "noise-png": b"\x89PNG\r\n\x1a\n" + random.Random(4).randbytes(5000),
}


@pytest.mark.parametrize("data", NOT_SIGNED.values(), ids=NOT_SIGNED)
def test_not_signed(data):
    pytest.importorskip("c2pa")
    answer = check(data, "image/jpeg")
    assert not answer.valid
    assert answer.words.startswith(("no manifest", "invalid: "))


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_cut_files(signed, name, part):
    assert not check(signed[name][: int(len(signed[name]) * part)], TYPES[name]).valid


def test_mutations_are_never_valid(signed):
    """Hostile bytes inside what the library parses: an answer each time, and none is `valid`."""
    random_ = random.Random(5)
    data = signed["JPEG"]
    start = data.index(b"jumb")
    for _ in range(8):
        broken = bytearray(data)
        for _ in range(20):
            broken[random_.randrange(start, start + 3000)] = random_.randrange(256)
        assert not check(bytes(broken), "image/jpeg").valid


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF"])
def test_second_store(signed, c2pa_signed, name):
    """Which of two stores would be the active one? Neither: the file is not valid."""
    other = embed.training_mining_store({"cawg.ai_training": "allowed"})
    assert not check(embed.jumbf(signed[name], other), TYPES[name]).valid


def content(data, label):
    """The content of the first CBOR box of a superbox with this label."""
    header = data.index(b"cbor", data.index(label + b"\0"))
    return data[header + 4 : header + int.from_bytes(data[header - 4 : header], "big") - 4]


def signed_anew(data, before, chain):
    """A file with the leaf of another chain, of the same length, signed with its key (RFC 9052, 4.4)."""
    ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec")
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    protected, _, _, signature = cbor2.loads(content(data, b"c2pa.signature")).value
    leaf, other = (der(pem)[0] for pem, _ in (before, chain))
    assert leaf in protected
    signing = cbor2.dumps(
        ["Signature1", protected.replace(leaf, other), b"", content(data, b"c2pa.claim.v2")]
    )
    key = load_pem_private_key(chain[1].encode(), None)
    pair = decode_dss_signature(key.sign(signing, ec.ECDSA(SHA256())))
    return data.replace(leaf, other).replace(signature, b"".join(each.to_bytes(32, "big") for each in pair))


def der(pem):
    return [base64.b64decode(each) for each in re.findall("-----BEGIN CERTIFICATE-----([^-]+)", pem)]


@pytest.mark.parametrize("hours", [1, -1], ids=["valid", "expired"])
def test_expired_certificate(signing_chain, c2pa_signed, hours):
    """The library does not sign with an expired one, so its work is signed anew."""
    usual = signing_chain()
    data = c2pa_signed(make(7), "image/jpeg", ALLOWED, chain=usual)
    end = datetime.now(timezone.utc) + timedelta(hours=hours)
    chains = iter(lambda: signing_chain(end=end), None)  # their lengths differ by some bytes
    other = next(chain for chain in chains if len(der(chain[0])[0]) == len(der(usual[0])[0]))
    answer = check(signed_anew(data, usual, other), "image/jpeg")
    assert answer.words == ("valid" if hours > 0 else "invalid: signingCredential.expired")
    assert answer.valid is (hours > 0)


class Web:
    """A server on the loopback that counts what is asked of it."""

    def __init__(self):
        self.asked = asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_error(404)

            do_POST = do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def web():
    server = Web()
    yield server
    server.close()


def read_by_default(data, settings):
    library = pytest.importorskip("c2pa")
    with library.Context.from_dict(settings) as context:
        try:
            with library.Reader("image/jpeg", io.BytesIO(data), context=context):
                pass
        except library.C2paError:
            pass


@pytest.mark.parametrize("embedded", [True, False], ids=["embedded-too", "remote-only"])
def test_remote_manifests_are_not_fetched(c2pa_signed, web, embedded):
    data = c2pa_signed(make(7), "image/jpeg", ALLOWED, remote=f"{web.url}/manifest.c2pa", embedded=embedded)
    answer = check(data, "image/jpeg")
    assert answer.valid is embedded
    if not embedded:
        assert answer.words == "the manifest is remote; it is not fetched"
        with_settings_alone(data)
    assert web.asked == []
    if not embedded:  # the server would have been asked
        read_by_default(data, {})
        assert web.asked == ["/manifest.c2pa"]


def test_states_of_certificates_are_not_fetched(c2pa_signed, signing_chain, web):
    data = c2pa_signed(make(7), "image/jpeg", ALLOWED, chain=signing_chain(ocsp=f"{web.url}/ocsp"))
    assert check(data, "image/jpeg").valid
    with_settings_alone(data)
    assert web.asked == []
    read_by_default(data, {"verify": {"ocsp_fetch": True}})
    assert web.asked


def with_settings_alone(data):
    """Each fence holds by itself: here, the one that keeps sockets from being opened is left out."""
    read_by_default(data, _c2pa_child.SETTINGS)
    read_by_default(data, {"core": _c2pa_child.SETTINGS["core"]})


def child(code):
    """What becomes of `code` in a process that has the child's limits."""
    pytest.importorskip("resource")
    return subprocess.run(
        [sys.executable, "-c", f"from heedful import _c2pa_child as child\nchild.limit(5)\n{code}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "code",
    ["import socket; child.close_doors(); socket.socket()", "child.close_doors(); open(child.__file__)"],
    ids=["socket", "file"],
)
def test_doors_are_closed(code):
    assert "Too many open files" in child(code).stderr


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not let the address space be limited")
def test_memory_is_bounded():
    assert "MemoryError" in child(f"bytes({_c2pa_child.MEMORY_MAX})").stderr


def command(monkeypatch, *words):
    monkeypatch.setattr(c2pa, "_COMMAND", tuple(map(str, words)))


def test_timeout(monkeypatch):
    """The child is killed, and its exit is read, so that no zombie stays."""
    started = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    command(monkeypatch, sys.executable, "-c", "import time; time.sleep(600)")
    assert check(make(7), "image/jpeg", timeout=0.5) == Signature(valid=False, words="took longer than 0.5 s")
    assert [process.returncode for process in started] == [-9]


SCRIPTS = {
    "segfault": ("import os; os.kill(os.getpid(), 11)", "crashed with signal 11"),
    "exit-code": ("raise SystemExit(3)", "crashed with exit code 3"),
    "silence": ("", "gave no answer"),
    "no-json": ("print('valid')", "gave no answer"),
    "other-json": ("print('[1]')", "gave no answer"),
    "words-missing": ("print('{\"valid\": true}')", "gave no answer"),
    "words-no-text": ('print(\'{"valid": true, "words": 1}\')', "gave no answer"),
    "deep-json": ("print('[' * 100000)", "gave no answer"),
    "not-quite-true": ('print(\'{"valid": 1, "words": "x"}\')', "x"),
    "stdin-unread": ("import sys; sys.stdin.close()", "gave no answer"),
}


@pytest.mark.parametrize(("code", "words"), SCRIPTS.values(), ids=SCRIPTS)
def test_whatever_the_child_does_is_an_answer(monkeypatch, code, words):
    command(monkeypatch, sys.executable, "-c", code)
    assert check(bytes(1_000_000), "image/jpeg") == Signature(valid=False, words=words)


def test_no_such_interpreter(monkeypatch, tmp_path):
    command(monkeypatch, tmp_path / "python")
    answer = check(b"", "image/jpeg")
    assert not answer.valid
    assert answer.words.startswith("could not be started: ")


def test_library_missing(monkeypatch):
    """`-S` leaves out the folders of installed packages."""
    command(monkeypatch, sys.executable, "-S", _c2pa_child.__file__)
    monkeypatch.setattr(sys, "path", [])
    assert check(make(7), "image/jpeg").words == 'no c2pa-python: pip install "heedful[c2pa]"'


def test_environment_is_not_inherited(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    answer = '{"valid": False, "words": str(sorted(os.environ))}'
    command(monkeypatch, sys.executable, "-c", f"import json, os; print(json.dumps({answer}))")
    names = check(b"", "image/jpeg").words
    assert "PROXY" not in names
    assert "HOME" not in names


REPORTS = {
    "valid": ({"active_manifest": "a", "validation_state": "Valid"}, (True, "valid")),
    "trusted": ({"active_manifest": "a", "validation_state": "Trusted"}, (True, "valid")),
    "no-active": ({"validation_state": "Valid"}, (False, "invalid: no reason given")),
    "nothing": ({}, (False, "invalid: no reason given")),
    "state-missing": ({"active_manifest": "a"}, (False, "invalid: no reason given")),
    "other-state": (
        {"active_manifest": "a", "validation_state": "valid"},
        (False, "invalid: no reason given"),
    ),
    "codes": (
        {
            "active_manifest": "a",
            "validation_state": "Invalid",
            "validation_results": {
                "activeManifest": {
                    "failure": [{"code": "signingCredential.untrusted"}, {"code": "x"}, {"code": "x"}]
                },
                "ingredientDeltas": [{"validationDeltas": {"failure": [{"code": "y"}]}}],
            },
        },
        (False, "invalid: x, y"),
    ),
}


@pytest.mark.parametrize(("report", "expected"), REPORTS.values(), ids=REPORTS)
def test_reports(report, expected):
    answer = _c2pa_child.judge(json.loads(json.dumps(report)))
    assert (answer["valid"], answer["words"]) == expected


def test_child_imports_nothing_of_heedful():
    """Its memory limit is about c2pa-python, and heedful may come to import what is large."""
    assert not re.search(r"^\s*(?:from|import) heedful", Path(_c2pa_child.__file__).read_text(), re.MULTILINE)
