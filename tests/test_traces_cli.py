"""`learnsys trace inspect`, `convert` and `synth`, as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from learnsys.cli import main
from learnsys.errors import InputError
from learnsys.traces import Trace, read_trace, write_trace
from learnsys.traces.formats import FORMATS
from learnsys.traces.profile import profile
from learnsys.traces.synthetic import KINDS, synthesize


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = main([str(each) for each in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def plain_distances(keys: list[int]) -> list[int | None]:
    """LRU stack distances from a list that is searched."""
    stack: list[int] = []
    distances: list[int | None] = []
    for key in keys:
        distances.append(stack.index(key) if key in stack else None)
        if key in stack:
            stack.remove(key)
        stack.insert(0, key)
    return distances


def test_profile_by_hand():
    line = np.array([0, 1, 0, 2, 0, 1], np.uint64)  # distances: first, first, 1, first, 1, 2
    trace = Trace(
        address=line * np.uint64(64) + np.uint64(3),
        pc=np.array([1, 2, 1, 2, 1, 9], np.uint64),
        store=np.array([1, 0, 0, 0, 0, 1], bool),
    )
    found = profile([trace[:2], trace[2:]], 64)
    assert found == {
        "accesses": 6,
        "objects": False,
        "distinct": 3,
        "line_size": 64,
        "footprint_bytes": 192,
        "pcs": 3,
        "stores": 2,
        "time": None,
        "reuse_distances": [
            {"from": 0, "to": 0, "accesses": 0},
            {"from": 1, "to": 1, "accesses": 2},
            {"from": 2, "to": 3, "accesses": 1},
            {"from": None, "to": None, "accesses": 3},
        ],
        "lru_curve": [
            {"capacity": 1, "bytes": 64, "miss_ratio": 1.0},
            {"capacity": 2, "bytes": 128, "miss_ratio": pytest.approx(4 / 6)},
            {"capacity": 4, "bytes": 256, "miss_ratio": pytest.approx(3 / 6)},
        ],
    }


def test_profile_equals_a_searched_list():
    trace = synthesize("zipf-churn", 3000, 1, objects=100, lifetime=500)
    distances = plain_distances(trace.address.tolist())
    found = profile([trace[i : i + 700] for i in range(0, 3000, 700)])
    for row in found["reuse_distances"]:
        inside = [d for d in distances if d is None] if row["from"] is None else [
            d for d in distances if d is not None and row["from"] <= d <= row["to"]
        ]  # fmt: skip
        assert row["accesses"] == len(inside)
    for row in found["lru_curve"]:
        misses = sum(d is None or d >= row["capacity"] for d in distances)
        assert row["miss_ratio"] == pytest.approx(misses / 3000) and row["bytes"] is None
    assert found["lru_curve"][-1]["capacity"] >= found["distinct"] > found["lru_curve"][-2]["capacity"]


def test_profile_of_sizes_and_times():
    ids = np.array([5, 6, 5], np.uint64)
    sizes, times = np.array([10, 20, 30], np.uint32), np.array([7, 9, 8])
    found = profile([Trace(address=ids, size=sizes, time=times, objects=True)])
    assert (found["footprint_bytes"], found["time"], found["objects"]) == (50, [7, 9], True)
    with pytest.raises(InputError, match="no power of two"):
        profile([synthesize("zipf", 3)], 48)
    with pytest.raises(InputError, match="no accesses to describe"):
        profile([])


def test_inspect(tmp_path, capsys):
    path = tmp_path / "a.parquet"
    trace = synthesize("loops", 5000, lines=16)
    write_trace(path, trace, metadata={"note": "[red]\x1b[31mhostile[/red]", "\x07": "x"})
    code, out, _ = run(capsys, "trace", "inspect", path)
    assert code == 0
    for text in ("5,000", "distinct lines", "240", "distinct PCs", "Reuse distance", "Miss ratio", "128 to 255"):
        assert text in out
    assert "\x1b[31m" not in out and "[red]" in out
    code, out, _ = run(capsys, "trace", "inspect", path, "--json")
    found = json.loads(out)
    assert found["format"] == "parquet" and found["bytes"] == path.stat().st_size
    assert {key: found[key] for key in profile([trace])} == profile([trace])


def test_inspect_of_a_part_and_of_raw_accesses(tmp_path, capsys):
    path = tmp_path / "a.lackey"
    path.write_text("I  100,4\n" + " L 40,4\n L 48,4\n S 80,4\n" * 10)
    assert json.loads(run(capsys, "trace", "inspect", path, "--json")[1])["accesses"] == 2
    raw = ("--l1", "none", "--l2", "none", "--json")
    found = json.loads(run(capsys, "trace", "inspect", path, *raw)[1])
    assert (found["accesses"], found["stores"], found["distinct"]) == (30, 10, 2)
    found = json.loads(run(capsys, "trace", "inspect", path, *raw, "--skip", 2, "--accesses", 5)[1])
    assert (found["accesses"], found["stores"]) == (5, 2)
    code, _, err = run(capsys, "trace", "inspect", path, "--skip", 2)
    assert code == 2 and "holds only 2 accesses; skip fewer" in err


@pytest.mark.parametrize("kind", KINDS)
def test_synth(kind, tmp_path, capsys):
    path = tmp_path / "a.parquet"
    code, out, _ = run(capsys, "trace", "synth", kind, path, "--accesses", 500, "--seed", 3)
    assert code == 0 and "500 accesses" in out
    trace = read_trace(path)
    expected = synthesize(kind, 500, 3)
    assert np.array_equal(trace.address, expected.address) and trace.objects == expected.objects


def test_synth_with_parameters(tmp_path, capsys):
    path = tmp_path / "a.csv"
    arguments = ("trace", "synth", "cyclic-scan", path, "--set", "lines=3", "--accesses", 9, "--json")
    code, out, _ = run(capsys, *arguments)
    assert code == 0 and json.loads(out) == {"file": str(path), "accesses": 9, "bytes": path.stat().st_size}
    assert np.unique(read_trace(path).address).size == 3


def test_convert_there_and_back(tmp_path, capsys):
    start = tmp_path / "a.parquet"
    trace = synthesize("stream-hot", 3000, 1)
    write_trace(start, trace)
    code, out, _ = run(capsys, "trace", "convert", start, tmp_path / "b.csv.gz")
    assert code == 0 and "3,000 accesses" in out
    code, out, _ = run(capsys, "trace", "convert", tmp_path / "b.csv.gz", tmp_path / "c.parquet", "--json")
    back = read_trace(tmp_path / "c.parquet")
    assert json.loads(out)["accesses"] == 3000
    assert np.array_equal(back.address, trace.address) and np.array_equal(back.pc, trace.pc)
    run(capsys, "trace", "convert", start, tmp_path / "d", "--to", "oraclegeneral", "--skip", 10, "--accesses", 20)
    part = read_trace(tmp_path / "d", format="oraclegeneral")
    assert np.array_equal(part.address, trace.address[10:30] >> np.uint64(6))


def test_convert_with_named_columns(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("where;who\n64;0x5\n")
    code, _, err = run(capsys, "trace", "convert", tmp_path / "a.csv", tmp_path / "b.parquet")
    assert code == 2 and "could be parrot or csv" in err
    names = ("--format", "csv", "--columns", "address=where", "pc=who")
    assert run(capsys, "trace", "convert", tmp_path / "a.csv", tmp_path / "b.parquet", *names)[0] == 0
    assert read_trace(tmp_path / "b.parquet").pc.tolist() == [5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("inspect", "{}/none"), "none: cannot be read: No such file or directory; check the name"),
        (("inspect", "{}"), "is a directory"),
        (("inspect", "sample:none"), "no sample is called 'none'"),
        (("inspect", "{}/bad.csv"), "bad.csv: line 2, field 1: holds 'x', which is no hexadecimal number"),
        (("inspect", "{}/good.csv", "--format", "lcs"), "does not begin like an lcs trace"),
        (("inspect", "{}/good.csv", "--format", "elf"), "no trace format is called 'elf'"),
        (("inspect", "{}/good.csv", "--line-size", "3"), "is no power of two"),
        (("inspect", "{}/good.csv", "--accesses", "0"), "an impossible part"),
        (("inspect", "{}/good.csv", "--l1", "7"), "'7' is no cache"),
        (("inspect", "{}/good.csv", "--columns", "pc"), "is not of the form NAME=VALUE"),
        (("inspect", "{}/good.csv", "--limit-bytes", "much"), "'much' is not a size"),
        (("inspect", "{}/bomb.lis", "--limit-bytes", "1MiB"), "grows to more than 1048576 bytes"),
        (("convert", "{}/bad.csv", "{}/out.parquet"), "bad.csv: line 2, field 1"),
        (("convert", "{}/good.csv", "{}/out.elf"), "has a name that tells no format that learnsys writes"),
        (("convert", "{}/good.csv", "{}/good.csv/out.csv"), "File exists"),
        (("synth", "none", "{}/out.parquet"), "no synthetic trace is called 'none'"),
        (("synth", "zipf", "{}/out.parquet", "--set", "objects=many"), "is not a number"),
        (("synth", "zipf", "{}/out.parquet", "--set", "lines=3"), "zipf has no parameter 'lines'"),
        (("synth", "zipf", "{}/out.parquet", "--accesses", "0"), "cannot be made"),
    ],
)
def test_mistakes_end_with_one_line_and_code_2(arguments, message, tmp_path, capsys):
    (tmp_path / "good.csv").write_text("1,2\n")
    (tmp_path / "bad.csv").write_text("1,2\nx,2\n")
    (tmp_path / "bomb.lis").write_text("0 99999999999 0 0\n")
    before = sorted(tmp_path.iterdir())
    code, out, err = run(capsys, "trace", *(each.replace("{}", str(tmp_path)) for each in arguments))
    assert code == 2 and not out
    assert err.startswith("learnsys: ") and message in err and err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_formats(capsys):
    found = json.loads(run(capsys, "trace", "formats", "--json")[1])
    assert [each["name"] for each in found] == list(FORMATS)
    assert [each["name"] for each in found if each["written"]] == ["parquet", "parrot", "oraclegeneral"]
    assert all(each["what"] and each["suffixes"] for each in found)
    assert ".champsimtrace" in run(capsys, "trace", "formats")[1]


def test_as_a_program(tmp_path):
    command = [sys.executable, "-m", "learnsys", "trace", "inspect", str(tmp_path / "none.parquet")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2 and "Traceback" not in result.stderr and result.stderr.count("\n") == 1
