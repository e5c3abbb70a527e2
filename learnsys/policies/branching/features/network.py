"""The small network on Khalil's features in torch: for training, and for decisions on a device."""

from __future__ import annotations

import torch

from learnsys.imitation import Arrays
from learnsys.policies.branching.features.policy import WIDTH
from learnsys.policies.torch_arrays import load_parameters

PREFIX = "layers."
"""of its parameters' names among a policy's arrays"""


def make_layers(first: int, second: int) -> torch.nn.Sequential:
    """The network, with hidden layers of these widths. Shapes: (k, `WIDTH`) -> (k, 1)."""
    return torch.nn.Sequential(
        torch.nn.Linear(WIDTH, first),
        torch.nn.ReLU(),
        torch.nn.Linear(first, second),
        torch.nn.ReLU(),
        torch.nn.Linear(second, 1),
    )


def layers_of(arrays: Arrays, device: torch.device) -> torch.nn.Sequential:
    """The network of a policy's arrays, on a device."""
    layers = make_layers(*(len(arrays[f"{PREFIX}{i}.bias"]) for i in (0, 2)))
    load_parameters(layers, {name[len(PREFIX) :]: each for name, each in arrays.items() if name.startswith(PREFIX)})
    return layers.to(device)
