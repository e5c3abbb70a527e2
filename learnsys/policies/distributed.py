"""Training in several processes at once, on one machine or many: started by `torchrun`, joined by torch's own DDP.

Every process runs the same training from the same seed. Each takes its share of every batch, and
DistributedDataParallel makes the gradients of the whole batch of the shares', so that all take the same step as one
process would. The first process alone writes to the run folder; the others begin with a copy of it. Started without
`torchrun`, all functions here do nothing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from learnsys.errors import InputError

Result = TypeVar("Result")
Items = TypeVar("Items", bound=Sequence[Any] | NDArray[Any])

_WAIT = timedelta(hours=12)
"""how long one process may keep the others waiting"""


def processes() -> int:
    """How many there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _number() -> int:
    return int(os.environ.get("RANK", "0")) if processes() > 1 else 0


def alone(what: str) -> None:
    """Refuse to run in several processes.

    Raises:
        InputError: there are several.
    """
    if processes() > 1:
        raise InputError(f"{what} runs in one process", remedy="start it without torchrun")


def about() -> dict[str, int]:
    """What a run's configuration says of its processes: nothing if there is one."""
    return {"processes": processes()} if processes() > 1 else {}


@contextmanager
def together(device: str, out: str | os.PathLike[str]) -> Iterator[tuple[str, Path]]:
    """Join the other processes: this one's device ("cuda" is one GPU for each) and run folder.

    Raises:
        InputError: there are more processes than GPUs on this machine.
    """
    out = Path(out)
    if processes() == 1:
        yield device, out
        return
    if device == "cuda":
        place = int(os.environ.get("LOCAL_RANK", "0"))
        if place >= torch.cuda.device_count():
            raise InputError(
                f"process {place} of this machine finds {torch.cuda.device_count()} GPUs",
                remedy="start as many processes as there are GPUs (--nproc-per-node)",
            )
        device = f"cuda:{place}"
        torch.cuda.set_device(place)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo", timeout=_WAIT)
    try:
        with tempfile.TemporaryDirectory(prefix="learnsys-") as folder:
            copy = Path(folder) / "run"
            if _number() and out.exists():
                shutil.copytree(out, copy)
            dist.barrier()  # the first one writes when all have their copies
            yield device, copy if _number() else out
    finally:
        dist.destroy_process_group()


class _Loss(torch.nn.Module):
    """A loss in the place of the forward pass, which is where DistributedDataParallel looks."""

    def __init__(self, network: torch.nn.Module, loss: Callable[..., Any]) -> None:
        super().__init__()
        self.network, self.loss = network, loss

    def forward(self, *arguments: Any) -> Any:
        return self.loss(*arguments)


def joined(network: torch.nn.Module, loss: Callable[..., Any], *, spare: bool = False) -> Callable[..., Any]:
    """`loss`, whose backward pass leaves in `network` the mean of the gradients of all processes.

    Args:
        loss: arguments -> tensors computed by the network, the first of them to call `backward` on.
        spare: whether some parameters may have no part in the loss.
    """
    if processes() == 1:
        return loss
    device = next(network.parameters()).device
    return DistributedDataParallel(
        _Loss(network, loss),
        device_ids=None if device.type == "cpu" else [device],
        find_unused_parameters=spare,
    )


def quietly(loss: Callable[..., Any], last: bool) -> AbstractContextManager[None]:
    """Where gradients only add up, except with the `last` portion of a batch, after which the processes meet."""
    return nullcontext() if last or not isinstance(loss, DistributedDataParallel) else loss.no_sync()


def share(batch: Items) -> tuple[Items, float]:
    """This process's items of a batch, at least one, and the factor for its part of the batch's mean loss.

    The mean over the processes of factor x (sum of the loss over the share) / (items of the batch) is the mean loss of
    the batch. The factor is 0 where there are more processes than items.
    """
    mine: Any = batch[_number() :: processes()]
    return (mine, float(processes())) if len(mine) else (batch[:1], 0.0)  # type: ignore[return-value]


def own(count: int) -> range:
    """This process's numbers among 0 to `count` - 1."""
    return range(_number(), count, processes())


def gathered(mine: Sequence[Result], count: int) -> list[Result]:
    """What all processes found for their `own` numbers, in the order of these, for all of them."""
    if processes() == 1:
        return list(mine)
    parts: list[Any] = [None] * processes()
    dist.all_gather_object(parts, list(mine))
    return [parts[number % processes()][number // processes()] for number in range(count)]


def summed_over_all(*numbers: float) -> NDArray[np.float64]:
    """The sums of numbers over all processes."""
    found = torch.tensor(numbers, dtype=torch.float64)
    if processes() > 1:
        dist.all_reduce(found)
    return found.numpy()


def from_first(function: Callable[[], Result]) -> Result:
    """What `function` says in the first process, for all."""
    if processes() == 1:
        return function()
    box = [function() if _number() == 0 else None]
    dist.broadcast_object_list(box, device=torch.device("cpu"))
    return box[0]  # type: ignore[return-value]


def out_of_time(began: float, minutes: float | None) -> bool:
    """Whether so many minutes (None: as many as it takes) are over since `began`, a time of `time.monotonic`.

    All processes get the first one's answer, so that all of them stop after the same round.
    """
    return from_first(lambda: minutes is not None and time.monotonic() - began >= 60 * minutes)
