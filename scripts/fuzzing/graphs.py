"""Every graph reader.

Each input is one of the tiny example files, or a random graph that learnsys wrote, with one to four random edits; 30 %
are read without saying their format. A graph must be well-formed, and equal to what a plain, slow reader makes of the
same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing import Found, Target
from learnsys.errors import InputError
from learnsys.graphs import make_family
from learnsys.graphs.formats import FORMATS, make_format
from learnsys.graphs.formats.base import GraphFormat
from learnsys.graphs.graph import Graph
from learnsys.testing.graph_examples import EXAMPLES, REFERENCES, TU_INDICATOR
from learnsys.testing.graphs import read_graphs_or_refuse
from learnsys.testing.traces import mutated


def targets() -> Iterator[Target]:
    for name in FORMATS:
        files = good_files(make_format(name))
        yield Target(name, lambda rng, folder, name=name, files=files: attempt(name, files, rng, folder))


def good_files(form: GraphFormat) -> list[tuple[str, bytes]]:
    """Names and contents to start from."""
    files = [(each.name, each.data) for each in EXAMPLES if each.format == form.name]
    if form.writable:
        graph = make_family("ba", nodes=(40, 40)).graph(0)
        files.append((f"ba{form.suffixes[0]}", form.write(graph)))
    return files


def attempt(name: str, files: list[tuple[str, bytes]], rng: np.random.Generator, folder: Path) -> Found:
    file, data = files[int(rng.integers(len(files)))]
    data = mutated(data, rng)
    named = rng.random() < 0.7
    path = folder / file
    path.write_bytes(data)
    (folder / TU_INDICATOR[0]).write_bytes(TU_INDICATOR[1])
    try:
        found = read_graphs_or_refuse(path, **({"format": name} if named else {}))
    except Exception as error:
        return "crashes", data, repr(error)
    if isinstance(found, InputError):
        return "refused", data, str(found)
    if named and name in REFERENCES:
        try:
            expected = REFERENCES[name](data.removeprefix(b"\xef\xbb\xbf").decode("latin-1"))
        except (ValueError, IndexError) as error:
            return "wrong", data, f"accepted, but the plain reader says {error!r}"
        if labelled(found[0]) != expected:
            return "wrong", data, "another graph than the plain reader's"
    return "read", data, ""


def labelled(graph: Graph) -> Any:
    names = graph.names
    return set(names.tolist()), {(int(names[u]), int(names[v])) for u, v in graph.edges}
