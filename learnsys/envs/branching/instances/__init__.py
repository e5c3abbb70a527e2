"""Instances by family: generators of mixed-integer linear programs, their files, and sets of them with a manifest.

from learnsys.envs.branching.instances import make_family

milp = make_family("setcover", rows=500, cols=1000).instance(seed=0)
milp.save("setcover.mps.gz")
model = milp.to_model()
"""

from learnsys.envs.branching.instances.family import Family
from learnsys.envs.branching.instances.milp import Milp
from learnsys.envs.branching.instances.registry import FAMILIES, make_family, parse_family

__all__ = ["FAMILIES", "Family", "Milp", "make_family", "parse_family"]
