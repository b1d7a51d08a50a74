"""What the documentation says of the adapter is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from heedful.img2dataset import OPTIONS
from heedful.img2dataset._cli import img2dataset as command
from heedful.img2dataset._download import PRIVATE, VERSIONS
from heedful.img2dataset._results import Summary
from heedful.img2dataset._shard import LEDGER, NO_UPDATE, REASONS, STATUS, TAGS

PAGE = (Path(__file__).parents[2] / "docs" / "img2dataset.md").read_text("utf-8")


def entries(section):
    """The entries of a section of the page, by name."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^### (\S+)\n(.+?)(?=^### |\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(dict(found)) == len(found)
    return dict(found)


def test_every_option_has_an_entry_that_begins_with_its_default():
    documented = entries("Options")
    assert documented.keys() == {f"heedful_{name}" for name in OPTIONS}
    for name, (default, _) in OPTIONS.items():
        words = f"Default: `{default!r}`".replace("'", '"').replace("()", "[]")
        assert documented[f"heedful_{name}"].startswith("Required." if name == "token" else words), name


def test_every_option_is_one_of_the_command_line_with_the_same_default(monkeypatch):
    for name in ("HEEDFUL_TOKEN", "HEEDFUL_CONTACT"):
        monkeypatch.delenv(name, raising=False)
    defaults = command.make_context("img2dataset", []).params
    assert defaults == {name: default for name, (default, _) in OPTIONS.items()} | {
        "args": (),
        "as_json": False,
    }


@pytest.mark.parametrize(
    ("section", "names"),
    [
        ("Statuses", set(STATUS.values())),
        ("Stats", {*STATUS.values(), REASONS, LEDGER}),
        ("Columns", set(TAGS)),
    ],
)
def test_every_name_has_an_entry(section, names):
    assert entries(section).keys() == names


def test_names_in_the_text():
    for name in (f"`{PRIVATE}/`", f"`{NO_UPDATE}`", "`UnfinishedError`"):
        assert name in PAGE
    (major, first), (_, end) = VERSIONS
    assert f"img2dataset {major}.{first} and {major}.{end - 1}." in PAGE
    printed = PAGE.partition("`--json` prints one object: ")[2].partition(";")[0]
    assert set(re.findall(r"`(\w+)`", printed)) == Summary.of(()).as_dict().keys() | {"faults"}


def test_the_program_is_guarded_and_calls_what_there_is():
    program = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]
    compile(program, "program", "exec")
    assert 'if __name__ == "__main__":' in program
    assert {
        name.removeprefix("heedful_") for name in re.findall(r"heedful_\w+(?==)", program)
    } <= OPTIONS.keys()
