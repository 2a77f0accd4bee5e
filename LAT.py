"""LAT: one level, from the latent of its JND backbone."""

import sys

from common.commands.main import main

if __name__ == "__main__":
    sys.exit(main("LAT"))
