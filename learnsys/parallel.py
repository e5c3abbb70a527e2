"""Independent jobs over processes: joblib's loky on this machine, dask or ray on a cluster, behind one function.

joblib has backends for dask and ray too, but hands their results over only when all are there, and its ray backend (a
pool of actors) does not outlive a killed worker. Here results come one by one, in order, and jobs that a dying worker
takes with it are run again elsewhere.
"""

from __future__ import annotations

import logging
import re
import socket
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from learnsys.errors import InputError

BACKENDS = ("loky", "threading", "dask", "ray")
RETRIES = 3
"""how often a job is given to another worker after one died with it"""

Job = tuple[Any, ...]


def run_parallel(
    function: Callable[..., Any],
    jobs: Iterable[Job],
    *,
    workers: int = -1,
    backend: str = "loky",
    address: str | None = None,
) -> Iterator[Any]:
    """Yield `function(*job)` for each of `jobs`, in their order, as results come in.

    A job whose worker dies is run again, up to `RETRIES` times, so `function` must not mind being called twice. Each
    result is yielded once.

    Args:
        workers: processes (or threads) on this machine; -1 is one for each core. A cluster given by its address has
            the workers that it has.
        backend: one of `BACKENDS`; "dask" and "ray" need their extra. Without an address they start a cluster on this
            machine.
        address: of dask's scheduler (tcp://host:8786) or of ray's head (host:6379, or ray://host:10001).

    Raises:
        InputError: unknown backend, its package is not installed, no cluster answers at the address, or workers kept
            dying.
    """
    if backend not in BACKENDS:
        raise InputError(f"no backend is called {backend!r}", remedy=f"choose from {', '.join(BACKENDS)}")
    if address is not None and backend not in ("dask", "ray"):
        raise InputError(f"backend {backend!r} runs on this machine", remedy="leave out the address")
    _knock(backend, address)
    run = {"dask": _on_dask, "ray": _on_ray}.get(backend)
    try:
        yield from run(function, jobs, workers, address) if run else _here(function, list(jobs), workers, backend)
    except ImportError as error:
        if error.name not in ("dask", "distributed", "ray"):
            raise
        raise InputError(f"backend {backend!r} is not installed", remedy=f"pip install 'learnsys[{backend}]'") from None


def _here(function: Callable[..., Any], jobs: list[Job], workers: int, backend: str) -> Iterator[Any]:
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    done = deaths = last = 0
    with joblib.parallel_config(backend=backend):
        while done < len(jobs):
            parallel = joblib.Parallel(n_jobs=workers, return_as="generator")
            results = parallel(joblib.delayed(function)(*job) for job in islice(jobs, done, None))
            try:
                for result in results:
                    done += 1
                    yield result
            except TerminatedWorkerError:
                deaths = deaths + 1 if done == last else 1
                last = done
                if deaths > RETRIES:
                    raise _dying(done) from None
            finally:
                with warnings.catch_warnings():  # that a caller who has enough leaves jobs undone
                    warnings.simplefilter("ignore", UserWarning)
                    results.close()


def _on_dask(function: Callable[..., Any], jobs: Iterable[Job], workers: int, address: str | None) -> Iterator[Any]:
    from distributed import Client, KilledWorker, LocalCluster

    try:
        cluster = None
        if address is None:
            options: dict[str, Any] = {} if workers < 1 else {"n_workers": workers}
            cluster = LocalCluster(threads_per_worker=1, dashboard_address=None, **options)
        client = Client(cluster if address is None else address, timeout="20s")
    except (OSError, ValueError) as error:
        raise _unreachable("dask", address, error) from None
    try:

        def submit(job: Job) -> Any:
            return client.submit(function, *job, pure=False)

        room = 2 * max(1, sum(client.nthreads().values()))
        yield from _in_order(submit, lambda future: future.result(), jobs, room)
    except KilledWorker:
        raise _dying() from None
    finally:
        client.close()
        if cluster is not None:
            cluster.close()


def _on_ray(function: Callable[..., Any], jobs: Iterable[Job], workers: int, address: str | None) -> Iterator[Any]:
    import ray
    from ray.exceptions import WorkerCrashedError

    started = not ray.is_initialized()
    if started:
        options: dict[str, Any] = {} if address is not None or workers < 1 else {"num_cpus": workers}
        try:
            ray.init(
                address=address, log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR, **options
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise _unreachable("ray", address, error) from None
    try:
        remote = ray.remote(max_retries=RETRIES, num_cpus=1)(function)
        room = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
        yield from _in_order(lambda job: remote.remote(*job), ray.get, jobs, room)
    except WorkerCrashedError:
        raise _dying() from None
    finally:
        if started:
            ray.shutdown()


def _in_order(
    submit: Callable[[Job], Any], result: Callable[[Any], Any], jobs: Iterable[Job], room: int
) -> Iterator[Any]:
    """Results in the order of the jobs, with at most `room` jobs handed out ahead of the one that is waited for."""
    waiting: deque[Any] = deque()
    for job in jobs:
        waiting.append(submit(job))
        if len(waiting) >= room:
            yield result(waiting.popleft())
    while waiting:
        yield result(waiting.popleft())


def _knock(backend: str, address: str | None) -> None:
    """Ask for a connection at once: the clusters' own clients may try for minutes."""
    place = re.fullmatch(r"(?:\w+://)?([^/\[\]]+):(\d+)/?", address or "")
    if place:
        try:
            socket.create_connection((place[1], int(place[2])), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise _unreachable(backend, address, error) from None


def _dying(done: int | None = None) -> InputError:
    where = "" if done is None else f" at job {done + 1}"
    return InputError(
        f"workers died again and again{where}", remedy="look for too little memory, or run with fewer workers"
    )


def _unreachable(name: str, address: str | None, error: Exception) -> InputError:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    where = f"no {name} cluster answers at {address}" if address else f"{name} cannot start here"
    return InputError(f"{where} ({text})", remedy="check the address and that the cluster runs this version of it")


def in_threads(function: Callable[[Any], Any], jobs: Iterable[Any], threads: int) -> Iterator[Any]:
    """Yield `function(job)` for each of `jobs`, in their order: for kernels that let go of Python's lock."""
    if threads == 1:
        yield from map(function, jobs)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(function, jobs)
