"""E2E-LAT: one level, from a latent that is trained along."""

import sys

from common.commands.main import main

if __name__ == "__main__":
    sys.exit(main("E2ELAT"))
