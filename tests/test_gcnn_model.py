"""The GCNN beside the published code's record, its own parts, and its folded form without torch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from learnsys.graphs.bipartite import BipartiteGraph
from learnsys.graphs.edges import sum_messages_plainly
from learnsys.policies.branching.gcnn import model as network
from learnsys.policies.branching.gcnn.config import ModelConfig
from learnsys.policies.branching.gcnn.data import Example, collate
from learnsys.policies.branching.gcnn.inference import Scorer
from learnsys.policies.branching.gcnn.model import GcnnModel, log_probabilities

CONFIGS = {
    "published": ModelConfig(),
    "narrow": ModelConfig(width=32, incumbent=False),
    "side by side": ModelConfig(width=16, messages="concatenate", dropout=0.2),
}


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "golden/gcnn_cauction.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def golden_example(golden):
    row, column = golden["edge_indices"]
    shape = len(golden["row_features"]), len(golden["variable_features"])
    graph = BipartiteGraph.from_edges(row, column, golden["edge_values"][:, 0], shape)
    candidates = golden["candidates"].astype(np.int32)
    scores = (candidates == golden["expert"]).astype(np.float64)
    return Example(golden["variable_features"], golden["row_features"], graph, candidates, scores)


def weights_of(golden):
    return {name[7:]: array for name, array in golden.items() if name.startswith("weight:")}


def random_example(rng, width, rows=12, variables=9, density=0.4):
    graph = _graph(rng, rows, variables, density)
    candidates = rng.choice(variables, 4, replace=False).astype(np.int32)
    features = (rng.normal(size=shape).astype(np.float32) for shape in ((variables, width), (rows, 5)))
    return Example(*features, graph, candidates, rng.random(4))


def _graph(rng, rows, variables, density):
    row, column = np.nonzero(rng.random((rows, variables)) < density)
    return BipartiteGraph.from_edges(row, column, rng.normal(size=len(row)), (rows, variables))


def settled(config, rng, examples):
    """A network with random weights whose normalisations fit the examples."""
    torch.manual_seed(int(rng.integers(1000)))
    model = GcnnModel(config)
    model.estimate_norms(lambda: [collate(examples, every_variable=True)])
    return model.eval()


def numpy_weights(model):
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def test_golden_logits_and_loss(golden, golden_example):
    model = GcnnModel(ModelConfig())
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights_of(golden).items()})
    with torch.no_grad():
        everyone = model(collate([golden_example], every_variable=True)).numpy()
        batch = collate([golden_example])
        losses = -log_probabilities(model(batch), batch)[0]
    assert np.abs(everyone - golden["logits"]).max() < 1e-5
    expert = list(golden_example.candidates).index(golden["expert"])
    assert abs(float(losses[expert]) - golden["cross_entropy"]) < 1e-5
    assert sum(p.numel() for p in model.parameters()) == 64_000


def test_golden_logits_without_torch(golden, golden_example):
    scorer = Scorer(ModelConfig(), weights_of(golden))
    graph = golden_example.graph
    arguments = (golden_example.variable_features, golden_example.row_features)
    arguments += (graph.pointers, graph.sources, graph.values)
    everyone = scorer(*arguments, np.arange(graph.n_sources))
    assert np.abs(everyone - golden["logits"]).max() < 1e-5
    some = golden["candidates"][::-1].astype(np.int64)
    assert np.abs(scorer(*arguments, some) - golden["logits"][some]).max() < 1e-5


def test_golden_normalisations_are_estimated(golden, golden_example):
    model = GcnnModel(ModelConfig())
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights_of(golden).items()})
    for norm in model.norms():
        norm.scale.fill_(-1.0)
    model.estimate_norms(lambda: [collate([golden_example], every_variable=True)])
    for name, array in weights_of(golden).items():
        if name.endswith(("shift", "scale")):
            np.testing.assert_allclose(model.state_dict()[name].numpy(), array, rtol=2e-5, atol=1e-6, err_msg=name)


def test_normalisation_by_hand():
    """Columns 1, 3 and 5, 5: means 2 and 5, deviations 1 and (constant) 1."""
    norm = network.PreNorm(2)
    norm.moments = [0.0, 0.0, 0]
    for row in ([1.0, 5.0], [3.0, 5.0]):
        with pytest.raises(network._Measured):
            norm(torch.tensor([row]))
    norm.freeze()
    assert norm(torch.tensor([[4.0, 6.0]])).tolist() == [[2.0, 1.0]]


@pytest.mark.parametrize("name", CONFIGS)
def test_the_last_message_layer_commutes_with_the_sum(name):
    """The convolution equals messages computed edge by edge, last layer included, and then summed."""
    config, rng = CONFIGS[name], np.random.default_rng(5)
    model = settled(config, rng, [random_example(rng, config.variable_features)])
    convolution, norm = model.conv_v_to_c, model.edge_embedding[0]
    graph = _graph(rng, 7, 11, 0.5)
    targets, sources = torch.randn(7, config.width), torch.randn(11, config.width)
    row, column = (torch.from_numpy(each.astype(np.int64)) for each in (graph.targets, graph.sources))
    edges = convolution.feature_module_edge(norm(torch.from_numpy(graph.values)[:, None]))
    terms = convolution.feature_module_left(targets)[row], edges, convolution.feature_module_right(sources)[column]
    joined = torch.cat((terms[0], terms[1], terms[2]), 1) if config.messages == "concatenate" else sum(terms)
    messages = convolution.feature_module_final(joined)
    total = convolution.post_conv_module(torch.zeros(7, config.width).index_add(0, row, messages))
    expected = convolution.output_module(torch.cat((total, targets), 1))
    torch.testing.assert_close(convolution(targets, sources, graph, norm), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CONFIGS)
def test_normalised_messages_have_variance_one(name):
    config, rng = CONFIGS[name], np.random.default_rng(8)
    examples = [random_example(rng, config.variable_features) for _ in range(3)]
    model = settled(config, rng, examples)
    seen = []
    for convolution in (model.conv_v_to_c, model.conv_c_to_v):
        convolution.post_conv_module.register_forward_hook(lambda *event: seen.append(event[2]))
    with torch.no_grad():
        model(collate(examples, every_variable=True))
    assert [round(float(each.var(correction=0)), 3) for each in seen] == [1.0, 1.0]


@pytest.mark.parametrize("name", CONFIGS)
def test_the_kernel_equals_the_network_graph_by_graph(name):
    config, rng = CONFIGS[name], np.random.default_rng(2)
    examples = [random_example(rng, config.variable_features, rows=r) for r in (3, 12, 20)]
    model = settled(config, rng, examples)
    scorer = Scorer(config, numpy_weights(model))
    with torch.no_grad():
        together = model(collate(examples)).numpy()
    alone = [
        scorer(
            each.variable_features,
            each.row_features,
            each.graph.pointers,
            each.graph.sources,
            each.graph.values,
            each.candidates.astype(np.int64),
        )
        for each in examples
    ]
    np.testing.assert_allclose(np.concatenate(alone), together, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_what_lies_far_from_the_candidates_changes_nothing(name):
    config, rng = CONFIGS[name], np.random.default_rng(3)
    whole = random_example(rng, config.variable_features, rows=60, variables=40, density=0.05)
    near = whole.near()
    assert 4 <= len(near.row_features) < 50 and 4 <= len(near.variable_features) < 35
    assert near.near() is near and len(near.back.sources) == len(whole.back.sources)
    model = settled(config, rng, [whole])
    with torch.no_grad():
        scores, of_near, everyone = (model(collate(*them)) for them in (([whole],), ([near],), ([whole], True)))
    torch.testing.assert_close(of_near, scores)
    torch.testing.assert_close(of_near, everyone[whole.candidates])
    scorer, graph = Scorer(config, numpy_weights(model)), whole.graph
    arguments = whole.variable_features, whole.row_features, graph.pointers, graph.sources, graph.values
    found = scorer(*arguments, whole.candidates.astype(np.int64))
    np.testing.assert_allclose(found, of_near.numpy(), rtol=1e-4, atol=1e-5)
    assert (found == scorer(*arguments, np.arange(40))[whole.candidates]).all()


def test_gradients_equal_those_of_plain_torch(monkeypatch):
    config, rng = ModelConfig(width=32), np.random.default_rng(4)
    examples = [random_example(rng, 19) for _ in range(2)]
    model = settled(config, rng, examples)
    batch = collate(examples)
    gradients = []
    for plain in (False, True):
        if plain:
            monkeypatch.setattr(network, "sum_messages", sum_messages_plainly)
        model.zero_grad()
        log_probabilities(model(batch), batch)[:, 0].sum().backward()
        gradients.append({name: each.grad.clone() for name, each in model.named_parameters()})
    for name, fused in gradients[0].items():
        torch.testing.assert_close(fused, gradients[1][name], rtol=1e-4, atol=1e-4, msg=name)


def test_inference_imports_no_torch():
    code = "import sys, learnsys.policies.branching.gcnn.inference; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
