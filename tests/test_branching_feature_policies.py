"""Trees and a small network on Khalil's features."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learnsys.cli import main
from learnsys.envs.branching.instances import parse_family
from learnsys.errors import InputError
from learnsys.imitation import save_arrays
from learnsys.policies.branching.collect import collect, quotas_of
from learnsys.policies.branching.features.kernel import feature_matrix, sum_of_trees
from learnsys.policies.branching.features.nodes import Nodes, measure, read_nodes, softmax
from learnsys.policies.branching.features.policy import WIDTH, MlpPolicy, TreesPolicy, matrix_of
from learnsys.policies.branching.features.training import MlpConfig, fit_mlp, train_features
from learnsys.policies.branching.features.trees import TreesConfig, boost
from learnsys.policies.branching.labelling import CollectConfig
from learnsys.policies.branching.protocol import FIELD_PARAMETERS
from learnsys.policies.branching.registry import make_branching_policy
from learnsys.policies.branching.samples import SampleSet
from learnsys.policies.branching.solve import solve

QUICK = {**FIELD_PARAMETERS, "heuristics/emphasis": "off", "separating/emphasis": "off"}
KINDS = {"trees": TreesConfig(trees=15, smallest_leaf=10, part=0.8), "mlp": MlpConfig(epochs=6, width=16)}


class TestMatrix:
    def test_by_hand(self):
        raw = np.array([[1.0, 5.0], [3.0, 5.0], [2.0, 5.0]], np.float32)
        assert feature_matrix(raw).tolist() == [[0.0, 0.0, 1.0, 5.0], [1.0, 0.0, 3.0, 5.0], [0.5, 0.0, 2.0, 5.0]]

    def test_nan_and_the_endless_become_finite(self):
        features = np.full((2, 72), np.nan)
        features[0, 0], features[1, 1] = np.inf, -np.inf
        assert np.isfinite(matrix_of(features)).all()

    @settings(max_examples=20, deadline=None)
    @given(st.integers(1, 6), st.integers(0, 2**32 - 1))
    def test_scaled_among_the_candidates(self, k, seed):
        raw = np.random.default_rng(seed).standard_normal((k, 72)) * 1e3
        matrix = matrix_of(raw)
        assert matrix.shape == (k, WIDTH)
        assert matrix[:, :72].min() >= 0
        assert matrix[:, :72].max() <= 1
        # any affine change of a feature leaves the scaled half as it is
        assert np.allclose(matrix_of(2.0 * raw + 1.0)[:, :72], matrix[:, :72], atol=1e-3)


class TestTrees:
    def test_by_hand(self):
        """x0 <= 1 ? 10 : (x1 <= 0 ? 20 : 30), and a second tree that is a leaf of 1."""
        matrix = np.array([[1.0, 0.0], [2.0, 0.0], [2.0, 0.5]], np.float32)
        found = sum_of_trees(
            matrix,
            np.array([0, 5], np.int32),
            np.array([0, -1, 1, -1, -1, -1], np.int32),
            np.array([1.0, 0, 0, 0, 0, 0]),
            np.array([1, 0, 3, 0, 0, 0], np.int32),
            np.array([2, 0, 4, 0, 0, 0], np.int32),
            np.array([0, 10.0, 0, 20.0, 30.0, 1.0]),
        )
        assert found.tolist() == [11.0, 21.0, 31.0]

    def test_one_step_is_newton_s(self):
        """One tree without limits on its leaves: each candidate moves by rate (target - share) / h."""
        pytest.importorskip("sklearn")
        rng = np.random.default_rng(0)
        matrix = rng.random((8, WIDTH)).astype(np.float32)
        nodes = Nodes(matrix, np.array([0, 4, 8]), np.array([1.0, 0, 0, 0, 0, 0.5, 0.5, 0]))
        config = TreesConfig(trees=1, leaves=8, smallest_leaf=1, learning_rate=0.5, part=1.0, l2=0.0)
        moved = TreesPolicy(boost(nodes, nodes, config, 0)).scores(matrix)
        expected = 0.5 * (nodes.target - 0.25) / (0.25 * 0.75)
        assert moved == pytest.approx(expected, abs=1e-9)

    def test_the_kernel_is_scikit_learn_s_prediction(self):
        ensemble = pytest.importorskip("sklearn.ensemble")
        from learnsys.policies.branching.features.trees import _arrays_of, _cuts_of

        rng = np.random.default_rng(1)
        matrix = rng.standard_normal((500, WIDTH)).astype(np.float32)
        learner = ensemble.HistGradientBoostingRegressor(learning_rate=1.0, max_iter=1, early_stopping=False)
        cuts = [_cuts_of(column) for column in matrix.T]
        codes = np.stack([np.searchsorted(c, x) for c, x in zip(cuts, matrix.T, strict=True)], axis=1)
        learner.fit(codes, matrix[:, 3] * matrix[:, 80] + matrix[:, 5])
        arrays = _arrays_of(learner, cuts, 1.0)
        assert (arrays["feature"] >= 0).sum() > 5
        assert sum_of_trees(matrix, *arrays.values()) == pytest.approx(learner.predict(codes), abs=1e-12)

    def test_cuts(self):
        from learnsys.policies.branching.features.trees import _cuts_of

        assert _cuts_of(np.array([0, 1, 1, 0, 1], np.float32)).tolist() == [0.0]
        assert _cuts_of(np.full(5, 3.0, np.float32)).tolist() == []
        assert len(_cuts_of(np.random.default_rng(0).random(5000).astype(np.float32))) == 100


class TestMeasure:
    nodes = Nodes(np.zeros((5, WIDTH), np.float32), np.array([0, 3, 5]), np.array([0.0, 0.5, 0.5, 1.0, 0.0]))

    def test_softmax(self):
        share = softmax(np.array([0.0, 0.0, np.log(2.0), 1000.0, 0.0]), self.nodes)
        assert share == pytest.approx([0.25, 0.25, 0.5, 1.0, 0.0])

    def test_loss_and_hits(self):
        found = measure(np.array([0.0, 0.0, np.log(2.0), 0.0, 0.0]), self.nodes)
        assert found["loss"] == pytest.approx((-0.5 * np.log(0.25) - 0.5 * np.log(0.5) - np.log(0.5)) / 2)
        assert found["acc@1"] == 1.0  # the first of equal scores comes first
        assert measure(np.array([1.0, 0.0, 0.0, 0.0, 1.0]), self.nodes)["acc@1"] == 0.0
        assert measure(np.array([1.0, 0.0, 0.0, 0.0, 1.0]), self.nodes)["acc@5"] == 1.0


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    config = CollectConfig(probability=0.5, scip_params=QUICK)
    collect("auction", parse_family("auction:tiny"), quotas_of(60), folder, config)
    return folder


@pytest.fixture(scope="module", params=KINDS)
def trained(request, samples, tmp_path_factory):
    if request.param == "trees":
        pytest.importorskip("sklearn")
    folder = tmp_path_factory.mktemp(request.param) / "run"
    return request.param, folder, train_features(samples, request.param, KINDS[request.param], folder)


class TestTraining:
    def test_it_learns(self, trained, samples):
        _, _, summary = trained
        valid = read_nodes(SampleSet(samples / "valid"))
        blind = measure(np.zeros(len(valid.matrix)), valid)
        assert summary["validation"]["loss"] < 0.97 * blind["loss"]
        assert summary["test"]["acc@1"] <= summary["test"]["acc@5"] <= summary["test"]["acc@10"] <= 1.0

    def test_the_folder_is_a_policy(self, trained):
        kind, folder, _ = trained
        policy = make_branching_policy(str(folder))
        assert policy.name == kind
        model = parse_family("auction:tiny").instance(7).to_model()
        done = solve(model, policy, seed=0, scip_params=QUICK)
        plain = parse_family("auction:tiny").instance(7).to_model()
        plain.optimize()
        assert done.status == "optimal"
        assert done.n_decisions > 0
        assert done.primal_bound == pytest.approx(plain.getObjVal())
        model.free()
        plain.free()

    def test_the_command(self, samples, tmp_path, capsys):
        arguments = ["branch", "train", "--data", str(samples), "--recipe", "mlp", "--smoke", "--json"]
        assert main([*arguments, "--out", str(tmp_path / "run"), "--set", "width=8"]) == 0
        assert json.loads(capsys.readouterr().out)["test"]["acc@10"] <= 1.0
        assert MlpPolicy.load(tmp_path / "run").arrays["layers.0.weight"].shape == (8, WIDTH)
        assert main([*arguments, "--out", str(tmp_path / "run"), "--set", "depth=8"]) == 2
        assert "depth" in capsys.readouterr().err

    def test_saved_and_loaded_it_decides_alike(self, trained, tmp_path):
        _, folder, _ = trained
        policy = make_branching_policy(str(folder))
        policy.save(tmp_path)
        again = make_branching_policy(str(tmp_path))
        rng = np.random.default_rng(0)
        for _ in range(20):
            observation, candidates = rng.standard_normal((30, 72)), rng.choice(30, 9, replace=False)
            assert policy.act(observation, candidates) == again.act(observation, candidates)
        assert policy.act(None, np.array([4, 2])) == 4

    def test_equal_seeds_give_equal_policies(self, trained, samples, tmp_path):
        kind, folder, summary = trained
        again = train_features(samples, kind, KINDS[kind], tmp_path / "again")
        assert again == summary
        assert (tmp_path / "again" / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()

    def test_the_network_s_scores_are_torch_s(self, samples):
        import torch

        nodes = read_nodes(SampleSet(samples / "valid"))
        arrays = fit_mlp(nodes, nodes, KINDS["mlp"], 0)
        layers = torch.nn.Sequential(*(torch.nn.Linear(*s) for s in ((WIDTH, 16), (16, 16), (16, 1))))
        layers.load_state_dict(
            {
                f"{i}.{part}": torch.tensor(arrays[f"layers.{2 * i}.{part}"])
                for i in range(3)
                for part in ("weight", "bias")
            }
        )
        x = np.sign(nodes.matrix) * np.log1p(np.abs(nodes.matrix))
        x = torch.tensor(np.clip((x - arrays["mean"]) / arrays["deviation"], -5, 5))
        expected = layers[2](layers[1](layers[0](x).relu()).relu())[:, 0] - layers[2].bias
        assert np.allclose(MlpPolicy(arrays).scores(nodes.matrix), expected.detach().numpy(), atol=1e-4)


class TestBadInput:
    def test_samples_without_features(self, tmp_path):
        config = CollectConfig(probability=0.5, khalil=False, scip_params=QUICK)
        collect("auction", parse_family("auction:tiny"), quotas_of(3), tmp_path, config)
        with pytest.raises(InputError, match="lack Khalil"):
            read_nodes(SampleSet(tmp_path / "train"))

    @pytest.mark.parametrize("kind", KINDS)
    def test_weights_of_something_else(self, tmp_path, kind):
        save_arrays(tmp_path / "model.safetensors", {"other": np.zeros(3)})
        (tmp_path / "config.json").write_text(json.dumps({"policy": kind}))
        with pytest.raises(InputError, match=f"holds no {kind}"):
            make_branching_policy(str(tmp_path))

    @pytest.mark.parametrize("name", ["roots", "left", "right", "feature", "value"])
    def test_damaged_trees_are_never_walked(self, name):
        leaf = np.array([-1], np.int32)
        good = {
            "roots": np.zeros(1, np.int32),
            "feature": np.array([0, -1, -1], np.int32),
            "threshold": np.zeros(3),
            "left": np.array([1, 0, 0], np.int32),
            "right": np.array([2, 0, 0], np.int32),
            "value": np.zeros(3),
        }
        assert TreesPolicy(good).scores(np.zeros((2, WIDTH), np.float32)).tolist() == [0.0, 0.0]
        bad = {"roots": np.array([7]), "left": np.zeros(3), "right": np.full(3, 9), "feature": np.full(3, WIDTH)}
        with pytest.raises(InputError):
            TreesPolicy({**good, name: bad.get(name, leaf).astype(good[name].dtype)})

    @pytest.mark.parametrize(
        "wrong", [{"trees": 0}, {"leaves": 1}, {"part": 0.0}, {"learning_rate": 2.0}, {"l2": -1.0}]
    )
    def test_trees_settings(self, wrong):
        with pytest.raises(InputError):
            TreesConfig(**wrong)

    @pytest.mark.parametrize("wrong", [{"width": 0}, {"learning_rate": 0.0}, {"weight_decay": -1.0}])
    def test_mlp_settings(self, wrong):
        with pytest.raises(InputError):
            MlpConfig(**wrong)
