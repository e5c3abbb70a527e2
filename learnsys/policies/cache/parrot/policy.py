"""A trained Parrot as a cache policy: saved, loaded, simulated set-parallel, and asked for single actions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learnsys.envs.cache.accesses import Accesses
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.envs.cache.stepper import Stepper
from learnsys.errors import InputError
from learnsys.imitation import Arrays, Report, silent
from learnsys.policies.cache.parrot.agent import actions
from learnsys.policies.cache.parrot.config import ModelConfig
from learnsys.policies.cache.parrot.data import line_keys
from learnsys.policies.cache.parrot.embedders import Vocabulary
from learnsys.policies.cache.parrot.features import line_features, past_of
from learnsys.policies.cache.parrot.model import ParrotModel
from learnsys.policies.cache.parrot.rollout import roll_out
from learnsys.policies.saved import save_policy, saved_policy
from learnsys.policies.torch_arrays import load_parameters, parameters


@dataclass(frozen=True)
class View:
    """A trace as a policy reads it."""

    accesses: Accesses
    pc: NDArray[np.int64]
    """what the PC embedder reads for each dense PC id, (n_pcs,)"""
    line: NDArray[np.int64]
    """what the address embedder reads for each dense line id, (n_lines,)"""
    past: NDArray[np.float32] | None
    """the features of each access, (n, PAST), if the network wants them"""


class ParrotPolicy:
    """The network together with its frozen vocabularies.

    Args:
        config: the network's configuration.
        pcs, addresses: the vocabularies (unused by byte embedders).
        device: where the network computes; by kernels if it is the processor.
    """

    name = "parrot"

    def __init__(
        self, config: ModelConfig, pcs: Vocabulary, addresses: Vocabulary, device: str | torch.device = "cpu"
    ) -> None:
        self.config = config
        self.pcs, self.addresses = pcs, addresses
        self.device = torch.device(device)
        self.kernels = self.device.type == "cpu"
        """whether kernels compute the network where it decides"""
        self.model = ParrotModel(config, len(pcs) + 1, len(addresses) + 1).to(self.device)

    def through_torch(self, device: str | torch.device) -> None:
        """Let torch compute the network on a device, which may be the processor, in the kernels' place."""
        self.device, self.kernels = torch.device(device), False
        self.model.to(self.device)

    def pc_keys(self, pc: NDArray[np.uint64]) -> NDArray[np.int64]:
        """What the PC embedder reads for program counters, any shape."""
        return pc.astype(np.int64) if self.config.pc_embedder == "byte" else self.pcs.lookup(pc)

    def line_keys(self, address: NDArray[np.uint64]) -> NDArray[np.int64]:
        """What the address embedder reads for byte addresses, any shape."""
        number = address >> np.uint64(self.config.line_size.bit_length() - 1)
        return number.astype(np.int64) if self.config.address_embedder == "byte" else self.addresses.lookup(number)

    def view(self, accesses: Accesses, cache_lines: int) -> View:
        """`accesses` as this policy reads them, for a cache of that many lines."""
        bits = np.uint64(self.config.line_size.bit_length() - 1)
        return View(
            accesses,
            self.pc_keys(accesses.pc_value),
            self.line_keys(accesses.line_number << bits),
            past_of(accesses, cache_lines) if self.config.line_features else None,
        )

    def act(self, observation: Mapping[str, NDArray[Any]]) -> Any:
        """The action for one raw observation of `learnsys/CacheReplacement-v0` (int), or for a batch (int64 (B,)).

        See `learnsys.policies.cache.parrot.agent`.
        """
        if observation["action_mask"].ndim > 1:
            return actions(self, observation)
        return int(actions(self, {name: np.asarray(array)[None] for name, array in observation.items()})[0])

    def roll_out(
        self,
        view: View,
        stepper: Stepper,
        start: int,
        stop: int,
        *,
        expert: NDArray[np.bool_] | None = None,
        report: Report = silent,
    ) -> NDArray[np.int16]:
        """Advance a stepper by set from access `start` to `stop`: see `learnsys.policies.cache.parrot.rollout`."""
        return roll_out(self, view, stepper, start, stop, expert=expert, report=report)

    def scores(
        self,
        view: View,
        memory: Tensor,
        rows: NDArray[np.int64],
        touched: NDArray[np.int32],
        times: NDArray[np.int64],
    ) -> tuple[Tensor, Tensor]:
        """Eviction scores and reuse predictions, each (n, ways), of full sets `touched` (n, ways) at `times` (n,).

        `rows` (n,) is the row of each decision's access in `memory`.
        """
        windows, valid = self.windows(memory, rows)
        vectors, features = self.lines(view, times, touched)
        scores, reuse = self.model.attend(
            vectors.unsqueeze(1), windows, valid, None if features is None else features.unsqueeze(1)
        )
        return scores[:, 0], reuse[:, 0]

    def windows(self, memory: Tensor, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor | None]:
        """What decisions at `rows` (n,) of a memory may attend to, (n, H, M), and which of it there is, (n, 1, H)."""
        history, width = self.config.history, memory.shape[1]
        first = np.maximum(rows - history + 1, 0)
        starts = torch.from_numpy(first).to(self.device)
        flat = memory.as_strided((memory.shape[0] - history + 1, history * width), (width, 1))
        windows = flat[starts].view(-1, history, width)
        valid = None
        if (rows < history - 1).any():  # the first accesses of all have a shorter history
            valid = torch.from_numpy(first[:, None] + np.arange(history) <= rows[:, None]).to(self.device).unsqueeze(1)
        return windows, valid

    def lines(self, view: View, times: NDArray[np.int64], touched: NDArray[np.int32]) -> tuple[Tensor, Tensor | None]:
        """Vectors (n, ways, E) and features (n, ways, F) of the lines of sets `touched` (n, ways) at `times` (n,)."""
        a = view.accesses
        address = torch.from_numpy(line_keys(touched, a.line, view.line)).to(self.device)
        if view.past is None:
            return self.model.lines(address), None
        pc = torch.from_numpy(line_keys(touched, a.pc, view.pc)).to(self.device)
        features = torch.from_numpy(line_features(times, touched, view.past)).to(self.device)
        return self.model.lines(address, pc, features), features

    def simulate(self, accesses: Accesses, geometry: CacheGeometry, seed: int = 0) -> NDArray[np.uint8]:
        """Whether each access hits a cache under this policy that starts empty; uint8 (n,). `seed` changes nothing.

        Raises:
            InputError: the policy was trained for lines of another size.
        """
        return self._whole(accesses, geometry)[0]

    def victims(self, accesses: Accesses, geometry: CacheGeometry, seed: int = 0) -> NDArray[np.int16]:
        """The way that each access evicts from that cache, int16 (n,), -1 for none: what a guard replays."""
        return self._whole(accesses, geometry)[1]

    def _whole(self, accesses: Accesses, geometry: CacheGeometry) -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
        """Hits and victims of a simulation of the whole trace."""
        if geometry.line_size != self.config.line_size:
            raise InputError(
                f"trained for lines of {self.config.line_size} bytes, not {geometry.line_size}",
                remedy=f"simulate with --line-size {self.config.line_size}",
            )
        stepper = Stepper(accesses, geometry.sets, geometry.ways, by_set=True)
        victims = self.roll_out(self.view(accesses, geometry.sets * geometry.ways), stepper, 0, len(accesses))
        return stepper.hits, victims

    def weights(self) -> Arrays:
        """The network's parameters by name."""
        return parameters(self.model)

    def load_weights(self, weights: Arrays) -> None:
        """Put parameters into the network.

        Raises:
            ValueError: names or shapes are not this network's.
        """
        load_parameters(self.model, weights)

    def save(self, folder: str | os.PathLike[str], *, half: bool = False) -> None:
        """Write `model.safetensors` (weights and vocabularies) and, unless a run has put its own, `config.json`.

        Args:
            half: round the weights to float16, for half the bytes.
        """
        vocabularies = {"vocabulary/pc": self.pcs.values, "vocabulary/address": self.addresses.values}
        weights = {name: array.astype(np.float16) if half else array for name, array in self.weights().items()}
        save_policy(folder, {**weights, **vocabularies}, {"policy": self.name, "model": asdict(self.config)})

    @classmethod
    def load(cls, folder: str | os.PathLike[str], device: str | torch.device = "cpu") -> ParrotPolicy:
        """The policy saved in `folder`.

        Raises:
            InputError: a file is missing, damaged or another policy's.
        """
        with saved_policy(folder, "Parrot") as (about, arrays):
            config = ModelConfig(**about["model"])
            pcs, addresses = (Vocabulary(arrays.pop(f"vocabulary/{kind}")) for kind in ("pc", "address"))
            policy = cls(config, pcs, addresses, device)
            policy.load_weights(arrays)
        policy.model.eval()
        return policy
