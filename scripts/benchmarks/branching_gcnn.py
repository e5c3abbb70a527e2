"""How long the GCNN takes, for a decision and a training sample: ours, eager torch, and a plain edge loop by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numba import njit
from pyscipopt import Model

from benchmarks.branching_instances import FULL_SIZE, as_published
from benchmarks.branching_observations import cpu_seconds
from learnsys.envs.branching.candidates import candidates
from learnsys.envs.branching.instances import parse_family
from learnsys.envs.branching.observations import NodeBipartite
from learnsys.policies.branching.gcnn.config import ModelConfig
from learnsys.testing.observations import visit_nodes

GOALS = [
    "a decision at 25k edges and width 64 in at most 2 ms (reference machine)",
    "a decision at 45k edges and width 64 in at most 2.5 ms (reference machine)",
    "training at 45k edges: at least 100 samples per CPU second (reference machine)",
]
_COLUMNS = ["instance", "edges", "candidates", "width"]


@njit(cache=True, fastmath=True)
def _plain_loop(pointers, sources, values, target_terms, source_terms, slope, out):
    """What one writes by hand: the message of an edge in one loop, its last layer left to the caller."""
    for target in range(pointers.size - 1):
        for c in range(out.shape[1]):
            out[target, c] = 0.0
        for e in range(pointers[target], pointers[target + 1]):
            source, value = sources[e], values[e]
            for c in range(out.shape[1]):
                z = target_terms[target, c] + value * slope[c] + source_terms[source, c]
                out[target, c] += max(z, np.float32(0.0))


class _ByHand:
    """The forward pass in NumPy (BLAS) and the plain loop, for all variables: the usual way to do without torch."""

    def __init__(self, weights: dict[str, Any]) -> None:
        self.w = weights

    def _linear(self, x: Any, name: str, bias: bool = True) -> Any:
        product = x @ self.w[f"{name}.weight"].T
        return product + self.w[f"{name}.bias"] if bias else product

    def _embed(self, x: Any, name: str) -> Any:
        x = (x + self.w[f"{name}.0.shift"]) * self.w[f"{name}.0.scale"]
        x = np.maximum(self._linear(x, f"{name}.1"), 0)
        return np.maximum(self._linear(x, f"{name}.3"), 0)

    def _convolve(self, name: str, targets: Any, sources: Any, graph: Any, values: Any) -> Any:
        scale = self.w[f"{name}.feature_module_final.0.scale"]
        left = self._linear(targets, f"{name}.feature_module_left.0") * scale
        right = self._linear(sources, f"{name}.feature_module_right.0", False) * scale
        slope = self.w[f"{name}.feature_module_edge.0.weight"][:, 0] * scale
        sums = np.empty_like(left)
        _plain_loop(graph.pointers, graph.sources, values, left, right, slope, sums)
        total = self._linear(sums, f"{name}.feature_module_final.2", False)
        total += graph.degrees[:, None] * self.w[f"{name}.feature_module_final.2.bias"]
        both = np.concatenate([total * self.w[f"{name}.post_conv_module.0.scale"], targets], 1)
        return self._linear(np.maximum(self._linear(both, f"{name}.output_module.0"), 0), f"{name}.output_module.2")

    def __call__(self, variables: Any, rows: Any, graph: Any) -> Any:
        back = graph.of_sources(np.arange(graph.n_sources, dtype=np.int32))
        norm = self.w["edge_embedding.0.shift"], self.w["edge_embedding.0.scale"]
        values, back_values = ((each + norm[0]) * norm[1] for each in (graph.values, back.values))
        variables, rows = self._embed(variables, "var_embedding"), self._embed(rows, "cons_embedding")
        rows = self._convolve("conv_v_to_c", rows, variables, graph, values)
        variables = self._convolve("conv_c_to_v", variables, rows, back, back_values)
        return self._linear(np.maximum(self._linear(variables, "output_module.0"), 0), "output_module.2", False)[:, 0]


def _eager(model: Any, batch: Any) -> Callable[[], Any]:
    """The published form on the same parameters: gather, message of each edge with its last layer, index_add."""
    import torch

    row = torch.from_numpy(batch.graph.targets.astype(np.int64))
    column = torch.from_numpy(batch.graph.sources.astype(np.int64))
    values = torch.from_numpy(batch.graph.values.copy())[:, None]

    def convolve(layer: Any, targets: Any, sources: Any, to: Any, start: Any, edges: Any) -> Any:
        left, right = layer.feature_module_left(targets), layer.feature_module_right(sources)
        messages = left[to] + layer.feature_module_edge(edges) + right[start]
        total = torch.zeros_like(left).index_add(0, to, layer.feature_module_final(messages))
        return layer.output_module(torch.cat((layer.post_conv_module(total), targets), 1))

    def forward() -> Any:
        edges = model.edge_embedding(values)
        rows, variables = model.cons_embedding(batch.row_features), model.var_embedding(batch.variable_features)
        rows = convolve(model.conv_v_to_c, rows, variables, row, column, edges)
        variables = convolve(model.conv_c_to_v, variables, rows, column, row, edges)
        return model.output_module(variables)[batch.candidates, 0]

    return forward


def _nodes(seed: int, quick: bool) -> Iterator[tuple[str, Any, Any]]:
    """Name, observation and candidates of a node of each instance; of set cover without cuts, too, and a large one."""
    instances: dict[str, Callable[[Any], Any]] = {
        "set cover 900x1000": parse_family("setcover:rows=900").generate,
        **FULL_SIZE,
    }
    for name, make in instances.items():
        for cuts in {"set cover 900x1000": (False,), "set cover 500x1000": (False, True)}.get(name, (True,)):
            found: list[Any] = []

            def visit(model: Model, found: list[Any] = found) -> None:
                found.append((NodeBipartite().extract(model), candidates(model)))

            model = as_published(make(np.random.default_rng(seed)) if name not in FULL_SIZE else make(seed))
            if not cuts:
                model.setParam("separating/maxroundsroot", 0)
            visit_nodes(model, visit, 3)
            model.free()
            if found:
                yield f"{name}{'' if cuts else ', no cuts'}", *found[-1]
        if quick and name in FULL_SIZE:
            return


def gcnn(seed: int, quick: bool) -> Iterator[dict[str, Any]]:
    """CPU time of a decision and of a training sample, one thread."""
    import torch

    from learnsys.policies.branching.gcnn.data import Example, collate
    from learnsys.policies.branching.gcnn.model import GcnnModel, log_probabilities
    from learnsys.policies.branching.gcnn.policy import GcnnPolicy
    from learnsys.policies.branching.samples import graph_arrays

    torch.set_num_threads(1)
    decisions, samples = [], []
    seconds = 0.3 if quick else 1.0
    for name, observation, allowed in _nodes(seed, quick):
        arrays = graph_arrays(observation)
        for width in (64, 32, 16):
            torch.manual_seed(seed)
            model = GcnnModel(ModelConfig(width=width)).eval()
            graph = _graph(arrays)
            example = Example(
                arrays["variable_features"],
                arrays["row_features"],
                graph,
                allowed.astype(np.int32),
                np.zeros(len(allowed)),
            )

            def alone(example: Example = example) -> Any:
                return [collate([example], every_variable=True)]

            model.estimate_norms(alone)
            weights = {key: tensor.numpy() for key, tensor in model.state_dict().items()}
            policy, by_hand, batch = GcnnPolicy(model.config, weights), _ByHand(weights), collate([example])
            eager = _eager(model, batch)
            everyone = np.arange(graph.n_sources)
            with torch.no_grad():
                logits = eager().numpy()
                hand = by_hand(arrays["variable_features"], arrays["row_features"], graph)[allowed]
                ours = policy.logits(observation, allowed)
                difference = float(max(np.abs(ours - logits).max(), np.abs(hand - logits).max()))
                times = {
                    "ours": cpu_seconds(partial(policy.logits, observation, allowed), seconds),
                    "all": cpu_seconds(partial(policy.logits, observation, everyone), seconds),
                    "hand": cpu_seconds(
                        partial(by_hand, arrays["variable_features"], arrays["row_features"], graph), seconds
                    ),
                    "eager": cpu_seconds(eager, seconds),
                }
            size = [name, graph.n_edges, len(allowed), width]
            ratios = [times["hand"] / times["ours"], times["eager"] / times["ours"]]
            decisions.append(size + [f"{1000 * each:.2f}" for each in times.values()])
            decisions[-1] += [*(f"{ratio:.1f}" for ratio in ratios), f"{difference:.0e}"]

            def step(forward: Callable[[], Any], batch: Any, model: Any = model) -> None:
                model.zero_grad()
                (-log_probabilities(forward(), batch)[:, 0].sum()).backward()

            several = [example] * 4

            def ours_step(several: Any = several, model: Any = model, step: Any = step) -> None:
                batch = collate(several)
                step(partial(model, batch), batch)

            fused = cpu_seconds(ours_step, seconds) / len(several)
            plain = cpu_seconds(partial(step, eager, batch), seconds)
            samples.append(
                [*size, f"{1000 * fused:.2f}", f"{1000 * plain:.2f}", f"{1 / fused:.0f}", f"{plain / fused:.1f}"]
            )
    timing = ["ours", "ours, all variables", "by hand", "eager", "by hand / ours", "eager / ours", "difference"]
    yield {"title": "a decision: CPU ms", "columns": [*_COLUMNS, *timing], "rows": decisions, "goals": GOALS[:2]}
    timing = ["ours", "eager", "ours: samples / CPU s", "eager / ours"]
    title = "a training sample, forward and backward: CPU ms"
    yield {"title": title, "columns": [*_COLUMNS, *timing], "rows": samples, "goals": GOALS[2:]}


def _graph(arrays: dict[str, Any]) -> Any:
    from learnsys.graphs.bipartite import BipartiteGraph

    n = len(arrays["variable_features"])
    return BipartiteGraph(arrays["row_pointers"], arrays["columns"], arrays["values"], n)
