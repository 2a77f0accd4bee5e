"""`python3 -m common.reconstruct`: see commands/backbone.py."""

import sys

from .commands.main import main

if __name__ == "__main__":
    sys.exit(main("backbone"))
