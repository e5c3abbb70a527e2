"""Every trace format: what its example files hold, and that no damaged file is misread."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest
import zstandard

from learnsys.errors import InputError
from learnsys.testing.trace_examples import EXAMPLES, Example
from learnsys.testing.trace_reference import REFERENCES
from learnsys.testing.traces import check_trace_reader, equal, mutated, read_or_refuse, truncated
from learnsys.traces import Trace, open_trace, read_trace
from learnsys.traces.blocks import COLUMNS, columns_of
from learnsys.traces.formats import FORMATS, make_format

LIMIT = 2**24
SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"
PLAIN = [example for example in EXAMPLES if "filtered" not in example.name]
by_name = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
plain_by_name = pytest.mark.parametrize("example", PLAIN, ids=lambda example: example.name)


def written(folder: Path, example: Example, data: bytes | None = None, suffix: str = "") -> Path:
    path = folder / (example.name + suffix)
    path.write_bytes(example.data if data is None else data)
    return path


def same_as_reference(example: Example, data: bytes, result: Trace | InputError) -> bool:
    """Whether the reader and the plain reference reader agree on a file."""
    try:
        columns = REFERENCES[example.format](data)
    except ValueError:
        columns = {"address": []}
    if not columns["address"]:
        return isinstance(result, InputError)
    expected = Trace(**{name: np.array(values, COLUMNS[name]) for name, values in columns.items()})
    return isinstance(result, Trace) and equal(Trace(**columns_of(result)), expected)


def test_every_format_has_an_example():
    assert {example.format for example in EXAMPLES} | {"parquet"} == set(FORMATS)
    assert set(REFERENCES) | {"parquet"} == set(FORMATS)


@by_name
def test_example_holds_what_was_worked_out_by_hand(example, tmp_path):
    path = written(tmp_path, example)
    assert open_trace(path, **example.arguments).format == example.format
    assert equal(check_trace_reader(path, **example.arguments), example.trace)


@plain_by_name
def test_reference_reader_agrees_with_the_example(example):
    columns = REFERENCES[example.format](example.data)
    assert {name: list(map(int, values)) for name, values in columns.items()} == dict(example.columns)


@by_name
@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, zstandard.compress], ids=["gz", "xz", "zst"])
def test_compressed_example_reads_the_same(example, pack, tmp_path):
    suffix = {gzip.compress: ".gz", lzma.compress: ".xz"}.get(pack, ".zst")
    path = written(tmp_path, example, pack(example.data), suffix)
    assert equal(check_trace_reader(path, **example.arguments), example.trace)


@plain_by_name
def test_cut_off_at_every_byte(example, tmp_path):
    for data in truncated(example.data):
        if example.format == "lcs" and 1200 < len(data) < 8000:
            continue  # the inside of a long header: the same everywhere
        path = written(tmp_path, example, data)
        result = read_or_refuse(path, format=example.format, filter=None, limit_bytes=LIMIT)
        assert same_as_reference(example, data, result), data


@plain_by_name
def test_damaged_files_are_refused_or_read_as_they_stand(example, tmp_path):
    rng = np.random.default_rng(1)
    for _ in range(150):
        data = mutated(example.data, rng)
        path = written(tmp_path, example, data)
        result = read_or_refuse(path, format=example.format, filter=None, limit_bytes=LIMIT)
        assert same_as_reference(example, data, result), data


@plain_by_name
def test_a_damaged_file_is_not_taken_for_another_format(example, tmp_path):
    rng = np.random.default_rng(2)
    for _ in range(50):
        path = written(tmp_path, example, mutated(example.data, rng))
        if isinstance(read_or_refuse(path, filter=None, limit_bytes=LIMIT), Trace):
            assert open_trace(path).format == example.format


@pytest.mark.parametrize("name", FORMATS)
def test_noise_is_refused_by_every_format_with_structure(name, tmp_path):
    path = tmp_path / "noise"
    path.write_bytes(np.random.default_rng(0).bytes(64 * 60))
    if name == "cache2k":
        assert len(read_trace(path, format=name)) == 16 * 60
    else:
        assert isinstance(read_or_refuse(path, format=name), InputError)


ERRORS = [
    ("parrot", b"0x1,0x2\n0x3,0xg\n", "line 2, field 2: holds '0xg', which is no hexadecimal number"),
    ("parrot", b"0x1,0x2\n\n1\n", "line 3: has 1 fields, not 2"),
    ("parrot", b"0x1,0x2,0x3\n", "line 1: has more than 2 fields"),
    ("parrot", b"0x1,0x10000000000000000\n", "line 1, field 2: holds '0x10000000000000000', which is too large"),
    ("parrot", b"0x1,\n", "line 1, field 2: holds an empty field, which is no hexadecimal number"),
    ("parrot", b'0x1,"0x2\n', "line 1, field 2: opens a quotation that does not end"),
    ("parrot", b"\n \n", "holds no memory access"),
    ("parrot", b"1,\x1b[31m2\n", "line 1, field 2: holds '\\x1b[31m2', which is no hexadecimal number"),
    ("parrot-txt", b"0 1 2\n0 -1 2\n", "line 2, field 2: holds '-1', which is no whole number"),
    ("arc", b"1 2 3 4\n18446744073709551615 2 0 0\n", "line 2: has a run of 2 blocks from 18446744073709551615 on"),
    ("arc", b"1 99999999999 0 0\n", f"grows to more than {LIMIT} bytes"),
    ("lackey", b" L 10,4\n", "line 1: has a data access before the first instruction"),
    ("lackey", b"I  10,4\n X 10,4\n", "line 2, field 1: holds 'X', which is no word known here"),
    ("lackey", b"I  10,4\n L 10,5000\n", "line 2, field 3: holds '5000', which is too large"),
    ("lackey", b"I  10,4\n", "holds no memory access"),
    ("csv", b"when,pc\n1,2\n", "line 1: has no address or object column: when, pc"),
    ("csv", b"object,address\n1,2\n", "line 1: has both an address and an object column"),
    ("csv", b"id,key\n1,2\n", "line 1: has several columns for object: id, key"),
    ("csv", b"address,size\n1,4294967296\n", "line 2, field 2: holds '4294967296', which is too large"),
    ("csv", b"address,time\n1,1.5\n", "line 2, field 2: holds '1.5', which is no whole number; write decimal"),
    ("csv", b"address,rw\n1,x\n", "line 2, field 2: holds 'x', which is no word known here"),
    ("csv", b"address\n", "holds no memory access"),
    ("champsim", b"\0" * 64 + b"\0" * 63, "record 2 (byte 64): is cut off: 63 of 64 bytes"),
    ("champsim", b"\0" * 64 + b"\0" * 8 + b"\2" + b"\0" * 55, "record 2 (byte 64): has a branch flag"),
    ("champsim", b"\0" * 64, "holds no memory access"),
    ("oraclegeneral", b"\0" * 24 + b"\0" * 16 + b"\xfe" + b"\xff" * 7, "record 2 (byte 24): has a next request"),
    ("cache2k", b"\0" * 7, "record 2 (byte 4): is cut off: 3 of 4 bytes"),
    ("vscsi", b"\0" * 80, "record 1 (byte 0): has no vSCSI version 1 or 2"),
    ("lcs", b"\0" * 9000, "byte 0: does not begin like an lcs trace"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "message"), ERRORS)
def test_errors_name_the_place(name, data, message, tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_trace(path, format=name, limit_bytes=LIMIT)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert caught.value.remedy


def example_of(name: str) -> Example:
    return next(each for each in EXAMPLES if each.name == name)


@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [
        ("one.lcs", 8, 9, "byte 8: is of lcs version 9; known are 1 to 8"),
        ("one.lcs", 24, 3, "holds 2 requests where its header promises 3"),
        ("one.lcs", 24, 2**63, "header: promises -9223372036854775808 requests"),
        ("one.lcs", 8184, 0, "header: has no whole lcs header"),
        ("spelled.lcs", 1016, 0, "header: has no whole lcs header"),
    ],
)
def test_lcs_headers(name, place, value, message, tmp_path):
    data = bytearray(example_of(name).data)
    data[place : place + 8] = value.to_bytes(8, "little")
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_trace(path)
    assert message in str(caught.value)


def test_lcs_fields_are_checked(tmp_path):
    for place, value, message in [
        (8, b">", "spells its records as"),
        (9, b"x", "spells its records as"),
        (248, b"\0", "numbers its fields as"),
        (249, b"\1", "numbers its fields as"),
        (250, b"\x09", "numbers its fields as"),
        (1004, b"\x07", "has records of 7 bytes whose fields take 23"),
        (9, b"d", "has an id, size, time or operation that is no whole number"),
    ]:
        data = bytearray(example_of("spelled.lcs").data)
        data[place : place + 1] = value
        path = tmp_path / "a.lcs"
        path.write_bytes(data)
        with pytest.raises(InputError, match=message):
            read_trace(path)


def test_columns_are_found_by_the_names_that_are_given(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("vpn,at,address,when\n0x10,7,8,9\n")
    trace = read_trace(path, format="csv", columns={"address": "vpn", "time": "when"})
    assert trace.address.tolist() == [16] and trace.time.tolist() == [9]
    trace = read_trace(path, columns={"object": "at"})
    assert trace.address.tolist() == [7] and trace.objects
    for columns, message in [
        ({"address": "none"}, "has no column 'none', only vpn, at, address, when"),
        ({"colour": "vpn"}, "a trace has no column 'colour'"),
    ]:
        with pytest.raises(InputError) as caught:
            read_trace(path, format="csv", columns=columns)
        assert message in str(caught.value)
    path.write_text("1,2\n")
    with pytest.raises(InputError, match="read as parrot, which has no names for its columns"):
        read_trace(path, columns={"address": "vpn"})


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.txt", b"I  10,4\n L 10,4\n", "lackey"),
        ("a.trace", b"I  10,4\n L 10,4\n", "lackey"),
        ("a.csv", b"pc,address\n1,2\n", "csv"),
        ("a.txt", b"pc,address\n1,2\n", "csv"),
        ("a.csv", b"12,3e\n1,2\n", "parrot"),
        ("nothing", b"12,3e\n1,2\n", "parrot"),
        ("a.lis", b"bad 1 2 3\n", "arc"),
        ("a.trace", b"\0\0\0\1\0\0\0\2", "cache2k"),
    ],
)
def test_format_is_found_from_content_and_name(name, data, expected, tmp_path):
    path = tmp_path / name
    path.write_bytes(data)
    assert open_trace(path).format == expected


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.bin", b"\0\0\0\1\0\0\0\2", "in no trace format that learnsys knows"),
        ("a.bin", b"hello", "in no trace format that learnsys knows"),
        ("a.csv", b"hello\n", "could be parrot or csv"),
        ("a.vscsi", b"1,2\n", "could be vscsi or parrot"),
        ("a.parquet", b"1,2\n", "could be parquet or parrot"),
    ],
)
def test_doubtful_formats_are_asked_for(name, data, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        open_trace(path)
    assert "--format" in str(caught.value)


def test_unknown_format_is_named():
    with pytest.raises(InputError, match="no trace format is called 'elf'; choose from parquet"):
        make_format("elf")


@pytest.mark.parametrize(
    ("name", "accesses", "unique"),
    [
        ("arc_OLTP.lis.zst", 914_145, 186_880),
        ("arc_P3.lis.zst", 3_912_296, 762_543),
        ("cache2k_web07.trace.xz", 76_118, 20_484),
        ("cache2k_orm-busy.trace.xz", 5_000_000, 76_349),
    ],
)
def test_public_traces_have_the_published_counts(name, accesses, unique):
    path = SHARED / "objects" / name
    if not path.exists():
        pytest.skip("needs the public traces")
    trace = read_trace(path)
    assert (len(trace), np.unique(trace.address).size, trace.objects) == (accesses, unique, True)


def test_recorded_traces_are_read():
    path = SHARED / "llc" / "stockfish.parquet"
    if not path.exists():
        pytest.skip("needs the recorded traces")
    trace = read_trace(path)
    assert len(trace) == 2_000_000 and trace.pc is not None and trace.store is not None
    assert np.unique(trace.pc).size == 573 and np.unique(trace.address >> np.uint64(6)).size == 597_265
