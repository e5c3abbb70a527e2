"""The largest independent sets that are known of some graphs, in a file that only gets better."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from learnsys.errors import InputError
from learnsys.files import write_json
from learnsys.graphs.graph import Graph
from learnsys.policies.independent_set.base import Solution
from learnsys.runs import read_json

FILE = "best_known.json"
"""its name in a folder of graphs"""


def digest(graph: Graph) -> str:
    """Identifies a graph with its numbering."""
    return hashlib.sha256(graph.indptr.tobytes() + graph.indices.tobytes()).hexdigest()[:32]


class BestKnown:
    """Sizes, upper bounds and the sets themselves, by graph.

    A set that is larger than the known one replaces it, and so does a lower bound; both are checked against the graph
    and each other. What other processes have written meanwhile is merged when the file is saved.

    Args:
        path: the file; it need not exist.

    Raises:
        InputError: it is no such file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._entries: dict[str, dict[str, Any]] = self._read()
        self._changed = False

    def _read(self) -> dict[str, dict[str, Any]]:
        if not self.path.exists():
            return {}
        entries = read_json(self.path)
        if not isinstance(entries, dict) or not all(_is_entry(each) for each in entries.values()):
            remedy = "restore it, or delete it to start anew"
            raise InputError("is no file of best known sets", file=self.path, remedy=remedy)
        return entries

    def size(self, graph: Graph) -> int | None:
        """Of the largest set known, None if none is; a stored set that is not independent is dropped."""
        entry = self._entries.get(digest(graph))
        if entry is None:
            return None
        if not graph.is_independent(entry["vertices"]):
            raise InputError(
                f"the set of {entry['name']} is not independent in that graph",
                file=self.path,
                remedy="restore the file, or delete it to start anew",
            )
        return len(entry["vertices"])

    def bound(self, graph: Graph) -> int | None:
        """The lowest upper bound known."""
        return self._entries.get(digest(graph), {}).get("bound")

    def proved(self, graph: Graph) -> bool:
        """Whether the largest set known is known to be maximum."""
        size, bound = self.size(graph), self.bound(graph)
        return size is not None and bound is not None and size >= bound

    def offer(self, name: str, graph: Graph, solution: Solution, found_by: str) -> bool:
        """Take over what a solution (verified, as all are) improves; returns whether its set is larger than any known.

        Raises:
            InputError: its bound is below a known set, or its set above a known bound: one of them is wrong.
        """
        size, bound = self.size(graph), self.bound(graph)
        key = digest(graph)
        bounds = [each for each in (bound, solution.bound) if each is not None]
        largest = max(solution.size, -1 if size is None else size)
        if bounds and largest > min(bounds):
            raise InputError(
                f"{name} has a set of {largest} vertices and an upper bound of {min(bounds)}",
                file=self.path,
                remedy="one is wrong: delete the file's entry if it was edited",
            )
        better = size is None or solution.size > size
        if better:
            vertices = solution.vertices.tolist()
            self._entries[key] = {**self._entries.get(key, {}), "name": name, "vertices": vertices, "by": found_by}
        lowest = min(bounds) if bounds else None
        if lowest != bound:
            self._entries[key]["bound"] = lowest
        self._changed |= better or lowest != bound
        return better

    def save(self) -> None:
        """Write the file, atomically, if there is something new; entries of others stay where they are better."""
        if not self._changed:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path.with_name(f".{self.path.name}.lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for key, theirs in self._read().items():
                ours = self._entries.setdefault(key, theirs)
                better = theirs if len(theirs["vertices"]) > len(ours["vertices"]) else ours
                bounds = [each["bound"] for each in (theirs, ours) if each.get("bound") is not None]
                self._entries[key] = {**better, **({"bound": min(bounds)} if bounds else {})}
            write_json(self.path, self._entries)
        self._changed = False


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and isinstance(entry.get("bound"), int | None)
        and isinstance(entry.get("vertices"), list)
        and all(isinstance(each, int) for each in entry["vertices"])
        and np.abs(entry["vertices"]).max(initial=0) < 2**31
    )
