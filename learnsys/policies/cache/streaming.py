"""Simulation of a stream: chunks as they come, memory for the distinct lines only, state that can be saved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import NEVER, DenseIds
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError
from learnsys.imitation import Arrays, load_arrays, save_arrays
from learnsys.policies.cache.base import Chunk, SetPolicy, State
from learnsys.policies.cache.simulation import Simulation
from learnsys.traces.trace import Trace


class Stream:
    """Several policies on one stream of addresses.

    Args:
        policies: label -> policy; none may need the future.
        learnt: label -> what `fit` returned, for policies that need it.

    Attributes:
        position: accesses fed so far.

    Raises:
        InputError: a policy needs the future.
    """

    def __init__(
        self,
        policies: Mapping[str, SetPolicy],
        geometry: CacheGeometry,
        *,
        seed: int = 0,
        learnt: Mapping[str, State] | None = None,
    ) -> None:
        for label, policy in policies.items():
            if policy.needs_future:
                raise InputError(f"{label} needs the future, which a stream does not have", remedy="use a Spool")
        self.position = 0
        self._geometry = geometry
        self._lines, self._pcs = DenseIds(), DenseIds()
        self._about = {
            "geometry": asdict(geometry),
            "seed": seed,
            "policies": {label: repr(policy) for label, policy in policies.items()},
        }
        self._simulations = {
            label: Simulation(policy, geometry, seed, (learnt or {}).get(label)) for label, policy in policies.items()
        }

    def feed(self, trace: Trace) -> dict[str, NDArray[np.uint8]]:
        """Run the next accesses; label -> whether each hits, uint8 (n,).

        Raises:
            InputError: the stream grew longer than 2^31 - 1 accesses.
        """
        if self.position + len(trace) >= NEVER:
            raise InputError("the stream is longer than 2^31 - 1 accesses", remedy="start another one")
        number = trace.address >> np.uint64(self._geometry.line_bits)
        chunk = Chunk(
            line=self._lines.map(number),
            row=(number & np.uint64(self._geometry.sets - 1)).astype(np.int32),
            pc=self._pcs.map(np.zeros(len(trace), np.uint64) if trace.pc is None else trace.pc),
            next_use=np.zeros(0, np.int32),
            start=self.position,
            line_number=self._lines.values,
            pc_value=self._pcs.values,
        )
        self.position += len(trace)
        return {
            label: simulation.run(chunk, len(self._lines), len(self._pcs))
            for label, simulation in self._simulations.items()
        }

    def save(self, path: str | PathLike[str]) -> None:
        """Write everything that later accesses depend on, atomically, as a safetensors file."""
        arrays: Arrays = {"lines": self._lines.values, "pcs": self._pcs.values}
        for label, simulation in self._simulations.items():
            arrays |= {f"{label}/{name}": array for name, array in simulation.state.items()}
        save_arrays(Path(path), arrays, {"position": str(self.position), "about": json.dumps(self._about)})

    def restore(self, path: str | PathLike[str]) -> None:
        """Go on where the stream that was saved to `path` stood.

        Raises:
            InputError: missing, damaged, or saved by a stream with other policies, geometry or seed.
        """
        arrays, about = load_arrays(Path(path))
        if about.get("about") != json.dumps(self._about):
            raise InputError("was saved by another simulation", file=path, remedy="use its policies, geometry and seed")
        self.position = int(about["position"])
        self._lines, self._pcs = DenseIds(), DenseIds()
        self._lines.map(arrays["lines"])
        self._pcs.map(arrays["pcs"])
        for label, simulation in self._simulations.items():
            simulation.position = self.position
            simulation.state = {name: arrays[f"{label}/{name}"] for name in simulation.state}
