"""Everything that decides, by problem."""
