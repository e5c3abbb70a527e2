"""learnsys_mis: kernels beside torch, sets by hand and by brute force, labels, training, guided search, the CLI."""

import json

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from learnsys.cli import main
from learnsys.errors import InputError
from learnsys.graphs import Graph, batch_graphs, make_family
from learnsys.graphs.io import write_graph
from learnsys.policies.independent_set.greedy import Greedy
from learnsys.policies.independent_set.learned.config import RECIPES, ModelConfig, TrainingConfig
from learnsys.policies.independent_set.learned.fitting import PaddedScoring, SparseFitting, padded_scores
from learnsys.policies.independent_set.learned.guided import GuidedSearch
from learnsys.policies.independent_set.learned.kernel import score_vertices
from learnsys.policies.independent_set.learned.model import Inputs, VertexScorer
from learnsys.policies.independent_set.learned.policy import ScoredConstruction
from learnsys.policies.independent_set.learned.shipped import FOLDER, shipped, shipped_for
from learnsys.policies.independent_set.learned.task import LearnedTask, open_vertices
from learnsys.policies.independent_set.learned.weights import Weights
from learnsys.policies.independent_set.padded import PaddedGraphs, make_adam
from learnsys.policies.independent_set.randomness import stream_seeds
from learnsys.policies.independent_set.registry import make_independent_set_policy
from learnsys.policies.independent_set.training import train_on_graphs
from learnsys.settings import override

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def random_graph(n, p, seed):
    return Graph.of(nx.gnp_random_graph(n, p, seed))


def scorer(width=8, layers=2, seed=0):
    torch.manual_seed(seed)
    policy = ScoredConstruction(ModelConfig(width=width, layers=layers))
    for parameter in policy.model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return policy


@pytest.mark.parametrize(("width", "layers"), [(8, 2), (32, 3), (24, 1)])
def test_kernel_scores_as_torch_does(width, layers):
    policy = scorer(width, layers)
    graphs = [each for each in (random_graph(n, 0.4, n) for n in (12, 30, 17)) if each.degrees.min() > 0]
    assert graphs
    expected = policy.model(Inputs.of(batch_graphs(graphs))).detach().numpy()
    found = []
    for graph in graphs:
        out = np.empty(graph.n, np.float32)
        score_vertices(graph.indptr.astype(np.int32), graph.indices, graph.n, *Weights.of(policy.model), out)
        found.append(out)
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-4, atol=1e-4)


def test_padded_scores_are_those_of_the_graphs_left():
    model = scorer(16, 3).model
    graphs = [random_graph(n, 0.3, n) for n in (14, 20, 9)]
    opened = [open_vertices(graph, np.array([k])) for k, graph in enumerate(graphs)]
    padded = PaddedGraphs(batch_graphs(graphs), "cpu")
    mask = torch.zeros(3, padded.size)
    for k, left in enumerate(opened):
        assert left.any()
        mask[k, : left.size] = torch.from_numpy(left)
    found = padded_scores(model, padded.take(torch.arange(3)), mask)
    expected = model(Inputs.of(batch_graphs([g.induced(left) for g, left in zip(graphs, opened, strict=True)])))
    torch.testing.assert_close(found[mask > 0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
def test_padded_fitting_takes_the_same_steps(device):
    graphs = [random_graph(n, 0.3, n) for n in (14, 20, 9)]
    rng, states = np.random.default_rng(0), []
    for k in range(7):
        left = open_vertices(graphs[k % 3], rng.integers(0, 9, 1))
        states.append((k % 3, left, rng.random(left.sum()).astype(np.float32)))
    found = []
    for where in ("cpu", device):
        model = scorer(16, 2).model.to(where)
        rate = 0.1 if where == "cpu" else torch.tensor(0.1, device=where)
        optimiser = torch.optim.SGD(model.parameters(), rate, fused=True)  # Adam would scale up rounding errors
        if not found:
            fitting = SparseFitting(model, optimiser, graphs, states, TrainingConfig(batch=3))
        else:
            padded = PaddedGraphs(batch_graphs(graphs), where)
            fitting = PaddedScoring(model, optimiser, padded, states, TrainingConfig(batch=3), 3)
        losses = [fitting.epoch(np.arange(7), [0.1, 0.05, 0.01]) for _ in range(2)]
        found.append((losses, [each.detach().cpu() for each in model.parameters()]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4)
    for one, other in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-5)


@needs_cuda
def test_recorded_steps_take_the_learning_rate_of_the_moment():
    graph = random_graph(20, 0.3, 1)
    left = open_vertices(graph, np.array([0]))
    states = [(0, left, np.arange(left.sum(), dtype=np.float32))]
    model = scorer(16, 2).model.to("cuda")
    padded = PaddedGraphs(batch_graphs([graph]), "cuda")
    fitting = PaddedScoring(model, make_adam(model, 0.1), padded, states, TrainingConfig(batch=1), 1)
    before = [each.detach().clone() for each in model.parameters()]
    fitting.epoch(np.zeros(1, np.int64), [0.0])
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))
    fitting.epoch(np.zeros(1, np.int64), [0.01])
    assert not torch.equal(before[0], next(model.parameters()))


def test_scores_do_not_depend_on_the_numbers_of_vertices():
    model = scorer().model
    graph = random_graph(15, 0.4, 1)
    order = np.random.default_rng(0).permutation(15)
    moved = Graph.from_edges(order[graph.edges], 15)
    one, other = model(Inputs.of(batch_graphs([graph]))), model(Inputs.of(batch_graphs([moved])))
    torch.testing.assert_close(one, other[order], rtol=1e-4, atol=1e-5)


def test_least_degree_by_hand():
    """A path 0-1-2-3-4 with 5, 6 hanging on 2: these two, and one of 0 and 1 and of 3 and 4."""
    graph = Graph.from_edges([(0, 1), (1, 2), (2, 3), (3, 4), (2, 5), (2, 6)], 7)
    for reduce in (False, True):
        policy = ScoredConstruction(scores="degree", reduce=reduce, temperature=0.0)
        found = policy.solve(graph, iterations=1).vertices.tolist()
        assert len(found) == 4 and {5, 6} < set(found) and 2 not in found
    _, order = policy.build(graph, Weights.of(policy.model), stream_seeds(0, [0]), 0.0)
    assert (order == -1).all()  # the reduction has taken everything


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 14), st.floats(0, 1), st.integers(0, 999), st.sampled_from(["learned", "random", "degree"]),
    st.booleans(), st.integers(1, 4), st.sampled_from([0.0, 0.5]),
)  # fmt: skip
def test_sets_are_independent_and_maximal(n, p, seed, scores, reduce, picks, temperature):
    graph = random_graph(n, p, seed)
    policy = ScoredConstruction(
        ModelConfig(width=8, layers=2), scores=scores, reduce=reduce, picks=picks, temperature=temperature
    )
    status, order = policy.build(graph, Weights.of(policy.model), stream_seeds(seed, [1]), temperature)
    chosen = np.flatnonzero(status == 1)
    assert graph.is_independent(chosen) and not (status == 2).any()
    for v in np.flatnonzero(status == 0):
        assert np.isin(graph.neighbours(v), chosen).any()
    taken = order[order >= 0]
    assert np.isin(taken, chosen).all() and np.unique(taken).size == taken.size
    again, _ = policy.build(graph, Weights.of(policy.model), stream_seeds(seed, [1]), temperature)
    assert (again == status).all()


def test_vertices_with_one_neighbour_lose_nothing():
    """On trees taking them is optimal."""
    for seed in range(5):
        tree = nx.random_labeled_tree(40, seed=seed)
        best = len(nx.bipartite.to_vertex_cover(tree, nx.bipartite.maximum_matching(tree, nx.bipartite.sets(tree)[0])))
        policy = ScoredConstruction(scores="random", reduce=True)
        assert policy.solve(Graph.of(tree), iterations=1).size == 40 - best


def test_steps_leave_the_rest_open():
    graph = random_graph(30, 0.2, 3)
    policy = scorer()
    weights = Weights.of(policy.model)
    _, whole = policy.build(graph, weights, stream_seeds(0, [0]), 0.0)
    status, order = policy.build(graph, weights, stream_seeds(0, [0]), 0.0, steps=2)
    assert order[:2].tolist() == whole[:2].tolist() and order[2] == -1
    left = open_vertices(graph, order[:2])
    assert (status == 2).any() and np.array_equal(left, status == 2)


def test_more_roll_outs_are_never_worse():
    graph = random_graph(40, 0.2, 0)
    policy = scorer()
    sizes = [policy.solve(graph, iterations=count, seed=2).size for count in (1, 4, 16)]
    assert sizes == sorted(sizes)
    assert policy.solve(graph, seed=2).iterations == policy.roll_outs


def test_labels_are_shares_of_the_best_sets():
    """The star's leaves are in every best set; of a single edge each end is in some."""
    star = Graph.from_edges([(0, 1), (0, 2), (0, 3), (4, 5)], 6)
    config = override(RECIPES["learnsys_mis"](), ("solutions=8", "width=8", "layers=1"))
    task = LearnedTask([star], [star], config, 0)
    votes = task._votes(star, 0)
    assert votes[:4].tolist() == [0, 1, 1, 1] and votes[4] + votes[5] == pytest.approx(1)


SMALL = (
    "states=24",
    "solutions=2",
    "iterations=30",
    "training.epochs=4",
    "loop.rounds=3",
    "width=16",
    "layers=2",
    "batch=8",
)


@pytest.fixture(scope="module")
def graphs():
    return [random_graph(24, 0.2, seed) for seed in range(10)]


@pytest.fixture(scope="module")
def trained(graphs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    summary = train_on_graphs(graphs, override(RECIPES["learnsys_mis"](), SMALL), folder)
    return folder, summary


def test_training_beats_chance(graphs, trained):
    policy = ScoredConstruction.load(trained[0])
    chance = ScoredConstruction(scores="random")
    mine = sum(policy.solve(graph, iterations=1).size for graph in graphs)
    assert mine > sum(chance.solve(graph, iterations=1).size for graph in graphs)


def test_a_stopped_run_goes_on_to_the_same_result(graphs, trained, tmp_path):
    config = override(RECIPES["learnsys_mis"](), SMALL)
    train_on_graphs(graphs, config, tmp_path / "run", minutes=0)
    assert train_on_graphs(graphs, config, tmp_path / "run") == trained[1]
    for name in ("model.safetensors", "summary.json", "metrics.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (trained[0] / name).read_bytes()


def test_guided_search_goes_on_from_its_start(graphs, trained):
    for search in ("auto", "arw", "numvc"):
        policy = GuidedSearch.load(trained[0], search=search, starts=2)
        for graph in graphs[:3]:
            start = policy.solve(graph, iterations=0).size
            found = policy.solve(graph, iterations=300, seed=1)
            assert start <= found.size <= found.bound
            exact = max(map(len, nx.find_cliques(nx.complement(graph.to_networkx()))))
            assert found.size == exact


def test_registry_finds_the_run(trained):
    assert isinstance(make_independent_set_policy(str(trained[0])), ScoredConstruction)
    assert isinstance(make_independent_set_policy(f"learnsys_mis_guided={trained[0]}"), GuidedSearch)


def test_impossible_settings(graphs, tmp_path):
    for wrong in ({"width": 4}, {"width": 20}, {"layers": 0}):
        with pytest.raises(InputError):
            ModelConfig(**wrong)
    for wrong in ({"states": 0}, {"iterations": -1}):
        with pytest.raises(InputError):
            TrainingConfig(**wrong)
    for wrong in ({"scores": "luck"}, {"roll_outs": 0}, {"temperature": -1.0}, {"picks": 0}):
        with pytest.raises(InputError):
            ScoredConstruction(**wrong)
    with pytest.raises(InputError):
        GuidedSearch(scorer(), search="tabu")
    with pytest.raises(InputError, match="no training graph has an edge"):
        LearnedTask([Graph.from_edges(np.empty((0, 2), int), 3)], graphs, RECIPES["learnsys_mis"](), 0)
    ScoredConstruction(ModelConfig(width=8)).save(tmp_path)
    (tmp_path / "config.json").write_text('{"policy": "learnsys_mis", "model": {"width": 16}}')
    with pytest.raises(InputError, match="holds no learnsys_mis"):
        ScoredConstruction.load(tmp_path)
    assert isinstance(VertexScorer(ModelConfig()), torch.nn.Module)


def test_command_trains_and_solves(tmp_path, capsys):
    folder = tmp_path / "graphs"
    folder.mkdir()
    for number in range(4):
        write_graph(folder / f"{number}.clq", random_graph(20, 0.3, number))
    for recipe in ("learnsys_mis", "comparator"):
        out = tmp_path / recipe
        assert main(["mis", "train", str(folder), "--recipe", recipe, "--out", str(out), "--smoke", "--json"]) == 0
        summary = json.loads(capsys.readouterr().out)
        assert summary == json.loads((out / "summary.json").read_text()) and summary["validation"]["size"] > 0
        assert main(["mis", "solve", str(folder / "0.clq"), "--policy", str(out), "--time", "0.05", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["size"] > 0
    assert (
        main(
            ["mis", "train", str(folder), "--recipe", "comparator", "--mixed", "--out", str(tmp_path / "m"), "--smoke"]
        )
        == 0
    )
    assert "trained policy" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-family"],
        ["rb-small", "--recipe", "magic"],
        ["rb-small", "--mixed"],
        ["rb-small", "--set", "width=7"],
        ["rb-small", "--count", "1", "--smoke"],
    ],
)
def test_command_tells_mistakes_in_one_line(arguments, tmp_path, capsys):
    assert main(["mis", "train", *arguments, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("learnsys: ") and error.count("\n") == 1


@pytest.mark.parametrize("name", shipped())
def test_shipped_policies_are_small_explained_and_better_than_greedy(name):
    folder = FOLDER / name
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2**20
    assert (folder / "README.md").read_text().startswith(f"# {name}\n")
    policy = make_independent_set_policy(name)
    family = make_family(name.partition("-")[2])
    graphs = [family.graph(11, index) for index in range(12 if "small" in name else 3)]
    greedy = sum(Greedy().solve(graph).size for graph in graphs)
    if name.startswith("learnsys_mis"):
        assert sum(policy.solve(graph, iterations=4).size for graph in graphs) > greedy
    else:
        assert sum(policy.solve(graph, iterations=4).size for graph in graphs) > 0.8 * greedy


def test_a_family_without_its_own_policy_gets_the_nearest():
    assert shipped_for("rb-large").name == "learnsys_mis-rb-large"
    assert shipped_for("ba").name == "learnsys_mis-rb-small"
    with pytest.raises(InputError, match="ships"):
        shipped_for("ba", "nothing")
