"""Branch and bound in SCIP: control inversion, observations, rewards, instances, environments."""
