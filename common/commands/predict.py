"""The command predict: predict the levels of pictures and videos."""

import argparse
import contextlib
import json
import logging
import re
import sys
from typing import TYPE_CHECKING

from ..base.constants import CODEC_NAMES, FRAMES_PER_SCENE, QP, UNITS
from ..base.errors import UserError, report_skipped, say
from ..base.files import check_writable
from ..base.program import program
from ..base.progress import Progress
from ..base.temporary import lock
from ..evaluation.results import write_csv
from ..models.descriptions import Description
from .model_options import (
    add_model_options,
    add_unused_backbone_option,
    describe_levels,
    find_codec_weights,
    load_predictor,
)
from .options import add_options, path, positive

if TYPE_CHECKING:
    from ..inference.documents import Predictions

_log = logging.getLogger(__name__)
_TABLE = re.compile(b"file,kind,width,height,")  # start of the tables that this command writes


def add_parser(commands: argparse._SubParsersAction, description: Description) -> None:
    """Add the command predict to `commands`."""
    levels, level_option = describe_levels(description)
    start = program(description.name, "predict")
    command = commands.add_parser(
        "predict",
        help="predict the levels of any pictures and videos",
        description=f"Predict {levels} of each picture and video, of any size, and of each scene\n"
        "of a video. Files that cannot be read are skipped and reported on stderr, and the exit\n"
        "code is 1.",
        epilog=f"example:\n  {start} {level_option}photo.jpg clip.mp4 pictures/",
    )
    add = command.add_argument
    add("inputs", type=path, nargs="+", metavar="PATH", help="picture, video, or folder of these")
    add_model_options(command, description)
    frames = "number of frames to predict from in each scene"
    add("--frames_per_scene", type=positive, default=FRAMES_PER_SCENE, metavar="N", help=frames)
    add_unused_backbone_option(command, description)
    kind = "what to predict; jpeg: the qualities of pictures, by the weight file NAME-jpeg.h5"
    add("--codec", choices=CODEC_NAMES, default="h264", help=kind)
    unit = "unit of the levels, if the weight file does not record it (the published ones do not)"
    add("--unit", choices=UNITS, help=unit)
    add("--csv", type=path, metavar="FILE", help="also write a table")
    add_options(command, "json limit overwrite scheduler")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the levels of pictures and videos; return 1 if some cannot be read."""
    from ..data.kinds import VIDEO, kind
    from ..inference import documents, inputs, records

    description = options.description
    weights = find_codec_weights(options)
    found = inputs.find_media(options.inputs, coded=description.sees == "latent")
    paths = [file for file, _ in found.files[: options.limit]]
    if options.csv:
        check_writable(options.csv, _TABLE, options.overwrite, paths)
    model = load_predictor(options, weights)
    predictions = documents.Predictions(predictor=model, view=options.view, unit=options.unit)
    for argument, error in found.errors:
        predictions.add(records.Failure(path=argument, error=error))
    if options.codec == "jpeg":
        if model.labels.codec == QP:
            raise UserError(f"{weights}: predicts QPs; --codec jpeg needs a model of qualities")
        for file in [each for each in paths if kind(each) == VIDEO]:
            paths.remove(file)
            error = UserError(f"{file}: is a video; --codec jpeg predicts qualities of pictures")
            report_skipped(error)
            predictions.add(records.Failure(path=file, error=error))
    settings = options.view, options.frames_per_scene, options.unit
    with lock(options.csv) if options.csv else contextlib.nullcontext():
        if options.scheduler:
            results = inputs.predict_on_cluster(options.scheduler, model, paths, *settings)
        else:
            results = inputs.predict_inputs(model, paths, *settings)
            results = Progress(results, "inputs", len(paths), unit="file")
        for result in results:
            predictions.add(result)
            if isinstance(result, records.Failure):
                report_skipped(result.error)
            for note in getattr(result, "notes", ()):
                _log.warning("%s: %s", result.path, note)
        _print(predictions, options)
    return 1 if predictions.errors else 0


def _print(predictions: "Predictions", options: argparse.Namespace) -> None:
    """Print the predictions, and write the table if it was requested."""
    if options.json:
        print(json.dumps(predictions.to_json(), indent=2))
    elif predictions.inputs:
        print(predictions.to_text())
    elif len(predictions.errors) > 1:
        say(f"none of the {len(predictions.errors)} inputs can be read", file=sys.stderr)
    if options.csv and predictions.inputs:
        table = predictions.to_table()
        write_csv(table, options.csv, _TABLE, options.overwrite, float_format="%.3f")
