"""Independent jobs on real local clusters, some of whose workers are killed in the middle."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path

import pytest

from learnsys.cli import main
from learnsys.errors import InputError
from learnsys.parallel import BACKENDS, RETRIES, run_parallel

PROCESSES = [backend for backend in BACKENDS if backend != "threading"]


def square_or_die(folder: Path, deaths: dict[int, int]):
    """A job that squares its number; the first times it gets one of `deaths`, it kills the process that runs it."""

    def square(x: int) -> int:
        (folder / f"{x}-{len(list(folder.glob(f'{x}-*')))}").touch()
        if len(list(folder.glob(f"{x}-*"))) <= deaths.get(x, 0):
            os.kill(os.getpid(), signal.SIGKILL)
        return x * x

    return square


def skip_without(backend: str) -> None:
    if backend in ("dask", "ray"):
        pytest.importorskip({"dask": "distributed"}.get(backend, backend))


@pytest.fixture(scope="module", autouse=True)
def _one_ray():
    """Starting ray takes longer than all else here: the tests share one cluster, as one process of a user would."""
    yield
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()


@pytest.fixture
def ready(backend):
    skip_without(backend)
    if backend == "ray":
        import ray

        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, ignore_reinit_error=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_order_and_errors(backend, ready):
    def square(x):
        if x == 7:
            raise InputError("seven", remedy="take another number")
        return x * x

    assert list(run_parallel(square, [(x,) for x in range(6)], workers=2, backend=backend)) == [0, 1, 4, 9, 16, 25]
    with pytest.raises(InputError, match="seven"):
        list(run_parallel(square, [(x,) for x in range(9)], workers=2, backend=backend))


@pytest.mark.parametrize("backend", PROCESSES)
def test_killed_worker_loses_and_doubles_nothing(backend, ready, tmp_path):
    square = square_or_die(tmp_path, {3: 1})
    assert list(run_parallel(square, [(x,) for x in range(12)], workers=2, backend=backend)) == [
        x * x for x in range(12)
    ]
    assert len(list(tmp_path.glob("3-*"))) >= 2


def test_job_that_kills_every_worker_is_one_line(tmp_path):
    square = square_or_die(tmp_path, {1: 99})
    with pytest.raises(InputError, match="workers died again and again at job 2"):
        list(run_parallel(square, [(x,) for x in range(3)], workers=2))
    # A death counts against the first job without a result, which may still be the one before.
    assert RETRIES < len(list(tmp_path.glob("1-*"))) <= 2 * (RETRIES + 1)


def test_refusals():
    with pytest.raises(InputError, match="no backend"):
        list(run_parallel(abs, [], backend="slurm"))
    with pytest.raises(InputError, match="leave out the address"):
        list(run_parallel(abs, [(1,)], address="tcp://127.0.0.1:1"))


@pytest.fixture(scope="module")
def cluster():
    """The address of a dask cluster with two workers."""
    LocalCluster = pytest.importorskip("distributed").LocalCluster
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as found:
        yield found.scheduler_address


ABLATION = "cache ablate --traces sample:gnugo --accesses 20000 --capacity 32KiB --seeds 1 --variants full,no\\ DAgger "
ABLATION += "--set training.steps=2 loop.rounds=1 collect=8000 batch=2 --out OUT"
EVALUATION = "mis evaluate GRAPHS --policies greedy,arw --time inf --iterations 50 --out OUT"


@pytest.mark.parametrize("line", [ABLATION, EVALUATION], ids=["sweep", "evaluation"])
def test_sweeps_and_evaluations_on_a_cluster(line, cluster, tmp_path):
    assert main(["mis", "generate", "er-700-800", "--count", "2", "--out", str(tmp_path / "graphs")]) == 0
    folders = tmp_path / "here", tmp_path / "there"
    for folder, where in zip(folders, ("", f" --backend dask --address {cluster}"), strict=True):
        words = shlex.split(line.replace("OUT", str(folder)).replace("GRAPHS", str(tmp_path / "graphs")) + where)
        assert main(words) == 0
    here, there = (sorted(path.relative_to(folder) for path in folder.rglob("summary.json")) for folder in folders)
    assert here == there and here
    for name in here:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_no_cluster_at_the_address(backend):
    skip_without(backend)
    address = {"dask": "tcp://127.0.0.1:9", "ray": "127.0.0.1:9"}[backend]
    with pytest.raises(InputError, match=f"no {backend} cluster answers at"):
        list(run_parallel(abs, [(1,)], backend=backend, address=address))


def test_a_caller_who_has_enough_may_leave_without_a_warning(recwarn):
    results = run_parallel(abs, [(-i,) for i in range(50)], workers=2)
    assert [next(results), next(results)] == [0, 1]
    results.close()
    assert not recwarn.list
