"""Maximum independent set as a decision problem."""
