"""An Adam optimiser's moments as named arrays, for checkpoints."""

from __future__ import annotations

import torch
from torch import Tensor

from learnsys.imitation import Arrays


def adam_moments(optimiser: torch.optim.Adam) -> Arrays:
    """The moments of all parameters."""
    return {
        f"adam/{i}/{name}": tensor.numpy(force=True)
        for i, moments in optimiser.state_dict()["state"].items()
        for name, tensor in moments.items()
    }


def load_adam_moments(optimiser: torch.optim.Adam, state: Arrays) -> None:
    """Put moments back."""
    moments: dict[int, dict[str, Tensor]] = {}
    for name, array in state.items():
        if name.startswith("adam/"):
            _, i, moment = name.split("/")
            moments.setdefault(int(i), {})[moment] = torch.from_numpy(array.copy())
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": moments, "param_groups": groups})
