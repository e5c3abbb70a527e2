"""Networks that decide through torch, on the processor and (where there is one) a CUDA device, beside the kernels."""

import json
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
import torch

import learnsys
from learnsys.cli import main
from learnsys.envs.branching.environment import BranchingEnv
from learnsys.envs.branching.observations.node_bipartite import NodeBipartite
from learnsys.envs.cache.accesses import Accesses
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError
from learnsys.graphs import Graph, batch_graphs
from learnsys.graphs.io import write_graph
from learnsys.policies import devices
from learnsys.policies.branching.features.network import make_layers
from learnsys.policies.branching.features.policy import WIDTH, MlpPolicy
from learnsys.policies.branching.gcnn.config import ModelConfig as GcnnConfig
from learnsys.policies.branching.gcnn.model import GcnnModel
from learnsys.policies.branching.gcnn.policy import GcnnPolicy
from learnsys.policies.branching.hybrid import HybridPolicy
from learnsys.policies.branching.registry import make_branching_policy
from learnsys.policies.cache.parrot.explaining import explain
from learnsys.policies.cache.parrot.policy import ParrotPolicy
from learnsys.policies.cache.parrot.rollout import memories
from learnsys.policies.cache.registry import guarded, make_set_policy
from learnsys.policies.cache.shipped import shipped_folder
from learnsys.policies.independent_set.comparator.config import ModelConfig as ComparatorConfig
from learnsys.policies.independent_set.comparator.policy import ComparatorPolicy
from learnsys.policies.independent_set.comparator.rollout import run_recursions
from learnsys.policies.independent_set.learned.config import ModelConfig as ScorerConfig
from learnsys.policies.independent_set.learned.guided import GuidedSearch
from learnsys.policies.independent_set.learned.policy import ScoredConstruction
from learnsys.policies.independent_set.learned.weights import Weights
from learnsys.policies.independent_set.padded import LARGEST, dense_adjacency
from learnsys.policies.independent_set.randomness import stream_seeds
from learnsys.policies.independent_set.registry import make_independent_set_policy
from learnsys.policies.torch_arrays import parameters
from learnsys.traces import read_trace, write_trace

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
on_devices = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
SMALL = CacheGeometry(32 * 1024, 16)


def shaken(network, seed=0):
    """A network whose scores differ clearly."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.3)
    return network


def random_graph(n, p, seed):
    return Graph.of(nx.gnp_random_graph(n, p, seed))


@pytest.fixture(scope="module")
def accesses():
    trace = read_trace("sample:gnugo")[:12_000]
    return Accesses.prepare(trace.address, trace.pc, SMALL)


@pytest.fixture(scope="module")
def gcnn_seen():
    """Observations and candidates of some nodes."""
    env = BranchingEnv("setcover:tiny", observation=NodeBipartite(), form="direct")
    found = []
    for seed in range(2):
        seen, info = env.reset(seed=seed)
        while len(info["action_set"]) and len(found) < 4 * (seed + 1):
            found.append((seen, info["action_set"].copy()))
            seen, *_, info = env.step(info["action_set"][0])
    env.close()
    return found


@on_devices
def test_parrot(device, accesses):
    policy = ParrotPolicy.load(shipped_folder("parrot", "sample:gnugo"))
    kernels = policy.victims(accesses, SMALL)
    told = explain(policy, accesses, SMALL, 6000, 9000)
    d, which = told.decisions, np.arange(5)
    attention = told.attention(which)
    policy.through_torch(torch.device(device))
    assert (kernels >= 0).sum() > 100
    if device == "cpu":  # rounding may turn a decision, and all that follow
        np.testing.assert_array_equal(policy.victims(accesses, SMALL), kernels)
    view, (first, _, memory) = policy.view(accesses, 512), next(memories(policy, told.view, told.first, 9000))
    with torch.inference_mode():
        both = policy.scores(view, memory, d.time - first, d.touched, d.time)
    found = both[policy.config.evict_by == "reuse"].numpy(force=True)
    np.testing.assert_allclose(found, d.preference, rtol=1e-5, atol=1e-5)
    clear = np.diff(np.sort(found, 1)[:, -2:], axis=1)[:, 0] > 1e-4
    assert clear.mean() > 0.9 and np.array_equal(found.argmax(1)[clear], d.victim[clear])
    again = replace(told, memory=memory)
    np.testing.assert_allclose(again.attention(which), attention, rtol=1e-4, atol=1e-5)


@on_devices
@pytest.mark.parametrize("messages", ["sum", "concatenate"])
def test_gcnn(messages, device, gcnn_seen):
    config = GcnnConfig(width=16, messages=messages)
    policy = GcnnPolicy(config, parameters(shaken(GcnnModel(config))))
    kernels = [(policy.logits(*each), policy.act(*each)) for each in gcnn_seen]
    policy.through_torch(torch.device(device))
    for (logits, chosen), each in zip(kernels, gcnn_seen, strict=True):
        scale = float(np.abs(logits).max())
        np.testing.assert_allclose(policy.logits(*each) / scale, logits / scale, rtol=0, atol=1e-5)
        assert policy.act(*each) == chosen


@on_devices
def test_mlp(device):
    rng = np.random.default_rng(0)
    arrays = {f"layers.{name}": each for name, each in parameters(shaken(make_layers(24, 16))).items()}
    policy = MlpPolicy(arrays | {"mean": np.zeros(WIDTH, np.float32), "deviation": np.ones(WIDTH, np.float32)})
    matrix = rng.normal(0, 2, (40, WIDTH)).astype(np.float32)
    expected = policy.scores(matrix)
    policy.through_torch(torch.device(device))
    found, scale = policy.scores(matrix), np.abs(expected).max()
    found += (expected - found).mean()  # numpy leaves the last bias out, which is the same for all candidates
    np.testing.assert_allclose(found / scale, expected / scale, rtol=0, atol=1e-5)
    assert found.argmax() == expected.argmax()


@on_devices
@pytest.mark.parametrize("cover", [False, True])
def test_comparator(cover, device):
    policy = ComparatorPolicy(ComparatorConfig(width=16), "vertex_cover" if cover else "independent_set")
    shaken(policy.model)
    graphs = [random_graph(n, p, n) for n, p in ((30, 0.2), (17, 0.05), (1, 0), (12, 0.6))]
    batch, root, seeds = batch_graphs(graphs), np.array([0, 1, 2, 3, 0]), stream_seeds(3, range(5))
    alive = [np.ones(graphs[k].n, np.uint8) for k in root]
    alive[4][::3] = 0
    for steps in (0, 3):
        found = []
        for place in (None, torch.device(device)):
            policy._device = place
            policy.model.to(place or "cpu")
            how = {"alive": alive, "cover": cover, "steps": steps, "record": 30}
            found.append(run_recursions(batch, policy._network(), root, seeds, **how))
        for name in ("picks", "choices", "chosen", "sizes"):
            np.testing.assert_array_equal(getattr(found[0], name), getattr(found[1], name))
        assert 0 < found[0].choices.sum() < (found[0].picks >= 0).sum()


@on_devices
@pytest.mark.parametrize(("picks", "reduce", "steps"), [(1, False, -1), (3, False, 7), (1, True, -1), (2, True, 4)])
def test_scored_construction(picks, reduce, steps, device):
    policy = ScoredConstruction(ScorerConfig(width=16, layers=3), picks=picks, reduce=reduce)
    shaken(policy.model)
    for graph in (random_graph(40, 0.1, 1), random_graph(25, 0.4, 2), random_graph(5, 0, 3)):
        for temperature in (0.0, 0.3):
            found = []
            for place in (None, torch.device(device)):
                policy._device = place
                policy.model.to(place or "cpu")
                weights = Weights.of(policy.model)
                found.append(policy.build(graph, weights, stream_seeds(4, [2]), temperature, steps))
            for kernels, through_torch in zip(*found, strict=True):
                np.testing.assert_array_equal(kernels, through_torch)


def test_the_parts_of_made_up_policies_are_found():
    parrot = ParrotPolicy.load(shipped_folder("parrot", "sample:gnugo"))
    guard = guarded(parrot)
    first = GcnnPolicy(GcnnConfig(width=16), parameters(GcnnModel(GcnnConfig(width=16))))
    hybrid = HybridPolicy(first, make_branching_policy("pseudocost"))
    guided = GuidedSearch(ScoredConstruction())
    for policy, part in ((guard, parrot), (hybrid, first), (guided, guided.construction), (parrot, parrot)):
        assert list(devices.networks(policy)) == [part]
    for policy in (make_set_policy("guard:lru"), make_independent_set_policy("auto"), make_branching_policy("pscost")):
        assert not list(devices.networks(policy))


def test_weights_that_kernels_overlook_are_told(tmp_path):
    config = GcnnConfig(width=16)
    policy = GcnnPolicy(config, parameters(GcnnModel(config)) | {"more": np.zeros(3, np.float32)})
    devices.on_device(policy, "cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "KERNELS", "kernels")
        with pytest.raises(InputError, match="weights of gcnn are not those of its network"):
            devices.on_device(policy, "cpu")


def test_graphs_too_large_for_a_dense_adjacency_are_one_line():
    graph = Graph.from_edges([(0, 1)], LARGEST + 1)
    with pytest.raises(InputError, match=r"20,001 vertices is too large for cpu.*use --device cpu"):
        dense_adjacency(graph, torch.device("cpu"))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "graphs").mkdir()
    write_trace(folder / "part.parquet", read_trace("sample:gnugo")[:12_000])
    for k in range(2):
        write_graph(folder / "graphs" / f"{k}.col", random_graph(20, 0.3, k))
    for policy in (ComparatorPolicy(ComparatorConfig(width=8)), ScoredConstruction(ScorerConfig(width=8, layers=2))):
        shaken(policy.model)
        policy.save(folder / policy.name)
    config = GcnnConfig(width=16)
    GcnnPolicy(config, parameters(shaken(GcnnModel(config)))).save(folder / "gcnn")
    return folder


SIMULATE = "cache simulate --trace INPUTS/part.parquet --capacity 32KiB --window 0.5:1"
MIS = "--time inf --iterations 3"
EVALUATORS = {
    "simulate": f"{SIMULATE} --policies lru,parrot=PARROT",
    "guarded": f"{SIMULATE} --policies guard:parrot=PARROT",
    "explain": "cache explain --trace INPUTS/part.parquet --capacity 32KiB --policy PARROT --part .5:.6 --out P.png",
    "solve": "branch solve setcover:tiny --node-limit 25 --seed 1 --policy INPUTS/gcnn",
    "evaluate": "branch evaluate --instances setcover:tiny --node-limit 25 --seeds 1 --count 1 --policies INPUTS/gcnn",
    "mis solve": f"mis solve INPUTS/graphs/0.col {MIS} --policy INPUTS/comparator",
    "mis evaluate": f"mis evaluate INPUTS/graphs {MIS} --policies greedy,INPUTS/comparator,INPUTS/learnsys_mis",
    "guided": f"mis solve INPUTS/graphs/0.col {MIS} --policy learnsys_mis_guided=INPUTS/learnsys_mis",
}


CLOCK = {"seconds", "policy_seconds", "wall_seconds", "after_root", "accesses_per_second", "curve", "course"}


LASTING = {"evaluate": "runs", "explain": "by_frequency"}


def numbers(found):
    """All numbers of an answer in their order."""
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, list):
        return [number for each in found for number in numbers(each)]
    return [float(found)] if isinstance(found, int | float) else []


def told(found):
    """What a command says, without what depends on the clock; numbers to three digits."""
    if isinstance(found, dict):
        return {key: told(value) for key, value in found.items() if key not in CLOCK}
    if isinstance(found, list):
        return [told(each) for each in found]
    return float(f"{found:.3g}") if isinstance(found, float) else found


@on_devices
@pytest.mark.parametrize("name", EVALUATORS)
def test_commands_decide_alike(name, device, inputs, tmp_path, capsys, monkeypatch):
    """With `KERNELS` called otherwise, "cpu" is torch on the processor."""
    monkeypatch.setattr(devices, "KERNELS", "kernels")
    asked = []
    for kind in (ParrotPolicy, GcnnPolicy, ComparatorPolicy, ScoredConstruction):

        def spy(policy, place, real=kind.through_torch):
            asked.append(str(place))
            real(policy, place)

        monkeypatch.setattr(kind, "through_torch", spy)
    line = EVALUATORS[name].replace("PARROT", str(shipped_folder("parrot", "sample:gnugo")))
    line = line.replace("P.png", str(tmp_path / "P.png")).replace("INPUTS", str(inputs))
    found = []
    for place in ("kernels", device):
        capsys.readouterr()
        assert main([*line.split(), "--device", place, "--json"]) == 0
        answer = json.loads(capsys.readouterr().out)
        found.append(told(answer[LASTING[name]] if name in LASTING else answer))
        assert set(asked) == (set() if place == "kernels" else {device})
    if device == "cpu":
        assert found[0] == found[1]
    else:  # rounding may turn a decision, and all that follow
        assert numbers(found[1]) == pytest.approx(numbers(found[0]), rel=0.05, abs=0.05)


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("cache simulate --trace sample:gnugo --policies lru,belady", "lru, belady"),
        ("branch solve setcover:tiny --policy pscost", "pscost"),
        ("branch evaluate --instances setcover:tiny --policies pscost,uniform", "pscost, uniform"),
        ("mis solve GRAPH --policy arw", "arw"),
        ("mis evaluate GRAPH --policies greedy", "greedy"),
    ],
)
def test_commands_without_a_network_say_so(line, names, inputs, capsys, monkeypatch):
    monkeypatch.setattr(devices, "KERNELS", "kernels")
    words = line.replace("GRAPH", str(inputs / "graphs" / "0.col")).split()
    assert main([*words, "--device", "cpu"]) == 2
    error = capsys.readouterr().err
    assert error == (
        f"learnsys: there is no network in {names} that could compute on cpu; "
        "name a trained policy, or leave --device out\n"
    )


def test_one_call_on_a_device(inputs, monkeypatch):
    graph, how = random_graph(20, 0.3, 0), {"seconds": np.inf, "iterations": 2}
    kernels = learnsys.mis(graph, policy=str(inputs / "comparator"), **how)
    monkeypatch.setattr(devices, "KERNELS", "kernels")
    np.testing.assert_array_equal(learnsys.mis(graph, policy=str(inputs / "comparator"), device="cpu", **how), kernels)
    with pytest.raises(InputError, match="no network in greedy"):
        learnsys.mis(graph, policy="greedy", device="cpu")


def test_devices_that_are_not_here_are_one_line(inputs, capsys):
    for device in ("cuda:99", "meta", "abacus"):
        assert main(["mis", "solve", str(inputs / "graphs" / "0.col"), "--policy", "arw", "--device", device]) == 2
        assert capsys.readouterr().err == f"learnsys: there is no device {device!r} here; use cpu\n"
