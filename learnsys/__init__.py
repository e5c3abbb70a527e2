"""Learned policies inside real systems: cache replacement, MILP branching, maximum independent set.

Importing this package registers the environments with Gymnasium and imports nothing heavy.
"""

from typing import Any

from learnsys.envs import register, register_envs

__version__ = "0.1.0"
__all__ = ["__version__", "mis", "register", "register_envs"]


def mis(graph: Any, **options: Any) -> Any:
    """The vertices of a large independent set of a networkx graph, scipy sparse matrix or edge array.

    Options and result: see `learnsys.policies.independent_set.solve.mis`.
    """
    from learnsys.policies.independent_set.solve import mis as solve

    return solve(graph, **options)


register_envs()
