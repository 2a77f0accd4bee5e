"""`python3 -m common.export`: see commands/export.py."""

import sys

from .commands.main import main

if __name__ == "__main__":
    sys.exit(main("export"))
