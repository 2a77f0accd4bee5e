"""Command line of the benchmark: speed compared with Keras, and predictions checked by encodes."""

import argparse
import re
import sys

from common.base.errors import exit_on_error
from common.base.files import check_writable
from common.base.temporary import lock
from common.commands.main import log_to_stderr
from common.commands.options import Parser, add_options, bundled_path, path, positive
from common.models.descriptions import MODELS
from tools.samples import CLIP_SECONDS

PROGRAM = "python3 -m tools.benchmark"
_TABLE = re.compile(b"command,model,frames,")  # the start of a saved table

COMPARISONS = {
    "predict": (
        "frames/s and peak memory of predicting",
        "This project predicts from image files (default batch), Keras from frames in memory\n"
        "(Model.predict, batch 8).",
        "frames per pass; the fastest of three passes counts (default: 16)",
    ),
    "train": (
        "frames/s and peak memory of training",
        "The fastest epoch after the first, of three: by the model's own train command from image\n"
        "files, and by Keras (Model.fit of the same graph) from frames in memory. Batch 8.",
        "frames per epoch (default: 128, or 8 for models on reconstructions)",
    ),
    "backbone": (
        "frames/s and peak memory of training a backbone",
        "The fastest epoch after the first, of three: by common.reconstruct train with rate and\n"
        "distortion from image files, and by Keras (Model.fit of the autoencoder without an\n"
        "entropy model) from frames in memory. Crops of 256 pixels, batch 8.",
        "frames per epoch (default: 64)",
    ),
}
MEASUREMENTS = {
    "decide": (
        "CPU seconds and errors of predicting compared with searching by encodes",
        "Levels of frames and of clips: searched for by encodes, predicted, and predicted and\n"
        "then adjusted after a trial encode. Clips are pans over two pictures each.",
    ),
    "views": (
        "errors on large pictures by --view",
        "The true level is the lowest QP at which the whole picture, at its own size, falls below\n"
        "the VMAF thresholds.",
    ),
    "deliver": (
        "bits and CPU seconds of encodes, compared with one QP or CRF for the whole",
        "The default encode, and with the same encoder: one constant QP and one CRF of equal mean\n"
        "VMAF, found by bisection; and one CRF found by encodes of samples, as ab-av1 does. Clips\n"
        "are pans over pictures, and the first 5 s of videos.",
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark with `arguments` (None: those of the process)."""
    parser = Parser(
        prog=PROGRAM,
        description="Compare this project's speed with plain Keras, in float32 and, with\n"
        "--precision bfloat16, in mixed_bfloat16 too (each measurement in a process of its own;\n"
        "weights are random, frames are noise); or measure predictions on pictures by encoding\n"
        "them.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMPARISONS:
        _add_comparison(commands, name)
    for name in MEASUREMENTS:
        _add_measurement(commands, name)
    options = parser.parse_args(arguments)
    with exit_on_error(PROGRAM), log_to_stderr():
        options.run(options)
    return 0


def _add_comparison(commands: argparse._SubParsersAction, name: str) -> None:
    summary, description, frames = COMPARISONS[name]
    models = "" if name == "backbone" else " --models LAT MJLAT"
    example = f"example:\n  {PROGRAM} {name}{models} --save speed.csv"
    command = commands.add_parser(name, help=summary, description=description, epilog=example)
    command.set_defaults(run=_compare, models=["Img"])
    if models:
        command.add_argument(
            "--models",
            nargs="+",
            choices=MODELS,
            default=list(MODELS),
            metavar="MODEL",
            help=f"models to measure, from {', '.join(MODELS)}",
        )
    command.add_argument("--frames", type=positive, metavar="N", help=frames)
    add_options(command, "precision overwrite")
    save = "CSV file for the table"
    command.add_argument("--save", type=path, metavar="CSV", help=save)


def _compare(options: argparse.Namespace) -> None:
    import pandas as pd

    from common.evaluation.results import write_csv
    from tools.comparison import compare

    asked = options.command, options.models, options.frames, options.precision
    if not options.save:
        compare(*asked)
        return
    check_writable(options.save, _TABLE, options.overwrite)
    with lock(options.save):
        table = pd.DataFrame(compare(*asked))
        write_csv(table, options.save, _TABLE, options.overwrite, float_format="%.4g")


def _add_measurement(commands: argparse._SubParsersAction, name: str) -> None:
    summary, description = MEASUREMENTS[name]
    example = f"example:\n  {PROGRAM} {name} --images photos/ --contents weights/held_out.txt"
    command = commands.add_parser(name, help=summary, description=description, epilog=example)
    command.set_defaults(run=_measure)
    add = command.add_argument
    add("--images", type=path, required=True, metavar="DIR", help="folder of pictures")
    contents = "text file of picture names, one per line; other pictures are ignored"
    add("--contents", type=path, metavar="FILE", help=contents)
    add("--count", type=positive, default=8, metavar="N", help="number of pictures or clips")
    if name == "deliver":
        add("--videos", type=path, metavar="DIR", help="folder of videos, to use in addition")
        add("--height", type=positive, default=360, metavar="N", help="of the clips, in 16:9")
        pans = "of each clip of pans over pictures: one in 5 s, at least two"
        add("--seconds", type=positive, default=CLIP_SECONDS, metavar="N", help=pans)
    weights = {"default": bundled_path("weights"), "help": "weight file of MJ-LAT, or its folder"}
    add_options(command, "model_weights_path precision", model_weights_path=weights)


def _measure(options: argparse.Namespace) -> None:
    import pandas as pd

    from common.evaluation.speed import describe_processor
    from common.inference.predictor import Predictor
    from tools import deliveries, measuring
    from tools.samples import find_pictures

    pictures = find_pictures(options.images, options.contents)
    predictor = Predictor("MJLAT", options.model_weights_path, precision=options.precision)
    if options.command == "deliver":
        rows = deliveries.measure_deliveries(
            predictor,
            pictures,
            options.count,
            options.videos,
            options.height,
            options.seconds,
        )
    else:
        rows = measuring.MEASURES[options.command](predictor, pictures, options.count)
    truth = "true levels are where VMAF falls below the thresholds, not viewers' answers"
    print(f"{describe_processor()}; {options.precision}; {truth}\n")
    print(pd.DataFrame(rows).to_markdown(index=False, floatfmt=".2f"))


if __name__ == "__main__":
    sys.exit(main())
