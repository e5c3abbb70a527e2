"""Parrot: imitate Belady from the access history (Liu et al., "An imitation learning approach for cache replacement",
ICML 2020), and what was found to pay on top of it."""
