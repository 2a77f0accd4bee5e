"""MJ-REC: the three levels at once, from the reconstructions of three JND backbones."""

import sys

from common.commands.main import main

if __name__ == "__main__":
    sys.exit(main("MJREC"))
