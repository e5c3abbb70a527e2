"""Torch set up so that equal runs give equal bits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from learnsys.errors import InputError

if TYPE_CHECKING:
    import torch


def existing_device(device: str | torch.device) -> torch.device:
    """The device of that name.

    Raises:
        InputError: there is none here.
    """
    import torch

    try:
        torch.empty(0, device=device).cpu()
    except (RuntimeError, AssertionError):
        raise InputError(f"there is no device {str(device)!r} here", remedy="use cpu") from None
    return torch.device(device)


@contextmanager
def deterministic(device: str | torch.device, threads: int) -> Iterator[None]:
    """Deterministic algorithms, and a number of threads that the machine does not choose.

    Raises:
        InputError: there is no such device, or no such number of threads.
    """
    import torch

    if threads < 1:
        raise InputError(f"{threads} threads are too few", remedy="give 1 or more")
    existing_device(device)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS refuses to be deterministic
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
