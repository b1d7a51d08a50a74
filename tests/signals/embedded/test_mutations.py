"""Files that are changed at random: nothing is raised, and nothing allowed that the file did not allow."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from heedful.model import RAW_MAX, Preference, Source, Statement
from heedful.signals.embedded import Watch, read
from heedful.testing import embed
from heedful.testing.pictures import make

SOURCE = Source("https://a.example/picture")
ROUNDS = 150
JXL = b"\xff\x0a" + bytes(30)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><g/></svg>'
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF")
CLEAN = {**{name: make(1, format=name) for name in FORMATS}, "JXL": JXL, "SVG": SVG}
USES = ("cawg.ai_training", "cawg.ai_generative_training")


def filled(data, key, use):
    store = embed.training_mining_store(dict.fromkeys(USES, use))
    return embed.jumbf(embed.xmp(data, embed.dmi_packet(key)), store)


DENYING = {name: filled(data, "DMI-PROHIBITED", "notAllowed") for name, data in CLEAN.items()}
ALLOWING = {name: filled(data, "DMI-ALLOWED", "allowed") for name, data in CLEAN.items()}


def mutations(data, seed):
    """The file with some octets changed, taken out, doubled, or cut off."""
    choose = random.Random(seed)
    while True:
        changed = bytearray(data)
        for _ in range(choose.choice((1, 1, 2, 5, 20))):
            start = choose.randrange(len(changed) + 1)
            end = start + choose.choice((0, 1, 1, 4, 30))
            changed[start:end] = choose.choice(
                (
                    b"",
                    choose.randbytes(1),
                    choose.randbytes(end - start),
                    bytes(end - start),
                    b"\xff" * (end - start),
                    changed[start:end] * 2,
                )
            )
        yield bytes(changed[: choose.choice((None, None, None, len(changed) // 2, -9))])


def checked(data):
    """What is read, which is well-formed and the same as what a watch hears."""
    found = read(data, SOURCE)
    for statement in (*found.reading.statements, *found.signed):
        assert len(statement.evidence.raw) <= RAW_MAX
        assert Statement.from_dict(statement.as_dict()) == statement
    watch = Watch(SOURCE)
    for at in range(0, len(data), 200):
        watch.feed(data[at : at + 200])
    denials = [each for each in found.reading.statements if each.preference is Preference.DISALLOW]
    assert [*watch.embedded.reading.statements] == denials
    return found


def allows(found):
    """The signals that allow something, whatever kind of training it is: a part of it is less."""
    return {
        statement.signal
        for statement in (*found.reading.statements, *found.signed)
        if statement.preference is Preference.ALLOW
    }


@pytest.mark.parametrize("name", CLEAN)
def test_what_denied_never_allows(name):
    assert not allows(checked(DENYING[name]))
    for data in islice(mutations(DENYING[name], name), ROUNDS):
        assert not allows(checked(data)), data


@pytest.mark.parametrize("name", CLEAN)
def test_what_allowed_allows_no_more(name):
    whole = allows(checked(ALLOWING[name]))
    assert len(whole) == 2
    for data in islice(mutations(ALLOWING[name], name), ROUNDS):
        assert allows(checked(data)) <= whole, data


@pytest.mark.parametrize("name", CLEAN)
def test_what_said_nothing_says_nothing(name):
    """But that something cannot be read."""
    for data in islice(mutations(CLEAN[name], name), ROUNDS):
        said = {statement.preference for statement in checked(data).reading.statements}
        assert said <= {Preference.UNDETERMINED}, data


@pytest.mark.parametrize("name", CLEAN)
def test_cut_anywhere(name):
    whole = allows(read(ALLOWING[name], SOURCE))
    for size in range(0, len(ALLOWING[name]), 1 + len(ALLOWING[name]) // 1_000):
        assert allows(checked(ALLOWING[name][:size])) <= whole, size
