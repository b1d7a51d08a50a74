"""Texts that would do something if they were taken for more than text."""

from __future__ import annotations

import pytest

from heedful import Action, Reason, Stage

from .conftest import listed, says

PAYLOADS = [
    pytest.param("<script>window.owned=1</script>", id="script"),
    pytest.param("</script><script>window.owned=1</script>", id="end of script"),
    pytest.param("</style></title></textarea><img src=x onerror=window.owned=1>", id="handler"),
    pytest.param("<!--<script>", id="comment"),
    pytest.param("&lt;img src=x onerror=window.owned=1&gt;", id="entities"),
    pytest.param('"><b onmouseover=window.owned=1>', id="attribute"),
    pytest.param("javascript:window.owned=1", id="javascript URL"),
    pytest.param("{{ 7 * 7 }}{% raw %}", id="template"),
    pytest.param("${window.owned=1}`", id="template literal"),
    pytest.param("=cmd|' /C calc'!A0", id="formula"),
    pytest.param("\u202egpj.exe\u2066", id="bidi"),
    pytest.param("\x1b]0;title\x07\x9b2J", id="terminal"),
    pytest.param("__proto__", id="prototype"),
    pytest.param("\ud800", id="surrogate"),
    pytest.param("a\n<script>window.owned=1</script>\r\n", id="lines"),
]


def hostile(ledger, payload):
    """Write a decision in which everything that comes from elsewhere is the payload."""
    add = ledger(crawler=payload)
    entry = listed(payload, registry=payload)
    header = says(Reason.X_ROBOTS_TAG, raw=payload, where=payload, source=payload, rule=payload)
    url = f"https://{payload}/{payload}"
    add(
        url,
        Action.SKIP,
        entry,
        header,
        stage=Stage.URL,
        hop_of=payload,
        registries=((payload, 1),),
        error=payload,
    )
