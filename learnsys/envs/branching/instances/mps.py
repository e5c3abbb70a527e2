"""Writes mixed-integer linear programs as free-format MPS.

SCIP's own writer keeps 15 significant digits, so that a file would not hold the numbers that were generated; here
each number is the shortest text that reads back as itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from learnsys.envs.branching.instances.milp import Milp

OBJECTIVE = "obj"


def write_mps(milp: Milp) -> bytes:
    """The file's content. The distance between two finite sides that differ is rounded once (RANGES)."""
    lines = [f"NAME {milp.name}", "OBJSENSE", "  MAX" if milp.maximize else "  MIN", "ROWS", f" N {OBJECTIVE}"]
    equal = milp.left == milp.right
    below = np.isfinite(milp.left)
    letters = np.where(equal, "E", np.where(below, "G", np.where(np.isfinite(milp.right), "L", "N")))
    lines += [f" {letter} {name}" for letter, name in zip(letters.tolist(), milp.rows, strict=True)]
    lines += _columns(milp)
    lines.append("RHS")
    sides = np.where(below, milp.left, milp.right)
    lines += [
        f" RHS {name} {text}"
        for name, text, side in zip(milp.rows, _texts(sides), sides.tolist(), strict=True)
        if side != 0.0 and np.isfinite(side)
    ]
    ranged = np.flatnonzero(below & np.isfinite(milp.right) & ~equal)
    if ranged.size:
        lines.append("RANGES")
        widths = _texts(milp.right[ranged] - milp.left[ranged])
        lines += [f" RNG {milp.rows[row]} {width}" for row, width in zip(ranged.tolist(), widths, strict=True)]
    lines += _bounds(milp)
    lines += ["ENDATA", ""]
    return "\n".join(lines).encode()


def _columns(milp: Milp) -> list[str]:
    """Entries by column, the objective's first; a column without any gets a zero, so that it exists."""
    by_column = milp.matrix.tocsc()
    by_column.sort_indices()
    starts, values = by_column.indptr.tolist(), _texts(by_column.data)
    rows = [milp.rows[row] for row in by_column.indices.tolist()]
    lines = ["COLUMNS"]
    integers = False
    costs = _texts(milp.objective)
    for column, (name, kind) in enumerate(zip(milp.columns, milp.kinds.tolist(), strict=True)):
        if (kind != "C") != integers:
            integers = not integers
            lines.append(f" MARKER 'MARKER' '{'INTORG' if integers else 'INTEND'}'")
        first, last = starts[column], starts[column + 1]
        if costs[column] != "0" or first == last:
            lines.append(f" {name} {OBJECTIVE} {costs[column]}")
        lines += [f" {name} {rows[entry]} {values[entry]}" for entry in range(first, last)]
    if integers:
        lines.append(" MARKER 'MARKER' 'INTEND'")
    return lines


def _bounds(milp: Milp) -> list[str]:
    lines = ["BOUNDS"]
    lowers, uppers = _texts(milp.lower), _texts(milp.upper)
    limited = np.isfinite(milp.lower).tolist(), np.isfinite(milp.upper).tolist()
    for name, kind, low, high, has_low, has_high in zip(
        milp.columns, milp.kinds.tolist(), lowers, uppers, *limited, strict=True
    ):
        if kind == "B" and (low, high) == ("0", "1"):
            lines.append(f" BV BND {name}")
        elif not (has_low or has_high):
            lines.append(f" FR BND {name}")
        elif has_low and low == high:
            lines.append(f" FX BND {name} {low}")
        else:
            if not has_low:
                lines.append(f" MI BND {name}")
            elif low != "0":
                lines.append(f" LO BND {name} {low}")
            if has_high:
                lines.append(f" UP BND {name} {high}")
            elif kind != "C":  # some readers take integers without bounds for binaries
                lines.append(f" PL BND {name}")
    return lines


def _texts(values: NDArray[np.float64]) -> list[str]:
    """The shortest text for each number that reads back as the same number; each distinct one is formatted once."""
    distinct, places = np.unique(values, return_inverse=True)
    texts = [str(int(value)) if value.is_integer() else repr(value) for value in distinct.tolist()]
    return [texts[place] for place in places.tolist()]
