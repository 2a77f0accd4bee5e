"""The command export: write a model for use without this program."""

import argparse
import os
from pathlib import Path

from ..base.constants import LEVELS
from ..base.errors import UserError, say
from ..base.files import check_regular, check_writable
from ..base.program import program
from ..base.temporary import lock
from ..models.descriptions import MODELS, Description
from .options import add_view, path

# Suffixes of model files of other formats, which nobody gives a folder.
_OTHERS = (".onnx", ".h5", ".keras", ".pb", ".pt", ".xml")


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command export to `commands`."""
    start = program("export")
    parser = commands.add_parser(
        "export",
        prog=start,
        help="write a model as a SavedModel or for TensorFlow Lite",
        description="Write a model as a SavedModel folder or, if OUT ends in .tflite, as a\n"
        "TensorFlow Lite file. It takes a picture, RGB uint8 [height, width, 3] of any size, and\n"
        "returns its levels by name, as float32; cropping and resizing are part of the model.\n"
        'A SavedModel also has the signature "batch", for RGB uint8 [batch, height, width, 3].',
        epilog=f"examples:\n  {start} weights/MJLAT.h5 exported/\n"
        f"  {start} weights/MJLAT.h5 MJLAT.tflite",
    )
    parser.add_argument("weights", type=path, metavar="WEIGHTS", help="a model's weight file")
    parser.add_argument("out", type=path, metavar="OUT", help="folder, or file.tflite, to write")
    model = "the model, if the file is not named after it (BestModel.h5)"
    parser.add_argument("--model", choices=MODELS, help=model)
    add_view(parser, "centre", "stretched")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Export a model."""
    description, level = _find_description(options.weights)
    if options.model:
        description = MODELS[options.model]
    if not description:
        return options.parser.error(f"{options.weights.name} does not name the model: add --model")
    if options.out.suffix.lower() in _OTHERS:
        return options.parser.error(f"{options.out}: name a folder, or a .tflite file")
    if os.path.lexists(options.out):
        raise UserError(f"{options.out}: already exists; remove it, or name another OUT")
    if not options.weights.exists():
        raise UserError(f"{options.weights}: no such file")
    check_regular(options.weights)
    check_writable(options.out)
    names = list(LEVELS) if description.multitask else [level or "JND"]
    from ..inference.export import export

    with lock(options.out):
        export(description, options.weights, names, options.view, options.out)
    say(f"{options.out}: {description.title}, RGB uint8 to {', '.join(names)}")


def _find_description(weights: Path) -> tuple[Description | None, str | None]:
    """Find the model that a weight file is named after, and its level if it predicts only one."""
    for description in MODELS.values():
        for level in (None,) if description.multitask else LEVELS:
            if weights.name == description.weight_files(level)[0]:
                return description, level
    return None, next((level for level in LEVELS if weights.stem.endswith(level)), None)
