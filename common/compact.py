"""Make a weight file small enough to pass on."""

from __future__ import annotations

import sys
from pathlib import Path

from common.console import Parser
from common.errors import UserError, reported
from common.models.weights import compact


def main(arguments: list[str] | None = None) -> int:
    """Do what `arguments` (of the process, if None) ask for; the exit code."""
    parser = Parser(
        prog="python3 -m common.compact",
        description="Write a weight file again in about a quarter of its size: large kernels are\n"
        "rounded, all is compressed. It stays a weight file that plain Keras reads.",
        epilog="example:\n  python3 -m common.compact checkpoints/BestModel.h5 weights/MJLAT.h5",
    )
    parser.add_argument("weights", type=Path, metavar="WEIGHTS", help="the file to read")
    parser.add_argument("out", type=Path, metavar="OUT", help="the file to write")
    options = parser.parse_args(arguments)
    with reported(parser.prog):
        if options.out.exists():
            raise UserError(f"{options.out}: is there already")
        compact(options.weights, options.out)
        sizes = (path.stat().st_size / 1e6 for path in (options.weights, options.out))
        print("{}: {:.1f} MB, was {:.1f} MB".format(options.out, *reversed([*sizes])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
