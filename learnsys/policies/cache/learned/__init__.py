"""A policy that learns while the program runs: the features, the network, and the policy around them."""
