"""Boxes of manifest stores, sound and hostile, and what is decoded of assertions."""

from __future__ import annotations

import json
import struct
import tracemalloc

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.signals.embedded import _jumbf
from heedful.signals.embedded._jumbf import Assertion, Budget, Store, UnreadError, decoded, walk
from heedful.testing import embed

LABEL = "cawg.training-mining"
CONTENT = cbor2.dumps({"entries": {"cawg.ai_training": {"use": "notAllowed"}}})
box, superbox = embed._box, embed._superbox


def assertion(content=CONTENT, label=LABEL, kind=b"cbor"):
    return superbox(kind, label, box(kind, content))


def manifest(*assertions, kind=b"c2ma", label="urn:c2pa:1"):
    return superbox(kind, label, superbox(b"c2as", "c2pa.assertions", b"".join(assertions)))


def store(*manifests):
    return superbox(b"c2pa", "c2pa", b"".join(manifests))


def found(number=1, content=CONTENT, label=LABEL, kind="cbor", *, whole=True):
    return Assertion(label, number, kind, content, whole)


def walked(data):
    return walk(data, Budget())


def thumbnail(size):
    image = box(b"bfdb", b"\0image/jpeg\0") + box(b"bidb", bytes(size))
    return superbox(b"\x40\xcb\x0c\x32", "c2pa.thumbnail.claim.jpeg", image)


def unlabelled(content):
    return box(b"jumb", box(b"jumd", b"c2ma" + bytes(12) + b"\0") + content)


def nested(depth, content):
    for _ in range(depth):
        content = superbox(b"c2xx", "x", content)
    return content


def long_box(kind, content):
    return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content


def open_box(kind, content):
    return struct.pack(">I4s", 0, kind) + content


SHAPES = {
    "usual": (store(manifest(assertion())), Store((found(),), 1, 1)),
    "two-manifests": (store(manifest(assertion()), manifest()), Store((found(),), 2, 1)),
    "both": (
        store(manifest(assertion()), manifest(assertion(label="c2pa.training-mining"))),
        Store((found(), found(2, label="c2pa.training-mining")), 2, 1),
    ),
    "two-assertions": (
        store(manifest(assertion(), assertion(label=f"{LABEL}__1"))),
        Store((found(), found(label=f"{LABEL}__1")), 1, 1),
    ),
    "two-stores": (store(manifest(assertion())) * 2, Store((found(), found(2)), 2, 2)),
    "update": (store(manifest(assertion()), manifest(kind=b"c2um")), Store((found(),), 2, 1)),
    "not-a-manifest": (store(manifest(assertion(), kind=b"c2vc")), Store((found(0),), 0, 1)),
    "no-store": (manifest(assertion()), Store((found(0),), 0, 0)),
    "manifest-behind-store": (store() + manifest(assertion()), Store((found(0),), 0, 1)),
    "bare": (assertion(), Store((found(0),), 0, 0)),
    "not-among-assertions": (
        store(superbox(b"c2ma", "urn", superbox(b"c2db", "c2pa.databoxes", assertion()))),
        Store((found(0),), 1, 1),
    ),
    "too-deep-among-assertions": (store(manifest(nested(1, assertion()))), Store((found(0),), 1, 1)),
    "in-a-box-without-label": (store(unlabelled(assertion())), Store((found(0),), 1, 1)),
    "in-a-box-without-description": (
        box(b"jumb", store(manifest(assertion()))),
        Store((found(0),), 0, 0),
    ),
    "among-others": (store(manifest(thumbnail(9), assertion(), thumbnail(9))), Store((found(),), 1, 1)),
    "empty": (store(manifest(superbox(b"cbor", LABEL, b""))), Store((found(content=b"", kind=""),), 1, 1)),
    "free-space": (
        store(manifest(superbox(b"cbor", LABEL, box(b"free", b"xx") + box(b"cbor", CONTENT)))),
        Store((found(),), 1, 1),
    ),
    "two-contents": (
        store(manifest(superbox(b"cbor", LABEL, box(b"cbor", b"1") + box(b"json", b"2")))),
        Store((found(content=b"1"), found(content=b"2", kind="json")), 1, 1),
    ),
    "long-size": (
        store(manifest(superbox(b"cbor", LABEL, long_box(b"cbor", CONTENT)))),
        Store((found(),), 1, 1),
    ),
    "open-size": (
        store(manifest(superbox(b"cbor", LABEL, open_box(b"cbor", CONTENT)))),
        Store((found(),), 1, 1),
    ),
    "padding": (store(manifest(assertion())) + bytes(100), Store((found(),), 1, 1)),
    "short-padding": (store(manifest(assertion())) + bytes(5), Store((found(),), 1, 1)),
    "nothing-of-ours": (store(manifest(thumbnail(99))), Store()),
    "no-boxes": (b"training-mining", Store((), 0, 0, ("a box is cut off",))),
    "nothing": (b"", Store()),
}


@pytest.mark.parametrize(("data", "expected"), SHAPES.values(), ids=SHAPES)
def test_shapes(data, expected):
    assert walked(data) == expected


LABELS = {
    LABEL: True,
    "c2pa.training-mining": True,
    f"{LABEL}__1": True,
    f"{LABEL}__999999999": True,
    f"{LABEL}.v2": True,
    f"{LABEL}.v2__3": True,
    f"{LABEL}__x": False,
    f"{LABEL}s": False,
    f"{LABEL}.": False,
    f"x{LABEL}": False,
    "org.example.training-mining": False,
    "training-mining": False,
    f"{LABEL} ": False,
    f"{LABEL}\n": False,
    f"{LABEL}__\u0661": False,
}


@pytest.mark.parametrize(("label", "wanted"), LABELS.items(), ids=map(repr, LABELS))
def test_labels(label, wanted):
    assert walked(store(manifest(assertion(label=label)))).assertions == (found(label=label),) * wanted


DESCRIPTIONS = {
    "usual": (b"\3", b"%b\0", True),
    "not-requestable": (b"\2", b"%b\0", True),
    "salted": (b"\x13", b"%b\0\0\0\0\x18c2sh" + bytes(16), True),
    "not-terminated": (b"\3", b"%b", True),
    "toggle-off": (b"\1", b"%b\0", False),
    "no-utf-8": (b"\3", b"\xff%b\0", False),
    "nothing": (b"\3", b"", False),
}


@pytest.mark.parametrize(("toggles", "rest", "read"), DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_descriptions(toggles, rest, read):
    rest = rest % LABEL.encode() if b"%b" in rest else rest
    description = box(b"jumd", b"cbor" + bytes(12) + toggles + rest)
    data = store(manifest(box(b"jumb", description + box(b"cbor", CONTENT)))) + box(b"free", _jumbf.NAME)
    assert bool(walked(data).assertions) is read


@pytest.mark.parametrize("size", [0, 4, 16])
def test_descriptions_cut_off(size):
    data = store(manifest(box(b"jumb", box(b"jumd", bytes(size)) + box(b"cbor", CONTENT))))
    assert walked(data + box(b"free", _jumbf.NAME)).assertions == ()


def test_long_labels_are_cut():
    label = f"{LABEL}__1" + "1" * _jumbf.LABEL_MAX
    data = box(b"jumd", bytes(16) + b"\2" + label.encode() + b"\0")
    assert _jumbf._label(data, 8, len(data)) == label[: _jumbf.LABEL_MAX]


# -- damage ----------------------------------------------------------------------------------------------


def test_what_is_cut_off_is_told_and_not_whole():
    data = store(manifest(assertion()), manifest())
    for size in range(len(data)):
        cut = walked(data[:size])
        if _jumbf.NAME not in data[:size]:
            assert cut == Store()
            continue
        assert "a box is cut off" in cut.faults
        assert all(not each.whole for each in cut.assertions)


def test_a_store_that_ends_early_is_not_whole():
    (one,) = walked(store(manifest(assertion()))[:-1]).assertions
    assert (one.content, one.whole) == (CONTENT[:-1], False)


SIZES = {
    "too-small": (struct.pack(">I4s", 7, b"jumb") + _jumbf.NAME, "a box has an impossible length"),
    "long-too-small": (struct.pack(">I4sQ", 1, b"jumb", 15) + _jumbf.NAME, "a box has an impossible length"),
    "long-cut-off": (box(b"free", _jumbf.NAME) + struct.pack(">I4s", 1, b"jumb"), "impossible length"),
    "huge": (struct.pack(">I4s", 2**32 - 1, b"jumb") + _jumbf.NAME, "a box is cut off"),
    "long-huge": (struct.pack(">I4sQ", 1, b"jumb", 2**64 - 1) + _jumbf.NAME, "a box is cut off"),
}


@pytest.mark.parametrize(("data", "words"), SIZES.values(), ids=SIZES)
def test_impossible_sizes(data, words):
    store = walked(data)
    assert any(words in fault for fault in store.faults)
    assert store.assertions == ()


def test_depth_is_bounded():
    # store, manifest, assertions, and the assertion itself are within a part
    inner = nested(_jumbf.DEPTH_MAX - 1, assertion())
    assert walked(inner).assertions == (found(0),)
    deeper = walked(nested(1, inner))
    assert deeper.assertions == ()
    assert deeper.faults == (f"nested more than {_jumbf.DEPTH_MAX} deep",)
    assert walked(nested(1000, assertion())) == deeper


def test_boxes_are_bounded():
    empty = box(b"free", b"")
    data = empty * _jumbf.BOXES_MAX
    assert walked(data + box(b"free", _jumbf.NAME)).faults == (f"more than {_jumbf.BOXES_MAX} boxes",)
    assert walked(empty * 4000 + store(manifest(assertion()))).assertions == (found(),)


def test_a_file_has_one_budget():
    budget = Budget(boxes=14)
    assert walk(store(manifest(assertion())), budget).assertions
    assert budget.boxes == 5
    assert walk(store(manifest(assertion())), budget) == Store(
        (), 1, 1, (f"more than {_jumbf.BOXES_MAX} boxes",)
    )


def test_contents_are_bounded():
    large = assertion(bytes(_jumbf.CONTENT_MAX))
    count = _jumbf.CONTENTS_MAX // _jumbf.CONTENT_MAX
    whole = walked(store(manifest(*[large] * count)))
    assert len(whole.assertions) == count
    assert whole.faults == ()
    more = walked(store(manifest(*[large] * count, assertion())))
    assert len(more.assertions) == count
    assert more.faults == (f"assertions of more than {_jumbf.CONTENTS_MAX} octets",)


def test_thumbnails_are_not_copied():
    data = store(manifest(thumbnail(5_000_000), assertion()))
    tracemalloc.start()
    try:
        assert walked(data).assertions == (found(),)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


# -- compressed manifests --------------------------------------------------------------------------------


def packed(plain, *, form=b"", kind=b"c2cm"):
    brotli = pytest.importorskip("brotli")
    return superbox(kind, "urn:c2pa:1", box(b"brob", form + brotli.compress(plain, quality=1)))


@pytest.mark.parametrize("form", [b"", b"jumb"], ids=["c2pa", "iso-18181"])
def test_compressed(form):
    data = store(packed(manifest(assertion()), form=form), manifest())
    assert walked(data) == Store((found(),), 2, 1)


def test_compressed_and_silent():
    assert walked(store(packed(manifest(thumbnail(9))))) == Store((), 1, 1)


def test_compressed_twice():
    brotli = pytest.importorskip("brotli")
    inner = box(b"brob", brotli.compress(manifest(assertion())))
    assert walked(store(packed(inner))).assertions == (found(),)


def test_compressed_in_each_other_is_bounded():
    brotli = pytest.importorskip("brotli")
    data = manifest(assertion())
    for _ in range(_jumbf.DEPTH_MAX + 1):
        data = box(b"brob", brotli.compress(data))
    assert walked(data).faults == (f"nested more than {_jumbf.DEPTH_MAX} deep",)


def test_compressed_and_cut_off():
    whole = store(packed(manifest(assertion()))[:-1])
    for size in range(whole.index(b"brob") + 4, len(whole)):
        cut = walked(whole[:size])
        assert cut.faults
        assert not any(each.whole for each in cut.assertions)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "it is cut off"), (b"\xff" * 50, "it is damaged"), (b"jumb", "it is cut off")],
    ids=["empty", "noise", "form-only"],
)
def test_compressed_and_damaged(content, words):
    pytest.importorskip("brotli")
    data = walked(store(superbox(b"c2cm", "urn", box(b"brob", content)), manifest(assertion())))
    assert data.faults == (f"a compressed manifest: {words}",)
    assert data.assertions == (found(2),)


def test_unpacking_is_bounded():
    bomb = packed(bytes(4 * _jumbf.UNPACKED_MAX) + manifest(assertion()))
    tracemalloc.start()
    try:
        data = walked(store(*[bomb] * 20, manifest(assertion())))
        assert tracemalloc.get_traced_memory()[1] < 4 * _jumbf.UNPACKED_MAX
    finally:
        tracemalloc.stop()
    words = f"a compressed manifest: unpacked, more than {_jumbf.UNPACKED_MAX} octets"
    assert data == Store((found(21),), 21, 1, (words,))


def test_unpacking_is_counted_for_all_manifests_together(monkeypatch):
    real = pytest.importorskip("brotli").Decompressor
    started = []

    class Counted:
        can_accept_more_data = None

        def __new__(cls):
            started.append(1)
            return real()

    monkeypatch.setattr(_jumbf.brotli, "Decompressor", Counted)
    walked(store(*[superbox(b"c2cm", "urn", box(b"brob", b"\xff"))] * 2000))
    assert len(started) == _jumbf.UNPACKED_MAX // _jumbf.UNPACKED_PIECE


class OldBrotli:
    """Before 1.2, what comes out cannot be bounded."""

    class Decompressor:
        pass


@pytest.mark.parametrize("library", [None, OldBrotli], ids=["missing", "old"])
def test_without_brotli(monkeypatch, library):
    data = store(packed(manifest(assertion())), manifest(assertion()))
    monkeypatch.setattr(_jumbf, "brotli", library)
    words = 'a compressed manifest: no Brotli 1.2: pip install "heedful[c2pa]"'
    assert walked(data) == Store((found(2),), 2, 1, (words,))


# -- content ---------------------------------------------------------------------------------------------

MAP = {"a": {"b": [1, "ü", None, True, 1.5]}}


def deep(kind, levels):
    """A map of so many levels, itself among them."""
    if kind == "cbor":
        return b"\xa1\x61a" * levels + b"\1"
    return b'{"a":' * levels + b"1" + b"}" * levels


SOUND = {
    "cbor": ("cbor", cbor2.dumps(MAP), MAP),
    "cbor-open-length": ("cbor", b"\xbf\x61a\x7f\x61b\x61c\xff\xff", {"a": "bc"}),
    "json": ("json", json.dumps(MAP).encode(), MAP),
    "json-utf-8-bom": ("json", "\ufeff{}".encode(), {}),
    "json-utf-16": ("json", json.dumps(MAP, ensure_ascii=False).encode("utf-16"), MAP),
    "json-white-space": ("json", b" {} \n", {}),
}


@pytest.mark.parametrize(("kind", "content", "value"), SOUND.values(), ids=SOUND)
def test_decoded(kind, content, value):
    assert decoded(kind, content) == value


@pytest.mark.parametrize("kind", ["cbor", "json"])
def test_content_depth_is_bounded(kind):
    assert decoded(kind, deep(kind, _jumbf.CONTENT_DEPTH_MAX))
    for levels in (_jumbf.CONTENT_DEPTH_MAX + 1, 500, 40_000):
        with pytest.raises(UnreadError, match=r"nest.* deep|depth"):
            decoded(kind, deep(kind, levels))


def tagged(tag, value):
    return b"\xa1\x61a" + cbor2.dumps(cbor2.CBORTag(tag, value))


UNREAD = {
    "kind": ("bfdb", b"{}", "neither CBOR nor JSON"),
    "no-kind": ("", b"{}", "neither CBOR nor JSON"),
    "large": ("cbor", bytes(_jumbf.CONTENT_MAX + 1), "more than 262144 octets"),
    "cbor-empty": ("cbor", b"", "malformed CBOR"),
    "cbor-cut": ("cbor", CONTENT[:-1], "malformed CBOR"),
    "cbor-behind": ("cbor", CONTENT + b"\0", "malformed CBOR: something behind the value"),
    "cbor-twice": ("cbor", b"\xa2\x61a\1\x61a\2", "malformed CBOR.*a"),
    "cbor-no-utf-8": ("cbor", b"\xa1\x61\xff\1", "malformed CBOR"),
    "cbor-number": ("cbor", b"\1", "not a map"),
    "cbor-list": ("cbor", b"\x80", "not a map"),
    "cbor-number-key": ("cbor", b"\xa1\1\1", "malformed CBOR"),
    "cbor-huge-list": ("cbor", b"\xa1\x61a\x9b" + b"\x7f" * 8, "malformed CBOR"),
    "cbor-huge-text": ("cbor", b"\xa1\x61a\x7b" + b"\x7f" * 8, "malformed CBOR"),
    "cbor-huge-map": ("cbor", b"\xbb" + b"\x7f" * 8, "malformed CBOR"),
    "cbor-date": ("cbor", tagged(0, "2026-01-01T00:00:00Z"), "malformed CBOR"),
    "cbor-bignum": ("cbor", tagged(2, bytes(99)), "malformed CBOR"),
    "cbor-decimal": ("cbor", tagged(4, [10**9, 1]), "malformed CBOR"),
    "cbor-shared": ("cbor", b"\xd8\x1c\xa1\x61a\xd8\x1d\0", "malformed CBOR"),
    "cbor-pattern": ("cbor", tagged(35, "(a+)+$"), "malformed CBOR"),
    "cbor-set": ("cbor", tagged(258, [1]), "malformed CBOR"),
    "cbor-self-described": ("cbor", b"\xd9\xd9\xf7" + CONTENT, "malformed CBOR"),
    "cbor-unknown-tag": ("cbor", tagged(987_654, 1), "malformed CBOR"),
    "json-empty": ("json", b"", "malformed JSON"),
    "json-cut": ("json", b'{"a":', "malformed JSON"),
    "json-behind": ("json", b"{} x", "malformed JSON"),
    "json-twice": ("json", b'{"a":1,"a":2}', "malformed JSON: a key twice"),
    "json-twice-within": ("json", b'{"x":[{"a":1,"a":2}]}', "malformed JSON: a key twice"),
    "json-no-utf-8": ("json", b'{"a":"\xff"}', "malformed JSON"),
    "json-text": ("json", b'"a"', "not a map"),
    "json-long-number": ("json", b'{"a":' + b"1" * 100_000 + b"}", "malformed JSON"),
}


@pytest.mark.parametrize(("kind", "content", "words"), UNREAD.values(), ids=UNREAD)
def test_unread(kind, content, words):
    with pytest.raises(UnreadError, match=words):
        decoded(kind, content)


# -- any bytes -------------------------------------------------------------------------------------------

PIECES = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        [
            _jumbf.NAME,
            b"brob",
            b"jumb",
            b"jumd",
            assertion(),
            manifest(assertion()),
            store(manifest(assertion())),
            store(manifest(assertion()))[:9],
            store(manifest(assertion()))[:99],
            bytes(8),
            struct.pack(">I4s", 0, b"jumb"),
            struct.pack(">I4s", 1, b"jumb"),
        ]
    ),
)


@given(st.lists(PIECES, max_size=12).map(b"".join))
def test_any_bytes_are_read(data):
    found = walked(data)
    assert len(found.assertions) <= _jumbf.BOXES_MAX
    assert all(0 <= each.number <= found.manifests for each in found.assertions)


@given(st.sampled_from(["cbor", "json"]), st.binary(max_size=60))
def test_any_content_is_decoded_or_unread(kind, content):
    try:
        value = decoded(kind, content)
    except UnreadError:
        return
    assert isinstance(value, dict)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_what_was_encoded_is_decoded(value):
    assert decoded("cbor", cbor2.dumps(value)) == value
    assert decoded("json", json.dumps(value).encode()) == value
