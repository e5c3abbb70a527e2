"""Samples of strong branching on disk: ragged bipartite graphs with the expert's scores, in compressed shards.

A set of samples is a folder with `manifest.jsonl` and shards. A shard holds the samples of one solving process as an
Arrow IPC file (read by pyarrow, pandas, polars, ...), one record batch of one row for each sample, its buffers
compressed with zstd. The columns are the fields of `Sample`; matrices are lists of fixed-size lists, so their widths
are in the schema, whose metadata holds a checksum of each sample. Shards are memory-mapped, and reading a sample
touches that sample only.

The manifest has a line for each instance, in order: `instance`, `samples` (0: it has no shard), `file`, and what is
known of the solving process. It is the truth: a shard that is not in it does not count.
"""

from __future__ import annotations

import bisect
import hashlib
import json
import operator
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from learnsys.envs.branching.observations.base import BipartiteObservation
from learnsys.errors import InputError
from learnsys.files import append_line, atomic_path

MANIFEST = "manifest.jsonl"
_OPEN = 128
"""shards kept open at a time, below the usual limit on open files"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One node of branch and bound: its LP as a graph, and what strong branching says of the candidates."""

    variable_features: NDArray[np.float32]
    """(n, 19); see `NodeBipartite`; NaN (no incumbent) is 0"""
    row_features: NDArray[np.float32]
    """(m, 5)"""
    row_pointers: NDArray[np.int32]
    """(m + 1,): the edges of row i are `row_pointers[i]` to `row_pointers[i + 1]` - 1"""
    columns: NDArray[np.int32]
    """(edges,): the variable of each edge"""
    values: NDArray[np.float32]
    """(edges,)"""
    candidates: NDArray[np.int32]
    """(k,), k > 0: the variables that can be branched on"""
    scores: NDArray[np.float64]
    """(k,): strong branching's scores of the candidates, all finite"""
    candidate_features: NDArray[np.float32]
    """(k, 72): Khalil's features of the candidates, see `Khalil2016`; NaN is 0; (k, 0) if they were not collected"""
    pseudocost_choice: int
    """position among the candidates of the one that SCIP's pseudocosts prefer"""
    instance: int
    """number of the instance in its family's sequence"""
    seed: int
    """of the family's sequence of instances"""
    node: int
    """SCIP's number of the node; the root is 1"""
    depth: int
    """of the node; the root's is 0"""
    lp_value: float
    """of the node's relaxation; as the bounds, in the transformed problem, which is a minimisation"""
    lower_bound: float
    """of the whole tree"""
    upper_bound: float
    """of the whole tree, 1e20 without an incumbent"""

    @property
    def label(self) -> int:
        """Position among the candidates of the expert's choice: the first of the greatest scores."""
        return int(np.argmax(self.scores))


_MATRICES = ("variable_features", "row_features", "candidate_features")
_VECTORS = {"row_pointers": "int32", "columns": "int32", "values": "float32", "candidates": "int32", "scores": "double"}
_SCALARS = {field.name: {"int": pa.int64(), "float": pa.float64()}[str(field.type)] for field in fields(Sample)[8:]}


def graph_arrays(observation: BipartiteObservation) -> dict[str, NDArray[Any]]:
    """The first five fields of a `Sample` from an observation: what networks see, in training and inside SCIP."""
    variables, rows, (row, column), values = observation
    pointers = np.zeros(len(rows) + 1, np.int32)
    np.cumsum(np.bincount(row, minlength=len(rows)), out=pointers[1:])
    return {
        "variable_features": np.nan_to_num(variables.astype(np.float32), copy=False, nan=0.0),
        "row_features": rows.astype(np.float32),
        "row_pointers": pointers,
        "columns": column.astype(np.int32),
        "values": values.astype(np.float32),
    }


# ---- writing ---------------------------------------------------------------------------------------------------------


def write_shard(path: str | os.PathLike[str], samples: Sequence[Sample], about: dict[str, Any] | None = None) -> None:
    """Write samples as one shard, atomically.

    Args:
        samples: at least one, all with the same numbers of features.
        about: anything to note in the schema's metadata, as JSON under "about".
    """
    first = samples[0]
    schema = pa.schema(
        [
            *(pa.field(name, pa.list_(pa.list_(pa.float32(), getattr(first, name).shape[1]))) for name in _MATRICES),
            *(pa.field(name, pa.list_(pa.type_for_alias(kind))) for name, kind in _VECTORS.items()),
            *(pa.field(name, kind) for name, kind in _SCALARS.items()),
        ],
        {"about": json.dumps({**(about or {}), "digests": [_digest(each) for each in samples]}, sort_keys=True)},
    )
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=5))
    with atomic_path(path) as temporary, pa.ipc.new_file(temporary, schema, options=options) as file:
        for sample in samples:
            file.write_batch(pa.record_batch([_column(sample, field) for field in schema], schema=schema))


def _digest(sample: Sample) -> str:
    """Tells damaged samples, which Arrow has no checksum for."""
    found = hashlib.blake2b(digest_size=8)
    for field in fields(Sample):
        value = np.asarray(getattr(sample, field.name))
        found.update(f"{field.name} {value.shape} ".encode())
        found.update(np.ascontiguousarray(value).tobytes())
    return found.hexdigest()


def _column(sample: Sample, field: pa.Field) -> pa.Array:
    value = getattr(sample, field.name)
    if field.name in _SCALARS:
        return pa.array([value], field.type)
    inner = pa.array(value.reshape(-1))
    if field.name in _MATRICES:
        width, rows = value.shape[1], field.type.value_type
        inner = pa.FixedSizeListArray.from_arrays(inner, width) if width else pa.array([[]] * len(value), rows)
    return pa.ListArray.from_arrays(pa.array([0, len(inner)], pa.int32()), inner)


def append_manifest(folder: str | os.PathLike[str], entry: dict[str, Any]) -> None:
    """Add an instance's line to a folder's manifest."""
    append_line(Path(folder) / MANIFEST, entry)


def read_manifest(folder: str | os.PathLike[str], *, repair: bool = False) -> list[dict[str, Any]]:
    """The entries of a folder's manifest; none where there is no manifest.

    Args:
        repair: cut off a last line that a killed run left half written (else it is only passed over).

    Raises:
        InputError: a line is no entry.
    """
    path = Path(folder) / MANIFEST
    whole, newline, unfinished = (path.read_bytes() if path.exists() else b"").rpartition(b"\n")
    entries = []
    for number, line in enumerate(whole.split(b"\n") if newline else (), 1):
        try:
            entry = json.loads(line)
            if int(entry["samples"]) < 0 or (entry["samples"] and Path(entry["file"]).name != entry["file"]):
                raise ValueError(line)
            entries.append(entry)
        except (ValueError, TypeError, KeyError):
            raise InputError("no entry of a shard", file=path, place=f"line {number}") from None
    if repair and unfinished:
        os.truncate(path, len(whole) + len(newline))
    return entries


# ---- reading ---------------------------------------------------------------------------------------------------------


class Shard:
    """The samples of one shard, memory-mapped.

    Raises:
        InputError: missing, damaged, or no shard.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self._reader = pa.ipc.open_file(pa.memory_map(str(path)))
            missing = {field.name for field in fields(Sample)} - set(self._reader.schema.names)
            self.about: dict[str, Any] = json.loads((self._reader.schema.metadata or {}).get(b"about", b"{}"))
            """what the writer noted"""
            self._digests = self.about.pop("digests", ())
        except FileNotFoundError:
            raise InputError("no such file", file=path) from None
        except (pa.ArrowException, OSError, ValueError, AttributeError, TypeError) as error:
            raise self._damaged(error) from None
        if missing:
            raise InputError(f"no shard of samples: it lacks {min(missing)}", file=path)

    def __len__(self) -> int:
        return self._reader.num_record_batches

    def __getitem__(self, number: int) -> Sample:
        """Sample `number`, counted from 0. Its arrays are read-only."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        try:
            batch = self._reader.get_batch(number)
            batch.validate()
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            arrays: dict[str, Any] = {name: columns[name].to_numpy(zero_copy_only=False)[0] for name in _SCALARS}
            for name in _VECTORS:
                arrays[name] = columns[name].values.to_numpy()
            for name in _MATRICES:
                rows = columns[name].values
                arrays[name] = rows.values.to_numpy().reshape(len(rows), rows.type.list_size)
            sample = Sample(**{name: each.item() if np.ndim(each) == 0 else each for name, each in arrays.items()})
            _check(sample)
            if self._digests and self._digests[number] != _digest(sample):
                raise ValueError("its arrays are not those that were written")
        except (pa.ArrowException, OSError, ValueError, TypeError, AttributeError, LookupError) as error:
            raise self._damaged(error, number) from None
        return sample

    def _damaged(self, error: Exception, number: int | None = None) -> InputError:
        reason = str(error).partition("\n")[0]
        place = None if number is None else f"sample {number}"
        return InputError(
            f"damaged, or no shard of samples ({reason})",
            file=self.path,
            place=place,
            remedy="delete it and collect again",
        )


def _check(sample: Sample) -> None:
    """Raise ValueError unless kernels can index by what the sample holds."""
    n, m, k = len(sample.variable_features), len(sample.row_features), len(sample.candidates)
    pointers, columns = sample.row_pointers, sample.columns
    if (
        len(pointers) != m + 1
        or pointers[0] != 0
        or pointers[-1] != len(columns)
        or len(columns) != len(sample.values)
        or (np.diff(pointers) < 0).any()
        or k == 0
        or not k == len(sample.scores) == len(sample.candidate_features)
        or not 0 <= sample.pseudocost_choice < k
        or any(len(each) and not (0 <= each.min() and each.max() < n) for each in (columns, sample.candidates))
    ):
        raise ValueError("its arrays do not fit together")


class SampleSet(Sequence[Sample]):
    """All samples of one folder or several, by one global number.

    Pickled without its open files, so that it can be sent to workers.

    Args:
        folders: each with a manifest.

    Raises:
        InputError: a folder holds no samples, or (when a sample is read) a shard is damaged.
    """

    def __init__(self, *folders: str | os.PathLike[str]) -> None:
        self.entries: list[dict[str, Any]] = []
        """the manifest entries of the shards"""
        self._paths: list[Path] = []
        for folder in map(Path, folders):
            entries = [entry for entry in read_manifest(folder) if entry["samples"]]
            if not entries:
                raise InputError("holds no samples", file=folder, remedy="make some with learnsys branch collect")
            self.entries += entries
            self._paths += [folder / entry["file"] for entry in entries]
        self._ends = list(accumulate(entry["samples"] for entry in self.entries))
        self._open: OrderedDict[int, Shard] = OrderedDict()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, number: Any) -> Any:
        """Sample `number`; a slice gives a list."""
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        number = operator.index(number)
        number += len(self) if number < 0 else 0
        if not 0 <= number < len(self):
            raise IndexError(number)
        place = bisect.bisect_right(self._ends, number)
        return self._shard(place)[number - (self._ends[place - 1] if place else 0)]

    def batches(self, numbers: Iterable[int], size: int) -> Iterator[list[Sample]]:
        """The samples of these numbers, `size` at a time; the last batch may be smaller."""
        rest = iter(numbers)
        while batch := [self[number] for number in islice(rest, size)]:
            yield batch

    def _shard(self, place: int) -> Shard:
        if place not in self._open:
            shard = Shard(self._paths[place])
            if len(shard) != self.entries[place]["samples"]:
                raise InputError(
                    f"has {len(shard)} samples, {self.entries[place]['samples']} by the manifest", file=shard.path
                )
            self._open[place] = shard
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(place)
        return self._open[place]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}
