"""Fingerprints from pictures, folders of these, and tables; and what the command line does with them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from collections import Counter
from contextlib import closing

import pytest
from click.testing import CliRunner

from heedful import fingerprint
from heedful.cli import main
from heedful.errors import ConfigurationError
from heedful.fingerprint import Fingerprint
from heedful.registry import Registry
from heedful.registry.entries import Entry, Kind
from heedful.registry.sources import Defaults, Reject, SourceError, Terms, open_source, read
from heedful.registry.sources import _pictures as pictures

np = pytest.importorskip("numpy")
Image = pytest.importorskip("PIL.Image")

NOW = 1_800_000_000.0
SMALL = "99c6d2a52d5a2d9a"
LARGE = "9966" * 16
WHOLE = f"{SMALL}:{LARGE}"


def picture(seed, kind="JPEG", **options):
    """Clouds in colour: the bytes of a file."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).resize((160, 120))
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def flat():
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "navy").save(out, "PNG")
    return out.getvalue()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def taken(source, *, terms=Terms("art"), kind=None, format=None):  # noqa: A002, B008 - as the parameter is named
    """Entries as (kind, text), and rejects as (line, why)."""
    found = list(read(str(source), format=format, defaults=Defaults(terms, kind)))
    entries = [(each.kind, each.text) for each in found if isinstance(each, Entry)]
    assert all(each.list == terms.list for each in found if isinstance(each, Entry))
    return entries, [(each.line, each.why) for each in found if isinstance(each, Reject)]


# -- pictures ----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """Four pictures, two of them in a folder below; among them what is none, and what is flat."""
    place = tmp_path / "photos"
    (place / "sub").mkdir(parents=True)
    (place / "a.jpg").write_bytes(picture(1))
    (place / "b.png").write_bytes(picture(2, "PNG"))
    (place / "sub" / "c").write_bytes(picture(3, "WEBP"))
    (place / "sub" / "d.gif").write_bytes(picture(4, "GIF"))
    (place / "empty.jpg").write_bytes(b"")
    (place / "flat.png").write_bytes(flat())
    (place / "text.jpg").write_bytes(b"no picture")
    (place / "torn.jpg").write_bytes(picture(5)[:400])
    (place / ".hidden.jpg").write_bytes(picture(6))
    return place


NAMES = ["a.jpg", "b.png", "empty.jpg", "flat.png", "sub/c", "sub/d.gif", "text.jpg", "torn.jpg"]


def test_a_folder_of_pictures(folder):
    """Of each its sha256 and its fingerprint, with its name; what cannot be told is a reject."""
    entries, rejects = taken(folder)
    wanted = []
    for name in ("a.jpg", "b.png", "flat.png", "sub/c", "sub/d.gif", "torn.jpg"):
        data = (folder / name).read_bytes()
        wanted.append((Kind.SHA256, sha256(data)))
        if name not in {"flat.png", "torn.jpg"}:
            wanted.append((Kind.PHASH, f"{fingerprint.read(data)} {name}"))
    assert entries == wanted
    assert [line for line, _ in rejects] == [3, 4, 7, 8]
    none, level, text, torn = (why for _, why in rejects)
    assert none == text == "it is no picture made of pixels"
    assert level == "it is flat or regular, so its likes cannot be told; its exact copies are found"
    assert torn.startswith("it cannot be decoded: ")
    assert torn.endswith("; its exact copies are found")


def test_a_picture_that_is_shown_otherwise_than_it_is_stored(tmp_path):
    """A copy that was turned as the tag says, and has none any more, is found too."""
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(picture(1, exif=exif))
    entries, _ = taken(tmp_path)
    assert [kind for kind, _ in entries] == [Kind.SHA256, Kind.PHASH, Kind.PHASH]
    turned = Image.open(tmp_path / "a.jpg").transpose(Image.Transpose.ROTATE_270)
    shown = fingerprint.of(turned)
    listed = [Fingerprint.parse(text.partition(" ")[0]) for _, text in entries[1:]]
    assert fingerprint.small_distance(listed[1], shown) <= 2 < fingerprint.small_distance(listed[0], shown)


@pytest.mark.parametrize(("kind", "count"), [(Kind.SHA256, 6), (Kind.MD5, 6), (Kind.PHASH, 4)])
def test_only_one_kind(folder, kind, count):
    entries, rejects = taken(folder, kind=kind)
    assert Counter(found for found, _ in entries) == {kind: count}
    assert len(rejects) == (4 if kind is Kind.PHASH else 2)
    assert not any("exact copies" in why for _, why in rejects)


def test_what_cannot_be_told_does_not_opt_in(folder):
    entries, rejects = taken(folder, terms=Terms("art", opt_in=True))
    assert Counter(kind for kind, _ in entries) == {Kind.SHA256: 4, Kind.PHASH: 4}
    assert len(rejects) == 4


def test_one_picture_and_wildcards(folder):
    (first, second), rejects = taken(folder / "a.jpg")
    assert (first[0], second[0], rejects) == (Kind.SHA256, Kind.PHASH, [])
    assert second[1].endswith(" a.jpg")
    entries, _ = taken(f"{folder}/sub/*")
    assert [text.partition(" ")[2] for kind, text in entries if kind is Kind.PHASH] == ["c", "d.gif"]


def test_lists_and_pictures_in_one_folder(folder):
    (folder / "urls.txt").write_text("https://a.example/1.jpg\n")
    opened = []
    for each in open_source(str(folder), defaults=Defaults(Terms("art"))):
        with closing(each):
            opened.append((each.name, each.format.value, each.columns, sum(1 for _ in each)))
            assert each.position == each.size
    assert opened == [
        (str(folder / "urls.txt"), "urls", (), 1),
        (str(folder), "images", (), 14),
    ]
    entries, rejects = taken(folder, format="images")
    assert len(entries) == 10
    assert len(rejects) == 5


def test_in_several_processes_it_is_the_same(folder, monkeypatch):
    alone = taken(folder)
    monkeypatch.setattr(pictures, "ALONE", 2)
    monkeypatch.setattr(pictures, "AT_ONCE", 2)
    monkeypatch.setattr(pictures, "AHEAD", 1)
    assert taken(folder) == alone
    # whoever stops in the middle leaves no process behind
    (source,) = open_source(str(folder), defaults=Defaults(Terms("art")))
    found = iter(source)
    assert next(found).kind is Kind.SHA256
    processes = list(source._pool._processes.values())
    source.close()
    assert not any(process.is_alive() for process in processes)


def die(*_):
    os._exit(3)


def test_a_decoder_that_dies_is_told(folder, monkeypatch):
    monkeypatch.setattr(pictures, "ALONE", 2)
    monkeypatch.setattr(pictures, "ignore_interrupts", die)
    with pytest.raises(SourceError, match=r"a process that decodes pictures died, near .*a\.jpg"):
        taken(folder)


def test_names_that_would_harm_a_terminal(tmp_path):
    (tmp_path / "a\x1b[31m\nb.jpg").write_bytes(picture(1))
    (_, (_, text)), _ = taken(tmp_path)
    assert text.endswith(" a\\x1b[31m\\nb.jpg")


def test_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "OCTETS_MAX", 100)
    (tmp_path / "a.jpg").write_bytes(picture(1))
    assert taken(tmp_path) == ([], [(1, "it is longer than 100 octets")])


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="links need rights")
def test_what_cannot_be_read(tmp_path):
    (tmp_path / "a.jpg").write_bytes(picture(1))
    (tmp_path / "b.jpg").write_bytes(picture(2))
    (source,) = open_source(str(tmp_path), defaults=Defaults(Terms("art")))
    (tmp_path / "a.jpg").unlink()
    first, *others = source
    assert (first.line, first.why) == (1, "it cannot be read: No such file or directory")
    assert len(others) == 2


def test_pictures_name_no_hosts(folder):
    with pytest.raises(SourceError, match="pictures have no host: give sha256, md5 or phash"):
        taken(folder / "a.jpg", kind=Kind.HOST)


def test_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ConfigurationError, match=r"heedful\[fingerprint\]"):
        taken(folder)
    assert len(taken(folder, kind=Kind.SHA256)[0]) == 6


# -- tables --------------------------------------------------------------------------------------------------

CELLS = {
    "small": (SMALL, "", SMALL),
    "both": (WHOLE, "", WHOLE),
    "two columns": (SMALL, LARGE, WHOLE),
    "capitals": (SMALL.upper(), LARGE.upper(), WHOLE),
    "as C has it": (f"0x{SMALL}", f"0X{LARGE}", WHOLE),
    "spaces": (f" {SMALL} ", f" {LARGE}", WHOLE),
    "with words": (f"{WHOLE} holidays/1.jpg", "", f"{WHOLE} holidays/1.jpg"),
}


@pytest.mark.parametrize(("small", "large", "text"), CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_columns(tmp_path, form, small, large, text):
    row = {"url": "https://a.example/1.jpg", "phash": small, "phash256": large}
    path = tmp_path / f"list.{form}"
    if form == "csv":
        path.write_text("URL,phash,PHASH256\n" + ",".join(row.values()) + "\n")
    elif form == "jsonl":
        path.write_text(json.dumps(row) + "\n")
    else:
        pa = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pa.table({name: [cell] for name, cell in row.items()}), path)
    entries, rejects = taken(path)
    assert (entries, rejects) == ([(Kind.PHASH, text)], [])


BAD = {
    "short": (SMALL[1:], "", "it is not 16 hexadecimal digits"),
    "large alone": (LARGE, "", "it is not 16 hexadecimal digits"),
    "no hex": ("x" * 16, "", "it is not 16 hexadecimal digits"),
    "twice": (WHOLE, LARGE, "it is not 16 hexadecimal digits"),
    "large is short": (SMALL, LARGE[1:], "it is not 16 hexadecimal digits"),
    "flat": ("8" + "0" * 15, "", "flat or regular"),
    "large is flat": (SMALL, "8" + "0" * 63, "flat or regular"),
    "half": ("", LARGE, "its phash256 stands there without a phash"),
    "two signs": (f"0x0x{SMALL}", "", "it is not 16 hexadecimal digits"),
}


@pytest.mark.parametrize(("small", "large", "why"), BAD.values(), ids=BAD)
def test_cells_that_are_rejects(tmp_path, small, large, why):
    (tmp_path / "list.csv").write_text(f"phash,phash256\n{SMALL},\n{small},{large}\n{WHOLE},\n")
    entries, rejects = taken(tmp_path / "list.csv")
    assert entries == [(Kind.PHASH, SMALL), (Kind.PHASH, WHOLE)]
    ((line, words),) = rejects
    assert line == 3
    assert why in words


def test_a_number_is_no_fingerprint(tmp_path):
    """A column of numbers may be of any other kind of hash, and signed: it must be made text first."""
    (tmp_path / "list.jsonl").write_text(json.dumps({"phash": int(SMALL, 16)}) + "\n")
    _, ((_, why),) = taken(tmp_path / "list.jsonl")
    assert "is no text" in why


def test_the_general_form_and_bare_lines(tmp_path):
    (tmp_path / "list.csv").write_text(
        f"kind,entry\nphash,{WHOLE.upper()}  a b.jpg\nphash,0x{SMALL}\nphash,x\n"
    )
    entries, rejects = taken(tmp_path / "list.csv")
    assert entries == [(Kind.PHASH, f"{WHOLE} a b.jpg"), (Kind.PHASH, SMALL)]
    assert [line for line, _ in rejects] == [4]
    (tmp_path / "bare.txt").write_text(f"# copies\n{SMALL}\n{WHOLE} 1.jpg\n")
    assert taken(tmp_path / "bare.txt", kind=Kind.PHASH)[0] == [
        (Kind.PHASH, SMALL),
        (Kind.PHASH, f"{WHOLE} 1.jpg"),
    ]
    with pytest.raises(SourceError, match="give --kind sha256, md5 or phash"):
        taken(tmp_path / "bare.txt")


# -- the command line ----------------------------------------------------------------------------------------


@pytest.fixture
def run(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)

    def call(*args, code=0, as_json=True):
        done = CliRunner().invoke(main, ["registry", *args, *(["--json"] if as_json else [])])
        assert done.exit_code == code, done.output
        return [json.loads(line) for line in done.stdout.splitlines()] if as_json else done.output

    return call


def test_built_from_a_folder_its_copies_are_found(run, folder):
    run("build", "x.heed", "photos", code=2, as_json=False)  # more rejects than 1%
    (told,) = run(
        "build", "x.heed", "photos", "--max-rejects", "4", "--list", "mine", "--rejects", "rejects.csv"
    )
    assert told["kinds"] == {"sha256": 6, "phash": 4}
    assert (told["rejected"], told["files"]) == (4, [{"name": "photos", "format": "images", "lines": 14}])
    assert "flat.png" in (folder.parent / "rejects.csv").read_text()
    copy = folder.parent / "copy.webp"
    Image.open(folder / "a.jpg").resize((100, 75)).save(copy, quality=60)
    answers = run("lookup", "x.heed", "photos/a.jpg", "copy.webp", "photos/flat.png", code=1)
    same, alike, level = answers
    assert [match["kind"] for match in same["matches"]] == ["sha256", "phash"]
    assert same["matches"][1]["distance"] == {"small": 0, "large": 0}
    (match,) = alike["matches"]
    assert (match["kind"], match["list"], match["says"]) == ("phash", "mine", "decides for its list")
    assert match["entry"].endswith(" a.jpg")
    assert 0 < match["distance"]["large"] <= 48
    assert [each["kind"] for each in alike["tried"]] == ["sha256", "md5", "phash"]
    assert [match["kind"] for match in level["matches"]] == ["sha256"]
    text = run("lookup", "x.heed", "copy.webp", code=1, as_json=False)
    assert " of 64 and " in text
    # and from Python, as crawlers ask
    with Registry.open("x.heed", now=NOW) as registry:
        assert registry.lookup_fingerprint(fingerprint.read(copy.read_bytes()))[0].distance == (
            *match["distance"].values(),
        )


def test_lookup_of_fingerprints(run, folder):
    (folder.parent / "list.csv").write_text(f"phash,list,opt_in\n{WHOLE},a,\n{SMALL},b,true\n")
    run("build", "x.heed", "list.csv")
    whole, capitals, other = run("lookup", "x.heed", WHOLE, f"0x{SMALL.upper()}", "0123456789abcdef", code=1)
    for answer in (whole, capitals):
        assert answer["decision"] == "opted out"
        assert {match["list"]: match["says"] for match in answer["matches"]} == {
            "a": "decides for its list",
            "b": "is of a picture that looks alike, which agrees to nothing",
        }
    assert other["decision"] == "not listed"
    assert "is that of a flat" in run("lookup", "x.heed", "0" * 16, code=2, as_json=False)


def test_only_an_opt_in_that_looks_alike_is_no_opt_in(run, folder):
    run("build", "x.heed", "photos/a.jpg", "--kind", "phash", "--opt-in")
    (answer,) = run("lookup", "x.heed", "photos/a.jpg")
    assert answer["decision"] == "not listed"


def test_files_that_cannot_be_decoded(run):
    run("build", "x.heed", "photos/a.jpg")
    assert "torn.jpg cannot be decoded" in run("lookup", "x.heed", "photos/torn.jpg", code=2, as_json=False)
    (answer,) = run("lookup", "x.heed", "photos/text.jpg")
    assert answer["tried"][2]["key"].startswith("none: ")
    run("build", "y.heed", "photos/a.jpg", "--kind", "sha256")
    (answer,) = run("lookup", "y.heed", "photos/torn.jpg")
    assert [each["kind"] for each in answer["tried"]] == ["sha256", "md5"]


def test_a_question_too_long_for_a_name(run):
    run("build", "x.heed", "photos/a.jpg")
    (answer,) = run("lookup", "x.heed", "https://a.example/" + "x" * 5000)
    assert answer["decision"] == "not listed"


def test_add_withdraw_merge_export(run, folder):
    run("build", "x.heed", "photos/a.jpg", "--list", "mine")
    run("add", "x.heed", "photos/sub", "--list", "mine")
    run("withdraw", "x.heed", "photos/a.jpg", "--list", "mine")
    run("merge", "x.heed")
    (told,) = run("export", "x.heed", "out.csv")
    assert told["entries"] == 4
    run("build", "y.heed", "out.csv")
    for name in ("x.heed", "y.heed"):
        (info,) = run("info", name)
        assert info["kinds"] == {"sha256": 2, "phash": 2}
        assert info["radii"] == {"small": 8, "large": 48, "lone": 2}
        assert "8 of 64 bits, 48 of 256" in run("info", name, as_json=False)
        run("verify", name)
        run("lookup", name, "photos/a.jpg")
        run("lookup", name, "photos/sub/c", code=1)


def test_radii_of_ones_own(run, folder):
    copy = folder.parent / "copy.jpg"
    Image.open(folder / "a.jpg").resize((60, 45)).save(copy, quality=30)
    run("build", "x.heed", "photos/a.jpg", "--radii", "0,0,0")
    run("lookup", "x.heed", "copy.jpg")
    run("build", "x.heed", "photos/a.jpg", "--radii", "12,96")
    run("lookup", "x.heed", "copy.jpg", code=1)
    (info,) = run("info", "x.heed")
    assert info["radii"] == {"small": 12, "large": 96, "lone": 2}


@pytest.mark.parametrize("radii", ["x", "", "13", "6,48,2,1", "1,2,3", "-1"])
def test_radii_that_cannot_be(run, radii):
    assert "such as 6,48,2" in run("build", "x.heed", "photos/a.jpg", "--radii", radii, code=2, as_json=False)
