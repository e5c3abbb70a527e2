"""Learned policies inside real systems: cache replacement, MILP branching, maximum independent set.

Importing this package registers the environments with Gymnasium and imports nothing heavy.
"""

from learnsys.envs import register, register_envs

__version__ = "0.1.0"
__all__ = ["__version__", "register", "register_envs"]

register_envs()
