"""Samples of strong branching on disk."""

import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learnsys.envs.branching.observations.base import BipartiteObservation
from learnsys.errors import InputError
from learnsys.policies.branching.samples import (
    MANIFEST,
    Sample,
    SampleSet,
    Shard,
    append_manifest,
    graph_arrays,
    read_manifest,
    write_shard,
)


def make_sample(seed=0, n=5, m=3, k=2, width=72):
    rng = np.random.default_rng(seed)
    degrees = rng.integers(0, n + 1, m)
    columns = [np.sort(rng.choice(n, degree, replace=False)) for degree in degrees]
    return Sample(
        variable_features=rng.standard_normal((n, 19)).astype(np.float32),
        row_features=rng.standard_normal((m, 5)).astype(np.float32),
        row_pointers=np.concatenate([[0], np.cumsum(degrees)]).astype(np.int32),
        columns=np.concatenate([*columns, []]).astype(np.int32),
        values=rng.standard_normal(degrees.sum()).astype(np.float32),
        candidates=rng.choice(n, k, replace=False).astype(np.int32),
        scores=rng.random(k),
        candidate_features=rng.random((k, width)).astype(np.float32),
        pseudocost_choice=int(rng.integers(k)),
        instance=seed,
        seed=7,
        node=4,
        depth=2,
        lp_value=1.5,
        lower_bound=1.0,
        upper_bound=1e20,
    )


def equal(one, other):
    for field in fields(Sample):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert type(a) is type(b), field.name
        assert np.array_equal(a, b), field.name
        assert getattr(a, "dtype", None) == getattr(b, "dtype", None), field.name
    return True


def write_set(folder, sizes):
    """A folder with shards of these sizes; the samples, in order."""
    samples = []
    for instance, size in enumerate(sizes):
        shard = [make_sample(100 * instance + i) for i in range(size)]
        name = f"{instance:06d}.arrow"
        if size:
            write_shard(folder / name, shard, {"family": "made up"})
        append_manifest(folder, {"instance": instance, "samples": size, "file": name})
        samples += shard
    return samples


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.integers(0, 6), st.data()),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([0, 72]),
)
def test_a_shard_holds_what_was_written(tmp_path_factory, shapes, width):
    path = tmp_path_factory.mktemp("shard") / "a.arrow"
    samples = [make_sample(i, n, m, data.draw(st.integers(1, n)), width) for i, (n, m, data) in enumerate(shapes)]
    write_shard(path, samples, {"seed": 3})
    shard = Shard(path)
    assert len(shard) == len(samples)
    assert shard.about == {"seed": 3}
    assert all(equal(shard[i], sample) for i, sample in enumerate(samples))


def test_sets_are_read_by_a_global_number(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    samples = write_set(tmp_path / "one", [3, 0, 1]) + write_set(tmp_path / "two", [2])
    found = SampleSet(tmp_path / "one", tmp_path / "two")
    assert len(found) == 6
    assert all(equal(found[i], sample) for i, sample in enumerate(samples))
    assert equal(found[-1], samples[-1])
    assert [one.instance for one in found[1:5]] == [each.instance for each in samples[1:5]]
    with pytest.raises(IndexError):
        found[6]
    batches = list(found.batches([5, 0, 3], 2))
    assert [[one.instance for one in batch] for batch in batches] == [
        [samples[5].instance, samples[0].instance],
        [samples[3].instance],
    ]
    copy = pickle.loads(pickle.dumps(found))
    assert equal(copy[4], samples[4])


def test_a_shard_outside_the_manifest_does_not_count(tmp_path):
    samples = write_set(tmp_path, [2])
    write_shard(tmp_path / "000001.arrow", [make_sample(9)])
    with open(tmp_path / MANIFEST, "a") as file:
        file.write('{"instance": 1, "samples": 1, "fi')  # a run killed here
    assert len(SampleSet(tmp_path)) == len(samples)
    assert len(read_manifest(tmp_path, repair=True)) == 1
    append_manifest(tmp_path, {"instance": 1, "samples": 1, "file": "000001.arrow"})
    assert len(SampleSet(tmp_path)) == 3


def test_the_label_is_the_first_of_the_best():
    assert replace(make_sample(k=4), scores=np.array([1.0, 3.0, 3.0, 2.0])).label == 1


def test_graph_arrays():
    variables = np.array([[1.0, np.nan], [0.5, 2.0]])
    rows = np.array([[1.0], [2.0], [3.0]])
    edges = np.array([[0, 0, 2], [0, 1, 1]])
    arrays = graph_arrays(BipartiteObservation(variables, rows, edges, np.array([1.0, -1.0, 0.25])))
    assert arrays["variable_features"].tolist() == [[1.0, 0.0], [0.5, 2.0]]
    assert arrays["row_pointers"].tolist() == [0, 2, 2, 3]
    assert arrays["columns"].tolist() == [0, 1, 1]
    assert np.isnan(variables[0, 1])  # the observation is not changed
    assert {name: str(array.dtype) for name, array in arrays.items()} == {
        "variable_features": "float32",
        "row_features": "float32",
        "row_pointers": "int32",
        "columns": "int32",
        "values": "float32",
    }


class TestBadInput:
    def test_no_samples(self, tmp_path):
        with pytest.raises(InputError, match="holds no samples"):
            SampleSet(tmp_path / "missing")

    @pytest.mark.parametrize("line", ["{", '{"samples": -1}', '{"samples": 1, "file": "../up.arrow"}', "7"])
    def test_manifest(self, tmp_path, line):
        (tmp_path / MANIFEST).write_text(line + "\n")
        with pytest.raises(InputError, match="line 1"):
            SampleSet(tmp_path)

    @pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.999])
    def test_a_truncated_shard(self, tmp_path, kept):
        write_set(tmp_path, [3])
        path = tmp_path / "000000.arrow"
        data = path.read_bytes()
        path.write_bytes(data[: int(kept * len(data))])
        with pytest.raises(InputError, match=r"000000\.arrow"):
            list(SampleSet(tmp_path))

    def test_flipped_bytes_never_get_through(self, tmp_path):
        """Whatever a damaged shard says, its arrays can be indexed by what they hold, or it is refused."""
        write_set(tmp_path, [1])
        path = tmp_path / "000000.arrow"
        data = path.read_bytes()
        rng = np.random.default_rng(0)
        for _ in range(150):
            damaged = bytearray(data)
            damaged[rng.integers(len(data))] ^= 1 << rng.integers(8)
            path.write_bytes(damaged)
            try:
                sample = SampleSet(tmp_path)[0]
            except InputError:
                continue
            assert sample.row_pointers[-1] == len(sample.columns) == len(sample.values)
            assert not len(sample.columns) or 0 <= sample.columns.min() <= sample.columns.max() < 5
            assert sample.variable_features.shape == (5, 19)

    def test_a_shard_of_another_length(self, tmp_path):
        write_set(tmp_path, [2])
        write_shard(tmp_path / "000000.arrow", [make_sample()])
        with pytest.raises(InputError, match="by the manifest"):
            SampleSet(tmp_path)[0]
