"""E2E-REC: one level, from a reconstruction that is trained along."""

import sys

from common.commands.main import main

if __name__ == "__main__":
    sys.exit(main("E2EREC"))
