"""Opening, reading and writing traces: round trips, chunks, streams, limits, the filter."""

from __future__ import annotations

import gzip
import lzma
import os
import threading
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError
from learnsys.testing.traces import check_trace_reader, equal, mutated, read_or_refuse, truncated
from learnsys.traces import Trace, open_trace, read_trace, sample_names, sample_path, write_trace
from learnsys.traces.blocks import COLUMNS, gather, join, recut
from learnsys.traces.filters import CacheFilter
from learnsys.traces.formats.parquet import sealed
from learnsys.traces.hierarchy import Hierarchy, parse_level

U64 = st.integers(0, 2**64 - 1)


@st.composite
def traces(draw, kinds=("pc", "store", "size", "time")):
    n = draw(st.integers(1, 60))
    values = {"pc": U64, "store": st.booleans(), "size": st.integers(0, 2**32 - 1), "time": st.integers(0, 2**63 - 1)}
    present = [name for name in kinds if draw(st.booleans())]
    columns = {
        name: np.array(draw(st.lists(values.get(name, U64), min_size=n, max_size=n)), COLUMNS[name])
        for name in ["address", *present]
    }
    return Trace(objects=draw(st.booleans()), **columns)


def simple(n: int = 100, **columns: np.ndarray) -> Trace:
    return Trace(address=np.arange(n, dtype=np.uint64), **columns)


def refused(path, **arguments) -> str:
    with pytest.raises(InputError) as caught:
        read_trace(path, **arguments)
    return str(caught.value)


# ---- round trips ----


@settings(max_examples=40, deadline=None)
@given(trace=traces())
def test_parquet_keeps_everything(tmp_path_factory, trace):
    path = tmp_path_factory.mktemp("parquet") / "a.parquet"
    write_trace(path, trace, metadata={"made by": "a test"})
    assert equal(check_trace_reader(path), trace)
    assert open_trace(path).metadata == {"made by": "a test"}


@settings(max_examples=40, deadline=None)
@given(trace=traces(kinds=("pc",)), suffix=st.sampled_from(["", ".gz", ".xz", ".zst"]))
def test_parrot_csv_keeps_pc_and_address(tmp_path_factory, trace, suffix):
    path = tmp_path_factory.mktemp("csv") / f"a.csv{suffix}"
    if trace.objects and trace.address.max() >= 2**58:
        with pytest.raises(InputError, match="object ids above"):
            write_trace(path, trace)
        assert not path.exists()
        return
    write_trace(path, trace)
    back = check_trace_reader(path)
    assert np.array_equal(back.address, trace.address << np.uint64(6) if trace.objects else trace.address)
    assert np.array_equal(back.pc, np.zeros(len(trace)) if trace.pc is None else trace.pc)


@settings(max_examples=40, deadline=None)
@given(trace=traces(kinds=("size",)), suffix=st.sampled_from(["", ".zst"]))
def test_oraclegeneral_keeps_objects_and_finds_next_requests(tmp_path_factory, trace, suffix):
    path = tmp_path_factory.mktemp("oracle") / f"a.oracleGeneral{suffix}"
    write_trace(path, trace)
    back = check_trace_reader(path)
    ids = trace.address if trace.objects else trace.address >> np.uint64(6)
    assert back.objects and np.array_equal(back.address, ids)
    assert np.array_equal(back.time, np.arange(len(trace)))
    if trace.size is not None:
        assert np.array_equal(back.size, trace.size)
    data = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes()) if suffix else path.read_bytes()
    following = np.frombuffer(data, [("head", "V16"), ("next", "<i8")])["next"]
    for i, key in enumerate(ids.tolist()):
        later = [j + 1 for j in range(i + 1, len(ids)) if ids[j] == key]  # requests count from 1
        assert following[i] == (later[0] if later else -1)


def test_next_requests_reach_across_blocks(tmp_path, monkeypatch):
    from learnsys.traces.formats import oraclegeneral

    monkeypatch.setattr(oraclegeneral, "_BLOCK", 7)
    ids = np.random.default_rng(0).integers(5, size=40).astype(np.uint64)
    write_trace(tmp_path / "a.oracleGeneral", Trace(address=ids, objects=True))
    records = np.fromfile(tmp_path / "a.oracleGeneral", oraclegeneral.OracleGeneral.record)
    expected = [next((j + 1 for j in range(i + 1, 40) if ids[j] == ids[i]), -1) for i in range(40)]
    assert records["next"].tolist() == expected


def test_oraclegeneral_is_what_libcachesim_reads(tmp_path):
    libcachesim = pytest.importorskip("libcachesim")
    ids = np.random.default_rng(0).zipf(1.2, 20_000).astype(np.uint64) % np.uint64(3000)
    path = tmp_path / "a.oracleGeneral"
    write_trace(path, Trace(address=ids, objects=True))
    options = libcachesim.ReaderInitParam(ignore_obj_size=True)
    reader = libcachesim.TraceReader(str(path), libcachesim.TraceType.ORACLE_GENERAL_TRACE, options)
    ratio, _ = libcachesim.Belady(cache_size=100, reader=reader).process_trace(reader)
    following = dict.fromkeys(ids.tolist(), len(ids))
    next_use = np.empty(len(ids), np.int64)
    for i in range(len(ids) - 1, -1, -1):
        next_use[i], following[int(ids[i])] = following[int(ids[i])], i
    cached: dict[int, int] = {}
    misses = 0
    for key, later in zip(ids.tolist(), next_use.tolist(), strict=True):
        if key not in cached:
            misses += 1
            if len(cached) == 100:
                del cached[max(cached, key=cached.__getitem__)]
        cached[key] = later
    assert round(ratio * len(ids)) == misses


def test_address_traces_become_objects_of_a_line(tmp_path):
    trace = Trace(address=np.array([64, 127, 128], np.uint64), pc=np.array([1, 2, 3], np.uint64))
    write_trace(tmp_path / "a.oracleGeneral", trace)
    back = read_trace(tmp_path / "a.oracleGeneral")
    assert back.address.tolist() == [1, 1, 2] and back.size.tolist() == [64, 64, 64]


def test_time_that_does_not_fit_is_refused(tmp_path):
    trace = simple(3, time=np.array([0, 2**32, 1]))
    with pytest.raises(InputError, match="32 bits for the time, too few for 0 to 4294967296"):
        write_trace(tmp_path / "a.oracleGeneral", trace)
    assert list(tmp_path.iterdir()) == []


# ---- writing ----


def test_chunks_are_written_as_they_come(tmp_path):
    chunks = [simple(10), simple(0), simple(3)]
    write_trace(tmp_path / "a.parquet", iter(chunks))
    assert read_trace(tmp_path / "a.parquet").address.tolist() == [*range(10), *range(3)]


@pytest.mark.parametrize("chunks", [[], [simple(0)], [simple(2), simple(2, pc=np.zeros(2, np.uint64))]])
@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.oracleGeneral", "a.csv.gz"])
def test_what_cannot_be_written_leaves_the_old_file(tmp_path, chunks, name):
    path = tmp_path / name
    path.write_text("old")
    with pytest.raises(InputError):
        write_trace(path, iter(chunks))
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_an_error_in_the_middle_leaves_nothing(tmp_path):
    def chunks():
        yield simple(10)
        raise OSError(28, "No space left on device")

    for name in ("a.parquet", "a.csv.zst", "a.oracleGeneral"):
        with pytest.raises(OSError, match="No space left"):
            write_trace(tmp_path / name, chunks())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("a.elf", {}, "has a name that tells no format that learnsys writes"),
        ("a.lcs", {}, "has a name that tells no format that learnsys writes"),
        ("a.bin", {"format": "lcs"}, "traces cannot be written as lcs"),
        ("a.parquet.gz", {}, "parquet is compressed in itself"),
    ],
)
def test_impossible_outputs(tmp_path, name, arguments, message):
    with pytest.raises(InputError, match=message):
        write_trace(tmp_path / name, simple(), **arguments)
    with pytest.raises(InputError, match="is a directory"):
        write_trace(tmp_path, simple(), format="parquet")


# ---- parquet ----


def test_foreign_parquet_with_signed_and_narrow_columns(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"vaddr": pa.array([-1, 5], pa.int64()), "size": pa.array([1, 2], pa.int8())}), path)
    assert "has no address or object column: vaddr, size" in refused(path)
    trace = read_trace(path, columns={"address": "vaddr"})
    assert trace.address.tolist() == [2**64 - 1, 5] and trace.size.tolist() == [1, 2] and not trace.objects
    assert read_trace(path, columns={"object": "vaddr"}).objects
    assert "has no column 'pcs'" in refused(path, columns={"object": "vaddr", "pc": "pcs"})


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([1, None]), "rows 0 to 1: column 'address': has empty values"),
        (pa.array([1.0, 2.0]), "rows 0 to 1: column 'address': is of type double, not integer"),
        (pa.array(["1", "2"]), "is of type string, not integer"),
        (pa.array([], pa.int64()), "holds no memory access"),
    ],
)
def test_parquet_columns_that_cannot_be_read(tmp_path, column, message):
    pq.write_table(pa.table({"address": column}), tmp_path / "a.parquet")
    assert message in refused(tmp_path / "a.parquet")


def test_parquet_values_out_of_range(tmp_path):
    pq.write_table(pa.table({"address": [1], "size": [2**32]}), tmp_path / "a.parquet")
    assert "column 'size': has a value out of range" in refused(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        (sealed({"version": 2}), "version 2; this learnsys knows 1; upgrade"),
        (sealed({"version": 1, "accesses": 4, "metadata": {}}), "holds 3 accesses where 4 were written"),
        (
            sealed({"version": 1, "accesses": 3, "crc32": {"address": 5}, "metadata": {}}),
            "other columns or values than were written",
        ),
        (sealed({"version": 1}).replace("1", "2", 1), "metadata are not as written"),
        ("[]", "metadata are not as written"),
        ("{", "metadata are not as written"),
        ("[" * 10_000, "metadata are not as written"),
    ],
)
def test_parquet_checks_what_it_was_written_with(tmp_path, notes, message):
    table = pa.table({"address": pa.array([1, 2, 3], pa.uint64())}).replace_schema_metadata({"learnsys": notes})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match=message):
        read_trace(tmp_path / "a.parquet")


def test_parquet_with_two_columns_of_one_name(tmp_path):
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["address", "address"]), tmp_path / "a.parquet")
    assert "is damaged" in refused(tmp_path / "a.parquet")
    pq.write_table(pa.table({"address": [1], "object": [2]}), tmp_path / "a.parquet")
    assert "has both an address and an object column" in refused(tmp_path / "a.parquet")
    assert read_trace(tmp_path / "a.parquet", columns={"object": "object"}).address.tolist() == [2]


def test_damaged_parquet_is_never_misread(tmp_path):
    rng = np.random.default_rng(0)
    trace = simple(300, pc=rng.integers(5, size=300, dtype=np.uint64), store=rng.random(300) < 0.5)
    path = tmp_path / "a.parquet"
    write_trace(path, trace)
    data = path.read_bytes()
    cut = list(truncated(data))
    for damaged in [*cut[:: max(1, len(cut) // 150)], *(mutated(data, rng) for _ in range(300))]:
        path.write_bytes(damaged)
        result = read_or_refuse(path)
        assert isinstance(result, InputError) or equal(result, trace)
    for place in range(0, len(data), max(1, len(data) // 300)):
        flipped = bytearray(data)
        flipped[place] ^= 0x10
        path.write_bytes(flipped)
        result = read_or_refuse(path)
        assert isinstance(result, InputError) or equal(result, trace)


def test_parquet_inside_another_compression(tmp_path):
    write_trace(tmp_path / "a.parquet", simple())
    (tmp_path / "b.parquet.gz").write_bytes(gzip.compress((tmp_path / "a.parquet").read_bytes()))
    assert "is a parquet file inside another compression" in refused(tmp_path / "b.parquet.gz")


# ---- files and compressions ----


def test_files_that_cannot_be_opened(tmp_path):
    assert "No such file" in refused(tmp_path / "none")
    assert "is a directory" in refused(tmp_path)
    assert "is neither a file nor a pipe" in refused("/dev/null")
    (tmp_path / "empty.csv").touch()
    assert "is empty" in refused(tmp_path / "empty.csv")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b""))
    assert "holds no data" in refused(tmp_path / "a.csv.gz")
    assert "embedded null" in refused("a\0b")
    assert "No such file" in refused("a" * 200) and "too long" in refused("a" * 5000)
    (tmp_path / "plain.csv.xz").write_text("1,2\n")
    assert "is named .xz but is not compressed" in refused(tmp_path / "plain.csv.xz")
    if os.geteuid():
        (tmp_path / "secret.csv").write_text("1,2\n")
        (tmp_path / "secret.csv").chmod(0)
        assert "Permission denied" in refused(tmp_path / "secret.csv")


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
    assert "data is cut off or damaged" in refused(path)
    path.write_bytes(packed + packed[:7])
    assert "data is cut off or damaged" in refused(path)
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
    message = refused(path, limit_bytes=2**20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "grows to more than 1048576 bytes" in message and "raise the limit" in message
    assert peak < 20 * 2**20
    assert len(read_trace(path, limit_bytes=2**25)) == 2**23


def test_expanding_bombs_stop_at_the_limit(tmp_path):
    (tmp_path / "a.lis").write_text("0 1000000000000000 0 0\n")
    assert "grows to more than" in refused(tmp_path / "a.lis", limit_bytes=2**24)
    write_trace(tmp_path / "a.parquet", Trace(address=np.zeros(2**20, np.uint64)))
    assert (tmp_path / "a.parquet").stat().st_size < 6000
    assert "grows to more than" in refused(tmp_path / "a.parquet", limit_bytes=2**20)
    assert len(read_trace(tmp_path / "a.parquet", limit_bytes=2**23)) == 2**20


def test_a_trace_larger_than_memory_is_refused_before_it_fills_it(tmp_path, monkeypatch):
    from learnsys.traces import blocks

    (tmp_path / "a.lis").write_text("0 1000000000 0 0\n")
    monkeypatch.setattr(blocks, "_available_memory", lambda: 2**25)
    assert "do not fit in the 0.0 GiB of free memory; read in chunks" in refused(tmp_path / "a.lis")


def test_long_lines_do_not_fill_memory(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"1,2\n" + b"3" * 2**25))
    tracemalloc.start()
    message = refused(tmp_path / "a.csv.gz")
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
    assert "line 201, field 1" in refused(tmp_path / "a.csv")


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


# ---- chunks ----


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(0, 9), max_size=12), n=st.integers(1, 12))
def test_recut_keeps_the_accesses(lengths, n):
    whole = simple(sum(lengths))
    ends = np.cumsum(lengths)
    blocks = [whole[int(end) - length : int(end)] for end, length in zip(ends, lengths, strict=True)]
    chunks = list(recut(blocks, n))
    assert [len(chunk) for chunk in chunks] == [n] * (len(whole) // n) + [len(whole) % n] * (len(whole) % n > 0)
    if chunks:
        assert equal(join(chunks), whole) and equal(gather(blocks), whole)


def test_chunks_with_different_columns_do_not_join():
    pair = [simple(2), simple(2, pc=np.zeros(2, np.uint64))]
    for function in (join, gather):
        with pytest.raises(InputError, match="chunks differ in their columns: address, then pc, address"):
            function(pair)
    with pytest.raises(InputError, match="there are no accesses"):
        gather([])
    with pytest.raises(InputError, match="chunks of 0 accesses"):
        next(open_trace_of(simple(2)).chunks(0))


def open_trace_of(trace: Trace):
    import tempfile

    folder = tempfile.mkdtemp()
    write_trace(f"{folder}/a.parquet", trace)
    return open_trace(f"{folder}/a.parquet")


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
