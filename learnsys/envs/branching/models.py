"""SCIP models: reading them without risk, copying them, their parameters and how a solving process ended."""

from __future__ import annotations

import faulthandler
import gzip
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pyscipopt import SCIP_PARAMSETTING, SCIP_STAGE, Model

from learnsys.errors import InputError

FORMATS = (".mps", ".lp", ".cip", ".mps.gz", ".lp.gz", ".cip.gz", ".opb", ".wbo", ".fzn", ".osil", ".rlp", ".zpl")
INFINITY = 1e20
BOUNDS_EXIST = range(SCIP_STAGE.TRANSFORMED, SCIP_STAGE.SOLVED + 1)
"""stages in which SCIP knows bounds and statistics; asking in another one can end the process"""
SOLVED = frozenset({"optimal", "infeasible", "unbounded", "inforunbd"})
"""Statuses after which nothing is left to decide. Any other end is a limit or an interruption."""
_GROUPS = {
    "heuristics/emphasis": "setHeuristics",
    "presolving/emphasis": "setPresolve",
    "separating/emphasis": "setSeparating",
}
_EMPHASES = {name: getattr(SCIP_PARAMSETTING, name.upper()) for name in ("default", "aggressive", "fast", "off")}
LARGEST_SEED = 2**31 - 1


def read_model(path: str | os.PathLike[str]) -> Model:
    """The model in a file, in one of `FORMATS`.

    Some malformed MPS files crash SCIP's reader, and what it says about the others goes to the terminal; so, where
    the system can fork, a child process reads the file first.

    Raises:
        InputError: no such file, an unknown format, or not readable.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such file" if not path.exists() else "not a file", file=path)
    if not path.name.lower().endswith(FORMATS):
        raise InputError("unknown format", file=path, remedy=f"give one of {', '.join(FORMATS)}")
    if hasattr(os, "fork"):
        _try_reading(path)
    place = _find_nan(path)
    if place is not None:
        raise InputError("a number is NaN", file=path, place=place, remedy="repair the file")
    model = Model()
    model.hideOutput()
    try:
        model.readProblem(str(path))
    except Exception as error:
        model.free()
        raise InputError(f"SCIP cannot read it ({error})", file=path, remedy="check or restore the file") from None
    return model


def _try_reading(path: Path) -> None:
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                faulthandler.disable()
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                model = Model()
                model.hideOutput()
                model.readProblem(str(path))
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return
        output.seek(0)
        said = output.read(2000).decode(errors="replace")
    place = re.search(r"line (\d+)", said)
    lines = [re.sub(r"^\[.*?\] ERROR: ", "", line).strip() for line in said.splitlines()]
    reasons = [
        line for line in lines if not re.match(r"Error <-?\d+> in function call|Syntax error in line \d+$", line)
    ]
    raise InputError(
        f"SCIP cannot read it ({'malformed' if os.WIFSIGNALED(status) or not reasons else reasons[0]})",
        file=path,
        place=f"line {place.group(1)}" if place else None,
        remedy="check or restore the file",
    )


def _find_nan(path: Path) -> str | None:
    """Where the file has "nan" for a number, which SCIP accepts and then crashes or miscomputes on."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if b"nan" in line.lower() and any(word.strip(b"+-") == b"nan" for word in line.lower().split()):
                return f"line {number}"
    return None


def copy_model(base: Model) -> Model:
    """A copy of the original problem of `base` with its parameters; it solves exactly as a freshly read one.

    Raises:
        InputError: the problem has constraints that cannot be copied (a constraint handler in Python, say).
    """
    model = Model(sourceModel=base, origcopy=True)
    model.hideOutput()
    if model.getNConss(transformed=False) != base.getNConss(transformed=False):
        model.free()
        raise InputError("the model has constraints that SCIP cannot copy", remedy="give a function that makes it anew")
    return model


def set_parameters(model: Model, parameters: Mapping[str, Any]) -> None:
    """Set SCIP parameters in the order given.

    As in SCIP's own shell, `heuristics/emphasis`, `presolving/emphasis` and `separating/emphasis` set whole groups to
    "default", "aggressive", "fast" or "off".

    Raises:
        InputError: an unknown name, or a value outside the parameter's range.
    """
    for name, value in parameters.items():
        if name in _GROUPS:
            if value not in _EMPHASES:
                raise InputError(f"{name} cannot be {value!r}", remedy=f"choose from {', '.join(_EMPHASES)}")
            getattr(model, _GROUPS[name])(_EMPHASES[value])
            continue
        try:
            model.setParam(name, value.item() if isinstance(value, np.generic) else value)
        except KeyError:
            raise _no_parameter(name) from None
        except Exception as error:
            raise InputError(
                f"SCIP parameter {name!r} cannot be {value!r} ({error})", remedy="give a value in its range"
            ) from None


def parse_parameter(name: str, text: str) -> Any:
    """The value of a SCIP parameter written as text, in the parameter's own type.

    Raises:
        InputError: an unknown name, or a text that is no such value.
    """
    if name in _GROUPS:
        return text
    model = Model()
    try:
        now = model.getParam(name)
    except KeyError:
        raise _no_parameter(name) from None
    finally:
        model.free()
    try:
        if isinstance(now, bool):
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        return type(now)(text)
    except (KeyError, ValueError):
        kind = type(now).__name__
        raise InputError(f"SCIP parameter {name!r} cannot be {text!r}", remedy=f"it is of type {kind}") from None


def _no_parameter(name: str) -> InputError:
    return InputError(f"SCIP has no parameter {name!r}", remedy="see the list of parameters at scipopt.org/doc")


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Raise what `set_parameters` would raise."""
    model = Model()
    try:
        set_parameters(model, parameters)
    finally:
        model.free()


def seed_parameters(rng: np.random.Generator) -> dict[str, Any]:
    """Parameters that make SCIP's course a function of `rng`, as Ecole's dynamics draw them."""
    permutation, shift, lp = rng.integers(0, LARGEST_SEED, 3, endpoint=True).tolist()
    return {
        "randomization/permuteconss": True,
        "randomization/permutevars": True,
        "randomization/permutationseed": permutation,
        "randomization/randomseedshift": shift,
        "randomization/lpseed": lp,
    }


def objective_sense(model: Model) -> float:
    """1 for minimisation, -1 for maximisation."""
    return 1.0 if model.getObjectiveSense() == "minimize" else -1.0


def summary(model: Model) -> dict[str, Any]:
    """How a solving process stands or ended: nothing in it depends on the clock.

    Keys: `status` (SCIP's), `n_nodes` (with those before restarts), `n_lp_iterations`, `primal_bound`, `dual_bound`
    (in the sense of the objective), `gap` and `n_solutions`.
    """
    if model.getStage() not in BOUNDS_EXIST:
        sense = objective_sense(model)
        none = {"n_nodes": 0, "n_lp_iterations": 0, "primal_bound": sense * INFINITY, "dual_bound": -sense * INFINITY}
        return {"status": model.getStatus(), **none, "gap": INFINITY, "n_solutions": 0}
    return {
        "status": model.getStatus(),
        "n_nodes": model.getNTotalNodes(),
        "n_lp_iterations": model.getNLPIterations(),
        "primal_bound": model.getPrimalbound(),
        "dual_bound": model.getDualbound(),
        "gap": model.getGap(),
        "n_solutions": model.getNSolsFound(),
    }
