"""Fitting the GCNN to samples: epochs of Adam steps, and accuracy on held-out samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from learnsys.errors import LearnsysError
from learnsys.imitation import Arrays, Report
from learnsys.policies.branching.gcnn.config import GcnnConfig
from learnsys.policies.branching.gcnn.data import CHUNK_EDGES, Example, chunks, collate, hits, targets
from learnsys.policies.branching.gcnn.model import GcnnModel, log_probabilities, loss_of
from learnsys.policies.branching.samples import SampleSet
from learnsys.policies.distributed import joined, quietly, share, summed_over_all
from learnsys.policies.torch_arrays import adam_moments, load_adam_moments, load_parameters, parameters

TOPS = (1, 3, 5, 10)
"""k of the accuracies acc@k that are reported"""
DEVICE_EDGES = 8_000_000
"""edges in one pass of the network on other devices than the processor, at most"""
KEPT_BYTES = 1 << 30
"""of samples held in memory; those beyond are read anew whenever they are drawn"""


class Examples(Sequence[Example]):
    """A set of samples, of each what its candidates' scores depend on; the first gibibyte read stays in memory.

    Args:
        most: how many of them at most, the first ones; 0 for all.
    """

    def __init__(self, samples: SampleSet, config: GcnnConfig, most: int = 0) -> None:
        self._samples, self._config = samples, config.model
        self._length = min(len(samples), most or len(samples))
        self._kept: dict[int, Example] = {}
        self._room = KEPT_BYTES

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, number: Any) -> Any:
        kept = self._kept.get(number)
        if kept is None:
            kept = self.whole(number).near()
            if kept.n_bytes <= self._room:
                self._room -= kept.n_bytes
                self._kept[number] = kept
        return kept

    def whole(self, number: int) -> Example:
        """A sample with all rows and variables, read anew."""
        return Example.of(self._samples[number], self._config)


class Fitter:
    """The network, its optimiser, and the plateau that lowers the learning rate.

    Args:
        seed: with the number given to `restart`, decides the weights; with that of an epoch, its samples.
    """

    def __init__(self, config: GcnnConfig, seed: int, device: str = "cpu") -> None:
        self.config, self.seed, self.device = config, seed, torch.device(device)
        self.restart(0)

    def restart(self, number: int) -> None:
        """New weights, a new optimiser, and the learning rate of the beginning."""
        self._seed_torch(number, 7)
        self.model = GcnnModel(self.config.model).to(self.device)
        self._optimiser = torch.optim.Adam(self.model.parameters(), lr=self.config.training.learning_rate)
        self._loss = joined(self.model, self._loss_of)
        self._plateau = np.array([self.config.training.learning_rate, math.inf, 0.0])

    def _seed_torch(self, *numbers: int) -> None:
        torch.manual_seed(int(np.random.SeedSequence([self.seed, *numbers]).generate_state(1)[0]))

    def _chunks(self, examples: Sequence[Example]) -> Iterator[list[Example]]:
        return chunks(examples, CHUNK_EDGES if self.device.type == "cpu" else DEVICE_EDGES)

    def settle(self, examples: Examples, report: Report) -> None:
        """Estimate the normalisations on every tenth sample (by the configuration), layer by layer."""
        every = min(self.config.training.norm_every, len(examples))
        chosen = [examples.whole(i) for i in range(0, len(examples), every)]
        self.model.estimate_norms(
            lambda: (collate(chunk, every_variable=True).to(self.device) for chunk in self._chunks(chosen))
        )

    def draw(self, count: int, number: int) -> NDArray[np.int64]:
        """The samples of epoch `number`, of `count`, with replacement."""
        rng = np.random.default_rng([self.seed, number, 3])
        return rng.integers(count, size=self.config.training.epoch)

    def epoch(
        self, examples: Examples, drawn: NDArray[np.int64], number: int, report: Report, label: str = "fit"
    ) -> dict[str, float]:
        """Epoch `number`, over the `drawn` samples; mean loss and accuracy on the way.

        Raises:
            LearnsysError: the loss is no number any more.
        """
        training, summed, right = self.config.training, 0.0, 0
        for group in self._optimiser.param_groups:
            group["lr"] = self.learning_rate
        self.model.train()
        self._seed_torch(number, 11)  # of dropout
        for begin in range(0, len(drawn), training.batch):
            numbers = drawn[begin : begin + training.batch]
            mine, factor = share(numbers)
            self._optimiser.zero_grad(set_to_none=True)
            portions = list(self._chunks([examples[int(number)] for number in mine]))
            for place, chunk in enumerate(portions, 1):
                with quietly(self._loss, last=place == len(portions)):
                    loss, logits = self._loss(chunk)
                    (loss * factor / len(numbers)).backward()
                if factor:
                    summed += loss.item()
                    right += int(hits(logits.numpy(force=True), chunk, (1,)).sum())
            if not math.isfinite(summed):
                raise LearnsysError("training diverged; lower the learning rate")
            self._optimiser.step()
            report(label, begin + len(numbers), len(drawn))
        self.model.eval()
        loss, accuracy = (summed_over_all(summed, right) / len(drawn)).tolist()
        return {"loss": loss, "accuracy": accuracy, "learning_rate": self.learning_rate}

    def _loss_of(self, chunk: list[Example]) -> tuple[torch.Tensor, torch.Tensor]:
        """Summed loss and logits of a portion that fits the processor's cache, or the device's memory."""
        training, batch = self.config.training, collate(chunk).to(self.device)
        logits = self.model(batch)
        wanted = targets(chunk, training.target, training.temperature).to(self.device)
        return loss_of(log_probabilities(logits, batch), wanted, batch, training.target), logits

    @torch.no_grad()
    def validate(self, examples: Sequence[Example]) -> dict[str, float]:
        """Mean loss and acc@k: how often one of the best candidates is among the first k."""
        self.model.eval()
        summed, found = 0.0, np.zeros(len(TOPS))
        for begin in range(0, len(examples), self.config.training.batch):
            mine, factor = share(range(begin, min(begin + self.config.training.batch, len(examples))))
            for chunk in self._chunks([examples[i] for i in mine]) if factor else ():
                loss, logits = self._loss_of(chunk)
                summed += loss.item()
                found += hits(logits.numpy(force=True), chunk, TOPS).sum(0)
        loss, *rates = (summed_over_all(summed, *found) / len(examples)).tolist()
        return {"loss": loss, **{f"acc@{top}": rate for top, rate in zip(TOPS, rates, strict=True)}}

    @property
    def learning_rate(self) -> float:
        return float(self._plateau[0])

    def observe(self, loss: float) -> int:
        """Take in a validation loss, lower the learning rate on a plateau; epochs since the best."""
        training = self.config.training
        better = loss < self._plateau[1]
        self._plateau[1:] = (loss, 0) if better else (self._plateau[1], self._plateau[2] + 1)
        stale = int(self._plateau[2])
        if stale and stale % training.decay_after == 0:
            self._plateau[0] *= training.decay
        return stale

    # ---- what is written to disk -------------------------------------------------------------------------------------

    def weights(self) -> Arrays:
        return {name: array.copy() for name, array in parameters(self.model).items()}

    def load_weights(self, weights: Arrays) -> None:
        load_parameters(self.model, weights)
        self.model.eval()

    def state(self) -> Arrays:
        """The optimiser's moments and the plateau."""
        return {"plateau": self._plateau} | adam_moments(self._optimiser)

    def load_state(self, state: Arrays) -> None:
        self._plateau[...] = state["plateau"]
        load_adam_moments(self._optimiser, state)
