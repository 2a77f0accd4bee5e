"""`python3 -m common.compact`: see commands/compact.py."""

import sys

from .commands.main import main

if __name__ == "__main__":
    sys.exit(main("compact"))
