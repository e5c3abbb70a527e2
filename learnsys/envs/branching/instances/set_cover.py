"""Set covering, by the method of Balas and Ho."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.branching.instances.family import Family, binaries
from learnsys.envs.branching.instances.milp import Milp, Rows


@dataclass(frozen=True)
class SetCover(Family):
    """Choose columns at the least cost, so that each row is covered.

    Balas and Ho, "Set covering algorithms using cutting planes, heuristics, and subgradient optimization: a
    computational study", Mathematical Programming Study 12, 1980. Every column covers at least two rows and every row
    is covered by at least one column. Presets: sizes of Gasse et al., NeurIPS 2019.
    """

    rows: int = 500
    """rows to cover"""
    cols: int = 1000
    """columns to choose from"""
    density: float = 0.05
    """part of the entries that are ones"""
    max_cost: int = 100
    """costs are drawn from 1 to this"""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"rows": 150, "cols": 200, "density": 0.07},
        "easy": {},
        "medium": {"rows": 1000},
        "hard": {"rows": 2000},
    }

    def __post_init__(self) -> None:
        self._at_least(rows=2, cols=1, density=0, max_cost=1)
        ones, least = self._ones(), max(2 * self.cols, self.rows)
        self._require(
            least <= ones <= self.rows * self.cols,
            f"density={self.density} gives {ones} ones for {self.rows} rows and {self.cols} columns",
            f"give one from {least / (self.rows * self.cols):.3g} to 1: two ones for each column, one for each row",
        )

    def _ones(self) -> int:
        return int(self.rows * self.cols * self.density)

    def build(self, rng: np.random.Generator) -> Milp:
        sizes = self._column_sizes(rng)
        rows = self._covered(sizes, rng)
        block = Rows()
        block.add([f"c_{row}" for row in range(self.rows)], rows, np.repeat(np.arange(self.cols), sizes), left=1.0)
        return Milp(
            name="setcover",
            objective=rng.integers(1, self.max_cost, self.cols, endpoint=True).astype(float),
            columns=[f"x_{column}" for column in range(self.cols)],
            **binaries(self.cols),
            **block.fields(self.cols),
        )

    def _column_sizes(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Ones in each column: two, and what falls on it when the others are spread over the free places."""
        free = self.cols * (self.rows - 2)
        further = rng.choice(free, self._ones() - 2 * self.cols, replace=False, shuffle=False)
        return 2 + np.bincount(further % self.cols, minlength=self.cols)

    def _covered(self, sizes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Rows of the ones, column after column: a permutation of all rows first, then random distinct rows."""
        ends = np.cumsum(sizes)
        whole = int(np.searchsorted(ends, self.rows, side="right"))  # columns filled by the permutation alone
        parts = [rng.permutation(self.rows)]
        if whole < self.cols and ends[whole] - sizes[whole] < self.rows:
            begun = parts[0][ends[whole] - sizes[whole] :]
            others = np.setdiff1d(np.arange(self.rows), begun)
            parts.append(rng.choice(others, ends[whole] - self.rows, replace=False))
            whole += 1
        parts += [rng.choice(self.rows, size, replace=False, shuffle=False) for size in sizes[whole:].tolist()]
        return np.concatenate(parts)
