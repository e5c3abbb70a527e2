"""Observations of a model that waits for a decision: arrays, read from SCIP's memory by Numba kernels."""

from learnsys.envs.branching.observations.base import BipartiteObservation, ObservationFunction
from learnsys.envs.branching.observations.hutter import Hutter2011
from learnsys.envs.branching.observations.khalil import Khalil2016
from learnsys.envs.branching.observations.milp_bipartite import MilpBipartite
from learnsys.envs.branching.observations.node_bipartite import NodeBipartite
from learnsys.envs.branching.observations.pseudocosts import Pseudocosts
from learnsys.envs.branching.observations.registry import OBSERVATIONS, Composed, observation_function
from learnsys.envs.branching.observations.strong_branching import StrongBranchingScores

__all__ = [
    "OBSERVATIONS",
    "BipartiteObservation",
    "Composed",
    "Hutter2011",
    "Khalil2016",
    "MilpBipartite",
    "NodeBipartite",
    "ObservationFunction",
    "Pseudocosts",
    "StrongBranchingScores",
    "observation_function",
]
