"""Replacement in fully associative object caches: one file per policy, its Numba kernel in it."""
