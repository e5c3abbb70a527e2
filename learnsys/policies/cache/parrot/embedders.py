"""How addresses and program counters become vectors: by a frozen vocabulary, or by their bytes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

UNKNOWN = 0
"""The id of every value that the vocabulary does not hold."""


class Vocabulary:
    """Ids 1, 2, ... for the values of the training data, frozen thereafter; every other value is `UNKNOWN`.

    Args:
        values: distinct values, uint64 (n,); `values[i]` has id i + 1.
    """

    def __init__(self, values: NDArray[np.uint64]) -> None:
        self.values = np.ascontiguousarray(values, np.uint64)
        self._order = np.argsort(self.values, kind="stable")
        self._sorted = self.values[self._order]

    @classmethod
    def build(cls, values: NDArray[np.uint64], counts: NDArray[np.int64], rows: int) -> Vocabulary:
        """The `rows` - 1 most frequent of distinct `values` (n,), seen `counts` (n,) times; ties by order."""
        seen = np.flatnonzero(counts)
        order = seen[np.argsort(-counts[seen], kind="stable")]
        return cls(values[order[: rows - 1]])

    def __len__(self) -> int:
        return self.values.size

    def lookup(self, values: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Ids of `values`, any shape."""
        if not len(self):
            return np.full(values.shape, UNKNOWN, np.int64)
        place = np.minimum(np.searchsorted(self._sorted, values), len(self) - 1)
        return np.where(self._sorted[place] == values, self._order[place] + 1, UNKNOWN)


class VocabularyEmbedder(nn.Module):
    """A row of a table for each id (section 4.2 of the paper, "dynamic vocabulary").

    Shapes: ids int64 (...) -> float32 (..., width).
    """

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(rows, width))
        nn.init.xavier_uniform_(self.table)
        self._known: Tensor | None = None

    def forget(self, share: float, generator: np.random.Generator) -> None:
        """Read a random `share` of the ids as `UNKNOWN` until the next call: so the unknown row is trained."""
        known = generator.random(self.table.shape[0]) >= share
        self._known = torch.from_numpy(known).to(self.table.device) if share else None

    def forward(self, ids: Tensor) -> Tensor:
        return nn.functional.embedding(ids if self._known is None else ids * self._known[ids], self.table)


class ByteEmbedder(nn.Module):
    """The eight bytes of a value, most significant first, each through one shared table, joined and mixed.

    Shapes: values int64 (...) -> float32 (..., width); the table is (256, width / 8).
    """

    shifts: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(256, width // 8))
        nn.init.xavier_uniform_(self.table)
        self.mix = nn.Linear(width, width)
        self.register_buffer("shifts", torch.arange(56, -8, -8), persistent=False)

    def forget(self, share: float, generator: np.random.Generator) -> None:
        """No value is unknown to this one."""

    def forward(self, values: Tensor) -> Tensor:
        digits = (values.unsqueeze(-1) >> self.shifts) & 255
        return self.mix(nn.functional.embedding(digits, self.table).flatten(-2))


def make_embedder(kind: str, rows: int, width: int) -> VocabularyEmbedder | ByteEmbedder:
    """The embedder of that kind ("vocabulary" or "byte")."""
    return ByteEmbedder(width) if kind == "byte" else VocabularyEmbedder(rows, width)
