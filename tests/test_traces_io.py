"""Reading and writing traces: round trips, parquet, chunks."""

from __future__ import annotations

import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from learnsys.errors import InputError
from learnsys.testing.traces import check_trace_reader, equal, mutated, read_or_refuse, refusal, truncated
from learnsys.traces import Trace, open_trace, read_trace, write_trace
from learnsys.traces.blocks import COLUMNS, gather, join, recut
from learnsys.traces.formats.parquet import sealed

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
    assert "has no address or object column: vaddr, size" in refusal(path)
    trace = read_trace(path, columns={"address": "vaddr"})
    assert trace.address.tolist() == [2**64 - 1, 5] and trace.size.tolist() == [1, 2] and not trace.objects
    assert read_trace(path, columns={"object": "vaddr"}).objects
    assert "has no column 'pcs'" in refusal(path, columns={"object": "vaddr", "pc": "pcs"})


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
    assert message in refusal(tmp_path / "a.parquet")


def test_parquet_values_out_of_range(tmp_path):
    pq.write_table(pa.table({"address": [1], "size": [2**32]}), tmp_path / "a.parquet")
    assert "column 'size': has a value out of range" in refusal(tmp_path / "a.parquet")


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
    assert "is damaged" in refusal(tmp_path / "a.parquet")
    pq.write_table(pa.table({"address": [1], "object": [2]}), tmp_path / "a.parquet")
    assert "has both an address and an object column" in refusal(tmp_path / "a.parquet")
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
    assert "is a parquet file inside another compression" in refusal(tmp_path / "b.parquet.gz")


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
