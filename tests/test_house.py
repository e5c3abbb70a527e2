"""Errors, atomic files, run folders, parallel jobs and the command line's exit codes."""

import json
import os
import pickle
import resource
import subprocess
import sys
from dataclasses import dataclass

import pytest

from learnsys.cli import main
from learnsys.errors import InputError
from learnsys.files import atomic_path, write_json, write_text
from learnsys.runs import Run, find_runs, read_json, read_metrics


def test_input_error_names_file_place_and_remedy_in_one_line():
    error = InputError("bad\nnumber", file="a.csv", place="line 3", remedy="mend it")
    assert str(error) == "a.csv: line 3: bad number; mend it"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_atomic_write_keeps_the_old_file_on_failure(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_full_disk_leaves_the_old_file_and_no_remains(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError):
            write_json(path, {"new": "x" * 5000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read_json(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["a.json"]


@dataclass(frozen=True)
class Config:
    seed: int = 0
    rate: float = 0.1


def test_run_folder(tmp_path):
    run = Run(tmp_path / "run", Config())
    run.log(step=1, loss=0.5)
    run.log(step=2, loss=0.25)
    with open(tmp_path / "run/metrics.jsonl", "a") as file:
        file.write('{"step": 3, "lo')  # the process was killed here
    assert [line["step"] for line in read_metrics(tmp_path / "run")] == [1, 2]
    again = Run(tmp_path / "run", Config())
    again.rewind("step", 1)
    assert read_metrics(tmp_path / "run") == [{"step": 1, "loss": 0.5}]
    again.finish({"result": 1}, {"seconds": 2.0})
    assert read_json(tmp_path / "run/summary.json") == {"result": 1}
    assert find_runs(tmp_path) == [tmp_path / "run"]
    with pytest.raises(InputError, match=r"another configuration \(seed is 0 there, 1 here\)"):
        Run(tmp_path / "run", Config(seed=1))


def test_run_folder_says_what_differs(tmp_path):
    first = {"data": ["a"], "data_sha256": "0", "model": {"width": 8, "depth": 2}, "samples": 3}
    Run(tmp_path, first)
    Run(tmp_path, first | {"data": ["moved/a"]})
    assert read_json(tmp_path / "config.json")["data"] == ["moved/a"]
    for change, words in (
        ({"data_sha256": "1"}, r'data is \["moved/a"\] there, \["a"\] here'),
        ({"data": ["moved/a"], "data_sha256": "1"}, 'data_sha256 is "0" there, "1" here'),
        ({"model": {"width": 16, "depth": 2}}, "model.width is 8 there, 16 here"),
        ({"model": 3}, r"model is .* there, 3 here"),
        ({"seed": 0}, "seed is given only here"),
    ):
        with pytest.raises(InputError, match=words):
            Run(tmp_path, first | change)
    write_json(tmp_path / "config.json", [1])
    with pytest.raises(InputError, match=r"content is \[1\] there"):
        Run(tmp_path, first)


def test_read_json_says_where(tmp_path):
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match=r"bad\.json: not JSON"):
        read_json(tmp_path / "bad.json")
    with pytest.raises(InputError, match="no such file"):
        read_json(tmp_path / "none.json")


def test_usage_and_exit_codes(capsys):
    assert main([]) == 0
    assert "cache simulate" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert main(["cache", "--help"]) == 0
    assert "trace record" not in capsys.readouterr().out
    assert main(["cache", "bake"]) == 2
    assert "no command 'cache bake'" in capsys.readouterr().err
    assert main(["run", "show", "no/such/folder"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "no/such/folder" in captured.err


def test_doctor_reports_and_is_json(capsys):
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["versions"]["numba"][0].isdigit()
    assert set(found["tools"]) >= {"valgrind", "gcc"}


def test_run_commands(tmp_path, capsys):
    run = Run(tmp_path / "first", {"recipe": "parrot", "seed": 0})
    for step in range(5):
        run.log(step=step, loss=1 / (step + 1), validation_hit_rate=0.5 + step / 100)
    run.finish({"hit_rate": 0.54, "policies": {"lru": 0.5}}, {"seconds": 1.0})
    Run(tmp_path / "second", {"recipe": "parrot", "seed": 1})
    assert main(["run", "list", str(tmp_path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["first", "second"]
    assert [row["finished"] for row in rows] == [True, False]
    assert main(["run", "show", str(tmp_path / "first")]) == 0
    assert "0.54" in capsys.readouterr().out
    both = [str(tmp_path / "first"), str(tmp_path / "second")]
    assert main(["run", "compare", *both, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["configuration"] == {"seed": [0, 1]}
    assert found["result"] == {"hit_rate": [0.54, None], "policies.lru": [0.5, None]}
    assert main(["run", "compare", *both]) == 0
    assert "second has not finished" in capsys.readouterr().out
    assert main(["run", "compare", both[0]]) == 2
    page = tmp_path / "report.html"
    assert main(["run", "report", str(tmp_path / "first"), str(tmp_path / "second"), "--out", str(page)]) == 0
    text = page.read_text()
    assert "<svg" in text and "first" in text
    assert "http-equiv" not in text and "src=" not in text  # nothing is loaded from elsewhere
    assert main(["run", "report", str(tmp_path / "none"), "--out", str(page)]) == 2
    assert page.read_text() == text


def test_rows_of_policies_are_compared_one_by_one(tmp_path, capsys):
    for number, name in enumerate(("first", "second")):
        rows = [{"policy": "lru", "size": 3 + number, "course": [1, 2]}, {"policy": "belady", "size": 5, "course": []}]
        Run(tmp_path / name, {}).finish({"results": rows, "runs": [{"policy": "lru"}, {"policy": "lru"}]}, {})
    assert main(["run", "compare", str(tmp_path / "first"), str(tmp_path / "second"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"] == {
        "results.lru.size": [3, 4],
        "results.belady.size": [5, 5],
    }


def test_interrupted_pipe_is_quiet():
    process = subprocess.Popen([sys.executable, "-m", "learnsys", "--help"], stdout=subprocess.PIPE, cwd="/")
    process.stdout.close()
    assert process.wait() in (0, 120)
