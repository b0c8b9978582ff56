"""`python -m inferplan`: the command line."""

import sys

from inferplan.cli import main

if __name__ == "__main__":
    sys.exit(main())
