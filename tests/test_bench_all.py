"""scripts/bench_all: every area's parts exist; results are kept, and go on where they stopped."""

from __future__ import annotations

import json
import re
import runpy
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.fixture
def everything(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from benchmarks import everything

    return everything


def test_results_are_kept_and_only_what_is_missing_is_measured(everything, tmp_path, monkeypatch, capsys):
    asked = []

    def measure(script, part, quick):
        asked.append((script, part, quick))
        if part == "steps":
            return None  # it failed
        return [{"title": f"{part} of {script}", "columns": ["what", "ratio"], "rows": [["a", 2.5]], "goals": ["1"]}]

    monkeypatch.setattr(everything, "measure", measure)
    arguments = ["bench_all", "--quick", "--out", str(tmp_path), "--area", "observations", "--area", "branching"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert everything.main() == 1
    assert "branching: bench_branching steps failed" in capsys.readouterr().err
    wanted = [("bench_branching", part, True) for part in ("observations", "strong_branching", "steps", "gcnn")]
    assert asked == wanted
    (path,) = tmp_path.glob("*-quick.json")
    found = json.loads(path.read_text())
    assert list(found["tables"]) == [
        "branching: bench_branching gcnn",
        "observations: bench_branching observations",
        "observations: bench_branching strong_branching",
    ]
    assert found["quick"] and re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"]) and "numpy" in found["versions"]
    page = path.with_suffix(".md").read_text()
    assert "| a | 2.5 |" in page and "scripts/bench_branching --part gcnn --quick" in page and "goal: 1" in page
    assert everything.main() == 1
    assert asked[len(wanted) :] == [("bench_branching", "steps", True)]


def test_the_parts_exist(everything):
    for area in everything.AREAS.values():
        for script, parts in area:
            try:
                known = runpy.run_path(str(SCRIPTS / script), run_name="bench")["PARTS"]
            except ImportError as error:
                pytest.skip(f"a peer is not installed ({error})")
            assert set(parts) <= set(known)
