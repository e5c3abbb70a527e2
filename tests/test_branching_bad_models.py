"""The branching environment on bad arguments, odd models and malformed files."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from learnsys.envs.branching.environment import BranchingEnv
from learnsys.envs.branching.instances.knapsack import Knapsack
from learnsys.envs.branching.models import read_model
from learnsys.errors import InputError


def knapsack(rng, rows=3, items=18):
    return Knapsack(rows, items).generate(rng)


@pytest.mark.parametrize("source", ["nothing_of_this_name", "missing.mps", 7, [], None, lambda: 3])
def test_bad_sources_are_told(source):
    with pytest.raises(InputError):
        BranchingEnv(source)


def test_a_directory_without_models_is_told(tmp_path):
    with pytest.raises(InputError, match="no model files"):
        BranchingEnv(tmp_path)


def test_a_solved_model_is_refused():
    model = knapsack(np.random.default_rng(0))
    model.optimize()
    with pytest.raises(InputError, match="solved or transformed"):
        BranchingEnv(model)
    model.free()


@pytest.mark.parametrize(
    "arguments",
    [
        {"form": "flat"},
        {"reward": "speed"},
        {"reward": float("nan")},
        {"observation": "everything"},
        {"scip_params": {"limits/no": 1}},
        {"scip_params": {"limits/time": "long"}},
        {"scip_params": {"presolving/emphasis": "strong"}},
        {"node_limit": -2},
        {"max_variables": 0},
        {"render_mode": "human"},
    ],
    ids=lambda value: str(value).partition(" object at")[0],
)
def test_bad_arguments_are_told(arguments, capfd):
    with pytest.raises(InputError):
        BranchingEnv("knapsack:tiny", **arguments)


def test_unknown_options_and_instances_are_told():
    env = BranchingEnv("knapsack:tiny", form="direct")
    with pytest.raises(InputError, match="no option 'file'"):
        env.reset(options={"file": "x"})
    with pytest.raises(InputError, match="no such file"):
        env.reset(options={"instance": "missing.mps"})
    with pytest.raises(InputError, match="is no instance"):
        env.reset(options={"instance": 3})
    env.reset(seed=0)
    env.close()


ODD = """
    import numpy as np, sys
    from pyscipopt import SCIP_RESULT, Conshdlr, Model, quicksum, exp
    from learnsys.envs.branching.environment import BranchingEnv

    def infeasible():
        model = Model(); x = [model.addVar(vtype="B") for _ in range(3)]
        model.addCons(2 * x[0] + 2 * x[1] + 2 * x[2] == 3); model.addCons(quicksum(x) >= 1); return model

    def unbounded():
        model = Model(); x, y = (model.addVar(vtype="I", lb=None) for _ in range(2))
        model.addCons(x - y <= 1.5); model.setObjective(x + y, "maximize"); return model

    def empty():
        return Model()

    def pure_lp():
        model = Model(); x = [model.addVar(ub=2) for _ in range(3)]
        model.addCons(quicksum(x) <= 4); model.setObjective(quicksum(x), "maximize"); return model

    def nonlinear():
        model = Model(); x = [model.addVar(vtype="I", ub=9) for _ in range(4)]; z = model.addVar(lb=None)
        model.addCons(quicksum((one - 2.5 - i / 3) ** 2 for i, one in enumerate(x)) <= z)
        model.addCons(x[0] * x[1] + 2 * x[2] * x[3] >= 13.5); model.setObjective(z); return model

    def indicators():
        model = Model(); b = [model.addVar(vtype="B") for _ in range(4)]; x = model.addVar(ub=50)
        for i, one in enumerate(b):
            model.addConsIndicator(x <= 10 * i + 1, one)
        model.addCons(quicksum(b) >= 1.5); model.setObjective(x - 3 * quicksum(b), "maximize"); return model

    for make in (infeasible, unbounded, empty, pure_lp, nonlinear, indicators):
        model = make()
        for form in ("direct", "graph", "padded"):
            env = BranchingEnv(model, form=form)
            for _ in range(2):
                info = env.reset(seed=0)[1]
                done = False
                while not done:
                    allowed = np.flatnonzero(info["action_mask"])
                    _, _, done, truncated, info = env.step(int(allowed[0]) if len(allowed) else 0)
                    assert not truncated
                print(make.__name__, info["status"], flush=True)
            env.close()
"""


def test_odd_models_end_and_never_take_the_process_along():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ODD)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    expected = {"infeasible": {"infeasible"}, "unbounded": {"unbounded", "inforunbd"}}
    seen = [line.split() for line in done.stdout.splitlines()]
    assert len(seen) == 6 * 6
    for name, status in seen:
        assert status in expected.get(name, {"optimal"}), name


MALFORMED = {
    "row.mps": "NAME\nROWS\n garbage\n",  # crashes SCIP's reader
    "empty.mps": "",
    "half.mps": "NAME x\nROWS\n N obj\n G c1\nCOLUMNS\n x c1 1 obj\n",
    "undefined.mps": "NAME x\nROWS\n N obj\n G c1\nCOLUMNS\n x c1 1e400\n x obj 1\nRHS\n RHS c9 4\nENDATA\n",
    "nan.mps": "NAME x\nROWS\n N obj\n G c1\nCOLUMNS\n x c1 nan\n x obj 1\nRHS\nENDATA\n",
    "words.lp": "Minimize\n obj: x + + y\nSubject To\n c1: x y >= 3z3 4\nEnd",
    "bytes.mps.gz": "\x1f\x8bno",
    "words.cip": "STATISTICS\n nothing\n",
    "model.txt": "NAME x\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_files_are_told_without_a_word_of_scip(name, tmp_path, capfd):
    path = tmp_path / name
    path.write_text(MALFORMED[name], encoding="latin-1")
    with pytest.raises(InputError) as caught:
        read_model(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_malformed_lines_are_named(tmp_path):
    path = tmp_path / "nan.mps"
    path.write_text(MALFORMED["nan.mps"])
    with pytest.raises(InputError, match="line 6"):
        read_model(path)
