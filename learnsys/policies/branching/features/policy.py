"""Trees and a small network on Khalil's features, as policies.

Nothing here imports scikit-learn, or torch unless it is to compute.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.branching.observations.khalil import FEATURES, Khalil2016
from learnsys.errors import InputError
from learnsys.imitation import Arrays
from learnsys.policies.branching.base import BranchingPolicy
from learnsys.policies.branching.features.kernel import LARGEST, feature_matrix, sum_of_trees
from learnsys.policies.saved import save_policy, saved_policy

if TYPE_CHECKING:
    import torch

WIDTH = 2 * len(FEATURES)
"""columns of the matrix that the policies see, see `kernel.feature_matrix`"""
_TREE_ARRAYS = {"roots": "i4", "feature": "i4", "threshold": "f8", "left": "i4", "right": "i4", "value": "f8"}


def matrix_of(features: NDArray[Any]) -> NDArray[np.float32]:
    """(k, `WIDTH`) from Khalil's features of the candidates, (k, 72), whether observed or from a sample."""
    kept = np.clip(np.nan_to_num(features, nan=0.0), -LARGEST, LARGEST)
    return feature_matrix(np.ascontiguousarray(kept, dtype=np.float32))


class FeaturePolicy(BranchingPolicy):
    """Branches on the candidate of the greatest score, which is a function of the candidates' features.

    Args:
        arrays: what the scores are made of.
        pseudo_candidates: score all unfixed discrete variables, as the policy was trained to.

    Raises:
        InputError: the arrays are not those of such a policy.
    """

    name: ClassVar[str]

    def __init__(self, arrays: Arrays, pseudo_candidates: bool = False) -> None:
        self.arrays = arrays
        self.pseudo_candidates = pseudo_candidates  # type: ignore[misc]
        self.observation = Khalil2016(pseudo_candidates)

    @abstractmethod
    def scores(self, matrix: NDArray[np.float32]) -> NDArray[Any]:
        """(k,) from (k, `WIDTH`)."""

    def act(self, observation: NDArray[np.float64] | None, candidates: NDArray[np.int64]) -> int:
        """See the base class; without an LP to look at, the first candidate."""
        if observation is None:
            return int(candidates[0])
        return int(candidates[np.argmax(self.scores(matrix_of(observation[candidates])))])

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `model.safetensors` and, unless a run has put its own, `config.json`."""
        save_policy(folder, self.arrays, {"policy": self.name, "pseudo_candidates": self.pseudo_candidates})

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """The policy saved in `folder`.

        Raises:
            InputError: a file is missing, damaged or another policy's.
        """
        with saved_policy(folder, cls.name) as (about, arrays):
            return cls(arrays, bool(about.get("pseudo_candidates", False)))


class TreesPolicy(FeaturePolicy):
    """A sum of regression trees, grown by gradient boosting; see `training.boost` and `kernel.sum_of_trees`."""

    name = "trees"

    def __init__(self, arrays: Arrays, pseudo_candidates: bool = False) -> None:
        super().__init__(arrays, pseudo_candidates)
        trees = [np.ascontiguousarray(arrays[name], kind) for name, kind in _TREE_ARRAYS.items()]
        _check_trees(*trees)
        self._trees = trees

    def scores(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        return sum_of_trees(matrix, *self._trees)


def _check_trees(
    roots: NDArray, feature: NDArray, threshold: NDArray, left: NDArray, right: NDArray, value: NDArray
) -> None:
    """Raise InputError unless the kernel can walk the trees: every child comes after its parent, inside the arrays."""
    nodes = len(feature)
    inner = np.flatnonzero(feature >= 0)
    sound = all(each.ndim == 1 for each in (roots, feature, threshold, left, right, value))
    sound = sound and nodes == len(threshold) == len(left) == len(right) == len(value)
    if sound and len(roots):
        sound = bool(0 <= roots.min() and roots.max() < nodes)
    if sound and len(inner):
        children = np.stack([left[inner], right[inner]])
        sound = bool((children > inner).all() and children.max() < nodes and feature.max() < WIDTH)
    if not (sound and np.isfinite(value).all()):
        raise InputError("the trees are damaged")


class MlpPolicy(FeaturePolicy):
    """A network of two hidden layers with ReLU; its inputs are squashed and scaled, see `scale`."""

    name = "mlp"

    def __init__(self, arrays: Arrays, pseudo_candidates: bool = False) -> None:
        super().__init__(arrays, pseudo_candidates)
        names = ("mean", "deviation", *(f"layers.{i}.{part}" for i in (0, 2, 4) for part in ("weight", "bias")))
        mean, deviation, w0, b0, w1, b1, w2, b2 = (np.ascontiguousarray(arrays[name], np.float32) for name in names)
        hidden = len(b0)
        shapes = [(WIDTH,), (WIDTH,), (hidden, WIDTH), (hidden,), (len(b1), hidden), (len(b1),), (1, len(b1)), (1,)]
        if [each.shape for each in (mean, deviation, w0, b0, w1, b1, w2, b2)] != shapes:
            raise InputError("the layers do not fit together")
        self._scaling = mean, deviation
        self._layers = ((w0.T, b0), (w1.T, b1))
        self._last = w2[0]
        self._on: tuple[torch.nn.Module, torch.device] | None = None

    def through_torch(self, device: torch.device) -> None:
        """Let torch compute the network on a device, which may be the processor, in numpy's place."""
        from learnsys.policies.branching.features.network import layers_of

        self._on = layers_of(self.arrays, device), device

    def scores(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        hidden = scale(matrix, *self._scaling)
        if self._on is not None:
            import torch

            network, device = self._on
            with torch.inference_mode():
                return network(torch.from_numpy(hidden).to(device))[:, 0].numpy(force=True)
        for weight, bias in self._layers:
            hidden = np.maximum(hidden @ weight + bias, 0)
        return hidden @ self._last


def squash(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sign times log(1 + size): features of all sizes, on a scale for networks."""
    return np.sign(matrix) * np.log1p(np.abs(matrix))


def scale(
    matrix: NDArray[np.float32], mean: NDArray[np.float32], deviation: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The squashed features in standard deviations from the mean, at most 5 of them."""
    return np.clip((squash(matrix) - mean) / deviation, -5.0, 5.0)
