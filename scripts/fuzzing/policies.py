"""Every saved policy: damaged bytes, and hostile arrays and settings in well-formed files.

One in three inputs has one to four random edits in `model.safetensors`: it must be refused, or give the very arrays
that were saved. One in three has them in `config.json`, or another value there. In the rest, arrays are added, left
out, cut, turned, of other types or full of strange numbers, and the file is signed as if learnsys had written it. What
is then not refused must act on a small problem.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing import Found, Target
from learnsys.envs.cache.accesses import Accesses
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError
from learnsys.graphs import make_family
from learnsys.imitation import Arrays, load_arrays, save_arrays
from learnsys.policies.branching.features.policy import WIDTH, MlpPolicy, TreesPolicy
from learnsys.policies.branching.gcnn.config import ModelConfig as GcnnModelConfig
from learnsys.policies.branching.gcnn.model import GcnnModel
from learnsys.policies.branching.gcnn.policy import GcnnPolicy
from learnsys.policies.cache.parrot.config import ModelConfig as ParrotModelConfig
from learnsys.policies.cache.parrot.embedders import Vocabulary
from learnsys.policies.cache.parrot.policy import ParrotPolicy
from learnsys.policies.independent_set.comparator.config import ModelConfig as ComparatorModelConfig
from learnsys.policies.independent_set.comparator.policy import ComparatorPolicy
from learnsys.policies.independent_set.learned.config import ModelConfig as LearnedModelConfig
from learnsys.policies.independent_set.learned.policy import ScoredConstruction
from learnsys.policies.torch_arrays import parameters
from learnsys.testing.traces import mutated

NUMBERS = (0, -1, 1, 2, 7, 2**31, -(2**63), 10**30, 0.5, -0.0, 1e308, float("inf"), float("nan"))
VALUES = (*NUMBERS, None, True, "", "x", [], {}, [[]], "../../etc/passwd", "\0")


@dataclass(frozen=True)
class Kind:
    """A kind of policy: a good one, how to read one, and how to use one."""

    good: Any
    load: Callable[[Path], Any]
    use: Callable[[Any], object]


def targets() -> Iterator[Target]:
    for name, kind in kinds().items():
        with tempfile.TemporaryDirectory() as folder:
            kind.good.save(Path(folder))
            files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
            arrays, _ = load_arrays(Path(folder) / "model.safetensors")
            kind.use(kind.load(Path(folder)))
        yield Target(name, lambda rng, at, kind=kind, files=files, arrays=arrays: attempt(kind, files, arrays, rng, at))


def kinds() -> dict[str, Kind]:
    rng = np.random.default_rng(0)
    address = rng.integers(0, 40, 300).astype(np.uint64) << np.uint64(6)
    geometry = CacheGeometry(1024, 4, 64)
    accesses = Accesses.prepare(address, rng.integers(0, 9, 300).astype(np.uint64), geometry)
    parrot = ParrotPolicy(
        ParrotModelConfig(pc_vocabulary=8, address_vocabulary=16),
        *(Vocabulary(np.arange(n, dtype="u8")) for n in (8, 16)),
    )
    graph = make_family("ba", nodes=(40, 40)).graph(0)
    matrix = rng.random((9, WIDTH), np.float32)
    variables, rows = rng.random((12, 19)), rng.random((5, 5))
    edges = np.stack([np.sort(rng.integers(0, 5, 30)), rng.integers(0, 12, 30)])
    observation: Any = (variables, rows, edges, rng.random(30))
    config = GcnnModelConfig(width=16)
    weights = parameters(GcnnModel(config))
    layers = {"0": (48, WIDTH), "2": (48, 48), "4": (1, 48)}
    mlp: Arrays = {f"layers.{i}.weight": rng.standard_normal(shape).astype("f4") for i, shape in layers.items()}
    mlp |= {f"layers.{i}.bias": np.zeros(shape[0], np.float32) for i, shape in layers.items()}
    mlp |= {"mean": np.zeros(WIDTH, np.float32), "deviation": np.ones(WIDTH, np.float32)}
    trees: Arrays = {
        "roots": np.array([0, 3], np.int32),
        "feature": np.array([4, -1, -1, 60, -1, -1], np.int32),
        "threshold": np.full(6, 0.5),
        "left": np.array([1, 0, 0, 4, 0, 0], np.int32),
        "right": np.array([2, 0, 0, 5, 0, 0], np.int32),
        "value": np.arange(6.0),
    }
    return {
        "parrot": Kind(parrot, ParrotPolicy.load, lambda policy: policy.simulate(accesses, geometry)),
        "gcnn": Kind(
            GcnnPolicy(config, weights), GcnnPolicy.load, lambda policy: policy.act(observation, np.arange(5))
        ),
        "mlp": Kind(MlpPolicy(mlp), MlpPolicy.load, lambda policy: policy.scores(matrix)),
        "trees": Kind(TreesPolicy(trees), TreesPolicy.load, lambda policy: policy.scores(matrix)),
        "comparator": Kind(
            ComparatorPolicy(ComparatorModelConfig(width=8)), ComparatorPolicy.load, lambda policy: policy.solve(graph)
        ),
        "learnsys_mis": Kind(
            ScoredConstruction(LearnedModelConfig(width=8)),
            ScoredConstruction.load,
            lambda policy: policy.solve(graph),
        ),
    }


def attempt(kind: Kind, files: dict[str, bytes], arrays: Arrays, rng: np.random.Generator, folder: Path) -> Found:
    case = int(rng.integers(3))
    files = dict(files)
    given = dict(arrays)
    if case == 0:
        files["model.safetensors"] = mutated(files["model.safetensors"], rng)
    elif case == 1:
        text = files["config.json"]
        files["config.json"] = mutated(text, rng) if rng.random() < 0.5 else hostile_json(text, rng)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    if case == 2:
        given = hostile_arrays(given, rng)
        save_arrays(folder / "model.safetensors", given)
    data = files["model.safetensors"] if case == 0 else files["config.json"] if case == 1 else repr(given).encode()
    try:
        policy = kind.load(folder)
    except InputError as error:
        return refusal(error, folder, data)
    if case == 0:
        found, _ = load_arrays(folder / "model.safetensors")
        if not same(found, given):
            return "wrong", data, "other arrays"
    try:
        with np.errstate(all="ignore"):
            kind.use(policy)
    except InputError as error:  # made for another cache, say
        return refusal(error, Path(), data)
    return "read", data, ""


def refusal(error: InputError, folder: Path, data: bytes) -> Found:
    """Refused, if the error is one line that names the folder."""
    text = str(error)
    sound = "\n" not in text and len(text) < 1000 and (folder == Path() or str(folder) in text)
    return ("refused" if sound else "crashes"), data, text if sound else f"no clear line: {text}"


def same(a: Arrays, b: Arrays) -> bool:
    """Whether two sets of arrays have the same bits."""
    return a.keys() == b.keys() and all(
        a[name].dtype == b[name].dtype and a[name].shape == b[name].shape and a[name].tobytes() == b[name].tobytes()
        for name in a
    )


def hostile_json(text: bytes, rng: np.random.Generator) -> bytes:
    """A JSON object with one of its values, at any depth, replaced."""
    content: Any = json.loads(text)
    place, path = content, []
    while isinstance(place, dict) and place:
        path.append(str(rng.choice(sorted(place))))
        place = place[path[-1]]
        if rng.random() < 0.2:
            break
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = VALUES[int(rng.integers(len(VALUES)))]
    return json.dumps(content).encode()


def hostile_arrays(arrays: Arrays, rng: np.random.Generator) -> Arrays:
    """Named arrays with one of them changed in its shape, type or values, left out, or joined by a stranger."""
    name = str(rng.choice(sorted(arrays)))
    array = arrays[name]
    case = int(rng.integers(7))
    if case == 0:
        return {other: each for other, each in arrays.items() if other != name}
    if case == 1:
        return {**arrays, f"{name}x": array}
    if case == 2:
        return {**arrays, name: array[: array.shape[0] // 2] if array.ndim else array.reshape(1)}
    if case == 3:
        return {**arrays, name: array.T.copy() if array.ndim > 1 else np.repeat(array, 2)}
    if case == 4:
        return {**arrays, name: array.astype(rng.choice(["f8", "f2", "i4", "i8", "u1", "?"]))}
    changed = array.copy()
    flat = changed.reshape(-1)
    if flat.size:
        number = NUMBERS[int(rng.integers(len(NUMBERS)))]
        kind = changed.dtype.kind
        if kind in "iu":
            limits = np.iinfo(changed.dtype)
            number = 0 if math.isnan(number) else int(max(limits.min, min(limits.max, number)))
        with np.errstate(all="ignore"):
            flat[int(rng.integers(flat.size)) if case == 5 else slice(None)] = number
    return {**arrays, name: changed}
