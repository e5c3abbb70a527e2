"""Matrix Market files, read with scipy."""

from __future__ import annotations

import io
import re

from learnsys.errors import InputError
from learnsys.graphs.formats.base import GraphFile, GraphFormat
from learnsys.graphs.graph import Graph, check_memory

_HEADER = re.compile(rb"%%matrixmarket +matrix +(coordinate|array) +(real|integer|pattern) +(general|symmetric)", re.I)


class MatrixMarket(GraphFormat):
    """`%%MatrixMarket matrix coordinate pattern symmetric` and the like: an adjacency matrix of zeros and ones."""

    summary = "Matrix Market .mtx (adjacency of 0 and 1)"
    suffixes = (".mtx", ".mm")

    def recognises(self, head: bytes) -> bool:
        return head[:14].lower() == b"%%matrixmarket"

    def read(self, file: GraphFile) -> list[Graph]:
        from scipy.io import mmread
        from scipy.sparse import coo_array

        header = file.data.split(b"\n", 1)[0].strip()
        if not _HEADER.fullmatch(header):
            file.fail(f"{file.text(1)} is no header of an adjacency matrix", 1, "give a real, integer or pattern one")
        number, size = next(
            ((k, line) for k, line in enumerate(file.data.split(b"\n"), 1) if line.strip() and line[:1] != b"%"),
            (1, b""),
        )
        sizes = size.split()
        if len(sizes) not in (2, 3) or not all(each.isdigit() and len(each) < 19 for each in sizes):
            file.fail(f"{file.text(number)} does not give the matrix's size", number, "mend the line")
        rows, columns, *entries = (int(each) for each in sizes)
        check_memory(max(rows, columns), entries[0] if entries else rows * columns, file.path, f"line {number}")
        try:
            matrix = coo_array(mmread(io.BytesIO(file.data)))
        except (ValueError, TypeError, IndexError, OverflowError, MemoryError) as error:
            file.fail(f"is no Matrix Market file ({error})", remedy="mend it")
        try:
            return [Graph.from_scipy(matrix)]
        except InputError as error:
            file.fail(error.message, remedy=error.remedy)
