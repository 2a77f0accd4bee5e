"""The command predict, for anyone's pictures and videos."""

import argparse
import contextlib
import json
import re
import sys
from typing import Any

from ..base.constants import PRECISIONS, UNITS
from ..base.errors import say
from ..base.files import check_writable
from ..base.temporary import lock
from ..models.descriptions import Description
from .options import add_options, add_view, bundled, path, positive, program

# The start of the tables that `predict` writes.
TABLE = re.compile(b"file,kind,width,height,")


def predict(options: argparse.Namespace) -> int:
    """Print the levels of pictures and videos; 1 where some could not be read."""
    description = options.description
    from ..models.weights import find_weights

    level = None if description.multitask else options.jnd_value
    weights = find_weights(options.model_weights_path, description.weight_files(level))
    from ..inference.inputs import find_inputs

    found = find_inputs(options.inputs, coded=description.sees == "latent")
    inputs = [file for file, _ in found.files]
    if options.csv:
        check_writable(options.csv, TABLE, options.overwrite, inputs)
    from ..inference.answers import Workers, answer
    from ..inference.predictor import Predictor

    backbones = getattr(options, description.backbone_option)
    named = description.name, weights, level
    at_work = backbones, options.runtime, not options.no_model_cache
    predictor = Predictor(*named, options.precision, *at_work)
    workers = None
    if options.scheduler:
        # Workers run in other directories, and must all compute with the same runtime as we do.
        runtime, precision = predictor.choice
        named = description.name, weights.absolute(), level
        at_work = backbones and backbones.absolute(), runtime, not options.no_model_cache
        workers = Workers(options.scheduler, (*named, precision, *at_work))
    how = options.view, options.frames_per_scene, options.unit
    with lock(options.csv) if options.csv else contextlib.nullcontext():
        document = answer(predictor, inputs, *how, workers)
        document["errors"][:0] = found.errors
        _tell(document, options)
    return 1 if document["errors"] else 0


def _tell(document: dict, options: argparse.Namespace) -> None:
    """Print the predictions, if there are any, and write them as a table."""
    from ..inference.answers import as_lines, as_table

    if options.json:
        print(json.dumps(document, indent=2))
    elif document["inputs"]:
        print(as_lines(document))
    elif len(document["errors"]) > 1:
        say(f"none of the {len(document['errors'])} inputs can be read", file=sys.stderr)
    if options.csv and document["inputs"]:
        from ..evaluation.results import write_csv

        write_csv(as_table(document), options.csv, TABLE, options.overwrite, float_format="%.3f")


def add_predict(commands: argparse._SubParsersAction, description: Description) -> None:
    """Give `commands` the command predict."""
    what, level = describe_levels(description)
    command = commands.add_parser(
        "predict",
        help="predict the levels of any pictures and videos",
        description=f"Predict {what} of each picture and video, of any size, and of each scene\n"
        "of a video. What cannot be read is left out, told on stderr, and the exit code is 1.",
        epilog=f"example:\n  {program(description.name, 'predict')} {level}photo.jpg clip.mp4 "
        "pictures/",
    )
    command.set_defaults(run=predict)
    add = command.add_argument
    add("inputs", type=path, nargs="+", metavar="PATH", help="picture, video, or folder of these")
    add_model_options(command, description)
    add_backbone_option(command, description, help=backbones_in_testing(description))
    unit = "what levels are, where the weights do not tell, as the published ones"
    add("--unit", choices=UNITS, help=unit)
    add("--json", action="store_true", help="print a JSON document, and nothing else")
    add("--csv", type=path, metavar="FILE", help="write a table, too")
    add_options(command, "overwrite")
    cluster = "of a Dask cluster, as tcp://HOST:PORT, whose workers predict"
    add("--scheduler", metavar="ADDRESS", help=cluster)


def backbones_in_testing(description: Description) -> str:
    """What the folder of the backbones is for where nothing is trained."""
    if description.sees == "latent":
        return "where the entropy models of coded pictures lie, if not beside the weights"
    return "not needed: the weight file holds the backbone; accepted for older scripts"


def add_backbone_option(
    command: argparse.ArgumentParser, description: Description, **more: Any
) -> None:
    """Give `command` the option of the folder of the backbones, by its published name."""
    published = f"--{description.backbone_option}"
    # One is misspelled there: it may be typed in either way.
    names = dict.fromkeys((published, published.replace("trution", "truction")))
    command.add_argument(*names, type=path, metavar="DIR", **more)


def describe_levels(description: Description) -> tuple[str, str]:
    """Describe what a model predicts; and write the option that an example needs."""
    if description.multitask:
        return "the three JND levels", ""
    return "one JND level", "--jnd_value JND1 "


def add_model_options(
    command: argparse.ArgumentParser, description: Description, level: dict | None = None
) -> None:
    """Add the options of the weights, and of what the model sees."""
    needed = level is not None or not description.multitask
    weights = description.weight_files(None if description.multitask else "JNDk")
    add_options(
        command,
        f"{'jnd_value ' if needed else ''}model_weights_path precision runtime no_model_cache",
        jnd_value=level or {"required": True},
        precision={
            "choices": PRECISIONS,
            "default": "auto",
            "help": "auto: bfloat16 if OpenVINO runs on a processor that has it",
        },
        model_weights_path={
            "default": bundled("weights"),
            "help": f"weight file, or folder with {' or '.join(weights)}",
        },
    )
    add = command.add_argument
    add_view(command, "centre", "stretched", "cutouts")
    sampled = "frames of each scene that are looked at"
    add("--frames_per_scene", type=positive, default=3, metavar="N", help=sampled)
