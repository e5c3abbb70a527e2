"""The environment on Ecole's interface. Ecole itself cannot be installed here: a module that imitates its documented
interface (version 0.8.1) and solves with SCIP 10 takes its place."""

import pickle
import sys
from types import ModuleType, SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest

import learnsys.envs  # noqa: F401
from learnsys.envs.branching import rewards
from learnsys.envs.branching.candidates import branch, candidates
from learnsys.envs.branching.control import Episode, SolverError
from learnsys.envs.branching.dynamics import BRANCHED, DECLINED, AskingRule
from learnsys.envs.branching.environment import BranchingEnv
from learnsys.envs.branching.instances.knapsack import Knapsack
from learnsys.envs.branching.models import SOLVED, read_model, seed_parameters
from learnsys.envs.branching.observations import Khalil2016, NodeBipartite, StrongBranchingScores
from learnsys.envs.branching.observations import observation_function as parse
from learnsys.errors import InputError
from learnsys.testing.environments import check_environment

Default = object()


class EcoleModel:
    """`ecole.scip.Model`, as far as the environment looks at it."""

    def __init__(self, model):
        self.scip = model
        self.primal_bound = model.getPrimalbound()
        self.dual_bound = model.getDualbound()
        self.is_solved = model.getStatus() in SOLVED


class EcoleBranching:
    """`ecole.environment.Branching`: five values from `reset` and `step`, seeds drawn at each `reset`."""

    def __init__(self, observation_function, reward_function, information_function, scip_params, pseudo_candidates):
        self.functions = parse(observation_function), reward_function, information_function
        self.scip_params, self.pseudo = scip_params, pseudo_candidates
        self.episode = self.model = None
        self.can_transition = False
        self.rng = np.random.default_rng()

    def seed(self, value):
        self.rng = np.random.default_rng(value)

    def reset(self, instance):
        if self.episode is not None:
            self.episode.close()
        model = read_model(instance)
        model.setParams({**self.scip_params, **seed_parameters(self.rng)})
        for function in [*self.functions[:2], *self.functions[2].values()]:
            function.before_reset(model)
        rule = AskingRule()
        model.includeBranchrule(rule, "ecole", "asks", 10_000_000, -1, 1.0)
        self.episode = Episode(model, rule)
        return self.after(self.episode.resume(None))

    def step(self, action):
        if not self.can_transition:
            raise RuntimeError("MarkovError: reset first")
        if action is Default:
            return self.after(self.episode.resume(DECLINED))
        assert action in self.found
        branch(self.episode.model, action)
        return self.after(self.episode.resume(BRANCHED))

    def after(self, waiting):
        model, (observe, reward, information) = self.episode.model, self.functions
        self.model, self.can_transition = EcoleModel(model), waiting
        self.found = candidates(model, self.pseudo) if waiting else None
        offset = reward.extract(model, not waiting)
        observation = observe.extract(model, False) if waiting else None
        told = {name: function.extract(model, not waiting) for name, function in information.items()}
        return observation, self.found, offset, not waiting, told


class EcoleNodeBipartite(NodeBipartite):
    def extract(self, model, done=False):
        graph = super().extract(model, done)
        edges = SimpleNamespace(indices=graph.edge_indices.astype(np.uint64), values=graph.edge_values)
        return SimpleNamespace(
            variable_features=graph.variable_features, row_features=graph.row_features, edge_features=edges
        )


class EcoleKhalil(Khalil2016):
    def extract(self, model, done=False):
        return SimpleNamespace(features=super().extract(model, done))


class Nothing:
    def before_reset(self, model): ...

    def extract(self, model, done):
        return None


@pytest.fixture
def ecole(monkeypatch):
    module = ModuleType("ecole")
    module.Default = Default
    module.environment = SimpleNamespace(Branching=EcoleBranching)
    module.observation = SimpleNamespace(
        Nothing=Nothing,
        NodeBipartite=EcoleNodeBipartite,
        Khalil2016=EcoleKhalil,
        StrongBranchingScores=StrongBranchingScores,
    )
    names = ("Constant", "IsDone", "LpIterations", "NNodes", "SolvingTime", "DualIntegral")
    module.reward = SimpleNamespace(**{name: getattr(rewards, name) for name in names})
    monkeypatch.setitem(sys.modules, "ecole", module)
    return module


@pytest.fixture
def instance(tmp_path):
    model = Knapsack(3, 18).generate(np.random.default_rng(1))
    path = tmp_path / "knapsack.mps"
    model.writeProblem(str(path), verbose=False)
    model.free()
    return path


def middle(info):
    return int(np.flatnonzero(info["action_mask"])[info["action_mask"].sum() // 2])


def episode(env, seed):
    observation, info = env.reset(seed=seed)
    seen, gained, over = [observation], [info["reward_offset"]], False
    while not over:
        observation, reward, terminated, truncated, info = env.step(middle(info))
        seen.append(observation)
        gained.append(reward)
        over = terminated or truncated
    return seen, gained, terminated, info


def test_without_ecole_one_line_tells(monkeypatch):
    monkeypatch.setitem(sys.modules, "ecole", None)
    with pytest.raises(InputError, match=r"needs Ecole, which cannot be imported here.*conda install") as error:
        gym.make("learnsys/Branching-v0", backend="ecole")
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="backend='cplex' is not possible"):
        BranchingEnv(backend="cplex")


def test_the_same_id_solves_the_same_tree(ecole, instance):
    """The imitation draws its seeds from Ecole's `seed`: with SCIP's seeds fixed afterwards, both see one tree."""
    env = gym.make("learnsys/Branching-v0", backend="ecole", instances=str(instance), form="direct")
    seen, gained, terminated, info = episode(env, 7)
    assert terminated and info["status"] == "optimal" and len(gained) > 3
    assert -sum(gained) == info["n_nodes"] and info["gap"] == 0.0 and info["n_lp_iterations"] > 0
    drawn, _ = gym.utils.seeding.np_random(7)
    drawn.integers(1)  # the choice of the file
    seeds = seed_parameters(np.random.default_rng(seed_parameters(drawn)["randomization/randomseedshift"]))
    other = BranchingEnv(str(instance), form="direct", scip_params=seeds)
    seen_here, gained_here, _, info_here = episode(other, 0)
    assert gained == gained_here and info["primal_bound"] == info_here["primal_bound"]
    for one, same in zip(seen[:-1], seen_here[:-1], strict=True):
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, same, strict=True))
    again = episode(env, 7)
    assert again[1] == gained
    env.close()
    other.close()


def test_contract(ecole):
    check_environment("learnsys/Branching-v0", steps=6, backend="ecole", instances="knapsack:tiny", form="padded")


def test_names_dicts_and_limits(ecole, instance):
    wanted = {"graph": "node_bipartite", "khalil": "khalil2016", "scores": "strong_branching"}
    arguments = {"observation": wanted, "reward": "lp_iterations", "backend": "ecole", "form": "direct"}
    env = BranchingEnv(str(instance), **arguments)
    observation, info = env.reset(seed=1)
    assert observation["graph"].variable_features.shape[1] == 19 and observation["khalil"].shape[1] == 72
    assert np.flatnonzero(~np.isnan(observation["scores"])).tolist() == sorted(info["action_set"].tolist())
    limit = int(info["reward_offset"]) + 5
    env = BranchingEnv(str(instance), **arguments, lp_iteration_limit=limit)
    *_, terminated, info = episode(env, 1)
    assert not terminated and info["status"] == "lpiterlimit" and info["n_lp_iterations"] >= limit
    graph = BranchingEnv(str(instance), observation="khalil2016", backend="ecole", node_limit=2)
    observation, _ = graph.reset(seed=1)
    assert observation in graph.observation_space and observation.nodes.shape[1] == 72
    assert episode(graph, 1)[3]["status"] == "limit"


def test_actions_and_copies(ecole, instance):
    env = BranchingEnv(str(instance), backend="ecole", form="direct")
    _, info = env.reset(seed=2)
    wrong = int(np.flatnonzero(info["action_mask"] == 0)[0])
    *_, info = env.step(wrong)
    assert info["invalid_action"]
    *_, info = env.step(None)
    copied = pickle.loads(pickle.dumps(env))
    action = middle(info)
    one, other = env.step(action), copied.step(action)
    assert one[1] == other[1] and np.array_equal(one[4]["action_mask"], other[4]["action_mask"])
    strict = BranchingEnv(str(instance), backend="ecole", strict=True)
    strict.reset(seed=2)
    with pytest.raises(InputError, match="no candidate"):
        strict.step(wrong)


def test_what_ecole_lacks_is_told(ecole, instance, tmp_path):
    for arguments, words in [
        ({"reward": "primal_improvement"}, "Ecole has no reward called 'primal_improvement'"),
        ({"reward": -rewards.NNodes()}, "cannot look into Ecole"),
        ({"observation": NodeBipartite()}, "cannot look into Ecole"),
        ({"observation": "nothing"}, "no observation is called"),
        ({"scip_params": {"heuristics/emphasis": "off"}}, "Ecole has no parameter"),
        ({"instances": "missing.mps"}, "no such file"),
    ]:
        with pytest.raises(InputError, match=words):
            BranchingEnv(**{"instances": str(instance), "backend": "ecole", **arguments}).reset()
    broken = tmp_path / "broken.mps"
    broken.write_text("ROWS\n nonsense\n")
    env = BranchingEnv(str(instance), backend="ecole")
    with pytest.raises(InputError, match=r"broken\.mps"):
        env.reset(options={"instance": str(broken)})
    env.reset(seed=0)
    env._ecole.step = lambda action: 1 / 0
    with pytest.raises(SolverError, match="Ecole failed: division by zero"):
        env.step(None)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(None)
