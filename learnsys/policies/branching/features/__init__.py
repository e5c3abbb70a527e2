"""Policies on hand-made features of the candidates: cheap enough for a CPU at every node."""
