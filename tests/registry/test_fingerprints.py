"""Fingerprints in registries: whatever lies within the radii is found, nothing else, and in bounded time."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.fingerprint import Fingerprint, large_distance, small_distance
from heedful.model import Purpose, Reason
from heedful.registry import Registry, RegistryError, Writer, _fingerprints, _segment, merge
from heedful.registry import _manifest as manifests
from heedful.registry._fingerprints import FILES, KEPT, Radii, _counted, _probes, popcount
from heedful.registry._segment import Segment, SegmentWriter
from heedful.registry.entries import Distance, Entry, Kind, Match, decide, fingerprint_key, index
from heedful.registry.sources import Defaults, Terms, export, read

NOW = 1_800_000_000.0


def balanced(rng, bits):
    """A number with half of its bits set, as fingerprints have."""
    return sum(1 << bit for bit in rng.sample(range(bits), bits // 2))


def moved(rng, value, bits, by):
    """A number as `value`, but for some bits, as many of them set as not."""
    ones = [bit for bit in range(bits) if value >> bit & 1]
    zeros = [bit for bit in range(bits) if not value >> bit & 1]
    for bit in (*rng.sample(ones, by // 2), *rng.sample(zeros, by // 2)):
        value ^= 1 << bit
    return value


def fingerprint(rng, *, lone=False):
    return Fingerprint(balanced(rng, 64), None if lone else balanced(rng, 256).to_bytes(32, "big"))


def near(rng, one, small=4, large=30, *, lone=False):
    """One like another."""
    known = one.large or balanced(rng, 256).to_bytes(32, "big")
    other = moved(rng, int.from_bytes(known, "big"), 256, large).to_bytes(32, "big")
    return Fingerprint(moved(rng, one.small, 64, small), None if lone else other)


def entry(of, name="art", **terms):
    return Entry(Kind.PHASH, str(of), name, **terms)


def build(folder, entries, **options):
    with Writer.build(folder, source="test", now=lambda: NOW, **options) as writer:
        for each in entries:
            writer.add(each)
    return folder


def update(folder, entries=(), gone=()):
    with Writer.update(folder, now=lambda: NOW) as writer:
        for each in entries:
            writer.add(each)
        for each in gone:
            writer.withdraw(each)


def opened(folder):
    return Registry.open(folder, now=NOW)


def away(entries, asked):
    """How far entries are from what is asked for, by brute force."""
    parsed = [Fingerprint.parse(each.text.partition(" ")[0]) for each in entries]
    return [
        (each, Distance(small_distance(other, asked), large_distance(other, asked)))
        for each, other in zip(entries, parsed, strict=True)
    ]


def within(distances, radii=Radii()):  # noqa: B008 - it is a constant
    """Those that are to be found, as the documentation has it."""
    return [
        (each, distance)
        for each, distance in distances
        if (
            distance.small <= radii.lone
            if distance.large is None
            else distance.small <= radii.small and distance.large <= radii.large
        )
    ]


def found(registry, asked):
    return [(match.entry, match.distance) for match in registry.lookup_fingerprint(asked)]


# -- exactness -------------------------------------------------------------------------------------------

RADII = [Radii(small, min(96, 8 * small), lone) for small in range(13) for lone in {0, min(2, small), small}]


@pytest.fixture(scope="module")
def population():
    """Random ones, clusters about some, and equal small ones; some have no large half."""
    rng = random.Random(5)
    seeds = [fingerprint(rng) for _ in range(40)]
    some = [fingerprint(rng, lone=rng.random() < 0.3) for _ in range(3000)]
    for seed in seeds:
        some += [
            near(rng, seed, 2 * rng.randrange(8), 2 * rng.randrange(50), lone=rng.random() < 0.3)
            for _ in range(40)
        ]
        some += [Fingerprint(seed.small, balanced(rng, 256).to_bytes(32, "big")) for _ in range(10)]
    rng.shuffle(some)
    asked = [near(rng, seed, 2 * rng.randrange(4), 2 * rng.randrange(30)) for seed in seeds]
    asked += [each._replace(large=None) for each in asked[:10]] + rng.sample(some, 20)
    entries = [entry(each) for each in dict.fromkeys(some)]
    return entries, {each: away(entries, each) for each in asked}


@pytest.mark.parametrize("radii", RADII, ids=lambda radii: "-".join(map(str, radii)))
def test_all_within_the_radii_and_nothing_else(tmp_path, monkeypatch, population, radii):
    monkeypatch.setattr(_fingerprints, "KEPT", 10_000)
    entries, asked = population
    with opened(build(tmp_path / "x.heed", entries, radii=radii)) as registry:
        assert registry.manifest.radii == radii
        hits = 0
        for each, distances in asked.items():
            wanted = within(distances, radii)
            assert Counter(found(registry, each)) == Counter(wanted)
            hits += len(wanted)
    assert hits >= radii.small


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A hundred thousand values, as columns, and a segment of them."""
    rng = np.random.default_rng(7)
    values = rng.integers(0, 1 << 64, 2_000_000, np.uint64)
    values = values[popcount(values) == 32][:95_000]
    shared = values[0] & ~np.uint64(0x3FFF)  # 5,000 that share 50 bits, and so the first ones of two tables
    low = np.arange(1 << 14, dtype=np.uint64)
    want = 32 - int(shared).bit_count()
    cluster = (shared | low[popcount(low) == want])[:5000]
    values = np.unique(np.concatenate([values, cluster]))
    folder = tmp_path_factory.mktemp("many") / "s"
    writer = SegmentWriter(folder)
    for value in values.tolist():
        each = entry(Fingerprint(value))
        writer.add(each, index(each.kind, each.text))
    writer.finish()
    return values, cluster, Segment(folder)


@pytest.mark.parametrize("radius", range(13))
@pytest.mark.parametrize("run", [2048, 1], ids=["gathered", "run by run"])
def test_a_hundred_thousand(monkeypatch, many, radius, run):
    monkeypatch.setattr(_fingerprints, "RUN", run)
    values, cluster, segment = many
    rng = random.Random(radius)
    asked = [moved(rng, int(value), 64, 2 * rng.randrange(7)) for value in rng.choices(values.tolist(), k=8)]
    asked += [
        moved(rng, int(value), 64, 2 * rng.randrange(3)) for value in rng.choices(cluster.tolist(), k=4)
    ]
    for each in asked:
        prints, near = segment.near(Fingerprint(each), Radii(radius, 0, radius))
        away = popcount(values ^ np.uint64(each))
        assert near.rows.tolist() == np.flatnonzero(away <= radius).tolist()
        assert near.small.tolist() == away[away <= radius].tolist()
        assert prints.keys(near) == [
            fingerprint_key(Fingerprint(value)) for value in values[near.rows].tolist()
        ]


VALUES = st.integers(0, 2**64 - 1)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(VALUES, min_size=1, max_size=60), asked=VALUES, radius=st.integers(0, 12), data=st.data()
)
def test_any_values(tmp_path_factory, values, asked, radius, data):
    """The search itself knows nothing of half the bits being set."""
    values += [asked ^ data.draw(VALUES) & data.draw(VALUES) & data.draw(VALUES) for _ in range(10)]
    writer = _fingerprints.PrintsWriter(tmp_path_factory.mktemp("any"), memory=1)
    folder, count = writer._folder, len(values)
    keys = [b"f" + value.to_bytes(8, "big") for value in values]
    numbers = np.arange(count, dtype=np.uint64)
    writer.add(keys, [0] * count, numbers, numbers)
    shape = writer.finish()
    views = {name: memoryview((folder / name).read_bytes()) for name in FILES}
    prints = _fingerprints.Prints(
        shape, views["S"].cast("Q"), views["D"].cast("I"), views["L"].cast("Q"), views["W"].cast("Q"), ("",)
    )
    near = prints.near(Fingerprint(asked), Radii(12, 0, radius))
    wanted = {place for place, value in enumerate(values) if (value ^ asked).bit_count() <= radius}
    assert [address for address, _ in prints.told(near)] == sorted(wanted)


@pytest.mark.parametrize("bits", [1, 2, 9, 21])
@pytest.mark.parametrize("radius", range(13))
def test_no_place_is_looked_at_twice_and_those_allowed_suffice(bits, radius):
    masks, tables = _probes(bits, radius)
    assert len(set(masks.tolist())) == len(masks)
    most = [-1, -1, -1]
    for mask, table in zip(masks.tolist(), tables.tolist(), strict=True):
        assert mask >> bits == table
        most[table] = max(most[table], (mask & (1 << bits) - 1).bit_count())
    # were each table to differ in more than that, more than the radius would; or all of a table is looked at
    assert sum(most) + 3 > radius or bits in most


def test_bits_are_counted_without_numpy_2():
    values = np.array([0, 1, 2**64 - 1, 0x0123_4567_89AB_CDEF], np.uint64)
    assert _counted(values).tolist() == [0, 1, 64, 32]
    assert _counted(values.reshape(2, 2)).tolist() == [[0, 1], [64, 32]]


# -- registries of several segments ------------------------------------------------------------------------


def test_what_it_says_of_itself(tmp_path):
    rng = random.Random(1)
    one = fingerprint(rng)
    folder = build(tmp_path / "x.heed", [Entry(Kind.URL, "https://a.example/1.jpg", "art")])
    with opened(folder) as registry:
        assert not registry.has_fingerprints
        assert registry.manifest.radii is None
        assert registry.lookup_fingerprint(one) == []
    update(folder, [entry(one)])
    with opened(folder) as registry:
        assert registry.has_fingerprints
        assert not registry.has_digests
        assert registry.kinds == {Kind.URL: 1, Kind.PHASH: 1}
        assert registry.manifest.radii == Radii()
        assert registry.lookup_fingerprint(one) == [Match(entry(one), (4, 0), Distance(0, 0))]
        assert registry.lookup_fingerprint(one)[0].entry.kind.reason is Reason.REGISTRY_FINGERPRINT
        assert registry.lookup_fingerprint(one._replace(large=None)) == [
            Match(entry(one), (4, 0), Distance(0, None))
        ]
        assert registry.lookup(str(one)) == []


def test_nearest_first_and_those_that_decline_before_others(tmp_path):
    rng = random.Random(2)
    one = fingerprint(rng)
    ways = [(6, 10), (2, 40), (0, 2), (2, 6)]
    entries = [entry(near(rng, one, *way)) for way in ways]
    entries += [entry(near(rng, one, 0, 0), opt_in=True)]
    with opened(build(tmp_path / "x.heed", entries)) as registry:
        assert [match.distance for match in registry.lookup_fingerprint(one)] == [
            (0, 2), (2, 6), (2, 40), (6, 10), (0, 0),
        ]  # fmt: skip


def test_flat_pictures_are_never_found(tmp_path):
    rng = random.Random(3)
    one = fingerprint(rng)
    with opened(build(tmp_path / "x.heed", [entry(one)])) as registry:
        assert registry.lookup_fingerprint(one._replace(small=one.small & one.small - 1)) == []
        assert registry.lookup_fingerprint(Fingerprint(0, bytes(32))) == []
    with pytest.raises(ValueError, match="flat"):
        index(Kind.PHASH, "0" * 16)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kept", [10_000, 3], ids=["few", "many"])
def test_segments_and_withdrawals_and_merging(tmp_path, monkeypatch, seed, kept):
    """What newer segments take back is gone; merged, all is as before. With few kept, the nearest of each."""
    monkeypatch.setattr(_fingerprints, "KEPT", kept)
    rng = random.Random(seed)
    seeds = [fingerprint(rng) for _ in range(3)]
    folder = tmp_path / "x.heed"

    def some(count):
        return [
            entry(
                near(
                    rng,
                    rng.choice(seeds),
                    2 * rng.randrange(5),
                    2 * rng.randrange(30),
                    lone=rng.random() < 0.2,
                ),
                rng.choice("ab"),
                opt_in=rng.random() < 0.2,
                purpose=rng.choice([Purpose.TRAIN_ANY, Purpose.TRAIN_GENERATIVE]),
                expires=rng.choice([None, date(2020, 1, 1), date(2040, 1, 1)]),
            )
            for _ in range(count)
        ]

    left = some(80)
    build(folder, [*left, Entry(Kind.URL, "https://a.example/1.jpg")])
    update(folder, [Entry(Kind.HOST, "a.example")])
    for _ in range(3):
        more, gone = some(20), [*rng.sample(left, 15), *some(3)]
        update(folder, more, gone)
        names = {(each.list, each.text) for each in gone}
        left = [each for each in left if (each.list, each.text) not in names] + more
    left = list(dict.fromkeys(left))
    asked = [near(rng, each, 2, 10) for each in seeds]
    for merged in (False, True):
        if merged:
            merge(folder)
        with opened(folder) as registry:
            for each in asked:
                wanted, got = within(away(left, each)), found(registry, each)
                if kept > 1000:
                    assert Counter(got) == Counter(wanted)
                else:
                    assert set(got) <= set(wanted)
                    assert_enough(got, wanted, kept)


def terms_of(match):
    return match[0].list, match[0].purpose, match[0].opt_in


def assert_enough(got, wanted, kept):
    """Of each list, purpose and wish the nearest, and one that stays in force longest; so all lists agree."""
    for name in {terms_of(each) for each in wanted}:
        all_of = [each for each in wanted if terms_of(each) == name]
        given_of = [each for each in got if terms_of(each) == name]
        nearest = sorted(_fingerprints.nearness(distance) for _, distance in all_of)[:kept]
        assert sorted(_fingerprints.nearness(distance) for _, distance in given_of)[: len(nearest)] == nearest
        last = max((each[0].expires or date.max) for each in all_of)
        assert max((each[0].expires or date.max) for each in given_of) == last
        assert len(given_of) <= kept + 1
    for purpose in Purpose:
        for now in (None, NOW, NOW + 1e9):
            said = [
                {
                    (each.list, each.opt_in)
                    for each in decide([Match(one, (4, 0)) for one, _ in some], purpose, now)
                }
                for some in (got, wanted)
            ]
            assert said[0] == said[1]


def test_a_withdrawal_of_what_only_older_segments_without_fingerprints_could_hold(tmp_path):
    one = fingerprint(random.Random(4))
    folder = build(tmp_path / "x.heed", [Entry(Kind.URL, "https://a.example/1.jpg")])
    update(folder, [entry(one, "b")], [entry(one, "a")])
    with opened(folder) as registry:
        assert found(registry, one) == [(entry(one, "b"), Distance(0, 0))]


def test_words_behind_a_fingerprint_do_not_count(tmp_path):
    rng = random.Random(5)
    one = fingerprint(rng)
    named = entry(f"{one} holidays/1.jpg")
    folder = build(tmp_path / "x.heed", [named, entry(one), entry(one)])
    with opened(folder) as registry:
        assert found(registry, one) == [(named, Distance(0, 0)), (entry(one), Distance(0, 0))]
    update(folder, gone=[entry(f"{str(one).upper()} another name")])
    with opened(folder) as registry:
        assert found(registry, one) == []
        assert list(registry.entries()) == []


def test_equal_ones_that_differ_in_their_date_only(tmp_path):
    one = fingerprint(random.Random(6))
    entries = [entry(one, date=date(2024, 1, day)) for day in (1, 2, 3)]
    with opened(build(tmp_path / "x.heed", [*entries, *entries])) as registry:
        assert [match.entry for match in registry.lookup_fingerprint(one)] == entries


def test_many_that_are_alike_are_thinned_out_and_say_the_same(tmp_path):
    """Of two thousand near ones, some are given: the nearest, and the one that is in force."""
    rng = random.Random(8)
    one = fingerprint(rng)
    entries = [
        entry(near(rng, one, 2 * rng.randrange(3), 2 * rng.randrange(20)), expires=date(2020, 1, 1))
        for _ in range(2000)
    ]
    lasting = entry(near(rng, one, 6, 46))
    folder = build(tmp_path / "x.heed", [*entries, lasting])
    with opened(folder) as registry:
        matches = registry.lookup_fingerprint(one)
        assert len(matches) == KEPT + 1
        (decision,) = decide(matches, Purpose.TRAIN_ANY, NOW)
        assert [match.entry for match in decision.decisive] == [lasting]
    update(folder, gone=[lasting])
    with opened(folder) as registry:
        assert len(registry.lookup_fingerprint(one)) == KEPT
        assert decide(registry.lookup_fingerprint(one), Purpose.TRAIN_ANY, NOW) == []


def test_built_in_runs_it_is_the_same_octet_by_octet(tmp_path, monkeypatch, population):
    entries = population[0]
    build(tmp_path / "x.heed", entries)
    monkeypatch.setattr(_fingerprints, "_ROWS_MIN", 64)
    build(tmp_path / "y.heed", entries, memory=1)
    (one,), (other,) = ((tmp_path / name).glob("seg-*") for name in ("x.heed", "y.heed"))
    assert (
        {file.name for file in one.iterdir()} == {file.name for file in other.iterdir()} == {*"BDEGHKLRSTW"}
    )
    for name in FILES:
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_without_large_halves_they_take_no_room(tmp_path):
    rng = random.Random(9)
    entries = [entry(fingerprint(rng, lone=True)) for _ in range(10)]
    folder = build(tmp_path / "x.heed", entries)
    (large,) = folder.glob("seg-*/L")
    assert large.stat().st_size == 0
    with opened(folder) as registry:
        asked = Fingerprint.parse(entries[0].text)
        assert found(registry, asked) == [(entries[0], Distance(0, None))]
        assert found(registry, near(rng, asked, 4)) == []


# -- readers of other versions, and damage -------------------------------------------------------------------


def test_a_registry_without_fingerprints_is_as_it_was(tmp_path):
    folder = build(tmp_path / "x.heed", [Entry(Kind.URL, "https://a.example/1.jpg")])
    (segment,) = folder.glob("seg-*")
    assert {file.name for file in segment.iterdir()} == {*"BEGHKRT"}
    assert b'"format": 1' in (segment / "H").read_bytes()
    assert b"phash" not in (segment / "H").read_bytes()
    manifest = json.loads((folder / manifests.NAME).read_bytes())
    assert manifest["format"] == 1
    assert "radii" not in manifest


def test_a_reader_that_knows_of_no_fingerprints_refuses_them(tmp_path):
    folder = build(tmp_path / "x.heed", [entry(fingerprint(random.Random(1)))])
    (header,) = folder.glob("seg-*/H")
    assert b'"format": 2' in header.read_bytes()
    assert json.loads((folder / manifests.NAME).read_bytes())["format"] == 2
    update(folder, gone=list(opened(folder).entries()))
    merge(folder)
    assert json.loads((folder / manifests.NAME).read_bytes())["format"] == 1


UNSEARCHABLE = {
    "small": (Radii(13, 0, 0), "small is 13"),
    "negative": (Radii(-1, 0, 0), "small is -1"),
    "large": (Radii(6, 97, 0), "large is 97"),
    "lone": (Radii(2, 20, 3), "more than 2"),
    "no number": (Radii(True, 20, 0), "small is True"),
}


@pytest.mark.parametrize(("radii", "words"), UNSEARCHABLE.values(), ids=UNSEARCHABLE)
def test_radii_that_cannot_be_searched(tmp_path, radii, words):
    with pytest.raises(ValueError, match=words):
        Writer.build(tmp_path / "x.heed", source="test", radii=radii)
    manifest = manifests.Manifest(1, 0, None, "test", (), radii=radii)
    with pytest.raises(ValueError, match=words):
        manifests.parse(manifest.render())


def test_radii_stay(tmp_path):
    rng = random.Random(2)
    one, radii = fingerprint(rng), Radii(2, 10, 0)
    folder = build(tmp_path / "x.heed", [entry(near(rng, one, 2, 10))], radii=radii)
    update(folder, [entry(near(rng, one, 4, 10)), entry(near(rng, one, 2, 12))])
    for merged in (False, True):
        if merged:
            merge(folder)
        with opened(folder) as registry:
            assert registry.manifest.radii == radii
            assert [match.distance for match in registry.lookup_fingerprint(one)] == [(2, 10)]


@pytest.fixture
def damageable(tmp_path, population):
    """A registry for which nothing vouches, and what is asked of it."""
    folder = build(tmp_path / "x.heed", population[0])
    (folder / "VERIFIED.json").unlink(missing_ok=True)
    return folder, list(population[1])[:40]


@pytest.mark.parametrize("name", FILES)
def test_any_octet_of_a_file(damageable, monkeypatch, tmp_path, name):
    """With checksums always told; without, it is told or does no harm: nothing is found that is not there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder, asked = damageable
    (path,) = folder.glob(f"seg-*/{name}")
    whole = path.read_bytes()
    with Registry.open(folder, now=NOW, verify=False) as registry:
        right = {each: set(found(registry, each)) for each in asked}
    rng = random.Random(name)
    for place in rng.sample(range(len(whole)), 25):
        octets = bytearray(whole)
        octets[place] ^= 1 << rng.randrange(8)
        path.write_bytes(octets)
        with pytest.raises(RegistryError, match="damaged"):
            Registry.open(folder, now=NOW)
        try:
            with Registry.open(folder, now=NOW, verify=False) as registry:
                for each in asked:
                    assert {one for one, _ in found(registry, each)} <= {one for one, _ in right[each]}
        except RegistryError as error:
            assert "damaged" in str(error)  # noqa: PT017 - it need not be raised
    path.write_bytes(whole)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", ["cut", "longer", "gone"])
@pytest.mark.parametrize("verify", [True, False])
def test_files_of_another_size(damageable, name, change, verify):
    folder, _ = damageable
    (path,) = folder.glob(f"seg-*/{name}")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] if change == "cut" else whole + b"\0")
    if change == "gone":
        path.unlink()
    with pytest.raises(RegistryError, match=r"damaged|cannot be read"):
        Registry.open(folder, now=NOW, verify=verify)


@pytest.mark.parametrize("name", FILES)
def test_files_of_nonsense_give_no_other_exception(damageable, name):
    folder, asked = damageable
    (path,) = folder.glob(f"seg-*/{name}")
    whole = path.read_bytes()
    rng = random.Random(name)
    for junk in (b"\0" * len(whole), b"\xff" * len(whole), rng.randbytes(len(whole))):
        path.write_bytes(junk)
        try:
            with Registry.open(folder, now=NOW, verify=False) as registry:
                for each in asked[:10]:
                    found(registry, each)
        except RegistryError as error:
            assert "damaged" in str(error)  # noqa: PT017 - it need not be raised


SHAPES = {
    "more values than rows": {"values": 10**6},
    "large halves for some": {"large": 7},
    "too many bits": {"bits": 22},
    "no bits": {"bits": 0},
    "words": {"rows": "many"},
}


@pytest.mark.parametrize("change", SHAPES.values(), ids=SHAPES)
def test_headers_that_cannot_be(damageable, change):
    folder, _ = damageable
    (path,) = folder.glob("seg-*/H")
    header = json.loads(path.read_bytes().partition(b"\n")[0])
    header["fingerprints"] |= change
    line = json.dumps(header).encode() + b"\n"
    path.write_bytes(line + _segment.xxh3_64_hexdigest(line).encode() + b"\n")
    with pytest.raises(RegistryError, match="header cannot be understood"):
        Segment(path.parent)


def test_closed(tmp_path):
    one = fingerprint(random.Random(1))
    folder = build(tmp_path / "x.heed", [entry(one)])
    registry = opened(folder)
    registry.close()
    with pytest.raises(RegistryError, match="closed"):
        registry.lookup_fingerprint(one)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("by_surt", [False, True])
def test_exported_and_read_back(tmp_path, population, suffix, by_surt):
    entries = [
        *population[0][:300],
        entry(f'{population[0][300].text} a name, "quoted".jpg', "b", opt_in=True),
    ]
    folder = build(tmp_path / "x.heed", entries)
    out = tmp_path / f"out.{suffix}"
    with opened(folder) as registry:
        export(registry.entries(), out, by_surt=by_surt)
    back = list(read(str(out), defaults=Defaults(Terms("none"))))
    assert sorted(back, key=str) == sorted(entries, key=str)


def test_too_many(tmp_path, monkeypatch):
    monkeypatch.setattr(_fingerprints, "ROWS_MAX", 3)
    rng = random.Random(1)
    with pytest.raises(RegistryError, match="at most 3 fingerprints"):
        build(tmp_path / "x.heed", [entry(fingerprint(rng)) for _ in range(4)])
    assert not (tmp_path / "x.heed").exists()
