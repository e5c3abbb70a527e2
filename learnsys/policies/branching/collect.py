"""Collect samples of strong branching from many instances, into folders of shards."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

from learnsys.envs.branching.instances.family import Family
from learnsys.errors import InputError
from learnsys.files import locked
from learnsys.parallel import run_parallel
from learnsys.policies.branching.base import BranchingPolicy, ScipRule
from learnsys.policies.branching.labelling import CollectConfig, collect_instance
from learnsys.policies.branching.registry import make_branching_policy
from learnsys.policies.branching.samples import Shard, append_manifest, read_manifest, write_shard
from learnsys.runs import Run

SPLITS = ("train", "valid", "test")
SPLIT_OF_TEN = ("train",) * 8 + ("valid", "test")
"""split of instance i, by its last digit: 80 %, 10 % and 10 % of the instances, however many there will be"""
_PORTION = 64
"""instances given out at a time"""


def quotas_of(samples: int) -> dict[str, int]:
    """How many samples each split gets of `samples`: 80 %, 10 % and 10 %, at least one each."""
    tenth = max(1, round(samples / 10))
    return {"train": max(1, samples - 2 * tenth), "valid": tenth, "test": tenth}


def collect(
    name: str,
    family: Family,
    quotas: Mapping[str, int],
    out: Path,
    config: CollectConfig,
    *,
    workers: int = 1,
    backend: str = "loky",
    address: str | None = None,
    report: Callable[[int], None] = lambda samples: None,
) -> dict[str, dict[str, int]]:
    """Collect until each split has its samples; go on where an earlier run, finished or killed, has stopped.

    The splits are folders of `out`, each a `SampleSet`; instance i belongs to `SPLIT_OF_TEN[i % 10]`. Instances are
    taken whole and in their order, so the result does not depend on the number of workers.

    Args:
        name: of the family, for the record.
        quotas: samples wanted, by split; a split may get a few more, since instances are taken whole.
        out: the folder.
        workers, backend, address: as in `run_parallel`.
        report: called with the number of samples that each instance added.

    Returns:
        By split: `instances` and `samples`.

    Raises:
        InputError: the folder holds samples of another configuration, or another process is collecting there.
    """
    run = Run(out, {"family": name, "parameters": asdict(family), **_record(config)})
    with locked(out):
        store = _Store(out, quotas)
        report(sum(min(store.have[split], quotas.get(split, 0)) for split in SPLITS))
        while numbers := store.next():
            jobs = [(family, config, number, store.folder(number)) for number in numbers]
            results: Any = run_parallel(_collect_shard, jobs, workers=workers, backend=backend, address=address)
            for entry in results:
                report(store.add(entry))
                if all(map(store.full, SPLITS)):
                    break
            results.close()
        store.tidy()
        found = {split: {"instances": len(store.done[split]), "samples": store.have[split]} for split in SPLITS}
        run.finish(found, {})
    return found


def _record(config: CollectConfig) -> dict[str, Any]:
    """What the folder's configuration says: of a trained behaviour its weights, not its place, which may change."""
    recorded, behaviour = asdict(config), Path(config.behaviour)
    weights = behaviour / "model.safetensors"
    if weights.is_file():
        recorded["behaviour"] = behaviour.name
        recorded["behaviour_sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    return recorded


class _Store:
    """What a folder holds, and which instances it needs next."""

    def __init__(self, out: Path, quotas: Mapping[str, int]) -> None:
        self.out, self.quotas = out, quotas
        self.done: dict[str, set[int]] = {}
        self.have: dict[str, int] = {}
        for split in SPLITS:
            (out / split).mkdir(exist_ok=True)
            entries = read_manifest(out / split, repair=True)
            self.done[split] = {entry["instance"] for entry in entries}
            self.have[split] = sum(entry["samples"] for entry in entries)
        self.tidy()

    def folder(self, instance: int) -> Path:
        return self.out / SPLIT_OF_TEN[instance % 10]

    def full(self, split: str) -> bool:
        return self.have[split] >= self.quotas.get(split, 0)

    def next(self) -> list[int]:
        """Numbers of instances that will be needed, by what the last ones gave: ascending, at most `_PORTION`."""
        instances = sum(map(len, self.done.values()))
        each = max(sum(self.have.values()) / instances, 0.1) if instances else 1.0
        wanted = {split: math.ceil((self.quotas.get(split, 0) - self.have[split]) / each) for split in SPLITS}
        found: list[int] = []
        for number in count():
            if len(found) >= _PORTION or all(left <= 0 for left in wanted.values()):
                return found
            split = SPLIT_OF_TEN[number % 10]
            if wanted[split] > 0 and number not in self.done[split]:
                wanted[split] -= 1
                found.append(number)
        raise AssertionError

    def add(self, entry: dict[str, Any]) -> int:
        """Enter an instance, unless its split is full; the number of samples added."""
        split = SPLIT_OF_TEN[entry["instance"] % 10]
        if self.full(split):
            return 0
        append_manifest(self.out / split, entry)
        self.done[split].add(entry["instance"])
        self.have[split] += entry["samples"]
        return entry["samples"]

    def tidy(self) -> None:
        """Remove what killed workers left half written."""
        for left in self.out.glob("*/.*.part"):
            left.unlink()


@lru_cache(maxsize=2)
def _policy(behaviour: str) -> BranchingPolicy | ScipRule:
    return make_branching_policy(behaviour)


def _collect_shard(family: Family, config: CollectConfig, index: int, folder: Path) -> dict[str, Any]:
    """Write an instance's shard, unless it stands; its entry for the manifest."""
    path = folder / f"{index:06d}.arrow"
    if path.exists():  # of a run that was killed before it came to enter it, or that had enough
        with contextlib.suppress(InputError):
            return Shard(path).about
    samples, end = collect_instance(
        family.instance(config.seed, index).to_model(), config, index, _policy(config.behaviour)
    )
    entry = {"instance": index, "samples": len(samples), "file": path.name, **end}
    if samples:
        write_shard(path, samples, entry)
    return entry
