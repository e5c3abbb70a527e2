"""Shards of samples, their manifests, and shards whose arrays do not fit together.

One in three inputs has one to four random edits in the shard, one in three in the manifest; in the rest, one of the
arrays of a sample is hostile. What is not refused must be what was written, or, where the shard itself is hostile, be a
sample that the GCNN can score. Damaged shards must never be read as others: each sample has a checksum.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing import Found, Target
from fuzzing.policies import hostile_arrays, refusal
from learnsys.errors import InputError
from learnsys.policies.branching.gcnn.config import ModelConfig
from learnsys.policies.branching.gcnn.data import Example, collate
from learnsys.policies.branching.gcnn.model import GcnnModel
from learnsys.policies.branching.samples import MANIFEST, Sample, SampleSet, append_manifest, write_shard
from learnsys.testing.traces import mutated

SHARD = "000000.arrow"


def targets() -> Iterator[Target]:
    config = ModelConfig(width=16)
    network = GcnnModel(config)
    samples = [random_sample(np.random.default_rng(number)) for number in range(3)]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), samples)
        files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
        assert all(map(same, SampleSet(folder), samples))
    for case, name in enumerate(("shard", "manifest", "arrays")):

        def attempt(rng: np.random.Generator, at: Path, case: int = case) -> Found:
            changed, given = dict(files), samples
            if case < 2:
                damaged = (SHARD, MANIFEST)[case]
                changed[damaged] = mutated(changed[damaged], rng)
                for name, data in changed.items():
                    (at / name).write_bytes(data)
                data = changed[damaged]
            else:
                given = [hostile(samples[0], rng), *samples[1:]]
                data = repr(given[0]).encode()
                try:
                    write(at, given)
                except (ValueError, TypeError, IndexError):  # no such shard can be written
                    return "refused", data, ""
            try:
                found = list(SampleSet(at))
            except InputError as error:
                return refusal(error, at, data)
            for sample in found:
                if case == 0 and not any(same(sample, other) for other in samples):
                    return "wrong", data, "another sample"
                network(collate([Example.of(sample, config)]))
            return "read", data, ""

        yield Target(name, attempt)


def write(folder: Path, samples: list[Sample]) -> None:
    write_shard(folder / SHARD, samples)
    append_manifest(folder, {"instance": 0, "samples": len(samples), "file": SHARD})


def random_sample(rng: np.random.Generator) -> Sample:
    """A node with 12 variables, 5 rows, 30 edges and 4 candidates."""
    pointers = np.zeros(6, np.int32)
    np.cumsum(rng.multinomial(30, np.full(5, 0.2)), out=pointers[1:])
    return Sample(
        variable_features=rng.random((12, 19), np.float32),
        row_features=rng.random((5, 5), np.float32),
        row_pointers=pointers,
        columns=rng.integers(0, 12, 30).astype(np.int32),
        values=rng.random(30, np.float32),
        candidates=np.array([1, 4, 7, 9], np.int32),
        scores=rng.random(4),
        candidate_features=rng.random((4, 72), np.float32),
        pseudocost_choice=2,
        instance=0,
        seed=0,
        node=1,
        depth=0,
        lp_value=1.0,
        lower_bound=0.5,
        upper_bound=2.0,
    )


def hostile(sample: Sample, rng: np.random.Generator) -> Sample:
    """A sample with one array changed, as in policies; its types stay, since the schema says them."""
    arrays: Any = {
        field.name: getattr(sample, field.name)
        for field in dataclasses.fields(Sample)
        if isinstance(getattr(sample, field.name), np.ndarray)
    }
    changed = hostile_arrays(arrays, rng)
    found = {name: changed.get(name, each[:0]).astype(each.dtype) for name, each in arrays.items()}
    return dataclasses.replace(sample, **found)


def same(a: Sample, b: Sample) -> bool:
    return all(np.array_equal(getattr(a, field.name), getattr(b, field.name)) for field in dataclasses.fields(Sample))
