"""Filtering on Spark and Ray, the real ones: the same outputs, counts and records as without them."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
from collections import Counter
from decimal import Decimal
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heedful.bulk.filter import UnfinishedError, _parquet, filter_urls
from heedful.errors import ConfigurationError
from heedful.ledger import LedgerReader, verify
from heedful.registry import Writer

from ..bulk.filter.listed import ENTRIES, URLS, built  # noqa: TID252

# Ray's own, of its own settings.
pytestmark = pytest.mark.filterwarnings(r"ignore:`\w+` is deprecated:DeprecationWarning")

ENGINES = ("spark", "ray")
OURS = "_heedful"
POLICY = """
[[override]]
host = "free.example"
action = "deny"
evidence = "mail"

[[override]]
domain = "host.example"
action = "licence"
evidence = "contract"
"""


@pytest.fixture(scope="session")
def workers(tmp_path_factory):
    """The folder by which tests and workers tell each other something; sessions start with it."""
    folder = tmp_path_factory.mktemp("workers")
    paths = [str(Path(__file__).with_name("workers")), os.environ.get("PYTHONPATH", "")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEEDFUL_WORKERS", str(folder))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        yield folder


@pytest.fixture(scope="session")
def spark(workers):
    sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed: make test-distributed")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java 17 or newer")
    builder = sql.SparkSession.builder.master("local[2,4]").config("spark.ui.enabled", "false")
    with builder.config("spark.ui.showConsoleProgress", "false").getOrCreate() as session:
        yield session


@pytest.fixture(scope="session")
def ray(workers):
    ray = pytest.importorskip("ray", reason="ray is not installed: make test-distributed")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.fixture(params=ENGINES)
def engine(request):
    """An engine, whose cluster is there."""
    request.getfixturevalue(request.param)
    return request.param


@pytest.fixture(scope="session")
def artists(tmp_path_factory):
    return built(tmp_path_factory.mktemp("filter") / "tests.heed")


@pytest.fixture
def filtered(artists):
    def run(sources, out, **options):
        return filter_urls(sources, out, **{"registries": artists, "workers": 1, **options})

    return run


@pytest.fixture
def pieces(monkeypatch):
    """Each row group is a piece of its own."""
    monkeypatch.setattr(_parquet, "PIECE_BYTES", 1)


def left(out):
    """What a run has left: outputs by their names, and records without their times and names."""
    ledger = out / OURS / "ledger"
    assert not (out / OURS / "pieces").exists()
    records = []
    if ledger.exists():
        assert [str(finding) for finding in verify([str(ledger)]).findings] == []
        reader = LedgerReader(str(ledger))
        records = sorted((each.url, each.action, each.reason, str(each.evidence)) for each in reader)
        assert reader.faults == []
        assert [path.name for path in ledger.iterdir() if path.name.endswith(".part")] == []
    files = {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.relative_to(out).parts[0] != OURS
    }
    return files, records


def told(summary):
    data = summary.as_dict()
    return {key: value for key, value in data.items() if key not in {"out", "ledger", "seconds", "before"}}


def table(urls, **columns):
    return pa.table({"url": pa.array(urls, pa.string()), "n": pa.array(range(len(urls))), **columns})


def odd(urls):
    """Types that Spark does not have, or has otherwise."""
    numbers = range(len(urls))
    columns = {
        "URL": pa.array(urls, pa.large_string()),
        "unsigned": pa.array([2**64 - 1 - n for n in numbers], pa.uint64()),
        "half": pa.array(np.array(numbers, np.float16)),
        "kind": pa.array([("a", "b", None)[n % 3] for n in numbers]).dictionary_encode(),
        "hash": pa.array([bytes([n] * 16) for n in numbers], pa.binary(16)),
        "when": pa.array([n + 1 for n in numbers], pa.timestamp("ns", "Europe/Berlin")),
        "took": pa.array(numbers, pa.duration("us")),
        "price": pa.array([Decimal(n) / 4 for n in numbers], pa.decimal128(9, 2)),
        "vector": pa.array([[n, n + 0.5] for n in numbers], pa.list_(pa.float32(), 2)),
        "exif": pa.array([{"a": [n]} if n % 4 else None for n in numbers]),
        "nothing": pa.nulls(len(urls)),
        "ä ☃.x": pa.array([bool(n % 2) for n in numbers]),
    }
    fields = [pa.field(name, each.type, metadata={"of": name}) for name, each in columns.items()]
    schema = pa.schema(fields, metadata={"licence": "CC-BY ☃"})
    return pa.table(list(columns.values()), schema=schema)


def several(folder):
    for name in ("b", "a", "sub/c"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table(URLS), folder / f"{name}.parquet", row_group_size=6)


def all_sorts(folder):
    several(folder)
    pq.write_table(odd(URLS), folder / "odd.parquet", row_group_size=7, compression="zstd")
    pq.write_table(table(URLS * 20), folder / "long.parquet")
    pq.write_table(table([None, "", " ", "ftp://x.example/", None]), folder / "no urls.parquet")
    pq.write_table(table([]), folder / "no rows.parquet")
    tagged = {"heedful_list": pa.nulls(len(URLS), pa.int8())}
    pq.write_table(table(URLS, **tagged), folder / "tagged.parquet")
    plain = [url for url in URLS if '"' not in url]
    rows = "".join(f'{n},"{url}"\r\n' for n, url in enumerate(plain))
    (folder / "text.csv.gz").write_bytes(gzip.compress(f"n,url\r\n{rows}".encode()))
    (folder / "text.tsv").write_text("url\tn\n" + "".join(f"{url}\t1\n" for url in plain))


def other_column(folder):
    pq.write_table(table(URLS, link=pa.array(URLS[::-1])), folder / "in.parquet", row_group_size=20)


def lines(folder):
    (folder / "in.txt").write_text("".join(f"{url}\n" for url in URLS))


# -- the command: it comes first, as long as no cluster runs ----------------------------------------------

PACKAGES = {"spark": "pyspark", "ray": "ray"}
ENVIRONMENT = {
    "SPARK_LOCAL_IP": "127.0.0.1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@pytest.fixture
def command(heedful, artists, tmp_path):
    def run(engine, **environment):
        pytest.importorskip(PACKAGES[engine], reason=f"{engine} is not installed: make test-distributed")
        several(tmp_path / "in")
        options = ("--registry", artists, "--engine", engine, "--workers", "2", "--json")
        return heedful("filter", "in", "out", *options, cwd=tmp_path, **ENVIRONMENT, **environment)

    return run


@pytest.mark.parametrize("name", ENGINES)
def test_the_command_starts_a_cluster_of_its_own(command, filtered, tmp_path, name):
    """And what that says of itself does not come between what the command says."""
    if name == "spark" and shutil.which("java") is None:
        pytest.skip("Spark needs Java 17 or newer")
    done = command(name)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == ""
    wanted = filtered(tmp_path / "in", tmp_path / "local")
    assert json.loads(done.stdout)["skipped"] == dict(wanted.counts.skipped)
    assert left(tmp_path / "out") == left(tmp_path / "local")


def test_java_that_is_not_there_is_told(command):
    done = command("spark", JAVA_HOME="/nowhere")
    assert done.returncode == 2
    assert "Error: Spark could not be started (it needs Java): " in done.stderr
    assert "/nowhere/bin/java: No such file or directory" in done.stderr


# -- the same answers ------------------------------------------------------------------------------------


CASES = {
    "dropped": (all_sorts, {}),
    "tagged": (all_sorts, {"tag": True}),
    "overrides": (several, {"policy": POLICY, "tag": True}),
    "opt-in": (several, {"policy": 'regime = "opt-in"\n', "tag": True}),
    "another column, no ledger": (other_column, {"url_col": "link", "ledger": False}),
    "lines": (lines, {}),
}


@pytest.fixture
def source(tmp_path):
    """Write what a case says; its options."""

    def write(case):
        make, options = CASES[case]
        (tmp_path / "in").mkdir()
        make(tmp_path / "in")
        if "policy" not in options:
            return options
        (tmp_path / "policy.toml").write_text(options["policy"])
        return options | {"policy": tmp_path / "policy.toml"}

    return write


@pytest.mark.parametrize("case", CASES)
def test_the_answers_are_those_of_one_machine(engine, filtered, source, pieces, tmp_path, case):
    """Octet by octet: rows and their order, schema, metadata, row groups; and each record."""
    options = source(case)
    wanted = filtered(tmp_path / "in", tmp_path / "local", **options)
    steps = []
    got = filtered(tmp_path / "in", tmp_path / engine, engine=engine, progress=steps.append, **options)
    assert told(got) == told(wanted)
    assert left(tmp_path / engine) == left(tmp_path / "local")
    assert sum(step.counts.rows for step in steps) == got.counts.rows
    assert sum(step.files for step in steps) == got.files
    assert sum(step.octets for step in steps) == pytest.approx(
        sum(path.stat().st_size for path in (tmp_path / "in").rglob("*.*"))
    )


def test_one_file_becomes_one(engine, filtered, tmp_path):
    pq.write_table(odd(URLS), tmp_path / "in.parquet")
    filtered(tmp_path / "in.parquet", tmp_path / "local.parquet")
    filtered(tmp_path / "in.parquet", tmp_path / "out.parquet", engine=engine)
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "local.parquet").read_bytes()


# -- processes -------------------------------------------------------------------------------------------


def test_a_registry_is_opened_once_in_each_process(engine, workers, filtered, artists, pieces, tmp_path):
    own = shutil.copytree(artists, tmp_path / f"{engine}.heed")
    pq.write_table(table(URLS), tmp_path / "in.parquet", row_group_size=1)
    filtered(tmp_path / "in.parquet", tmp_path / "out.parquet", engine=engine, registries=own)
    opened = Counter(
        line.split()[0] for line in (workers / "opened").read_text().splitlines() if str(own) in line
    )
    assert 1 <= len(opened) <= 2
    assert set(opened.values()) == {1}
    assert str(os.getpid()) not in opened


MOMENTS = {
    "before the output is in its place": (".parquet", False),
    "before the ledger's part is": (".jsonl", False),
    "when pieces are joined": (".parquet", True),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_a_killed_process_did_is_done_once(engine, workers, filtered, tmp_path, monkeypatch, moment):
    """No row is counted twice, and no record is there twice."""
    end, split = MOMENTS[moment]
    if split:
        monkeypatch.setattr(_parquet, "PIECE_BYTES", 1)
    several(tmp_path / "in")
    wanted = filtered(tmp_path / "in", tmp_path / "local")
    (workers / "kill").write_text(end)
    got = filtered(tmp_path / "in", tmp_path / engine, engine=engine)
    assert not (workers / "kill").exists()
    assert told(got) == told(wanted)
    assert left(tmp_path / engine) == left(tmp_path / "local")


def test_where_processes_are_killed_again_and_again_the_run_ends(engine, workers, filtered, pieces, tmp_path):
    """Nothing is half there, and the same command goes on, with whatever engine."""
    several(tmp_path / "in")
    filtered(tmp_path / "in", tmp_path / "local")
    for name in ("kill", "always"):
        (workers / name).write_text("a.parquet")
    try:
        with pytest.raises(UnfinishedError, match=r"gave up: .*The same command goes on"):
            filtered(tmp_path / "in", tmp_path / "out", engine=engine)
    finally:
        for name in ("kill", "always"):
            (workers / name).unlink()
    wanted = left(tmp_path / "local")
    assert not (tmp_path / "out" / OURS / "pieces").exists()
    for path in (tmp_path / "out").glob("*.parquet"):
        assert path.read_bytes() == wanted[0][path.name]
    assert not (tmp_path / "out" / "a.parquet").exists()
    filtered(tmp_path / "in", tmp_path / "out")
    assert left(tmp_path / "out") == wanted


# -- faults ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["no footer", "page"])
def test_a_damaged_file_is_named_and_the_others_are_done(engine, filtered, pieces, tmp_path, damage):
    (tmp_path / "in").mkdir()
    rows = table([*URLS, *(f"https://free.example/{n}.png" for n in range(20_000))])
    for name in ("a", "bad", "c"):
        pq.write_table(rows, tmp_path / "in" / f"{name}.parquet", row_group_size=5000, compression="none")
    bad = tmp_path / "in" / "bad.parquet"
    data = bad.read_bytes()
    middle = data[: len(data) // 2] + b"\xff" * 2000 + data[len(data) // 2 + 2000 :]
    bad.write_bytes({"no footer": data[:-8], "page": middle}[damage])
    wanted = filtered(tmp_path / "in", tmp_path / "local")
    got = filtered(tmp_path / "in", tmp_path / "out", engine=engine)
    assert told(got) == told(wanted)
    assert [file for file, _ in got.unreadable] == [str(bad)]
    assert left(tmp_path / "out") == left(tmp_path / "local")


def test_it_goes_on_where_it_was_broken_off(engine, filtered, pieces, tmp_path):
    several(tmp_path / "in")
    filtered(tmp_path / "in", tmp_path / "local")

    def stop(step):
        if step.files:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        filtered(tmp_path / "in", tmp_path / "out", engine=engine, progress=stop)
    summary = filtered(tmp_path / "in", tmp_path / "out", engine=engine)
    assert (summary.before, summary.files) == (1, 3)
    assert left(tmp_path / "out") == left(tmp_path / "local")


def test_a_registry_that_changes_meanwhile_ends_the_run(engine, filtered, artists, tmp_path, monkeypatch):
    changing = shutil.copytree(artists, tmp_path / "changing.heed")
    several(tmp_path / "in")
    module = import_module(f"heedful.bulk.filter._{engine}")
    run = module.run

    def changed(*args, **options):
        with Writer.update(changing) as writer:
            writer.add(ENTRIES[1])
        return run(*args, **options)

    monkeypatch.setattr(module, "run", changed)
    with pytest.raises(ConfigurationError, match="from version 1 to 2"):
        filtered(tmp_path / "in", tmp_path / "out", engine=engine, registries=changing)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [OURS]


def test_paths_may_be_relative(engine, filtered, tmp_path, monkeypatch):
    """Workers have working folders of their own."""
    several(tmp_path / "in")
    filtered(tmp_path / "in", tmp_path / "local")
    monkeypatch.chdir(tmp_path)
    filtered("in", "out", engine=engine)
    assert left(tmp_path / "out") == left(tmp_path / "local")
