"""scripts/bench_parrot --part quality, small: rows, the picker, and what is kept."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from learnsys.traces import write_trace
from learnsys.traces.synthetic import synthesize

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "bench_parrot"


def test_quality_of_a_loop(tmp_path):
    """A loop over 1.25 times the cache: LRU hits nothing, MRU, which is a candidate but no row, nearly all."""
    trace = tmp_path / "loop.parquet"
    write_trace(trace, synthesize("cyclic-scan", 160_000, lines=40_960))
    arguments = [sys.executable, str(SCRIPT), "--part", "quality", "--traces", str(trace), "--seeds", "1", "--json"]
    done = subprocess.run([*arguments, "--keep", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    last, validation, whole, sampled, _, points, picks = json.loads(done.stdout)["tables"]
    rows = {row[0]: row[1:] for row in last["rows"]}
    simple = ["lru", "srrip", "drrip", "shippp", "hawkeye", "mockingjay", "best table"]
    assert list(rows) == [*simple, "learnsys_cache", "guard:learnsys_cache", "picker", "belady"]
    assert rows["lru"] == ["+0.00", "+0.000", "+0.000"]
    assert rows["belady"] == ["+1.00", "+1.000", "+1.000"]
    assert float(rows["picker"][0]) >= 0.95
    assert last["columns"][-1] == "mean, 64 sets"
    assert [row[0] for row in sampled["rows"]] == list(rows)
    assert [row[-1] for row in sampled["rows"]] == [row[2] for row in rows.values()]
    assert not {"best table", "picker"} & {row[0] for row in whole["rows"]}

    kept = json.loads((tmp_path / "loop-0.json").read_text())
    best = max(kept["validation, 80 to 90 %"], key=lambda result: result["hit_rate"] - (result["policy"] == "belady"))
    assert picks["rows"] == [["loop", f"{best['policy']} (1)"]]
    for result in kept["last tenth, the paper's 64 sets"]:
        assert 300 < result["accesses"] < 700  # of 16,000: 64 of 2048 sets
    (tmp_path / "loop.parquet").unlink()  # everything is kept: nothing is measured again
    again = subprocess.run([*arguments, "--keep", str(tmp_path)], capture_output=True, text=True, check=False)
    assert json.loads(again.stdout)["tables"] == json.loads(done.stdout)["tables"]
    del validation, points
