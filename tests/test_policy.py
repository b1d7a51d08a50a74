from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import date, datetime, timezone

import pytest

from heedful import ConfigurationError, Policy, Purpose
from heedful.policy import PROFILES, SWITCHES, Effect, Matches, Override, Ruling

DAY = datetime(2027, 1, 31, tzinfo=timezone.utc).timestamp()

# The table of switches in the signal reference, section 0: what each profile does.
TABLE = {
    #                                  standard  strict  letter
    "content_usage_label_aliases": ("deny", "deny", "off"),
    "content_usage_value_aliases": ("off", "deny", "off"),
    "content_usage_category_fallback": ("on", "on", "off"),
    "cache_rules": ("log", "deny", "log"),
    "tdmrep_aliases": ("deny", "deny", "off"),
    "other_agents": ("two", "one", "off"),
    "legacy_rules": ("deny", "deny", "off"),
    "content_signal_value_aliases": ("deny", "deny", "off"),
    "content_signal_star_group": ("deny", "deny", "off"),
    "content_signal_use": ("log", "deny", "log"),
    "rsl_unusable": ("log", "deny", "log"),
    "index_rules": ("deny", "deny", "off"),
    "unreadable": ("unknown", "defer", "unknown"),
}


@pytest.mark.parametrize("switch", SWITCHES)
def test_profiles_follow_the_table(switch):
    settings = [dict(Policy.load(name).switches)[switch] for name in ("standard", "strict", "letter")]
    assert tuple(settings) == TABLE[switch]


def test_opt_in_is_standard_with_its_regime():
    standard, opt_in = Policy.load("standard"), Policy.load("opt-in")
    assert opt_in.regime == "opt-in"
    assert replace(opt_in, name="standard", regime="opt-out") == standard


def test_shipped_profiles_are_whole_and_differ():
    assert len({Policy.load(name).hash for name in PROFILES}) == len(PROFILES)


@pytest.mark.parametrize("name", PROFILES)
def test_policies_pickle(name):
    policy = Policy.load(name)
    assert pickle.loads(pickle.dumps(policy)) == policy  # noqa: S301


def test_file_extends_profile(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('extends = "letter"\npurpose = "train-generative"\n[switches]\nindex_rules = "log"\n')
    policy = Policy.load(path)
    assert policy.name == str(path)
    assert policy.purpose is Purpose.TRAIN_GENERATIVE
    assert policy.effects()["index_rules"] is Effect.RECORD
    assert policy.effects()["tdmrep_aliases"] is Effect.DROP


def test_file_without_extends_is_as_standard(tmp_path):
    path = tmp_path / "empty.toml"
    path.write_text("")
    assert Policy.load(path).hash == Policy.load("standard").hash


def test_extends_is_relative_to_the_file(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "base.toml").write_text('extends = "strict"\n')
    (tmp_path / "a" / "mine.toml").write_text('extends = "../base.toml"\n')
    monkeypatch.chdir(tmp_path)
    policy = Policy.load("a/mine.toml")
    assert policy.hash == Policy.load("strict").hash
    assert policy.name == str(tmp_path / "a" / "mine.toml")


def test_hash_is_of_what_decides_not_of_the_text(tmp_path):
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text('regime = "opt-out" # a comment\n[switches]\nindex_rules = "log"\n')
    two.write_text('[switches]\nindex_rules = "log"\n')
    assert Policy.load(one).hash == Policy.load(two).hash != Policy.load("standard").hash


def test_lists_of_files_above_are_kept(tmp_path):
    override = '[[override]]\nhost = "{}.example"\naction = "licence"\nevidence = "mail"\n'
    (tmp_path / "a.toml").write_text('policy_tokens = ["a"]\n' + override.format("a"))
    (tmp_path / "b.toml").write_text('extends = "./a.toml"\n' + override.format("B"))
    (tmp_path / "c.toml").write_text('extends = "./b.toml"\npolicy_tokens = ["c", "d"]\n')
    below = Policy.load(tmp_path / "c.toml")
    assert below.policy_tokens == ("c", "d")
    assert [override.value for override in below.overrides] == ["a.example", "b.example"]
    assert Policy.load(tmp_path / "b.toml").policy_tokens == ("a",)
    assert len({Policy.load(tmp_path / f"{name}.toml").hash for name in "abc"}) == 3


@pytest.mark.parametrize(
    ("ruling", "expires", "now", "in_force"),
    [
        (Ruling.LICENCE, None, None, True),
        (Ruling.LICENCE, date(2027, 1, 31), DAY + 86399, True),
        (Ruling.LICENCE, date(2027, 1, 31), DAY + 86400, False),
        (Ruling.LICENCE, date(2027, 1, 31), None, False),
        (Ruling.DENY, date(2027, 1, 31), None, True),
        (Ruling.DENY, date(2027, 1, 31), DAY + 86400, False),
    ],
)
def test_expiry(ruling, expires, now, in_force):
    override = Override(Matches.HOST, "a.example", ruling, "mail", expires=expires)
    assert override.in_force(now) is in_force


FAULTS = {
    "unknown profile": ("strct", None, ["There is no policy 'strct' (did you mean 'strict'?)"]),
    "no such file": ("nowhere/p.toml", None, ["cannot be read: No such file"]),
    "not TOML": ("p.toml", "regime = ", ["p.toml: not valid TOML"]),
    "not UTF-8": ("p.toml", b"\xff\xfe", ["is not UTF-8"]),
    "unknown key": (
        "p.toml",
        'regim = "opt-in"\n',
        ["p.toml:1: regim: no such setting (did you mean 'regime'"],
    ),
    "bad value": ("p.toml", '\nregime = "maybe"\n', ["p.toml:2: regime: 'maybe' is none of opt-out, opt-in"]),
    "wrong type": (
        "p.toml",
        "[switches]\nindex_rules = true\n",
        ["p.toml:2: switches.index_rules: True is none"],
    ),
    "switches no table": ("p.toml", "switches = 3\n", ["p.toml:1: switches: must be a table"]),
    "extends no text": ("p.toml", "extends = 3\n", ["p.toml:1: extends: must be"]),
    "extends unknown": ("p.toml", 'extends = "lettre"\n', ["p.toml:1: extends: There is no policy 'lettre'"]),
    "extends itself": ("p.toml", 'extends = "./p.toml"\n', ["goes in a circle"]),
    "several at once": (
        "p.toml",
        'regime = "x"\n\n[switches]\nindex_rule = "deny"\ncache_rules = "no"\n',
        [
            "p.toml:1: regime",
            "p.toml:4: switches.index_rule: no such",
            "p.toml:5: switches.cache_rules: 'no'",
        ],
    ),
    "policy tokens": ("p.toml", 'policy_tokens = ["a b"]\n', ["p.toml:1: policy_tokens: must be a list of"]),
    "overrides": (
        "p.toml",
        '[[override]]\nhost = "a.example"\naction = "deny"\nevidence = "x"\n\n[[override]]\nhost = "a/b"\n'
        'domain = "x"\nacton = "deny"\nexpires = "2027"\npurpose = "art"\n[[override]]\nurl = "/x"\n'
        'action = "licence"\nevidence = " "\n',
        [
            "p.toml:9: override[2].acton: no such setting (did you mean 'action'?)",
            "p.toml:6: override[2]: needs one of url, host, domain",
            "p.toml:7: override[2].host: 'a/b' is not a host name",
            "p.toml:6: override[2].action: None is none of deny, licence",
            "p.toml:6: override[2].evidence: say why",
            "p.toml:11: override[2].purpose: 'art' is none of",
            "p.toml:10: override[2].expires: must be a date",
            "p.toml:13: override[3].url: '/x' is not a URL with a host",
            "p.toml:15: override[3].evidence: say why",
        ],
    ),
    "override no table": ("p.toml", "override = 3\n", ["p.toml:1: override: must be tables"]),
    "also those of the file above": (
        "p.toml",
        'extends = "./gone.toml"\nregime = "x"\n',
        ["p.toml:2: regime", "gone.toml cannot be read"],
    ),
}


@pytest.mark.parametrize(("name", "text", "words"), FAULTS.values(), ids=FAULTS)
def test_all_faults_are_told_with_their_place(name, text, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigurationError) as caught:
        Policy.load(name)
    assert len(caught.value.faults) == len(words)
    for fault, part in zip(caught.value.faults, words, strict=True):
        assert part in fault
