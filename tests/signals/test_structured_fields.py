"""Dictionaries of Structured Fields (RFC 9651), as Content-Usage rests upon them.

After dictionary.json and param-dict.json of httpwg/structured-field-tests.
"""

from __future__ import annotations

import contextlib
from decimal import Decimal

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.model import Preference, Source
from heedful.signals.content_usage import compile_rules, read_headers, read_rules
from heedful.signals.robots import Line

SOURCE = Source("http://127.0.0.1/a.jpg")
Token = http_sf.Token

READ = [
    pytest.param(
        ['de="Apfel", b=:w4ZibGV0w6ZydGU=:'],
        {"de": "Apfel", "b": "\xc6blet\xe6rte".encode()},
        id="String and Byte Sequence",
    ),
    pytest.param([""], {}, id="empty"),
    pytest.param(["a=1"], {"a": 1}, id="one member"),
    pytest.param(["a=(1 2)"], {"a": [1, 2]}, id="inner list"),
    pytest.param(["a=(1)"], {"a": [1]}, id="inner list of one"),
    pytest.param(["a=()"], {"a": []}, id="empty inner list"),
    pytest.param(["a=1,b=2"], {"a": 1, "b": 2}, id="no white space"),
    pytest.param(["a=1 ,  b=2"], {"a": 1, "b": 2}, id="more white space"),
    pytest.param(["a=1\t,\tb=2"], {"a": 1, "b": 2}, id="tabs"),
    pytest.param(["     a=1 ,  b=2"], {"a": 1, "b": 2}, id="white space in front"),
    pytest.param(["a=1", "b=2"], {"a": 1, "b": 2}, id="two lines"),
    pytest.param(["a=1, b, c=3"], {"a": 1, "b": True, "c": 3}, id="no value amid"),
    pytest.param(["a, b, c"], {"a": True, "b": True, "c": True}, id="no values"),
    pytest.param(["a, b=2"], {"a": True, "b": 2}, id="no value at the start"),
    pytest.param(["a=1, b"], {"a": 1, "b": True}, id="no value at the end"),
    pytest.param(["a=1, b;foo=9, c=3"], {"a": 1, "b": True, "c": 3}, id="no value, a parameter"),
    pytest.param(["a=1, b=?1;foo=9, c=3"], {"a": 1, "b": True, "c": 3}, id="true, a parameter"),
    pytest.param(["a=?0"], {"a": False}, id="false"),
    pytest.param(["a=1.5"], {"a": Decimal("1.5")}, id="Decimal"),
    pytest.param(["a=1,b=2,a=3"], {"a": 3, "b": 2}, id="duplicate key: the last wins"),
    pytest.param(["a=1", "a=3"], {"a": 3}, id="duplicate key in two lines"),
    pytest.param(["a=y;x=1, a"], {"a": True}, id="duplicate key: nothing of the first stays"),
    pytest.param(["m, z, t"], {"m": True, "z": True, "t": True}, id="any order"),
    pytest.param(
        ["*k=y, a_b-c.d*9=n"], {"*k": Token("y"), "a_b-c.d*9": Token("n")}, id="all that keys may hold"
    ),
    pytest.param(
        ['abc=123;a=1;b=2, def=456, ghi=789;q=9;r="+w"'],
        {"abc": 123, "def": 456, "ghi": 789},
        id="parameters",
    ),
    pytest.param(["a=b; q=1.0"], {"a": Token("b")}, id="white space after ;"),
    pytest.param(["a=(1 2); q=1.0"], {"a": [1, 2]}, id="parameter of an inner list"),
    pytest.param(["a=3;c;d=5"], {"a": 3}, id="parameter without a value"),
    pytest.param(["a=3;c=5;d"], {"a": 3}, id="last parameter without a value"),
    pytest.param(["a=b;c=1,d=e;f=2"], {"a": Token("b"), "d": Token("e")}, id="parameters, no white space"),
    pytest.param(
        ["a=b;  c=1  ,  d=e; f=2; g=3"], {"a": Token("b"), "d": Token("e")}, id="parameters, more of it"
    ),
    pytest.param(["a=b;c=1", "d=e;f=2"], {"a": Token("b"), "d": Token("e")}, id="parameters in two lines"),
    pytest.param(['a="n"'], {"a": "n"}, id="a String is no Token"),
]
MUST_FAIL = [
    pytest.param(["a =1, b=2"], id="white space before ="),
    pytest.param(["a=1, b= 2"], id="white space after ="),
    pytest.param(["a=1, b=2,"], id="trailing comma"),
    pytest.param(["a=1,,b=2,"], id="empty member"),
    pytest.param(["a=1,1b=2,a=1"], id="key starts with a digit"),
    pytest.param(["a=1,B=2,a=1"], id="upper-case key"),
    pytest.param(["a=1,b!=2,a=1"], id="! in a key"),
    pytest.param(["a=b;q =0.5"], id="parameter, white space before ="),
    pytest.param(["a=b;q= 0.5"], id="parameter, white space after ="),
    pytest.param(["a=b ;q=0.5"], id="white space before ;"),
    pytest.param(["a=b; q=1.0,"], id="parameter, trailing comma"),
    pytest.param(["a=b; q=1.0,,c=d"], id="parameter, empty member"),
    pytest.param(["a=1 b=2"], id="no comma"),
    pytest.param(["a=1;b=2;C=3"], id="parameter, upper-case key"),
    pytest.param(["a=1."], id="Decimal without a fraction"),
    pytest.param(["a=?2"], id="no Boolean"),
    pytest.param(["a=\xe4"], id="not ASCII"),
    pytest.param(['a="\xe4"'], id="String that is not ASCII"),
    pytest.param(["a=n\0"], id="NUL"),
    pytest.param(['a="n'], id="String without an end"),
    pytest.param(["a=(1 2"], id="inner list without an end"),
    pytest.param(["a=b\n"], id="line end"),
    pytest.param(["\xa0a=b"], id="white space of Unicode"),
]


def parsed(lines: list[str]) -> dict[str, object]:
    """The values, without parameters, by the call that Content-Usage makes."""
    members = http_sf.parse(", ".join(lines).encode("utf-8", "surrogatepass"), tltype="dictionary")
    return {
        key: [item for item, _ in value] if isinstance(value, list) else value
        for key, (value, _) in members.items()
    }


@pytest.mark.parametrize(("lines", "expected"), READ)
def test_library_reads(lines, expected):
    values = parsed(lines)
    assert values == expected
    assert [type(value) for value in values.values()] == [type(value) for value in expected.values()]


@pytest.mark.parametrize("lines", MUST_FAIL)
def test_library_fails(lines):
    with pytest.raises(ValueError, match=r".*"):
        parsed(lines)


def plain(lines: list[str]) -> tuple[list[Preference], int]:
    """What counts under every policy, and the number of warnings."""
    reading = read_headers(tuple(("Content-Usage", line) for line in lines), SOURCE)
    counting = [statement.preference for statement in reading.statements if statement.switch is None]
    return counting, len(reading.warnings)


@pytest.mark.parametrize(("lines", "expected"), [case for case in READ if case.values[1]])
@pytest.mark.parametrize(
    ("value", "preference"),
    [pytest.param("n", Preference.DISALLOW, id="n"), pytest.param("y", Preference.ALLOW, id="y")],
)
def test_what_can_be_read_counts(lines, expected, value, preference):
    assert plain([f"train-ai={value}", *lines]) == ([preference], 0)
    assert plain([*lines, f"train-ai={value}"]) == ([preference], 0)


@pytest.mark.parametrize("lines", MUST_FAIL)
@pytest.mark.parametrize("value", ["n", "y"])
def test_nothing_of_what_must_fail_counts(lines, value):
    assert plain([f"train-ai={value}", *lines]) == ([], 1)
    assert plain([*lines, f"train-ai={value}"]) == ([], 1)


@pytest.mark.parametrize("lines", [case for case in MUST_FAIL if "\n" not in case.values[0][0]])
def test_nothing_of_a_rule_that_must_fail_counts(lines):
    value = ", ".join(["train-ai=n", *lines])
    reading = read_rules(
        compile_rules([Line(2, "content-usage", value, "Content-Usage: " + value)]), "/a.jpg", SOURCE
    )
    assert [statement for statement in reading.statements if statement.switch is None] == []
    assert len(reading.warnings) == 1


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(["train-ai=y, train-ai=n"], [Preference.DISALLOW], id="n last"),
        pytest.param(["train-ai=n, train-ai=y"], [Preference.ALLOW], id="y last"),
        pytest.param(["train-ai=n", "train-ai=y"], [Preference.ALLOW], id="y in the last line"),
        pytest.param(["train-ai=y", "train-ai=n"], [Preference.DISALLOW], id="n in the last line"),
        pytest.param(["train-ai=n, train-ai"], [], id="neither last"),
        pytest.param(['train-ai=y, train-ai="n"'], [], id="a String last"),
        pytest.param(["train-ai;allow=n, train-ai=y"], [Preference.ALLOW], id="parameters are no values"),
        pytest.param(["train-ai=n;train-ai=y"], [Preference.DISALLOW], id="a parameter of that name"),
        pytest.param(["train-ai=(n)"], [], id="an inner list is no Token"),
    ],
)
def test_the_last_of_equal_keys_wins(lines, expected):
    assert plain(lines) == (expected, 0)


@given(
    st.binary(max_size=40)
    | st.lists(st.sampled_from([b"a=", b"@1", b'%"', b"1.", b";", b"(", b":"])).map(b"".join)
)
def test_library_raises_nothing_else(raw):
    # What `content_usage` catches: dates out of range are no ValueError in some versions.
    with contextlib.suppress(ValueError, OverflowError, OSError):
        http_sf.parse(raw, tltype="dictionary")
