"""The documents say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from heedful import Policy, Reason
from heedful.cli import main
from heedful.policy import SWITCHES
from heedful.scrapy import SETTINGS
from heedful.signals.ai_tokens import token_map

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
REGISTRY = (ROOT / "docs" / "registry.md").read_text("utf-8")
SIGNALS = (ROOT / "docs" / "signals.md").read_text("utf-8")


def commands(group, prefix="heedful"):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}"


@pytest.mark.parametrize("command", list(commands(main)))
def test_commands(command):
    assert command in README or command.replace("heedful", "make") in README


@pytest.mark.parametrize("name", SETTINGS)
def test_scrapy_settings(name):
    (line,) = [line for line in README.splitlines() if line.startswith(f"| `{name}` |")]
    default, meaning = SETTINGS[name]
    written = line.split("|")[2].strip().strip("`")
    assert meaning
    assert written == {"HEEDFUL_TOKEN": "required", "HEEDFUL_CONTACT": "none"}.get(
        name, f'"{default}"' if isinstance(default, str) else str(default)
    )


def test_no_setting_is_invented():
    assert set(re.findall(r"^\| `(HEEDFUL_\w+)`", README, re.MULTILINE)) == set(SETTINGS)


@pytest.mark.parametrize("switch", SWITCHES)
def test_switches(switch):
    (line,) = [line for line in SIGNALS.splitlines() if line.startswith(f"| `{switch}` |")]
    written = [cell.strip() for cell in line.split("|")[3:6]]
    assert written == [dict(Policy.load(name).switches)[switch] for name in ("standard", "strict", "letter")]


@pytest.mark.parametrize("reason", sorted(Reason))
def test_reasons(reason):
    assert f"`{reason.value}`" in README or f"`{reason.value}`" in REGISTRY


def test_every_deny_has_a_section():
    for reason in set(Reason) - {Reason.OPERATOR_DENY}:
        assert f"`{reason.value}`" in SIGNALS


@pytest.mark.parametrize("token", ["Google-Extended", "Applebot-Extended", "img2dataset", "GPTBot", "CCBot"])
def test_tokens_named_in_the_documents_are_in_the_map(token):
    assert token in SIGNALS
    assert token.lower() in {each.lower() for each in token_map().training}
