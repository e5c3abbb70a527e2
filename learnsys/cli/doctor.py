"""`learnsys doctor` and `learnsys warmup`."""

from __future__ import annotations

import os
import shutil
from typing import Any


def doctor(json: bool = False) -> int:
    """Print versions, tools, kernels' cache and accelerators found on this machine.

    Args:
        json: print JSON instead of tables.
    """
    from learnsys.cli.console import print_json, print_table
    from learnsys.runs import versions

    found = {"versions": versions(), "tools": _tools(), "machine": _machine()}
    if json:
        print_json(found)
        return 0
    for part, values in found.items():
        print_table(part, ["name", "found"], list(values.items()))
    missing = [name for name in ("valgrind", "gcc") if not found["tools"][name]]
    if missing:
        print(f"to record traces: apt install {' '.join(missing)}")
    return 0


def _tools() -> dict[str, str]:
    return {name: shutil.which(name) or "" for name in ("valgrind", "gcc", "chromium", "nvidia-smi")}


def _machine() -> dict[str, Any]:
    import numba
    import torch

    from learnsys import __file__ as package

    chosen = getattr(numba.config, "CACHE_DIR", "")  # set from the environment when numba is imported
    cache = chosen or os.path.join(os.path.dirname(package), "**", "__pycache__")
    return {
        "cores": os.cpu_count(),
        "numba cache": cache,
        "numba cache writable": os.access(chosen or os.path.dirname(package), os.W_OK),
        "torch threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "",
        "scip": _scip(),
        "ecole": _ecole(),
    }


def _ecole() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ecole")
    except PackageNotFoundError:
        return ""


def _scip() -> str:
    try:
        from pyscipopt import Model

        return str(Model().version())
    except ImportError as error:
        return f"not usable: {error}"


def warmup(json: bool = False) -> int:
    """Compile every kernel once into the cache, so that later commands start at once.

    Args:
        json: print JSON instead of a table.
    """
    import pkgutil
    import time
    from importlib import import_module

    from rich.console import Console

    import learnsys
    from learnsys.cli.console import print_json

    # Signatures are given with each kernel, so importing a module compiles or loads what it holds.
    names = [
        module.name
        for module in pkgutil.walk_packages(learnsys.__path__, "learnsys.")
        if not module.name.startswith(("learnsys.cli", "learnsys.__main__"))
    ]
    skipped: list[str] = []
    start = time.perf_counter()
    with Console(stderr=True).status("compiling kernels") as status:
        for name in names:
            status.update(f"compiling kernels: {name}")
            try:
                import_module(name)
            except ImportError:  # an extra that is not installed, or SCIP's library that kernels cannot call
                skipped.append(name)
    seconds = round(time.perf_counter() - start, 1)
    if json:
        print_json({"modules": len(names), "skipped": skipped, "seconds": seconds})
    else:
        print(
            f"{len(names) - len(skipped)} modules ready in {seconds} s" + "".join(f"; skipped {it}" for it in skipped)
        )
    return 0
