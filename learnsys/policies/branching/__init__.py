"""Branching policies: one file each, one line each in `registry.POLICIES`."""
