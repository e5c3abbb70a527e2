"""`learnsys mis generate`: random graphs of a family, as files with a manifest."""

from __future__ import annotations

import hashlib
import json as jsons
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learnsys.cli.console import print_json, progress_bar
from learnsys.cli.subcommands import Shared, one_of, summary_of
from learnsys.errors import InputError
from learnsys.files import write_bytes, write_text
from learnsys.graphs.formats import make_format
from learnsys.graphs.generators import FAMILIES, GraphFamily

MANIFEST = "manifest.jsonl"


if TYPE_CHECKING:
    AnyFamily = GraphFamily
else:
    AnyFamily = one_of((name, family, summary_of(type(family))) for name, family in FAMILIES.items())


def generate(
    family: AnyFamily,
    *,
    out: Shared[Path],
    count: Shared[int] = 1,
    seed: Shared[int] = 0,
    format: Shared[str] = "dimacs",
    json: Shared[bool] = False,
) -> int:
    """Write random graphs of a family into a folder.

    The folder's manifest.jsonl has a line for each file: family, parameters, seed, index, vertices, edges, and the
    optimum where it is planted. The parameters of a family: learnsys mis generate FAMILY --help.

    Args:
        out: the folder; a run that was killed continues there, and a larger count adds graphs.
        count: how many; graphs 0 to count - 1 of the seed.
        seed: of the set; the graphs of different seeds have nothing in common.
        format: dimacs, pace, metis or edges.
        json: print JSON instead of a sentence.
    """
    if count < 1:
        raise InputError(f"--count {count}", remedy="give at least 1")
    alike = [name for name, each in FAMILIES.items() if type(each) is type(family)]
    name = next((each for each in alike if FAMILIES[each] == family), alike[0])
    writer = make_format(format)
    suffix = {"dimacs": ".mis"}.get(format, writer.suffixes[0])
    about = {"family": name, "parameters": family.parameters(), "seed": seed}
    about = jsons.loads(jsons.dumps(about))
    _check_manifest(out / MANIFEST, about)
    entries = []
    with progress_bar(f"writing {name}", count) as advance:
        for index in range(count):
            graph = family.graph(seed, index)
            content = writer.write(graph)
            path = out / f"{name}_{index:05d}{suffix}"
            if not path.exists():
                write_bytes(path, content)
            elif path.read_bytes() != content:
                raise InputError("stands already, with other content", file=path, remedy="choose another folder")
            entries.append(
                {
                    "file": path.name,
                    **about,
                    "index": index,
                    "vertices": graph.n,
                    "edges": graph.m,
                    "optimum": family.optimum(graph),
                    "sha256": hashlib.sha256(content).hexdigest(),
                }
            )
            advance(1)
    kept = [line for line in _lines(out / MANIFEST) if line["index"] >= count]
    write_text(out / MANIFEST, "".join(jsons.dumps(each, sort_keys=True) + "\n" for each in [*entries, *kept]))
    sizes = {}
    for key in ("vertices", "edges"):
        values = [each[key] for each in entries]
        sizes[key] = [min(values), max(values)]
    if json:
        print_json({"folder": str(out), **about, **sizes, "files": [each["file"] for each in entries]})
        return 0
    ranges = [f"{low:,} {key}" if low == high else f"{low:,} to {high:,} {key}" for key, (low, high) in sizes.items()]
    print(f"{out}: {count:,} graph{'s' * (count > 1)} of {name}, seed {seed}: {', '.join(ranges)}")
    return 0


def _lines(path: Path) -> list[dict[str, Any]]:
    """The entries of a manifest.

    Raises:
        InputError: a line is no entry.
    """
    entries = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.exists() else [], 1):
        try:
            entry = jsons.loads(line)
            entries.append({**entry, "index": int(entry["index"])})
        except (ValueError, TypeError, KeyError):
            raise InputError("no entry of a graph", file=path, place=f"line {number}") from None
    return entries


def _check_manifest(path: Path, about: dict[str, Any]) -> None:
    for entry in _lines(path):
        if {key: entry.get(key) for key in about} != about:
            raise InputError(
                "holds graphs of another family or seed, or of other parameters",
                file=path,
                remedy="choose another folder",
            )
