"""The one in-memory form of a trace."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnsys.errors import InputError


@dataclass(frozen=True)
class Trace:
    """Accesses in program order, as arrays of one length n.

    An address trace (`objects` is False) holds byte addresses, from which a cache takes line and set; an object
    trace holds ids of whole objects.

    Raises:
        InputError: the arrays differ in length.
    """

    address: NDArray[np.uint64]
    """byte address, or object id; uint64 (n,)"""
    pc: NDArray[np.uint64] | None = None
    """program counter of the access; uint64 (n,)"""
    store: NDArray[np.bool_] | None = None
    """whether the access writes; bool (n,)"""
    size: NDArray[np.uint32] | None = None
    """bytes of the object; uint32 (n,)"""
    time: NDArray[np.int64] | None = None
    """time stamp in the trace's own unit; int64 (n,)"""
    objects: bool = False
    """whether `address` holds object ids"""

    def __post_init__(self) -> None:
        for field in fields(self):
            column = getattr(self, field.name)
            if isinstance(column, np.ndarray) and column.shape != (len(self),):
                raise InputError(f"column {field.name!r} has shape {column.shape}, not ({len(self)},)")

    def __len__(self) -> int:
        return self.address.size

    def __getitem__(self, part: slice) -> Trace:
        """The accesses of a slice, as views."""
        parts: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            parts[field.name] = value[part] if isinstance(value, np.ndarray) else value
        return Trace(**parts)
