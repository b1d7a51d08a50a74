"""What is sent and what answers mean, without a network; the statements that follow."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.errors import ConfigurationError
from heedful.model import RAW_MAX, Preference, Reason
from heedful.registry.remote import Answer, RemoteConfig, Unanswered, read_remote, statement
from heedful.registry.remote._protocols import Spawning, decode, match, question, retry_after

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT

RETRY_AFTER = {
    "none": (None, None),
    "zero": ("0", 0),
    "seconds": (" 120 ", 120),
    "many digits": ("9" * 5000, 9_999_999_999),
    "a date": ("Fri, 15 Jan 2027 08:01:00 GMT", 60),
    "a past date": ("Fri, 15 Jan 2027 07:59:00 GMT", 0),
    "RFC 850": ("Friday, 15-Jan-27 08:01:00 GMT", 60),
    "asctime": ("Fri Jan 15 08:01:00 2027", 60),
    "another zone": ("Fri, 15 Jan 2027 09:01:00 +0100", 60),
    "no zone": ("Fri, 15 Jan 2027 08:01:00 -0000", 60),
    "a fraction": ("1.5", None),
    "negative": ("-5", None),
    "no digits of ours": ("\u0661\u0662", None),
    "words": ("soon", None),
    "empty": ("", None),
    "no such day": ("Fri, 45 Jan 2027 08:01:00 GMT", None),
    "a far year": ("Fri, 15 Jan 99999999 08:01:00 GMT", None),
}


@pytest.mark.parametrize(("value", "seconds"), RETRY_AFTER.values(), ids=RETRY_AFTER)
def test_retry_after(value, seconds):
    assert retry_after(value, NOW) == seconds


@given(
    st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ ?[+-]?\w*", fullmatch=True)
)
def test_retry_after_is_total(value):
    seconds = retry_after(value, NOW)
    assert seconds is None or seconds >= 0


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["urls", "url", "optOut", "optIn", "x"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(_JSON.map(json.dumps).map(str.encode) | st.binary(max_size=50))
def test_decoding_gives_items_or_one_error(body):
    questions = [found for url in ("https://a.example/", "https://b.example/x") if (found := question(url))]
    try:
        items = decode(Spawning().layout, body)
    except ValueError:
        return
    assert all(text in {each.text for each in questions} for text in match(questions, items))


@given(st.lists(st.sampled_from("abc")), st.data())
def test_one_more_opt_out_never_makes_a_url_less_opted_out(names, data):
    layout = Spawning().layout
    questions = [found for name in "ab" if (found := question(f"https://{name}.example/"))]
    said = [
        {"url": f"https://{name}.example/", "optOut": data.draw(st.sampled_from([True, False, None]))}
        for name in names
    ]
    more = [*said, {"url": "https://a.example/", "optOut": True}]
    before = match(questions, decode(layout, json.dumps({"urls": said}).encode()))
    after = match(questions, decode(layout, json.dumps({"urls": more}).encode()))
    assert after["https://a.example/"].opt_out
    assert {text: each for text, each in before.items() if "//b" in text} == {
        text: each for text, each in after.items() if "//b" in text
    }


def test_the_evidence_is_bounded():
    long = {"url": "https://a.example/", "optOut": True, "note": "x" * 10_000}
    (found,) = decode(Spawning().layout, json.dumps({"urls": [long]}).encode())
    assert len(found.raw) == RAW_MAX


# -- statements ----------------------------------------------------------------------------------------------

TABLE = {
    "name": "artists",
    "url": "https://registry.example/query?tenant=me",
    "protocol": "spawning",
    "key_env": "KEY",
}
URL = "https://a.example/1.jpg"
STATEMENTS = {
    "out": (
        Answer(opt_out=True, opt_in=False, fetched=NOW, raw='{"optOut": true}'),
        (Preference.DISALLOW, "artists: opted out", '{"optOut": true}', NOW),
    ),
    "in": (
        Answer(opt_out=False, opt_in=True, fetched=NOW, raw="{}"),
        (Preference.ALLOW, "artists: opted in", "{}", NOW),
    ),
    "neither": (
        Answer(opt_out=False, opt_in=False, fetched=NOW),
        (Preference.UNKNOWN, "artists: not listed", URL, NOW),
    ),
    "no answer": (
        Unanswered("timed out"),
        (Preference.UNDETERMINED, "artists: no answer", "timed out", None),
    ),
}


@pytest.mark.parametrize(("answer", "wanted"), STATEMENTS.values(), ids=STATEMENTS)
def test_what_answers_state(answer, wanted):
    said = statement(answer, URL, RemoteConfig.parse(TABLE))
    assert said.signal is Reason.REGISTRY_REMOTE
    assert (said.preference, said.rule, said.evidence.raw, said.evidence.fetched) == wanted
    assert said.evidence.source_url == "https://registry.example/query"
    assert pickle.loads(pickle.dumps((answer, said))) == (answer, said)  # noqa: S301 - our own


# -- the table of a policy -----------------------------------------------------------------------------------

FAULTS = {
    "no name": ({"name": None}, "remote.name: must be a short name"),
    "an odd name": ({"name": "a b"}, "remote.name: must be a short name"),
    "no protocol": ({"protocol": None}, "remote.protocol: None is none of spawning, json"),
    "an unknown setting": ({"batches": 3}, "remote.batches: no such setting (did you mean 'batch'?)"),
    "the key itself": ({"key": "hush"}, "remote.key: never the key itself"),
    "no key": ({"key_env": None}, "remote.key_env: is missing"),
    "a key as variable": ({"key_env": "hush-hush"}, "remote.key_env: must be the name of an environment"),
    "no URL": ({"url": None}, "remote.url: must be the URL that is asked"),
    "another scheme": ({"url": "ftp://registry.example/"}, "remote.url: must be the URL that is asked"),
    "no ASCII": ({"url": "https://b\u00fccher.example/"}, "remote.url: must be the URL that is asked"),
    "a password": ({"url": "https://me:hush@registry.example/"}, "must not hold a user's name"),
    "a fragment": ({"url": "https://registry.example/#x"}, "must not have a fragment"),
    "a key in plain": ({"url": "http://registry.example/"}, "must begin with https://"),
    "nearly loopback": ({"url": "http://127.0.0.1.example/"}, "must begin with https://"),
    "batch of none": ({"batch": 0}, "remote.batch: must be a whole number from 1 to 10000"),
    "a large batch": ({"batch": 10_001}, "remote.batch"),
    "half a batch": ({"batch": 1.5}, "remote.batch"),
    "a true batch": ({"batch": True}, "remote.batch"),
    "no rate": ({"rate": 0}, "remote.rate: must be a number above 0 and up to 1000"),
    "not a number": ({"rate": float("nan")}, "remote.rate"),
    "no timeout": ({"timeout": "20"}, "remote.timeout"),
    "long expiry": ({"expires": 86_400 * 31}, "remote.expires"),
    "fields of json": ({"items": "x"}, "remote.items: is for the protocol json"),
    "json without its field": ({"protocol": "json"}, "remote.opt_out_field: must be a name"),
    "an odd path": ({"protocol": "json", "opt_out_field": "a..b"}, "remote.opt_out_field: must be a name"),
}


@pytest.mark.parametrize(("change", "words"), FAULTS.values(), ids=FAULTS)
def test_faults_of_the_table(change, words):
    faults = []
    table = {key: value for key, value in {**TABLE, **change}.items() if value is not None}
    assert read_remote("remote", table, lambda key, why: faults.append(f"{key}: {why}")) is None
    assert words in faults[0]
    assert "hush" not in str(faults)
    with pytest.raises(ConfigurationError):
        RemoteConfig.parse(table)


def test_all_faults_are_told():
    with pytest.raises(ConfigurationError) as caught:
        RemoteConfig.parse({"rate": -1, "protocol": "x"})
    assert len(caught.value.faults) == 4


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "[::1]", "localhost"])
def test_a_key_may_go_to_this_machine_in_plain(host):
    assert RemoteConfig.parse({**TABLE, "url": f"http://{host}/"}).key_env == "KEY"


def test_the_resolved_form():
    assert RemoteConfig.parse(TABLE).as_dict() == {
        **TABLE,
        "batch": 1000,
        "rate": 25.0,
        "timeout": 20.0,
        "expires": 86_400.0,
    }
    table = {**TABLE, "protocol": "json", "opt_out_field": "a.b", "expires": 0, "items": ""}
    config = RemoteConfig.parse(table)
    assert RemoteConfig.parse(config.as_dict() | {"opt_in_field": "x"}).opt_in_field == "x"
    assert (config.items, config.url_field, config.opt_out_field, config.opt_in_field) == (
        "",
        "url",
        "a.b",
        None,
    )
