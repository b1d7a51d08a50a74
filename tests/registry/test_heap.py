"""Blocks of records: what is written is read, and what is damaged is told."""

from __future__ import annotations

import random
import struct
import threading

import pytest
import zstandard

from heedful.registry import _heap
from heedful.registry._errors import RegistryError
from heedful.registry._heap import BLOCK_BYTES_MAX, KEPT_BLOCKS, START_BITS, Heap, HeapWriter
from heedful.registry._records import Encoder, encode
from heedful.registry.entries import Entry, Kind, index

LISTS = ("art",)


def record(text):
    entry = Entry(Kind.URL, text, "art")
    heads = Encoder().heads_of(entry, withdrawal=False)
    return encode(heads, index(Kind.URL, text).key, text)


def urls(count):
    chosen = random.Random(count)
    return [f"https://host{n % 99}.example/pictures/{chosen.randbytes(9).hex()}.jpg" for n in range(count)]


@pytest.fixture
def written(tmp_path):
    """Write texts; the addresses, and what a reader needs."""

    def write(texts, at_once=10):
        writer = HeapWriter(tmp_path)
        addresses = []
        for begin in range(0, len(texts), at_once):
            addresses += writer.add([record(text) for text in texts[begin : begin + at_once]]).tolist()
        shape = writer.finish()
        return addresses, shape, (tmp_path / "E").read_bytes(), (tmp_path / "B").read_bytes()

    return write


def reader(shape, frames, offsets):
    return Heap(frames, memoryview(offsets).cast("Q"), shape.dictionary, LISTS)


SIZES = {"nothing": 0, "one record": 1, "some blocks": 200, "with a dictionary": 6000, "many": 30_000}


@pytest.mark.parametrize("count", SIZES.values(), ids=SIZES)
def test_there_and_back(written, count):
    texts = urls(count)
    addresses, shape, frames, offsets = written(texts)
    heap = reader(shape, frames, offsets)
    assert [(at, found.entry.text) for at, found in heap.records()] == list(
        zip(addresses, texts, strict=True)
    )
    assert sorted(set(addresses)) == addresses
    some = random.Random(0).sample(range(count), min(count, 300))
    assert [heap.record(addresses[n]).entry.text for n in some] == [texts[n] for n in some]
    assert [heap.octets(addresses[n]) for n in some] == [record(texts[n]) for n in some]
    assert (shape.blocks, shape.size) == (len(offsets) // 8 - 1, len(frames))
    assert bool(shape.dictionary) is (count >= 6000)


def test_it_is_small(written):
    texts = urls(30_000)
    _, _, frames, _ = written(texts, at_once=3000)
    assert len(frames) < 0.45 * sum(map(len, texts))  # of which chance alone is 0.21


def test_samples_with_nothing_in_common(written, monkeypatch):
    def train(*_):
        raise zstandard.ZstdError("cannot train")

    monkeypatch.setattr(_heap.zstandard, "train_dictionary", train)
    texts = urls(6000)
    _, shape, frames, offsets = written(texts)
    assert shape.dictionary == b""
    assert [found.entry.text for _, found in reader(shape, frames, offsets).records()] == texts


def test_a_record_longer_than_a_block(written):
    texts = ["https://a.example/1", "https://a.example/" + "x" * 16_000, "https://a.example/2"]
    addresses, shape, frames, offsets = written(texts)
    heap = reader(shape, frames, offsets)
    assert [heap.record(at).entry.text for at in addresses] == texts
    assert addresses[1] >> START_BITS == 0
    assert addresses[2] >> START_BITS == 1
    assert list(heap._kept) == [1]  # long blocks are not kept


def test_kept_blocks_are_bounded(written):
    addresses, shape, frames, offsets = written(urls(6000))
    heap = reader(shape, frames, offsets)
    for address in addresses:
        heap.record(address)
    assert len(heap._kept) == KEPT_BLOCKS


def test_every_octet_of_a_frame_is_checked(written):
    texts = urls(40)
    _, shape, frames, offsets = written(texts)
    for at in range(len(frames)):
        damaged = bytearray(frames)
        damaged[at] ^= 0x10
        try:
            found = [found.entry.text for _, found in reader(shape, bytes(damaged), offsets).records()]
        except RegistryError as error:
            assert "damaged" in str(error)  # noqa: PT017 - either it is refused
        else:
            assert found == texts  # or the octet says nothing, as reserved bits


def frame(block, **options):
    return zstandard.ZstdCompressor(**options).compress(block)


# a frame, and words of what is said of it
FRAMES = {
    "no frame": (b"nonsense", "cannot be decompressed"),
    "without its size": (frame(b"x" * 99, write_content_size=False), "no believable size"),
    "empty": (frame(b""), "no believable size"),
    "a bomb": (frame(bytes(BLOCK_BYTES_MAX + 1)), "no believable size"),
    "followed by something": (frame(record("https://a.example/")) + b"x", "cannot be decompressed"),
    "cut off": (frame(record("https://a.example/"))[:-3], "cannot be decompressed"),
    "no record in it": (frame(b"\xff" * 50), "a record is damaged"),
}


@pytest.mark.parametrize(("content", "words"), FRAMES.values(), ids=FRAMES)
def test_damaged_frames(content, words):
    heap = Heap(content, memoryview(struct.pack("=QQ", 0, len(content))).cast("Q"), b"", LISTS)
    with pytest.raises(RegistryError, match=words):
        heap.record(0)
    with pytest.raises(RegistryError, match=words):
        list(heap.records())


OFFSETS = {
    "beyond the file": (0, 10**6),
    "backwards": (5, 2),
    "empty": (0, 0),
    "huge": (2**64 - 1, 2**64 - 1),
}


@pytest.mark.parametrize("pair", OFFSETS.values(), ids=OFFSETS)
def test_damaged_offsets(pair):
    heap = Heap(
        frame(record("https://a.example/")), memoryview(struct.pack("=QQ", *pair)).cast("Q"), b"", LISTS
    )
    with pytest.raises(RegistryError, match="damaged: block 0 lies outside"):
        heap.octets(0)


def test_addresses_of_nothing(written):
    _, shape, frames, offsets = written(urls(3))
    heap = reader(shape, frames, offsets)
    with pytest.raises(RegistryError, match="there is no block 7"):
        heap.record(7 << START_BITS)
    with pytest.raises(RegistryError, match="a record is damaged"):
        heap.record(60_000)


def test_threads_share_a_heap(written):
    texts = urls(6000)
    addresses, shape, frames, offsets = written(texts)
    heap = reader(shape, frames, offsets)
    wrong = []

    def ask(seed):
        chosen = random.Random(seed)
        for _ in range(1500):
            number = chosen.randrange(len(texts))
            if heap.record(addresses[number]).entry.text != texts[number]:
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_abort_closes_whatever_cannot_be_written(tmp_path):
    writer = HeapWriter(tmp_path)
    writer.add([record("https://a.example/" + "x" * 9000)])

    class Full:
        def close(self):
            raise OSError(28, "No space left on device")

    frames, writer._frames = writer._frames, Full()
    frames.close()
    writer.abort()
    assert writer._offsets.closed
