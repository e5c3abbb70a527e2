"""The one loop behind every trained policy: collect, label, fit, evaluate in the real system, repeat.

It is dataset aggregation (Ross, Gordon and Bagnell, "A reduction of imitation learning and structured prediction to
no-regret online learning", AISTATS 2011, algorithm 3.1) with its parts left open. Three configurations of it:

- Parrot: the expert first and the policy alone afterwards, `Schedule()`, each round's data replacing the last
  (`keep=1`); or `Schedule.linear(rounds)`.
- KIDA: `Schedule.constant(0.05)`, the union of all rounds (`keep=0`), `from_scratch`, an evaluation every 10 rounds,
  and the mean of the 3 best networks' weights at the end (`average=3`), or a `greedy` choice of them.
- Self-training of the comparator: `keep=3`, a buffer of the newest rounds, labelled by the policy's own roll-outs.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from learnsys.errors import InputError
from learnsys.files import write_bytes
from learnsys.runs import Run

Arrays = dict[str, NDArray[Any]]
"""Named arrays: weights, optimiser moments, or the data of one round. They are all that is ever written to disk."""

VERSION = 1
"""of the files of arrays that are written; raised when older ones can no longer be read"""

Report = Callable[[str, int, int], None]
"""Told of progress: what is being done, how much of it, out of how much."""


def silent(phase: str, done: int, total: int) -> None:
    """The `Report` that shows nothing."""


@dataclass(frozen=True)
class Schedule:
    """The share of decisions that the expert takes while data is collected; labels are the expert's throughout."""

    first: float = 1.0
    """share in the first round"""
    last: float = 0.0
    """share from round `rounds` on (counted from 0)"""
    rounds: int = 1
    """rounds over which the share goes from `first` to `last` along a line"""

    def __post_init__(self) -> None:
        if not (0 <= self.first <= 1 and 0 <= self.last <= 1 and self.rounds >= 1):
            raise InputError("a schedule needs shares between 0 and 1 and at least 1 round")

    @classmethod
    def constant(cls, share: float) -> Schedule:
        """The same share in every round."""
        return cls(share, share)

    @classmethod
    def linear(cls, rounds: int) -> Schedule:
        """From the expert alone to the policy alone."""
        return cls(1.0, 0.0, rounds)

    def expert_share(self, number: int) -> float:
        """The share in round `number`, counted from 0."""
        return self.first + (self.last - self.first) * min(1.0, number / self.rounds)


@dataclass(frozen=True)
class LoopConfig:
    """How the rounds of imitation follow each other."""

    rounds: int = 10
    """rounds at most"""
    schedule: Schedule = field(default_factory=Schedule)
    """who decides while data is collected"""
    keep: int = 1
    """newest rounds whose data is fitted: 1 replaces the data each round, 0 keeps the union of all"""
    from_scratch: bool = False
    """start each fit from new weights instead of the last round's"""
    evaluate_every: int = 1
    """rounds from one evaluation in the real system to the next; the last round always has one"""
    patience: int = 0
    """stop after this many evaluations without a better reward; 0 never does"""
    average: int = 1
    """at the end also try the mean of the weights of this many best evaluated networks"""
    greedy: bool = False
    """let a network into the mean only if the reward does not fall: from the best one on, one after the other"""

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.keep < 0 or self.evaluate_every < 1 or self.patience < 0 or self.average < 1:
            raise InputError("rounds, evaluate_every and average must be at least 1, keep and patience at least 0")


class Task(Protocol):
    """What the loop needs to know of a problem.

    Randomness must come from the seed and the round number alone, and everything else that a round depends on must
    be in `state`: a killed run goes on from the state after its last whole round, and ends as if never killed.
    """

    def restart(self, number: int) -> None:
        """New weights and a new optimiser."""

    def collect(self, number: int, expert_share: float, report: Report) -> Arrays:
        """Roll out, the expert deciding with probability `expert_share`; the states met, labelled by the expert."""

    def fit(self, parts: Sequence[Arrays], number: int, report: Report) -> Mapping[str, float]:
        """Fit the policy to the parts, oldest first; what to log."""

    def evaluate(self, number: int, report: Report) -> Mapping[str, Any]:
        """Run the policy in the real system; what to log, "reward" among it (more is better)."""

    def weights(self) -> Arrays:
        """The policy's weights."""

    def load_weights(self, weights: Arrays) -> None:
        """Put weights into the policy."""

    def state(self) -> Arrays:
        """What the next round depends on besides the weights."""

    def load_state(self, state: Arrays) -> None:
        """Go back to a state."""


@dataclass
class Progress:
    """Where a run stands, and the best networks so far."""

    rounds: int = 0
    """whole rounds done"""
    stale: int = 0
    """evaluations since the best"""
    best: list[dict[str, Any]] = field(default_factory=list)
    """what was measured at the best evaluations ("round", "reward", ...), best first"""
    weights: list[Arrays] = field(default_factory=list)
    """the weights at each of `best`"""

    def add(self, measured: Mapping[str, Any], weights: Arrays, keep: int) -> None:
        """Take in an evaluation; equal rewards keep their order, so that the earlier one stays ahead."""
        better = not self.best or measured["reward"] > self.best[0]["reward"]
        self.stale = 0 if better else self.stale + 1
        place = sum(measured["reward"] <= other["reward"] for other in self.best)
        self.best.insert(place, dict(measured))
        self.weights.insert(place, {name: array.copy() for name, array in weights.items()})
        del self.best[keep:], self.weights[keep:]


def imitate(
    task: Task,
    config: LoopConfig,
    run: Run,
    *,
    report: Report = silent,
    stop: Callable[[], bool] = lambda: False,
) -> Progress:
    """Run the loop to its end, going on from the run folder's checkpoint if there is one.

    Args:
        task: the problem. In the end it holds the best weights.
        run: where the checkpoint, the kept data and the metrics go.
        stop: asked after each round whether to end here (a time limit, say).

    Raises:
        InputError: the checkpoint is damaged.
    """
    folder = run.folder
    progress = load_checkpoint(folder, task)
    run.rewind("round", progress.rounds - 1)
    parts: list[Arrays] = []
    if not _finished(progress, config):
        oldest = max(0, progress.rounds - config.keep + 1) if config.keep else 0
        parts = [load_arrays(_part(folder, number))[0] for number in range(oldest, progress.rounds)]
    while not _finished(progress, config):
        number = progress.rounds
        share = config.schedule.expert_share(number)
        del parts[: max(0, len(parts) - config.keep + 1) if config.keep else 0]
        parts.append(task.collect(number, share, report))
        if config.keep != 1:
            save_arrays(_part(folder, number), parts[-1])
        if config.from_scratch:
            task.restart(number)
        measured: dict[str, Any] = {"round": number, "expert_share": share, **task.fit(parts, number, report)}
        if (number + 1) % config.evaluate_every == 0 or number + 1 == config.rounds:
            measured |= task.evaluate(number, report)
            progress.add(measured, task.weights(), config.average)
        run.log(**measured)
        progress.rounds += 1
        save_checkpoint(folder, task, progress)
        if config.keep:
            _part(folder, progress.rounds - config.keep).unlink(missing_ok=True)
        if stop():
            break
    else:
        shutil.rmtree(folder / "parts", ignore_errors=True)
    _conclude(task, config, progress, run, report)
    return progress


def _finished(progress: Progress, config: LoopConfig) -> bool:
    return progress.rounds >= config.rounds or 0 < config.patience <= progress.stale


def _conclude(task: Task, config: LoopConfig, progress: Progress, run: Run, report: Report) -> None:
    """Load the best weights, or the mean of the best few if the real system likes that better."""
    if not progress.best:  # stopped before the first evaluation
        measured: dict[str, Any] = {"round": progress.rounds, **task.evaluate(progress.rounds, report)}
        progress.add(measured, task.weights(), config.average)
        run.log(**measured)
    if config.average > 1 and len(progress.weights) > 1:
        _average(task, config, progress, run, report)
    task.load_weights(progress.weights[0])


def _average(task: Task, config: LoopConfig, progress: Progress, run: Run, report: Report) -> None:
    """Evaluate the mean of the best networks' weights, or grow it greedily (Wortsman et al., "Model soups", 2022)."""
    ranked = list(zip(progress.weights, progress.best, strict=True))
    soup, reward = ranked[:1], ranked[0][1]["reward"]
    for size in range(2 if config.greedy else len(ranked), len(ranked) + 1):
        tried = [*soup, ranked[size - 1]] if config.greedy else ranked
        mean = {
            name: np.mean([weights[name] for weights, _ in tried], axis=0).astype(array.dtype)
            for name, array in tried[0][0].items()
        }
        task.load_weights(mean)
        measured = {"round": progress.rounds, "averaged": len(tried), "of_rounds": [each["round"] for _, each in tried]}
        measured |= task.evaluate(progress.rounds, report)
        progress.add(measured, mean, config.average)
        run.log(**measured)
        if measured["reward"] >= reward:
            soup, reward = tried, measured["reward"]


def _part(folder: Path, number: int) -> Path:
    return folder / "parts" / f"round-{number:05d}.safetensors"


def save_checkpoint(folder: Path, task: Task, progress: Progress) -> None:
    """Write everything that the rest of the run depends on, in one file and at one stroke."""
    arrays = {f"weights/{name}": array for name, array in task.weights().items()}
    arrays |= {f"state/{name}": array for name, array in task.state().items()}
    for i, weights in enumerate(progress.weights):
        arrays |= {f"best{i}/{name}": array for name, array in weights.items()}
    record = {"rounds": progress.rounds, "stale": progress.stale, "best": progress.best}
    save_arrays(folder / "checkpoint.safetensors", arrays, {"progress": json.dumps(record)})


def load_checkpoint(folder: Path, task: Task) -> Progress:
    """Put the checkpoint's content, if there is one, into `task`; where the run stands."""
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return Progress()
    arrays, about = load_arrays(path)
    groups: dict[str, Arrays] = {}
    for name, array in arrays.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = array
    try:
        record = json.loads(about["progress"])
        progress = Progress(weights=[groups[f"best{i}"] for i in range(len(record["best"]))], **record)
        if not all(type(count) is int and count >= 0 for count in (progress.rounds, progress.stale)):
            raise ValueError("its counts are none")
        if not isinstance(progress.best, list) or not all(
            type(each["round"]) is int and isinstance(each["reward"], float) for each in progress.best
        ):
            raise ValueError("its evaluations are none")
        task.load_weights(groups["weights"])
        task.load_state(groups.get("state", {}))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"is no checkpoint of this run ({reason})", file=path, remedy="delete it to start the run anew"
        ) from None
    return progress


def save_arrays(path: Path, arrays: Arrays, about: dict[str, str] | None = None) -> None:
    """Write named arrays, and text about them, as one safetensors file, atomically; equal content gives equal bytes.

    Raises:
        OSError: it cannot be written; what was there before still is.
    """
    from safetensors.numpy import save

    content = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    header = {**(about or {}), "version": VERSION, "digest": _digest(content)}
    write_bytes(path, save(content, {"about": json.dumps(header, sort_keys=True)}))  # safetensors orders keys at random


def load_arrays(path: Path) -> tuple[Arrays, dict[str, str]]:
    """The named arrays of a safetensors file, and the text about them.

    Raises:
        InputError: missing, damaged, or written by another version of learnsys.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            arrays, about = {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})
        if "about" in about:
            about = dict(json.loads(about["about"]))
            version, digest = about.pop("version"), about.pop("digest")
            if version != VERSION:
                raise InputError(
                    f"is of version {version}, which this learnsys does not read",
                    file=path,
                    remedy="use the learnsys that wrote it (see env.json beside it), or delete it and run again",
                )
            if digest != _digest(arrays):
                raise ValueError("its arrays are not those that were written")
    except FileNotFoundError:
        raise InputError("no such file", file=path) from None
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"is no safetensors file ({error})", file=path, remedy="delete it and run again") from None
    return arrays, about


def _digest(arrays: Arrays) -> str:
    """Tells damaged arrays, which safetensors has no checksum for."""
    found = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"{name} {array.dtype.str} {array.shape} ".encode(errors="surrogatepass"))
        found.update(array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()
