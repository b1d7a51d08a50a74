"""The files of a survey: their form, and that each is whole."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

pa = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402

from heedful.errors import ConfigurationError  # noqa: E402
from heedful.gate import Gate  # noqa: E402
from heedful.survey._classify import Reach  # noqa: E402
from heedful.survey._parts import Parts, Terms, files_of, schema, terms_of  # noqa: E402

from .conftest import AT, TOKEN, row  # noqa: E402

TERMS = Terms.of(Gate(TOKEN))
DOCS = Path(__file__).parents[2] / "docs/survey.md"

STATEMENT = (
    "struct<signal: string, statement: string, rule: string, strength: string, covers: string, "
    "counted: bool, paths: list<element: string>, source_url: string, where: string, raw: string>"
)
WARNING = "struct<signal: string, message: string, source_url: string, where: string, raw: string>"
FILE = (
    "struct<url: string, status: int16, bytes: int32, truncated: bool, sha256: string, "
    "fetched: timestamp[us, tz=UTC], stale: bool>"
)
WORD = "dictionary<values=string, indices=int32, ordered=0>"
TYPES = {
    "site": "string",
    "host": "string",
    "origin": "string",
    "asked": "timestamp[us, tz=UTC]",
    "reach": WORD,
    "action": WORD,
    "reasons": "list<element: string>",
    "picture_action": WORD,
    "picture_reasons": "list<element: string>",
    "robots": WORD,
    "ai_tokens": WORD,
    "policy_tokens": WORD,
    "legacy": WORD,
    "content_usage": WORD,
    "content_signal": WORD,
    "tdmrep": WORD,
    "ai_txt": WORD,
    "trust_txt": WORD,
    "rsl": WORD,
    "agents": "list<element: struct<token: string, kind: string, access: string>>",
    "everyone": WORD,
    "content_signals": "list<element: string>",
    "content_usages": "list<element: string>",
    "rsl_urls": "list<element: string>",
    "statements": f"list<element: {STATEMENT}>",
    "warnings": f"list<element: {WARNING}>",
    "files": f"list<element: {FILE}>",
}


def test_the_columns(small):
    found = parquet.read_schema(files_of(small)[0])
    assert {field.name: str(field.type) for field in found} == TYPES


def test_a_row_has_all_columns_and_no_other():
    assert list(row()) == list(schema(TERMS).names)


def test_rows_come_back(survey):
    rows = [row(**{"/robots.txt": "User-agent: *\nDisallow: /\n"}), row("b.example", Reach.NO_ADDRESS)]
    (path,) = files_of(survey(rows))
    found = parquet.read_table(path).to_pylist()
    moment = dt.datetime.fromtimestamp(AT, dt.timezone.utc)
    for each in (*rows, *(file for one in rows for file in one["files"])):
        for name in {"asked", "fetched"} & each.keys():
            each[name] = moment
    assert found == rows


def test_files_are_closed_after_so_many_rows(survey):
    folder = survey([row(f"{n}.example") for n in range(5)], size=2)
    assert [path.name for path in files_of(folder)] == [f"survey-0000{n}.parquet" for n in range(3)]
    assert [parquet.read_metadata(path).num_rows for path in files_of(folder)] == [2, 2, 1]
    assert sorted(path.name for path in folder.iterdir()) == [path.name for path in files_of(folder)]


def test_a_survey_goes_on(survey):
    folder = survey([row("a.example"), row("b.example"), row("c.example")])
    parts = Parts(folder, TERMS)
    assert list(parts.done()) == ["a.example", "b.example", "c.example"]
    parts.add(row("d.example"))
    parts.close()
    assert files_of(folder)[-1].name == "survey-00002.parquet"


def test_what_a_killed_process_left_is_removed(survey):
    folder = survey([row()])
    (folder / ".survey-00001.parquet-0a1b").write_bytes(b"PAR1")
    Parts(folder, TERMS).close()
    assert [path.name for path in folder.iterdir()] == ["survey-00000.parquet"]


def test_what_is_no_text_is_written_so_that_it_can_be(survey):
    (path,) = files_of(survey([row(**{"/robots.txt": "User-agent: *\nDisallow: /\udcff\n\udcfe"})]))
    (found,) = parquet.read_table(path).to_pylist()
    assert found["warnings"][0]["raw"] == "\\udcfe"


def test_one_at_a_time(survey):
    folder = survey([row()])
    parts = Parts(folder, TERMS)
    with pytest.raises(ConfigurationError, match="another process"):
        Parts(folder, TERMS)
    parts.close()
    Parts(folder, TERMS).close()


OTHER = {
    "token": (Terms.of(Gate("OtherBot")), "under token PictureBot and not OtherBot"),
    "policy": (Terms.of(Gate(TOKEN, "strict")), "under policy hash "),
    "map": (TERMS._replace(tokens="2027-01-01"), "under tokens "),
}


@pytest.mark.parametrize(("terms", "why"), OTHER.values(), ids=OTHER)
def test_other_terms_are_refused(survey, terms, why):
    folder = survey([row()])
    with pytest.raises(ConfigurationError, match=why):
        Parts(folder, terms)
    Parts(folder, TERMS._replace(heedful="0.0.1")).close()


FOREIGN = {
    "damaged": (lambda path: path.write_bytes(b"PAR1"), "cannot be read"),
    "another's": (lambda path: parquet.write_table(pa.table({"a": [1]}), path), "is no file of a survey"),
    "of another form": (
        lambda path: parquet.write_table(schema(TERMS._replace(version=9)).empty_table(), path),
        "in another form",
    ),
}


@pytest.mark.parametrize(("write", "why"), FOREIGN.values(), ids=FOREIGN)
def test_files_that_are_none(tmp_path, write, why):
    path = tmp_path / "survey-00000.parquet"
    write(path)
    with pytest.raises(ConfigurationError, match=why):
        terms_of(path)
    with pytest.raises(ConfigurationError, match=why):
        Parts(tmp_path, TERMS)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        Parts(tmp_path / "file", TERMS)


def test_the_columns_are_documented():
    text = DOCS.read_text("utf-8")
    assert [name for name in TYPES if f"`{name}`" not in text] == []
