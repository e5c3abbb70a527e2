"""`python -m learnsys`, and the console script."""

import sys

from learnsys.cli import main


def run() -> None:
    """Run the command line and exit with its code."""
    sys.exit(main())


if __name__ == "__main__":
    run()
