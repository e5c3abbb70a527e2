"""Checkpoints of runs that stopped half-way, damaged and hostile.

One in two inputs has one to four random edits: it must be refused, or give the state that was saved. In the others, an
array is hostile, as in policies, or what is noted of the progress is; the file is signed as if learnsys had written it.
What is then not refused must carry on for a round.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing import Found, Target
from fuzzing.policies import hostile_arrays, hostile_json, refusal, same
from fuzzing.samples import random_sample, write
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError, LearnsysError
from learnsys.graphs import make_family
from learnsys.imitation import (
    Arrays,
    Progress,
    Task,
    load_arrays,
    load_checkpoint,
    save_arrays,
    save_checkpoint,
    silent,
)
from learnsys.policies.branching.gcnn.config import gcnn
from learnsys.policies.branching.gcnn.training import ImitationTask
from learnsys.policies.branching.samples import SampleSet
from learnsys.policies.cache.parrot.config import RECIPES
from learnsys.policies.cache.parrot.task import ParrotTask, Split
from learnsys.policies.independent_set.comparator.config import comparator
from learnsys.policies.independent_set.comparator.task import ComparatorTask
from learnsys.policies.independent_set.learned.config import learnsys_mis
from learnsys.policies.independent_set.learned.task import LearnedTask
from learnsys.settings import override
from learnsys.testing.traces import mutated
from learnsys.traces import Trace

FILE = "checkpoint.safetensors"


def targets() -> Iterator[Target]:
    for name, make in tasks():
        with tempfile.TemporaryDirectory() as folder:
            task = make()
            measured = carry_on(task, 0)
            progress = Progress()
            progress.add({"round": 0, "reward": 0.0, **measured}, task.weights(), 1)
            progress.rounds = 1
            save_checkpoint(Path(folder), task, progress)
            data = (Path(folder) / FILE).read_bytes()
            arrays, about = load_arrays(Path(folder) / FILE)
        yield Target(
            name,
            lambda rng, at, make=make, data=data, arrays=arrays, about=about: attempt(
                make, data, arrays, about, rng, at
            ),
        )


def tasks() -> Iterator[tuple[str, Callable[[], Task]]]:
    """name -> what makes a task that has done nothing yet."""
    rng = np.random.default_rng(0)
    trace = Trace(
        address=rng.integers(0, 60, 1200).astype(np.uint64) << np.uint64(6),
        pc=rng.integers(0, 9, 1200).astype(np.uint64),
    )
    geometry = CacheGeometry(1024, 4, 64)
    small = ("collect=200", "training.steps=1", "loop.rounds=3", "batch=2", "pc_vocabulary=8", "address_vocabulary=16")
    parrot = override(RECIPES["parrot"](), (*small, "embedding=8", "hidden=8"))
    split = Split.of(trace, geometry)
    yield "parrot", lambda: ParrotTask(split, parrot, geometry, 0)

    folder = Path(tempfile.mkdtemp())  # read until the end
    write(folder, [random_sample(np.random.default_rng(number)) for number in range(3)])
    samples, config = SampleSet(folder), override(gcnn(), ("width=16", "epoch=2", "batch=2"))
    yield "gcnn", lambda: ImitationTask(config, samples, samples, 0)

    graphs = [make_family("ba", nodes=(20, 20)).graph(number) for number in range(3)]
    few = ("roots=1", "kept=2", "roll_outs=1", "sample=2", "batch=2", "training.epochs=1", "width=8")
    yield "comparator", lambda: ComparatorTask(graphs[:2], graphs[2:], override(comparator(), few), 0)
    little = ("states=2", "solutions=1", "iterations=5", "training.epochs=1", "width=8")
    yield "learnsys_mis", lambda: LearnedTask(graphs[:2], graphs[2:], override(learnsys_mis(), little), 0)


def carry_on(task: Task, number: int) -> Any:
    """A round."""
    parts: Sequence[Arrays] = [task.collect(number, 0.5, silent)]
    task.fit(parts, number, silent)
    return task.evaluate(number, silent)


def attempt(
    make: Callable[[], Task],
    data: bytes,
    arrays: Arrays,
    about: dict[str, str],
    rng: np.random.Generator,
    folder: Path,
) -> Found:
    path, damaged = folder / FILE, rng.random() < 0.5
    if damaged:
        path.write_bytes(mutated(data, rng))
    elif rng.random() < 0.7:
        save_arrays(path, hostile_arrays(arrays, rng), about)
    else:
        record = hostile_json(about["progress"].encode(), rng).decode()
        save_arrays(path, arrays, {"progress": json.dumps(json.loads(record))})
    written = path.read_bytes()
    task = make()
    try:
        progress = load_checkpoint(folder, task)
        if damaged:
            right = same(load_arrays(path)[0], arrays)
            return ("read" if right else "wrong"), written, "other arrays"
        with np.errstate(all="ignore"):
            measured = carry_on(task, 1)
            progress.add({"round": 1, **measured}, task.weights(), 1)
    except InputError as error:
        return refusal(error, folder, written)
    except LearnsysError:  # training diverged: said in one line
        return "refused", written, ""
    return "read", written, ""
