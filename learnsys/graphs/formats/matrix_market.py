"""Matrix Market files. scipy's reader is not used, since damaged files make it crash the process."""

from __future__ import annotations

import re
from typing import NoReturn

import numpy as np

from learnsys.graphs.formats.base import WEIGHTS, GraphFile, GraphFormat
from learnsys.graphs.graph import Graph, check_memory

_HEADER = re.compile(rb"%%matrixmarket +matrix +coordinate +(real|integer|pattern) +(general|symmetric)", re.I)
_ONE = re.compile(rb"(?m)^([ \t]*\d+[ \t]+\d+)[ \t]+\+?1(?:\.0*)?(?:[eE][+-]?0+)?[ \t\r]*$")
_ZERO = re.compile(rb"(?m)^[ \t]*\d+[ \t]+\d+[ \t]+[+-]?0(?:\.0*)?(?:[eE][+-]?\d+)?[ \t\r]*$")
_REAL = re.compile(rb"(?m)^[ \t]*\d+[ \t]+\d+[ \t]+[+-]?[\d.]*[-.eE][\d.eE+-]*[ \t\r]*$")


class MatrixMarket(GraphFormat):
    """`%%MatrixMarket matrix coordinate pattern symmetric` and the like: an adjacency matrix of zeros and ones."""

    summary = "Matrix Market .mtx (adjacency of 0 and 1)"
    suffixes = (".mtx", ".mm")

    def recognises(self, head: bytes) -> bool:
        return head[:14].lower() == b"%%matrixmarket"

    def read(self, file: GraphFile) -> list[Graph]:
        header = _HEADER.fullmatch(file.data.split(b"\n", 1)[0].strip())
        if header is None:
            file.fail(f"{file.text(1)} is no header of an adjacency matrix", 1, "give a real, integer or pattern one")
        entries, zeros = file, 0
        if header[1].lower() != b"pattern":
            data, zeros = _ZERO.subn(b"%", file.data)
            entries = GraphFile(file.path, _ONE.sub(rb"\1", data))
            heavy = _REAL.search(entries.data)
            if heavy:
                self._refuse_value(file, entries.data.count(b"\n", 0, heavy.start()) + 1)
        numbers = entries.numbers(comments=b"%")
        counts = numbers.counts
        filled = np.flatnonzero(counts)
        first = int(filled[0]) if filled.size else 0
        line = int(numbers.lines[first]) if filled.size else 1
        if not filled.size or counts[first] != 3:
            file.fail(f"{file.text(line)} does not give rows, columns and entries", line, "mend the line")
        rows, columns, announced = (int(each) for each in numbers.row(first))
        if rows != columns:
            file.fail(f"a matrix of {rows} rows and {columns} columns is no adjacency", line, "give a square one")
        check_memory(rows, announced, file.path, f"line {line}")
        valued = np.flatnonzero(counts[first + 1 :] == 3)
        if valued.size:
            self._refuse_value(file, int(numbers.lines[first + 1 + valued[0]]))
        pairs = entries.edges(numbers.after(first), first=1, nodes=rows)
        if len(pairs) + zeros != announced:
            remedy = "fetch the whole file, or correct the line"
            file.fail(f"{len(pairs) + zeros} entries follow, not the {announced} announced", line, remedy)
        return [Graph.from_edges(pairs, rows, np.arange(1, rows + 1))]

    @staticmethod
    def _refuse_value(file: GraphFile, line: int) -> NoReturn:
        file.fail(f"{file.text(line)} holds a value: {WEIGHTS}", line, "give a pattern, or values of 0 and 1")
