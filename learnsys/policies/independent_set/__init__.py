"""Policies that find large independent sets: one file for each, all returning verified sets."""
