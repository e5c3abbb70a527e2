"""Networks and optimisers as named arrays, for policies on disk and for checkpoints."""

from __future__ import annotations

import torch
from torch import Tensor

from learnsys.imitation import Arrays


def parameters(network: torch.nn.Module) -> Arrays:
    """A network's parameters and buffers by name; they share its memory if it is on the CPU."""
    return {name: tensor.numpy(force=True) for name, tensor in network.state_dict().items()}


def load_parameters(network: torch.nn.Module, weights: Arrays) -> None:
    """Put copies of parameters into a network.

    Raises:
        ValueError: names or shapes are not this network's.
    """
    try:
        network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    except RuntimeError as error:
        raise ValueError(" ".join(str(error).split())) from None


def adam_moments(optimiser: torch.optim.Adam) -> Arrays:
    """The moments of all parameters."""
    return {
        f"adam/{i}/{name}": tensor.numpy(force=True)
        for i, moments in optimiser.state_dict()["state"].items()
        for name, tensor in moments.items()
    }


def load_adam_moments(optimiser: torch.optim.Adam, state: Arrays) -> None:
    """Put moments back.

    Raises:
        ValueError: they are not those of such parameters; the optimiser's kernels would write where they must not.
    """
    moments: dict[int, dict[str, Tensor]] = {}
    for name, array in state.items():
        if name.startswith("adam/"):
            _, i, moment = name.split("/")
            whole = array.reshape(()) if moment == "step" else array
            moments.setdefault(int(i), {})[moment] = torch.from_numpy(whole.copy())
    groups = optimiser.state_dict()["param_groups"]
    shapes = [tuple(parameter.shape) for group in optimiser.param_groups for parameter in group["params"]]
    for number, found in moments.items():
        shape = shapes[number] if 0 <= number < len(shapes) else None
        wanted = {"step": (), "exp_avg": shape, "exp_avg_sq": shape}
        given = {name: tuple(tensor.shape) for name, tensor in found.items()}
        sound = given == wanted and all(tensor.dtype == torch.float32 for tensor in found.values())
        if not sound or not found["step"] >= 0:
            raise ValueError(f"the moments of parameter {number} do not fit")
    optimiser.load_state_dict({"state": moments, "param_groups": groups})
