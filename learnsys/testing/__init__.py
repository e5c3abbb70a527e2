"""The contracts that environments, policies and trace readers must pass, for users to run on their own."""
