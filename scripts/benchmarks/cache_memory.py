"""Belady over a trace that is larger than the memory it may use, measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

CHUNK = 4_000_000
SHARE = 0.1


def belady_in_bounded_memory(seed: int, repeats: int, quick: bool) -> Iterator[dict[str, Any]]:
    """Peak memory and CPU time of ids, next uses and Belady's hits of one long trace; measured once."""
    from .cache_objects import scrambled_zipf

    requests, objects = (400_000, 40_000) if quick else (100_000_000, 10_000_000)
    with tempfile.TemporaryDirectory(prefix="learnsys-") as folder:
        path = Path(folder) / "keys"
        with open(path, "wb") as file:
            for number, start in enumerate(range(0, requests, CHUNK)):
                n = min(CHUNK, requests - start)
                file.write(scrambled_zipf(n, objects, 0.9, seed + number).data)
        child = subprocess.run([sys.executable, __file__, str(path)], capture_output=True, text=True, check=False)
    if child.returncode:
        raise SystemExit(f"bench_cache: the child failed:\n{child.stderr}")
    found = json.loads(child.stdout)
    yield {
        "title": f"Belady, Zipf(0.9), {requests:,} requests, {found['objects']:,} objects, room for {SHARE:.0%}",
        "columns": ["stage", "CPU seconds", "million requests per CPU second", "peak memory so far, GB"],
        "rows": [
            [
                name,
                f"{stage['seconds']:.2f}",
                f"{requests / 1e6 / max(stage['seconds'], 1e-9):.1f}" if number else "",
                f"{stage['peak'] / 1e9:.2f}",
            ]
            for number, (name, stage) in enumerate(found["stages"].items())
        ],
        "notes": [
            f"peak memory, mapped file pages included, wanted below 3 GB: {found['peak'] / 1e9:.2f} GB",
            f"miss ratio {found['miss_ratio']:.4f}",
        ],
    }


def peak_bytes() -> int:
    """Peak resident memory of this program; getrusage would count what the parent held when it started this one."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def child(path: str) -> dict[str, Any]:
    """Read the keys of `path` as a stream, prepare them in temporary files, and count Belady's misses."""
    from learnsys.envs.cache.spool import Spool
    from learnsys.policies.cache.object_simulation import stream_objects
    from learnsys.policies.cache.objects import belady  # noqa: F401  compiled before anything is measured
    from learnsys.traces import Trace

    stages: dict[str, dict[str, float]] = {"packages loaded": {"seconds": time.process_time(), "peak": peak_bytes()}}
    keys = np.memmap(path, np.uint64, "r")

    def chunks() -> Iterator[Trace]:
        for start in range(0, keys.size, CHUNK):
            yield Trace(address=np.array(keys[start : start + CHUNK]), objects=True)

    before = time.process_time()
    spool = Spool(chunks(), line_size=1, folder=Path(path).parent)
    stages["ids and next uses"] = {"seconds": time.process_time() - before, "peak": peak_bytes()}
    n_objects = spool.line_number.size
    before = time.process_time()
    parts = stream_objects("belady", spool.line, n_objects, int(SHARE * n_objects), next_use=spool.next_use)
    hits = sum(int(np.count_nonzero(part)) for part in parts)
    stages["Belady"] = {"seconds": time.process_time() - before, "peak": peak_bytes()}
    return {
        "objects": n_objects,
        "miss_ratio": 1 - hits / keys.size,
        "stages": stages,
        "peak": peak_bytes(),
    }


if __name__ == "__main__":
    print(json.dumps(child(sys.argv[1])))
