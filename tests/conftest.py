"""Fixtures that several test files share."""

import pytest


@pytest.fixture(scope="session")
def recorder_cache(tmp_path_factory):
    """One cache folder for the recorder's tool in all tests, not the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture
def solve():
    """Solve a `Milp` with SCIP: status, objective value, and the best solution in the order of its variables."""
    import numpy as np

    def solve(milp, seconds=20.0, gap=0.0):
        model = milp.to_model()
        try:
            model.setParam("limits/time", seconds)
            model.setParam("limits/gap", gap)
            model.optimize()
            assert model.getNSols() > 0, model.getStatus()
            best = model.getBestSol()
            values = {v.name: best[v] for v in model.getVars(transformed=False)}
            return model.getStatus(), model.getObjVal(), np.array([values[name] for name in milp.columns])
        finally:
            model.free()

    return solve
