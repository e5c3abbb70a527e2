"""The GCNN: strong branching imitated by a graph network on the bipartite graph of variables and rows."""
