"""Files of traces: compressions, limits, pipes; and the filter of private caches."""

from __future__ import annotations

import gzip
import lzma
import os
import threading
import tracemalloc

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError
from learnsys.testing.traces import read_or_refuse, refusal, truncated
from learnsys.traces import Trace, open_trace, read_trace, sample_names, sample_path, write_trace
from learnsys.traces.blocks import join
from learnsys.traces.filters import CacheFilter
from learnsys.traces.hierarchy import Hierarchy, parse_level

# ---- files and compressions ----


def test_files_that_cannot_be_opened(tmp_path):
    assert "No such file" in refusal(tmp_path / "none")
    assert "is a directory" in refusal(tmp_path)
    assert "is neither a file nor a pipe" in refusal("/dev/null")
    (tmp_path / "empty.csv").touch()
    assert "is empty" in refusal(tmp_path / "empty.csv")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b""))
    assert "holds no data" in refusal(tmp_path / "a.csv.gz")
    assert "embedded null" in refusal("a\0b")
    assert "No such file" in refusal("a" * 200) and "too long" in refusal("a" * 5000)
    (tmp_path / "plain.csv.xz").write_text("1,2\n")
    assert "is named .xz but is not compressed" in refusal(tmp_path / "plain.csv.xz")
    if os.geteuid():
        (tmp_path / "secret.csv").write_text("1,2\n")
        (tmp_path / "secret.csv").chmod(0)
        assert "Permission denied" in refusal(tmp_path / "secret.csv")


PACKS = {"gz": gzip.compress, "xz": lzma.compress, "zst": zstandard.ZstdCompressor(write_checksum=True).compress}


@pytest.mark.parametrize("suffix", PACKS)
def test_compressed_files_cut_off_or_with_a_tail(tmp_path, suffix):
    text = b"".join(b"%x,%x\n" % (i, i * i) for i in range(40))
    packed = PACKS[suffix](text)
    path = tmp_path / f"a.csv.{suffix}"
    for data in truncated(packed):
        path.write_bytes(data)
        assert isinstance(read_or_refuse(path), InputError), len(data)
    path.write_bytes(packed + packed)
    assert len(read_trace(path)) == 80
    path.write_bytes(packed + b"tail")
    assert "data is cut off or damaged" in refusal(path)
    path.write_bytes(packed + packed[:7])
    assert "data is cut off or damaged" in refusal(path)
    for place in range(6, len(packed)):
        flipped = bytearray(packed)
        flipped[place] ^= 4
        path.write_bytes(flipped)
        result = read_or_refuse(path)  # a header has bytes that do not matter, such as a time
        assert isinstance(result, InputError) or len(result) == 40


def test_content_decides_the_compression(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(lzma.compress(b"1,2\n"))
    reader = open_trace(tmp_path / "a.csv.gz")
    assert reader.compression == "xz" and len(join(list(reader.chunks()))) == 1


def test_xz_padding_between_streams(tmp_path):
    (tmp_path / "a.csv.xz").write_bytes(lzma.compress(b"1,2\n") + b"\0" * 8 + lzma.compress(b"3,4\n") + b"\0" * 4)
    assert len(read_trace(tmp_path / "a.csv.xz")) == 2


@pytest.mark.parametrize("suffix", PACKS)
def test_bombs_stop_at_the_limit(tmp_path, suffix):
    path = tmp_path / f"bomb.csv.{suffix}"
    path.write_bytes(PACKS[suffix](b"1,2\n" * 2**23))
    tracemalloc.start()
    message = refusal(path, limit_bytes=2**20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "grows to more than 1048576 bytes" in message and "raise the limit" in message
    assert peak < 20 * 2**20
    assert len(read_trace(path, limit_bytes=2**25)) == 2**23


def test_expanding_bombs_stop_at_the_limit(tmp_path):
    (tmp_path / "a.lis").write_text("0 1000000000000000 0 0\n")
    assert "grows to more than" in refusal(tmp_path / "a.lis", limit_bytes=2**24)
    write_trace(tmp_path / "a.parquet", Trace(address=np.zeros(2**20, np.uint64)))
    assert (tmp_path / "a.parquet").stat().st_size < 6000
    assert "grows to more than" in refusal(tmp_path / "a.parquet", limit_bytes=2**20)
    assert len(read_trace(tmp_path / "a.parquet", limit_bytes=2**23)) == 2**20


def test_a_trace_larger_than_memory_is_refused_before_it_fills_it(tmp_path, monkeypatch):
    from learnsys.traces import blocks

    (tmp_path / "a.lis").write_text("0 1000000000 0 0\n")
    monkeypatch.setattr(blocks, "_available_memory", lambda: 2**25)
    assert "do not fit in the 0.0 GiB of free memory; read in chunks" in refusal(tmp_path / "a.lis")


def test_long_lines_do_not_fill_memory(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"1,2\n" + b"3" * 2**25))
    tracemalloc.start()
    message = refusal(tmp_path / "a.csv.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "line 2: is longer than 1048576 bytes" in message
    assert peak < 2**25


def test_lines_may_lie_across_blocks(tmp_path, monkeypatch):
    from learnsys.traces import parsing

    monkeypatch.setattr(parsing, "BLOCK", 11)
    text = "".join(f"{i:x},{i * i:x}\n" for i in range(200))
    (tmp_path / "a.csv").write_text(text)
    assert read_trace(tmp_path / "a.csv").address.tolist() == [i * i for i in range(200)]
    (tmp_path / "a.csv").write_text(text + "x,y\n")
    assert "line 201, field 1" in refusal(tmp_path / "a.csv")


def test_reading_in_chunks_takes_bounded_memory(tmp_path):
    path = tmp_path / "a.csv.gz"
    line = b"".join(b"%016x,%016x\n" % (i, 64 * i) for i in range(2**16))
    path.write_bytes(gzip.compress(line * 16))
    reader = open_trace(path)
    list(reader.chunks(2**16))  # compiled and imported by now
    tracemalloc.start()
    count = sum(len(chunk) for chunk in reader.chunks(2**14))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 2**20 and peak < 20 * 2**20 < len(line) * 16


def test_a_pipe_is_read_once(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(b"I  10,4\n L 40,4\n" * 3))
    writer.start()
    reader = open_trace(path, filter=None)
    assert reader.format == "lackey" and [len(chunk) for chunk in reader.chunks(2)] == [2, 1]
    writer.join()
    with pytest.raises(InputError, match="can be read only once"):
        next(reader.chunks(2))


def test_samples():
    for name in sample_names():
        assert sample_path(name) == sample_path(f"sample:{name}")
        assert open_trace(f"sample:{name}").accesses
    with pytest.raises(InputError, match="no sample is called 'none'"):
        read_trace("sample:none")


# ---- the filter ----


class PlainCache:
    """A list of lines for each set, most recent last."""

    def __init__(self, sets: int, ways: int) -> None:
        self.sets: list[list[int]] = [[] for _ in range(sets)]
        self.ways = ways

    def access(self, line: int) -> bool:
        stack = self.sets[line % len(self.sets)]
        hit = line in stack
        if hit:
            stack.remove(line)
        elif len(stack) == self.ways:
            stack.pop(0)
        stack.append(line)
        return hit


@settings(max_examples=60, deadline=None)
@given(
    address=st.lists(st.integers(0, 2**12), min_size=1, max_size=300),
    l1=st.sampled_from([(128, 1), (256, 2), (512, 8)]),
    l2=st.sampled_from([(256, 1), (1024, 4), (384, 3)]),
    cut=st.integers(0, 300),
)
def test_filter_equals_two_plain_caches(address, l1, l2, cut):
    hierarchy = Hierarchy(CacheGeometry(*l1, 64), CacheGeometry(*l2, 64))
    first, second = PlainCache(hierarchy.l1.sets, l1[1]), PlainCache(hierarchy.l2.sets, l2[1])
    expected = [not first.access(a // 64) and not second.access(a // 64) for a in address]
    caches = CacheFilter(hierarchy)
    array = np.array(address, np.uint64)
    assert np.concatenate([caches.apply(array[:cut]), caches.apply(array[cut:])]).tolist() == expected


def test_filter_by_hand():
    # One set of one way, then one set of two ways: 0 and 1 alternate in the first and stay in the second.
    caches = CacheFilter(Hierarchy(CacheGeometry(64, 1, 64), CacheGeometry(128, 2, 64)))
    lines = np.array([0, 0, 1, 0, 1, 2, 0, 1], np.uint64)
    assert caches.apply(lines * np.uint64(64)).tolist() == [True, False, True, False, False, True, True, True]


def test_filter_without_levels():
    address = np.array([0, 0, 64, 0], np.uint64)
    assert CacheFilter(Hierarchy(None, None)).apply(address).all()
    only = CacheGeometry(128, 2, 64)
    for hierarchy in (Hierarchy(only, None), Hierarchy(None, only)):
        assert CacheFilter(hierarchy).apply(address).tolist() == [True, False, True, False]


def test_levels_in_words():
    assert parse_level("32KiB:8") == CacheGeometry(32768, 8, 64) and parse_level("none") is None
    for text in ("32KiB", "8:x", ":", "100:8"):
        with pytest.raises(InputError):
            parse_level(text)
    with pytest.raises(InputError, match="differ in their line size"):
        Hierarchy(CacheGeometry(128, 2, 64), CacheGeometry(128, 2, 32))
