"""Independent jobs over processes, through joblib's one seam: loky here, dask or ray on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from learnsys.errors import InputError

BACKENDS = ("loky", "threading", "dask", "ray")


def run_parallel(
    function: Callable[..., Any],
    jobs: Iterable[tuple[Any, ...]],
    *,
    workers: int = -1,
    backend: str = "loky",
    address: str | None = None,
) -> Iterator[Any]:
    """Yield `function(*job)` for each of `jobs`, in their order, as results come in.

    Args:
        workers: processes (or threads); -1 is one for each core.
        backend: one of `BACKENDS`; "dask" and "ray" need their extra and take the cluster's `address`.

    Raises:
        InputError: unknown backend, or its package is not installed.
    """
    import joblib

    if backend not in BACKENDS:
        raise InputError(f"no backend is called {backend!r}", remedy=f"choose from {', '.join(BACKENDS)}")
    try:
        if backend == "dask":
            from distributed import Client

            Client(address)
        elif backend == "ray":
            import ray
            from ray.util.joblib import register_ray

            ray.init(address=address, ignore_reinit_error=True)
            register_ray()
    except ImportError:
        raise InputError(f"backend {backend!r} is not installed", remedy=f"pip install 'learnsys[{backend}]'") from None
    with joblib.parallel_config(backend=backend):
        parallel = joblib.Parallel(
            n_jobs=workers, return_as="generator" if backend in ("loky", "threading") else "list"
        )
        yield from parallel(joblib.delayed(function)(*job) for job in jobs)
