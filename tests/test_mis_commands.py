"""`learnsys mis generate | solve | evaluate`, as users call them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from learnsys.cli import main
from learnsys.graphs import Graph, make_family, read_graph, write_graph
from learnsys.policies.independent_set.arw import ARW


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graphs")
    assert main(["mis", "generate", "rb-small", "--count", "3", "--out", str(folder)]) == 0
    return folder


def test_generate_continues_and_refuses_to_mix(folder, tmp_path, capsys):
    arguments = ["mis", "generate", "frb30-15", "--groups", "5", "--group", "4", "--out", str(tmp_path)]
    assert main([*arguments, "--count", "2"]) == 0
    assert "20 vertices" in capsys.readouterr().out
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main([*arguments, "--count", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["files"]) == 4
    assert main([*arguments, "--count", "2"]) == 0  # a smaller count takes nothing away
    entries = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert [entry["index"] for entry in entries] == [0, 1, 2, 3]
    assert all(entry["optimum"] == 5 and entry["parameters"]["group"] == 4 for entry in entries)
    assert all((tmp_path / name).read_bytes() == data for name, data in first.items() if name.endswith(".mis"))
    capsys.readouterr()
    assert main(["mis", "generate", "er", "--out", str(tmp_path)]) == 2
    assert "another family" in capsys.readouterr().err
    (tmp_path / found["files"][0]).write_text("p edge 1 0\n")
    assert main([*arguments, "--count", "2"]) == 2
    assert "with other content" in capsys.readouterr().err
    assert main(["mis", "generate", "er", "--nodes", "9", "3", "--out", str(tmp_path / "x")]) == 2
    assert main(["mis", "generate", "er", "--count", "0", "--out", str(tmp_path / "x")]) == 2
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("policy", ["greedy", "random", "arw", "numvc", "auto"])
def test_solve(policy, folder, tmp_path, capsys):
    path = folder / "rb-small_00001.mis"
    out = tmp_path / "set.txt"
    arguments = ["mis", "solve", str(path), "--policy", policy, "--iterations", "500", "--time", "inf"]
    assert main([*arguments, "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert ("independent set of" in text and "none is larger" in text) or "proved" in text or "verified" in text
    chosen = np.array(out.read_text().split(), int)
    graph = read_graph(path)
    assert graph.is_independent(chosen - 1)  # by the numbers in the file, which counts from 1
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["set"] == chosen.tolist() and found["size"] == chosen.size


def test_solve_exactly_and_cliques(tmp_path, capsys):
    cycle = Graph.from_edges([[v, (v + 1) % 9] for v in range(9)] + [[0, 2]])
    write_graph(tmp_path / "c9.graph", cycle)
    assert main(["mis", "solve", str(tmp_path / "c9.graph"), "--policy", "exact"]) == 0
    assert "independent set of 4, proved" in capsys.readouterr().out
    assert main(["mis", "solve", str(tmp_path / "c9.graph"), "--clique", "--time", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["set"] == [1, 2, 3] and found["optimal"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "oracle"], "no policy for independent sets"),
        (["--time", "-1"], "no limits"),
        (["--time", "inf"], "until stopped"),
        (["--format", "gml"], "no graph format"),
        (["--seed", "-3"], "seed=-3"),
        (["--policy", "oracle=/no/such/folder"], "no learned policy"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, message, folder, capsys):
    assert main(["mis", "solve", str(folder / "rb-small_00000.mis"), *arguments]) == 2
    captured = capsys.readouterr().err
    assert message in captured and captured.count("\n") == 1


def test_evaluate(folder, tmp_path, capsys):
    arguments = ["mis", "evaluate", str(folder), "--policies", "random,greedy,numvc", "--seeds", "2"]
    limits = ["--time", "inf", "--iterations", "2000"]
    assert main([*arguments, *limits, "--json", "--out", str(tmp_path / "run")]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["policy"]: row for row in found["results"]}
    assert rows["random"]["size"] < rows["greedy"]["size"] < rows["numvc"]["size"]
    assert rows["numvc"]["ratio"] == 1 and rows["numvc"]["at_best"] == 1
    assert found["graphs"] == 3
    summary = (tmp_path / "run/summary.json").read_bytes()
    known = json.loads((folder / "best_known.json").read_text())
    assert sum(len(entry["vertices"]) for entry in known.values()) == pytest.approx(3 * rows["numvc"]["size"])
    page = (tmp_path / "run/report.html").read_text()
    assert "<svg" in page and "size / best known" in page
    lines = (tmp_path / "run/results.csv").read_text().splitlines()
    assert len(lines) == 1 + 3 * 3 * 2 and lines[0].startswith("policy,graph,seed,size")
    assert main([*arguments, *limits, "--out", str(tmp_path / "again"), "--workers", "2"]) == 0  # in other processes
    assert "0 improvements" in capsys.readouterr().out
    assert (tmp_path / "again/summary.json").read_bytes() == summary
    assert main([*arguments[:3], "--policies", "greedy,greedy"]) == 2
    assert main([*arguments[:3], "--policies", ","]) == 2
    assert main([*arguments[:3], "--seeds", "0"]) == 2
    assert main(["mis", "evaluate", str(tmp_path / "nothing")]) == 2


# SCIP hears an interrupt only between LPs, so its graph is one whose LPs are quick and whose tree is not
@pytest.mark.parametrize(("policy", "family"), [("auto", "rb-large"), ("exact", "frb30-15")])
def test_an_interrupted_search_gives_its_best_set(policy, family, tmp_path):
    graph = make_family(family).graph(3, 0)
    write_graph(tmp_path / "graph.mis", graph, format="dimacs")
    arguments = ["mis", "solve", str(tmp_path / "graph.mis"), "--policy", policy]
    # Where these tests run in the background of a shell, SIGINT is ignored, and so it would be in the new process.
    heard = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    program = heard + "from learnsys.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments, "--time", "600", "--out", str(tmp_path / "set.txt"), "--json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    while not _burns(process.pid, 4.0):
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    found = json.loads(output)
    chosen = np.array((tmp_path / "set.txt").read_text().split(), int)
    assert found["set"] == chosen.tolist() and chosen.size == found["size"] > 20
    assert graph.is_independent(chosen - 1)


def _burns(process, seconds):
    """Whether a process has used so much CPU time: it is past its imports then."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") > seconds


def test_a_search_stops_when_it_is_told(folder):
    graph = read_graph(folder / "rb-small_00001.mis")
    asked = iter([False, False, True])
    found = ARW().solve(graph, seconds=1e6, stop=lambda: next(asked, True))
    assert graph.is_independent(found.vertices) and found.size >= 10
