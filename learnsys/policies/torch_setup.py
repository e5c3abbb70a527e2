"""Torch set up so that equal runs give equal bits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from learnsys.errors import InputError


@contextmanager
def deterministic(device: str, threads: int) -> Iterator[None]:
    """Deterministic algorithms, and a number of threads that the machine does not choose.

    Raises:
        InputError: there is no such device, or no such number of threads.
    """
    import torch

    if threads < 1:
        raise InputError(f"{threads} threads are too few", remedy="give 1 or more")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise InputError(f"there is no device {device!r} here", remedy="use cpu") from None
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS refuses to be deterministic
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
