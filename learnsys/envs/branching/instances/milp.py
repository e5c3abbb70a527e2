"""A mixed-integer linear program as arrays, which becomes a SCIP model or a file."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from learnsys.envs.branching.instances.mps import write_mps
from learnsys.errors import InputError
from learnsys.files import write_bytes

if TYPE_CHECKING:
    from pyscipopt import Model

FORMATS = (".mps", ".mps.gz", ".lp", ".lp.gz", ".cip", ".cip.gz")
"""Formats that instances are written in. MPS holds every number exactly; SCIP writes the others, with 15 digits."""


@dataclass(frozen=True, eq=False)
class Milp:
    """Optimise `objective @ x` subject to `left <= matrix @ x <= right` and `lower <= x <= upper`.

    Absent sides and bounds are infinite. Names hold no blanks and differ from one another.
    """

    name: str
    objective: NDArray[np.float64]
    """(n,)"""
    lower: NDArray[np.float64]
    """(n,)"""
    upper: NDArray[np.float64]
    """(n,)"""
    kinds: NDArray[np.str_]
    """(n,): "B" binary, "I" integer, "C" continuous"""
    columns: Sequence[str]
    """names of the variables"""
    matrix: csr_array
    """(m, n), float64, columns ascending within a row"""
    left: NDArray[np.float64]
    """(m,)"""
    right: NDArray[np.float64]
    """(m,)"""
    rows: Sequence[str]
    """names of the constraints"""
    maximize: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Constraints and variables."""
        return self.matrix.shape

    @property
    def nnz(self) -> int:
        """Entries of the matrix that are not zero."""
        return int(self.matrix.nnz)

    def violation(self, x: NDArray[np.float64]) -> float:
        """How far a point (n,) is from feasible: the greatest distance to a side, a bound or a whole number."""
        activity = self.matrix @ x
        whole = np.abs(x - np.rint(x))[self.kinds != "C"]
        parts = (self.left - activity, activity - self.right, self.lower - x, x - self.upper, whole)
        return max(float(part.max(initial=0.0)) for part in parts)

    def to_model(self) -> Model:
        """A SCIP model in stage PROBLEM, silent. SCIP lists binary variables first, then integer, then others."""
        from pyscipopt import Model, quicksum

        model = Model(self.name)
        model.hideOutput()
        bounds = zip(_or_none(self.lower), _or_none(self.upper), strict=True)
        x = [
            model.addVar(name, vtype=kind, lb=low, ub=high, obj=cost)
            for name, kind, (low, high), cost in zip(
                self.columns, self.kinds.tolist(), bounds, self.objective.tolist(), strict=True
            )
        ]
        starts = self.matrix.indptr.tolist()
        indices, values = self.matrix.indices.tolist(), self.matrix.data.tolist()
        for row, (name, left, right) in enumerate(
            zip(self.rows, _or_none(self.left), _or_none(self.right), strict=True)
        ):
            span = slice(starts[row], starts[row + 1])
            total = quicksum(value * x[j] for value, j in zip(values[span], indices[span], strict=True))
            if left == right:
                constraint = total == left
            else:
                constraint = total >= left if left is not None else total <= right
                if left is not None and right is not None:
                    constraint = constraint <= right
            model.addCons(constraint, name=name)
        (model.setMaximize if self.maximize else model.setMinimize)()
        return model

    def encode(self, suffix: str) -> bytes:
        """The content of a file of the format that `suffix` tells: equal programs give equal bytes.

        Raises:
            InputError: `suffix` is none of `FORMATS`.
        """
        suffix = check_format(suffix)
        if suffix.endswith(".gz"):
            return gzip.compress(self.encode(suffix.removesuffix(".gz")), compresslevel=6, mtime=0)
        return write_mps(self) if suffix == ".mps" else self._write_with_scip(suffix)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file atomically, in the format that its suffix tells.

        Raises:
            InputError: the suffix is none of `FORMATS`.
        """
        name = Path(path).name.lower()
        suffix = next((each for each in FORMATS if name.endswith(each)), Path(path).suffix or name)
        write_bytes(path, self.encode(suffix))

    def _write_with_scip(self, suffix: str) -> bytes:
        model = self.to_model()
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"{self.name}{suffix}"
                model.writeProblem(str(path), verbose=False)
                return path.read_bytes()
        finally:
            model.free()


class Rows:
    """Collects constraints in blocks, each given as arrays."""

    def __init__(self) -> None:
        self._blocks: list[tuple[Any, ...]] = []
        self.names: list[str] = []

    def add(
        self,
        names: Sequence[str],
        row: ArrayLike,
        column: ArrayLike,
        value: ArrayLike = 1.0,
        *,
        left: ArrayLike = -np.inf,
        right: ArrayLike = np.inf,
    ) -> None:
        """Add a block of constraints.

        Args:
            names: of its constraints.
            row: of each entry, counted from the block's first row.
            column: of each entry.
            value: of each entry; `row`, `column` and `value` are broadcast against each other.
            left: the least value of each constraint, or of all.
            right: the greatest.
        """
        entries = np.broadcast_arrays(row, column, np.asarray(value, np.float64))
        sides = (np.broadcast_to(np.asarray(side, np.float64), len(names)) for side in (left, right))
        self._blocks.append((*(each.ravel() for each in entries), *sides, len(self.names)))
        self.names.extend(names)

    def fields(self, columns: int) -> dict[str, Any]:
        """The arguments `matrix`, `left`, `right` and `rows` of a `Milp` with that many columns."""
        row = np.concatenate([block[0] + block[5] for block in self._blocks])
        column, value, left, right = (np.concatenate([block[k] for block in self._blocks]) for k in (1, 2, 3, 4))
        matrix = csr_array((value, (row, column)), shape=(len(self.names), columns))
        matrix.eliminate_zeros()
        matrix.sort_indices()
        return {"matrix": matrix, "left": left, "right": right, "rows": self.names}


def check_format(suffix: str) -> str:
    """`suffix` in lower case and with its leading dot.

    Raises:
        InputError: it is none of `FORMATS`.
    """
    found = f".{suffix.lower().removeprefix('.')}"
    if found not in FORMATS:
        raise InputError(f"instances cannot be written as {suffix!r}", remedy=f"choose from {', '.join(FORMATS)}")
    return found


def _or_none(values: NDArray[np.float64]) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]
