"""`python3 -m common COMMAND`, which is `laser-jnd COMMAND`: see commands/main.py."""

import sys

from .commands.main import main

if __name__ == "__main__":
    sys.exit(main())
