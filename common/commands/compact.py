"""The command compact: make a weight file smaller."""

import argparse

from ..base.errors import say
from ..base.files import check_writable
from ..base.program import program
from ..base.temporary import lock
from ..models.weight_paths import find_entropy_files, name_copy
from .options import add_options, path


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command compact to `commands`."""
    start = program("compact")
    parser = commands.add_parser(
        "compact",
        prog=start,
        help="make a weight file smaller, for distribution",
        description="Write a copy of a weight file at about a quarter of the size: large kernels\n"
        "are rounded, and all weights are compressed. Plain Keras can still read it.",
        epilog=f"example:\n  {start} checkpoints/BestModel.h5 weights/MJLAT.h5",
    )
    parser.add_argument("weights", type=path, metavar="WEIGHTS", help="the file to read")
    parser.add_argument("out", type=path, metavar="OUT", help="the file to write")
    add_options(parser, "overwrite", overwrite={"help": "replace OUT and its entropy models"})
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Compact a weight file, and copy its entropy models."""
    source, target, overwrite = options.weights, options.out, options.overwrite
    entropy_files = find_entropy_files(source)
    inputs = [source, *entropy_files]
    for written in [target, *(name_copy(file, source, target) for file in entropy_files)]:
        check_writable(written, overwrite=overwrite, inputs=inputs)
    from ..models.compact import compact

    with lock(target):
        compact(source, target, overwrite)
        if entropy_files:
            from ..codec.entropy_model import adapt_entropy_models  # loads TensorFlow

            adapt_entropy_models(source, target, overwrite)
    before, after = (path.stat().st_size / 1e6 for path in (source, target))
    say(f"{target}: {after:.1f} MB, was {before:.1f} MB")
