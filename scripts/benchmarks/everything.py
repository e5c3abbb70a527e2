"""Every area beside its peers, one after the other; `scripts/bench_all` calls it."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.command import markdown
from learnsys.errors import InputError
from learnsys.files import write_json, write_text
from learnsys.runs import read_json, versions

SCRIPTS = Path(__file__).resolve().parents[1]
AREAS: dict[str, list[tuple[str, list[str]]]] = {
    "simulator": [("bench_cache", ["objects", "sets", "memory", "environment"])],
    "Parrot": [("bench_parrot", ["speed"])],
    "observations": [("bench_branching", ["observations", "strong_branching"])],
    "branching": [("bench_branching", ["steps", "gcnn"])],
    "independent set": [
        ("bench_mis", ["kernels", "steps", "products", "recursion", "training"]),
        (
            "bench_mis",
            ["quality-rb-small", "quality-rb-large", "quality-er-700-800", "quality-sat", "quality-frb50-23"],
        ),
        ("bench_mis", ["quality-frb59-26", "quality-sparse-250k"]),
    ],
}
"""area -> scripts and the parts of them that compare with peers"""
PEERS = ("libcachesim", "pycachesim", "cachetools", "gyozas")
"""packages of the bench extra"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench_all", description=__doc__)
    parser.add_argument("--area", choices=AREAS, action="append", help="only this area (may be repeated)")
    parser.add_argument("--quick", action="store_true", help="small and short: shows that it runs, not how fast")
    parser.add_argument("--out", type=Path, default=Path("runs/bench_all"), help="the folder of the results")
    given = parser.parse_args()
    name = f"{date.today().isoformat()}{'-quick' if given.quick else ''}"
    path = given.out / f"{name}.json"
    about = {"date": date.today().isoformat(), "quick": given.quick, "machine": machine(), "versions": versions(*PEERS)}
    results: dict[str, Any] = read_json(path) if path.exists() else {**about, "tables": {}}
    failed = []
    for area in given.area or AREAS:
        for script, parts in AREAS[area]:
            for part in parts:
                key = f"{area}: {script} {part}"
                if key in results["tables"]:
                    print(f"{key}: measured already", flush=True)
                    continue
                print(key, flush=True)
                tables = measure(script, part, given.quick)
                if tables is None:
                    failed.append(key)
                    continue
                results["tables"][key] = tables
                write_json(path, results)
                write_text(path.with_suffix(".md"), page(results))
                print("\n".join(markdown(table) for table in tables), flush=True)
    print(f"wrote {path} and {path.with_suffix('.md')}")
    for key in failed:
        print(f"bench_all: {key} failed", file=sys.stderr)
    return 1 if failed else 0


def measure(script: str, part: str, quick: bool) -> list[dict[str, Any]] | None:
    """The tables of one part, measured in a process of its own; None if it failed."""
    command = [sys.executable, str(SCRIPTS / script), "--part", part, "--json", *(["--quick"] if quick else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return json.loads(done.stdout)["tables"] if done.returncode == 0 else None


def machine() -> str:
    """The processor, and how many cores."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'unknown processor'}, {os.cpu_count()} cores"


def page(results: dict[str, Any]) -> str:
    """All tables as Markdown."""
    found = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    kind = " (quick: shows that it runs, not how fast)" if results["quick"] else ""
    blocks = [f"# Beside the peers, {results['date']}{kind}", f"{results['machine']}, one thread. {found}."]
    order = {area: number for number, area in enumerate(AREAS)}
    for key in sorted(results["tables"], key=lambda key: order.get(key.partition(": ")[0], len(order))):
        tables = results["tables"][key]
        area, _, command = key.partition(": ")
        script, _, part = command.partition(" ")
        quick = " --quick" if results["quick"] else ""
        blocks += [f"## {area}: {part}", f"    scripts/{script} --part {part}{quick}", *map(markdown, tables)]
    return "\n\n".join(blocks) + "\n"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"bench_all: {error}")
