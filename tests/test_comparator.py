"""The comparator: golden record, kernels beside the dense form, gradients, training, the saved policy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from learnsys.errors import InputError
from learnsys.graphs import Graph, batch_graphs
from learnsys.policies.independent_set.comparator.activation_kernel import activate
from learnsys.policies.independent_set.comparator.config import RECIPES, ModelConfig, TrainingConfig
from learnsys.policies.independent_set.comparator.fitting import KernelFitting, comparison_loss
from learnsys.policies.independent_set.comparator.gradient import Arena, logits, make_stack
from learnsys.policies.independent_set.comparator.model import ComparatorModel
from learnsys.policies.independent_set.comparator.padded import PaddedFitting, padded_logits
from learnsys.policies.independent_set.comparator.policy import ComparatorPolicy
from learnsys.policies.independent_set.comparator.rollout import run_recursions
from learnsys.policies.independent_set.comparator.task import ComparatorTask, compared
from learnsys.policies.independent_set.comparator.weights import Weights
from learnsys.policies.independent_set.padded import PaddedGraphs
from learnsys.policies.independent_set.training import train_on_graphs
from learnsys.runs import read_metrics
from learnsys.settings import override
from learnsys.testing import dense_comparator

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
GOLDEN = Path(__file__).parent / "golden" / "comparator.npz"


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(GOLDEN))


@pytest.fixture(scope="module")
def model(golden):
    model = ComparatorModel(ModelConfig())
    model.load_state_dict({name[7:]: torch.from_numpy(golden[name]) for name in golden if name.startswith("weight:")})
    return model


def random_graph(n, p, seed):
    rng = np.random.default_rng(seed)
    return Graph.from_edges(np.argwhere(np.triu(rng.random((n, n)) < p, 1)), n)


def golden_graphs(golden):
    return [Graph.from_edges(golden[f"edges_{k}"], int(golden[f"n_{k}"])) for k in range(6)]


def without(graph, v):
    """The vertices of the two graphs that v is decided by, uint8 (n,)."""
    masks = np.ones((2, graph.n), np.uint8)
    masks[0, v] = 0
    masks[1, graph.neighbours(v)] = 0
    return list(masks)


def test_dense_network_reproduces_the_published_one(golden, model):
    for k, graph in enumerate(golden_graphs(golden)):
        both = [graph.induced(mask > 0) for mask in without(graph, int(golden[f"vertex_{k}"]))]
        scores = torch.stack([model(dense_comparator.adjacency_of(each)) for each in both])
        np.testing.assert_allclose(torch.softmax(scores, 0).detach(), golden[f"softmax_{k}"], atol=1e-5)


def test_kernels_reproduce_the_published_one(golden, model):
    graphs = golden_graphs(golden)
    kept = [mask for k, graph in enumerate(graphs) for mask in without(graph, int(golden[f"vertex_{k}"]))]
    stack = make_stack(batch_graphs(graphs), np.repeat(np.arange(6), 2), kept)
    scores = logits(model, [stack], Arena()).view(6, 2)
    expected = np.stack([golden[f"softmax_{k}"] for k in range(6)])
    np.testing.assert_allclose(torch.softmax(scores, 1).detach(), expected, atol=1e-5)


def test_activation_by_hand():
    pre = np.array([-20, -1, 0, 1, 20, 3, -3, 0.5], np.float32)
    gain, shift = np.linspace(0.5, 2, 8, dtype=np.float32), np.linspace(-1, 1, 8, dtype=np.float32)
    rows = np.stack([np.zeros(8, np.float32), pre, pre])
    out = np.full_like(rows, 7)
    activate(rows, 2, gain, shift, out)
    assert (out[2] == 7).all()  # only the first rows
    out = out[1]
    phi = 0.5 * (1 + np.array([-1, -0.6826895, 0, 0.6826895, 1, 0.9973002, -0.9973002, 0.3829249]))
    value = pre * phi
    expected = (value - value.mean()) / np.sqrt(value.var() + 1e-5) * gain + shift
    np.testing.assert_allclose(out, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("cover", [False, True])
@pytest.mark.parametrize(("n", "p"), [(24, 0.2), (30, 0.08), (14, 0.6), (6, 0.0)])
def test_lock_step_decides_as_one_dense_graph_at_a_time(model, cover, n, p):
    graphs = [random_graph(n, p, seed) for seed in range(3)]
    batch, weights, lanes = batch_graphs(graphs), Weights.of(model), np.array([0, 1, 2, 1])
    seeds = np.array([7, 8, 2**64 - 1, 9], np.uint64)
    together = run_recursions(batch, weights, lanes, seeds, cover=cover, record=2 * n, lanes=4)
    alone = run_recursions(batch, weights, lanes, seeds, cover=cover, record=2 * n, lanes=1)
    dense = dense_comparator.vertex_cover if cover else dense_comparator.independent_set
    for lane, graph in enumerate(lanes):
        expected = dense(model, graphs[graph], int(seeds[lane]))
        count = len(expected.picks)
        for found in (together, alone):
            assert found.picks[lane, :count].tolist() == expected.picks and (found.picks[lane, count:] < 0).all()
            assert found.choices[lane, :count].tolist() == expected.choices
            assert found.sizes[lane] == expected.size == expected.vertices.size
            chosen = found.set(lane)
            assert graphs[graph].is_independent(chosen)
            expected_set = np.setdiff1d(np.arange(n), expected.vertices) if cover else expected.vertices
            assert chosen.tolist() == expected_set.tolist()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 16), st.floats(0, 1), st.integers(0, 999), st.booleans())
def test_stacked_graphs_have_the_dense_logits(model, n, p, seed, cover):
    graph = random_graph(n, p, seed)
    kept = (np.random.default_rng(seed).random(n) < 0.7).astype(np.uint8)
    kept[seed % n] = 1
    stack = make_stack(batch_graphs([graph]), np.array([0]), [kept], cover)
    adjacency = dense_comparator.adjacency_of(graph)
    if cover:
        adjacency = dense_comparator.covered(adjacency, torch.from_numpy(np.flatnonzero(kept == 0)))
    else:
        adjacency = adjacency[kept > 0][:, kept > 0]
    expected = model(adjacency).item()
    assert logits(model, [stack], Arena()).item() == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("cover", [False, True])
def test_gradients_equal_autograd_on_the_dense_form(cover):
    torch.manual_seed(3)
    model = ComparatorModel(ModelConfig(width=8, layers=4, dense=3))
    graphs = [random_graph(n, p, n) for n, p in ((12, 0.3), (9, 0.1), (15, 0.6), (4, 0.0))]
    root = np.array([0, 1, 2, 3, 0])
    rng = np.random.default_rng(0)
    kept = [(rng.random(graphs[g].n) < 0.8).astype(np.uint8) for g in root]
    parameters, factor = list(model.parameters()), torch.arange(1.0, 6)
    batch, arena = batch_graphs(graphs), Arena()
    stacks = [make_stack(batch, root[a:b], kept[a:b], cover) for a, b in ((0, 2), (2, 5))]
    mine = torch.autograd.grad((logits(model, stacks, arena) * factor).sum(), parameters, allow_unused=True)
    scores = []
    for g, mask in zip(root, kept, strict=True):
        whole, out = dense_comparator.adjacency_of(graphs[g]), torch.from_numpy(mask == 0)
        scores.append(
            model(dense_comparator.covered(whole, torch.nonzero(out)[:, 0]) if cover else whole[~out][:, ~out])
        )
    expected = torch.autograd.grad((torch.stack(scores) * factor).sum(), parameters, allow_unused=True)
    for one, other in zip(mine, expected, strict=True):
        if one is None:  # what multiplies X = 0
            assert other is None or not other.any()
            continue
        torch.testing.assert_close(one, torch.zeros_like(one) if other is None else other, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("cover", [False, True])
def test_padded_graphs_have_the_kernels_logits_and_gradients(cover):
    torch.manual_seed(3)
    model = ComparatorModel(ModelConfig(width=8, layers=4, dense=3))
    graphs = [random_graph(n, p, n) for n, p in ((12, 0.3), (9, 0.1), (15, 0.6), (4, 0.0))]
    root, rng = np.array([0, 1, 2, 3, 0]), np.random.default_rng(0)
    kept = [(rng.random(graphs[g].n) < 0.8).astype(np.uint8) for g in root]
    parameters, factor = list(model.parameters()), torch.arange(1.0, 6)
    batch = batch_graphs(graphs)
    padded = PaddedGraphs(batch, "cpu")
    left = torch.zeros(5, padded.size)
    out = torch.zeros(5, padded.size)
    for k, mask in enumerate(kept):
        left[k, : mask.size] = torch.from_numpy(mask)
        out[k, : mask.size] = torch.from_numpy(1 - mask)
    expected = logits(model, [make_stack(batch, root, kept, cover)], Arena())
    found = padded_logits(model, padded.take(torch.from_numpy(root)), left, out if cover else None)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    theirs = torch.autograd.grad((expected * factor).sum(), parameters, allow_unused=True)
    mine = torch.autograd.grad((found * factor).sum(), parameters, allow_unused=True)
    for one, other in zip(mine, theirs, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5 * float(other.abs().max().clamp(min=1)))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
@pytest.mark.parametrize("cover", [False, True])
def test_padded_fitting_takes_the_steps_of_the_kernels(cover, device):
    """With a last batch that is not full, and two epochs."""
    graphs = [random_graph(n, 0.3, n) for n in (12, 9, 15)]
    rng = np.random.default_rng(2)
    states = [(k % 3, (rng.random(graphs[k % 3].n) < 0.8).astype(np.uint8)) for k in range(9)]
    pairs = rng.integers(0, 9, (14, 2))
    labels = rng.choice(np.array([0, 0.5, 1], np.float32), 14)
    config, batch = TrainingConfig(batch=4, sample=14, double_softmax=False), batch_graphs(graphs)
    models, tallies = [], []
    for where in ("cpu", device):
        torch.manual_seed(5)
        model = ComparatorModel(ModelConfig(width=8)).to(where)
        optimiser = torch.optim.SGD(model.parameters(), 0.01)  # Adam would scale up rounding errors
        if not models:
            fitting = KernelFitting(model, optimiser, batch, states, cover, config)
        else:
            fitting = PaddedFitting(model, optimiser, PaddedGraphs(batch, where), states, cover, config, 4)
        tallies.append([fitting.epoch(pairs[order], labels[order]) for order in (np.arange(14), np.arange(14)[::-1])])
        models.append(model)
    for one, other in zip(*tallies, strict=True):
        assert (one.steps, one.told) == (other.steps, other.told) == (4, (labels != 0.5).sum())
        assert one.loss == pytest.approx(other.loss, rel=1e-4) and abs(one.right - other.right) <= 1
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(one, other.cpu(), rtol=0, atol=2e-5)


def test_compared_graphs_follow_the_decisions(model):
    graph = random_graph(20, 0.3, 1)
    found = run_recursions(batch_graphs([graph]), Weights.of(model), [0], [5], record=20)
    assert found.picks[0, 1] >= 0
    masks = compared(graph, found, 0)
    v, side = found.picks[0, 0], found.choices[0, 0]
    assert len(masks) == 2 * (found.picks[0] >= 0).sum()
    assert [mask.tolist() for mask in masks[:2]] == [mask.tolist() for mask in without(graph, v)]
    assert (masks[2] <= masks[side]).all() and masks[2].sum() == masks[side].sum() - 1


def test_loss_of_doubled_softmax_by_hand():
    scores = torch.tensor([[0.0, np.log(3.0)]])
    label = np.array([1.0], np.float32)
    assert comparison_loss(scores, label, False).item() == pytest.approx(np.log(4))  # probability 1/4
    expected = -np.log(np.exp(0.25) / (np.exp(0.25) + np.exp(0.75)))
    assert comparison_loss(scores, label, True).item() == pytest.approx(expected, rel=1e-6)


SMALL = ("roots=3", "kept=6", "roll_outs=2", "sample=24", "epochs=2", "batch=8", "loop.rounds=3", "width=8", "pairs=9")


@pytest.fixture(scope="module")
def graphs():
    return [random_graph(18, 0.25, seed) for seed in range(6)]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_trains_and_gives_independent_sets(recipe, graphs, tmp_path):
    summary = train_on_graphs(graphs, override(RECIPES[recipe](), SMALL), tmp_path / "run")
    assert summary["rounds"] == 3 and summary["validation"]["size"] >= 1
    policy = ComparatorPolicy.load(tmp_path / "run")
    for graph in graphs:
        solution = policy.solve(graph, iterations=3, seed=1)
        assert solution.size >= 1 and solution.iterations == 3
        assert policy.solve(graph, iterations=3, seed=1).vertices.tolist() == solution.vertices.tolist()
        assert policy.solve(graph, iterations=1, seed=1).size <= solution.size
    lines = [line for line in read_metrics(tmp_path / "run") if "averaged" not in line]
    assert [line["round"] for line in lines] == [0, 1, 2] and all(line["pairs"] >= 8 for line in lines)


def test_a_stopped_run_goes_on_to_the_same_result(graphs, tmp_path):
    config = override(RECIPES["comparator"](), SMALL)
    whole = train_on_graphs(graphs, config, tmp_path / "whole")
    train_on_graphs(graphs, config, tmp_path / "parts", minutes=0)
    assert train_on_graphs(graphs, config, tmp_path / "parts") == whole
    for name in ("model.safetensors", "summary.json", "metrics.jsonl"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_results_do_not_depend_on_jobs(graphs, tmp_path):
    config = override(RECIPES["comparator_mixed"](), SMALL)
    for jobs in (1, 3):
        train_on_graphs(graphs, config, tmp_path / str(jobs), jobs=jobs)
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()
    with pytest.raises(InputError, match="jobs"):
        train_on_graphs(graphs, config, tmp_path / "x", jobs=0)
    with pytest.raises(InputError, match="no device"):
        train_on_graphs(graphs, config, tmp_path / "y", device="abacus")


@needs_cuda
def test_training_on_cuda_goes_on_after_a_stop(graphs, tmp_path):
    config = override(RECIPES["comparator"](), SMALL)
    whole = train_on_graphs(graphs, config, tmp_path / "whole", device="cuda")
    train_on_graphs(graphs, config, tmp_path / "parts", device="cuda", minutes=0)
    assert train_on_graphs(graphs, config, tmp_path / "parts", device="cuda") == whole
    assert ComparatorPolicy.load(tmp_path / "parts").solve(graphs[0], iterations=1).size >= 1


def test_training_learns_to_compare(graphs, tmp_path):
    """Graphs that lost vertices hold smaller sets: after some steps most pairs are told right."""
    config = override(RECIPES["comparator_mixed"](), (*SMALL, "epochs=12", "kept=9", "pairs=36", "sample=100"))
    train_on_graphs(graphs, config, tmp_path / "run")
    assert read_metrics(tmp_path / "run")[-1]["accuracy"] > 0.8


def test_impossible_settings_and_graphs(tmp_path):
    for wrong in ({"width": 12}, {"layers": 1}, {"dense": 1}):
        with pytest.raises(InputError):
            ModelConfig(**wrong)
    for wrong in ({"kept": 1}, {"batch": 9999}, {"mixed": True, "problem": "vertex_cover"}, {"epochs": 0}):
        with pytest.raises(InputError):
            TrainingConfig(**wrong)
    config = override(RECIPES["comparator"](), SMALL)
    with pytest.raises(InputError, match="2 graphs at least"):
        train_on_graphs([random_graph(5, 0.5, 0)], config, tmp_path / "a")
    empty = [Graph.from_edges(np.empty((0, 2)), 4) for _ in range(3)]
    with pytest.raises(InputError, match="more edges"):
        train_on_graphs(empty, config, tmp_path / "b")
    with pytest.raises(InputError, match="no such file"):
        ComparatorPolicy.load(tmp_path / "c")
    ComparatorPolicy(ModelConfig(width=8)).save(tmp_path / "d")
    (tmp_path / "d" / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(InputError, match="safetensors"):
        ComparatorPolicy.load(tmp_path / "d")


def test_roots_come_in_blocks_again_and_again(graphs):
    task = ComparatorTask(graphs[:5], graphs[5:], override(RECIPES["comparator"](), SMALL), 0)
    assert [task.roots_of(number).tolist() for number in range(4)] == [[0, 1, 2], [3, 4], [0, 1, 2], [3, 4]]
