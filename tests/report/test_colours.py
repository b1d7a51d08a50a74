"""The colours of the page, as people see them.

Simulated by Machado, Oliveira and Fernandes (2009), severity 1; contrast by WCAG 2.2, 1.4.3 and 1.4.11.
"""

from __future__ import annotations

import itertools
import re
from importlib.resources import files

import numpy as np
import pytest

from heedful import Action

CSS = files("heedful.report").joinpath("page.css").read_text("utf-8")
LIGHT, DARK = (dict(re.findall(r"--([\w-]+): (#\w+);", part)) for part in CSS.split("@media", 2)[:2])

APART = 15
"""Least distance of two colours in CIELAB (CIE 1976); 2.3 can just be told apart."""

SIGHT = {
    "usual": np.eye(3),
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = XYZ @ np.ones(3)


def linear(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = np.frombuffer(bytes.fromhex(digits), np.uint8) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(channels):
    x, y, z = np.cbrt(XYZ @ np.clip(channels, 0, 1) / WHITE)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one, other):
    low, high = sorted(float(XYZ[1] @ linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("sight", SIGHT)
def test_actions_are_told_apart(theme, sight):
    seen = {action: lab(np.array(SIGHT[sight]) @ linear(theme[action.value])) for action in Action}
    for one, other in itertools.combinations(Action, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > APART, (one, other)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("action", Action)
def test_they_stand_out(theme, action):
    assert contrast(theme[action.value], theme["panel"]) >= 3
    assert contrast(theme[f"{action.value}-ink"], theme["panel"]) >= 4.5
