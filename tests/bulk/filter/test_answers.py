"""What becomes of rows: the same as if each URL was judged by itself, before anybody is contacted."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heedful.bulk.filter import TAGS as COLUMNS
from heedful.errors import ConfigurationError
from heedful.gate import Gate
from heedful.model import Action, OriginFile, Stage, Verdict
from heedful.registry import Writer
from heedful.registry.entries import Entry, Kind

from ...remote import Remote  # noqa: TID252
from .listed import KEPT, ROWS, STORE, TAGS, URLS


class NoFiles(Mapping):
    """Origin files that are all absent: what is left is known without contact."""

    def __getitem__(self, url):
        return OriginFile(url, 404)

    def __iter__(self):
        return iter(())

    def __len__(self):
        return 0


def write(path, urls, **columns):
    pq.write_table(pa.table({"url": pa.array(urls, pa.string()), **columns}), path)
    return path


def tags(path):
    return list(zip(*(pq.read_table(path).column(name).to_pylist() for name in COLUMNS), strict=True))


def test_each_row_is_tagged(filtered, tmp_path):
    source = write(tmp_path / "in.parquet", URLS)
    summary = filtered(source, tmp_path / "out.parquet", tag=True)
    assert dict(zip(URLS, tags(tmp_path / "out.parquet"), strict=True)) == dict(zip(URLS, TAGS, strict=True))
    assert pq.read_table(tmp_path / "out.parquet").column("url").to_pylist() == list(URLS)
    assert summary.counts.rows == len(URLS)
    assert summary.counts.kept == len(KEPT)


def test_refused_rows_are_dropped_and_the_order_is_kept(filtered, tmp_path):
    source = write(tmp_path / "in.parquet", URLS, number=pa.array(range(len(URLS))))
    summary = filtered(source, tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column("url").to_pylist() == list(KEPT)
    assert table.column("number").to_pylist() == [at for at, row in enumerate(ROWS) if row[1] == STORE]
    assert summary.counts.as_dict() == {
        "rows": 25,
        "kept": 7,
        "skipped": {
            "registry.url": 6,
            "registry.host": 4,
            "registry.domain": 1,
            "registry.path": 1,
            "registry.pattern": 1,
        },
        "deferred": {"undetermined": 5},
        "lists": {"artists": 10, "agency": 1, "tests": 1, 'a "list", named': 1},
        "no_url": 5,
        "unrecorded": 0,
        "opted_in": 2,
    }


@pytest.mark.parametrize("tag", [False, True])
def test_rows_without_a_url_are_deferred_and_only_counted(filtered, recorded, tmp_path, tag):
    urls = [None, "", "  ", "https://art.example/4.jpg", None]
    summary = filtered(write(tmp_path / "in.parquet", urls), tmp_path / "out.parquet", tag=tag)
    assert summary.counts.no_url == 4
    assert summary.counts.deferred == {"undetermined": 4}
    assert recorded(summary.ledger) == []
    if tag:
        assert [row[0] for row in tags(tmp_path / "out.parquet")] == ["defer"] * 3 + ["store", "defer"]
    else:
        assert pq.read_table(tmp_path / "out.parquet").column("url").to_pylist() == [urls[3]]


def test_what_is_refused_is_recorded_with_its_evidence(filtered, recorded, tmp_path):
    summary = filtered(write(tmp_path / "in.parquet", URLS), tmp_path / "out.parquet")
    found = {record.url: record for record in recorded(summary.ledger)}
    assert {url: (str(each.action), str(each.reason)) for url, each in found.items()} == {
        row[0]: row[1:3] for row in ROWS if row[1] != STORE
    }
    record = found["https://art.example/3.jpg"]
    assert record.evidence[0]["raw"] == "https://art.example/3.jpg"
    assert record.evidence[0]["where"] == "list agency"
    assert record.registries == (("tests", 1),)
    assert record.stage is Stage.URL
    assert record.run.enforced
    assert record.run.crawler == "heedful filter"
    ids = [each.id for each in found.values()]
    assert len(set(ids)) == len(ids)
    assert {each.count(record.run.id) for each in ids} == {1}


def test_tagging_enforces_nothing(filtered, recorded, tmp_path):
    summary = filtered(write(tmp_path / "in.parquet", URLS), tmp_path / "out.parquet", tag=True)
    assert {record.run.enforced for record in recorded(summary.ledger)} == {False}


def test_tagging_again_replaces_the_tags_where_they_are(filtered, tmp_path):
    empty = pa.nulls(len(URLS), pa.int8())
    middle = {"a": pa.array(range(len(URLS))), COLUMNS[2]: empty, "b": pa.array(URLS), COLUMNS[0]: empty}
    source = write(tmp_path / "in.parquet", URLS, **middle)
    filtered(source, tmp_path / "once.parquet", tag=True)
    filtered(tmp_path / "once.parquet", tmp_path / "twice.parquet", tag=True)
    once, twice = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("once", "twice"))
    names = ["url", "a", COLUMNS[2], "b", COLUMNS[0], COLUMNS[1], COLUMNS[3]]
    assert once.column_names == twice.column_names == names
    assert once.equals(twice)
    assert tags(tmp_path / "twice.parquet") == list(TAGS)


# -- policies --------------------------------------------------------------------------------------------


def test_where_an_opt_in_is_needed_others_are_left_to_the_crawl(filtered, tmp_path):
    source = write(tmp_path / "in.parquet", URLS)
    summary = filtered(source, tmp_path / "out.parquet", tag=True, policy="opt-in")
    assert summary.needs_opt_in
    expected = [(None, *row[2:]) if row[1] == STORE and row[3] is None else row[1:] for row in ROWS]
    assert tags(tmp_path / "out.parquet") == expected
    filtered(source, tmp_path / "dropped.parquet", policy="opt-in")
    assert pq.read_table(tmp_path / "dropped.parquet").column("url").to_pylist() == list(KEPT)


OVERRIDES = """
[[override]]
domain = "host.example"
action = "licence"
evidence = "contract"

[[override]]
url = "https://art.example/4.*"
action = "deny"
evidence = "mail"

[[override]]
host = "127.0.0.1"
action = "deny"
evidence = "mail"

[[override]]
host = "generative.example"
action = "licence"
evidence = "for search only"
purpose = "train-nongenerative"
"""

OVERRIDDEN = (
    ("http://HOST.example/x", STORE, None, None, "licence domain host.example"),
    ("http://below.host.example/x", STORE, None, None, "licence domain host.example"),
    ("http://h%6Fst.example/x", STORE, None, None, "licence domain host.example"),
    ("http:\\\\host.example\\x", STORE, None, None, "licence domain host.example"),
    ("http://host.example./x", STORE, None, None, "licence domain host.example"),
    ("http://host.example.org/x", STORE, None, None, None),
    ("http://example.org/host.example", STORE, None, None, None),
    ("https://art.example/4.jpg", "skip", "operator.deny", None, "deny url https://art.example/4.*"),
    ("https://art.example/5.jpg", STORE, None, None, None),
    ("http://0x7f.1/", "skip", "operator.deny", None, "deny host 127.0.0.1"),
    ("http://2130706433/", "skip", "operator.deny", None, "deny host 127.0.0.1"),
    ("https://generative.example/1.jpg", "skip", "registry.host", "artists", "generative.example"),
    ("https://domain.example/", "skip", "registry.domain", "tests", "domain.example"),
    (None, "defer", "undetermined", None, None),
)


def test_the_operators_word_counts(filtered, tmp_path):
    (tmp_path / "mine.toml").write_text(OVERRIDES)
    source = write(tmp_path / "in.parquet", [row[0] for row in OVERRIDDEN])
    filtered(source, tmp_path / "out.parquet", tag=True, policy=tmp_path / "mine.toml")
    assert tags(tmp_path / "out.parquet") == [row[1:] for row in OVERRIDDEN]


def test_remote_registries_are_asked_of_what_is_unsettled(filtered, recorded, tmp_path):
    urls = [
        "https://art.example/1.jpg",
        "https://new.example/theirs.jpg",
        "https://new.example/free.jpg",
        "https://new.example/agreed.jpg",
        "https://host.example/free.jpg",
        "https://free.example/1.jpg?theirs",
        "no url",
        None,
    ]
    with Remote("theirs") as asked:
        summary = filtered(
            write(tmp_path / "in.parquet", urls),
            tmp_path / "out.parquet",
            tag=True,
            policy=asked.policy(tmp_path / "policy.toml"),
            cache=tmp_path / "cache",
        )
    assert [sorted(each) for each in asked.asked] == [sorted(urls[1:6])]
    assert tags(tmp_path / "out.parquet") == [
        ("skip", "registry.url", "artists", "https://art.example/1.jpg"),
        ("skip", "registry.remote", "union", None),
        ("store", None, None, None),
        ("store", None, "union", None),
        ("store", None, "artists", "https://host.example/free.jpg"),
        ("skip", "registry.remote", "union", None),
        ("defer", "undetermined", None, None),
        ("defer", "undetermined", None, None),
    ]
    assert len(recorded(summary.ledger)) == 4


def test_what_a_remote_registry_does_not_answer_is_deferred(filtered, tmp_path):
    urls = ["https://new.example/1.jpg", "https://art.example/1.jpg", "https://host.example/free.jpg"]
    with Remote(None) as asked:
        filtered(
            write(tmp_path / "in.parquet", urls),
            tmp_path / "out.parquet",
            tag=True,
            policy=asked.policy(tmp_path / "policy.toml"),
            cache=tmp_path / "cache",
        )
    assert [row[:2] for row in tags(tmp_path / "out.parquet")] == [
        ("defer", "registry.remote"),
        ("skip", "registry.url"),
        ("defer", "registry.remote"),
    ]


def test_a_remote_registrys_missing_key_is_told_before_the_run(filtered, tmp_path, monkeypatch):
    monkeypatch.delenv("SOME_KEY", raising=False)
    (tmp_path / "policy.toml").write_text(
        '[[remote]]\nname = "union"\nprotocol = "spawning"\n'
        'url = "https://x.example/"\nkey_env = "SOME_KEY"\n'
    )
    source = write(tmp_path / "in.parquet", URLS)
    with pytest.raises(ConfigurationError, match="SOME_KEY"):
        filtered(source, tmp_path / "out.parquet", policy=tmp_path / "policy.toml")
    assert not (tmp_path / "out.parquet").exists()


# -- as the gate -----------------------------------------------------------------------------------------

PURPOSES = ("train-any", "train-generative", "train-nongenerative")
HOSTS = (
    "a.example",
    "b.a.example",
    "c.example",
    "A.example.",
    "127.1",
    "xn--bcher-kva.example",
    "bücher.example",
)


def some_entry(chosen):
    host = chosen.choice(HOSTS).lower().rstrip(".")
    kind = chosen.choice(("url", "host", "domain", "path", "pattern"))
    text = {"url": f"http://{host}/x/1.jpg", "path": f"{host}/x/", "pattern": f"{host}/*.jpg$"}.get(
        kind, host
    )
    use = chosen.choice(PURPOSES)
    return Entry(Kind(kind), text, chosen.choice(("", "l", "m")), chosen.random() < 0.4, purpose=use)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("regime", ["opt-out", "opt-in"])
def test_the_answers_are_the_gates(seed, regime, filtered, tmp_path):
    """Random entries, overrides and URLs: what a table of expectations would not think of."""
    chosen = random.Random(seed)
    folders = [tmp_path / f"r{number}.heed" for number in range(2)]
    for folder in folders:
        with Writer.build(folder, source="tests") as writer:
            for _ in range(chosen.randint(1, 8)):
                writer.add(some_entry(chosen))
    policy = [f'regime = "{regime}"', f'purpose = "{chosen.choice(PURPOSES)}"']
    for _ in range(chosen.randint(0, 3) * (seed % 2)):
        action, host = chosen.choice(("deny", "licence")), chosen.choice(HOSTS)
        policy += ["[[override]]", f'host = "{host}"', f'action = "{action}"', 'evidence = "mail"']
    (tmp_path / "policy.toml").write_text("\n".join(policy), "utf-8")
    urls = [
        chosen.choice(("http://", "https://", "HTTP:\\\\", "ftp://", ""))
        + chosen.choice(HOSTS)
        + chosen.choice(("/x/1.jpg", "/x/2.jpg", "/y.jpg", "", "/x/%31.jpg", ":80/x/1.jpg", "/%ff\x00"))
        for _ in range(300)
    ]
    filtered(
        write(tmp_path / "in.parquet", urls),
        tmp_path / "out.parquet",
        tag=True,
        registries=folders,
        policy=tmp_path / "policy.toml",
    )
    gate = Gate("none", tmp_path / "policy.toml", folders)
    for url, (action, reason, *_) in zip(urls, tags(tmp_path / "out.parquet"), strict=True):
        verdict = gate.judge(url, origin_files=NoFiles(), stage=Stage.URL, now=1.8e9)
        assert isinstance(verdict, Verdict)
        wanted = verdict.action.value
        if regime == "opt-in" and verdict.action is Action.STORE and action is None:
            assert not any(said.preference == "allow" for said in verdict.evidence)
            wanted = None
        assert (action, reason) == (wanted, verdict.reason and verdict.reason.value), url
