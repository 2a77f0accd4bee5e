"""`python3 -m common.prepare`: see commands/prepare.py."""

import sys

from .commands.main import main

if __name__ == "__main__":
    sys.exit(main("prepare"))
