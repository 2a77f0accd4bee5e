"""The commands of the six models for anyone's pictures and videos: predict and encode."""

import argparse
import contextlib
import json
import re
import sys
from typing import Any

from ..base.constants import LEVELS, PRECISIONS, UNITS
from ..base.errors import UserError, say
from ..base.files import check_regular, check_writable
from ..base.temporary import lock
from ..encoding.encoders import ENCODERS
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


def encode(options: argparse.Namespace) -> None:
    """Encode a video at its predicted levels."""
    description = options.description
    from ..models.weights import find_weights

    _check_output(options)
    level = options.jnd_value or LEVELS[0]
    own = None if description.multitask else level
    weights = find_weights(options.model_weights_path, description.weight_files(own))
    from ..encoding import answers
    from ..inference.predictor import Predictor

    as_given = {name: getattr(options, name) for name in answers.Wish._fields if name in options}
    wish = answers.Wish(**as_given, level=level, verify=not options.no_verify)
    predictor = Predictor(
        *(description.name, weights, own, options.precision),
        runtime=options.runtime,
        model_cache=not options.no_model_cache,
    )
    # If two runs share an OUTPUT, the second fails at once, not when its work is done.
    alone = contextlib.nullcontext() if options.dry_run else lock(options.output)
    with alone:
        document = answers.encode(predictor, options.input, options.output, wish)
    print(json.dumps(document, indent=2) if options.json else answers.as_lines(document))


def check_qps(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Exit with code 2 if --min_qp and --max_qp leave no QP to choose from."""
    coarsest = ENCODERS[options.encoder].coarsest
    for name in ("min_qp", "max_qp"):
        value = getattr(options, name)
        if value is not None and value > coarsest:
            parser.error(f"--{name} {value} is beyond {options.encoder}'s coarsest QP, {coarsest}")
    if options.max_qp is not None and options.min_qp > options.max_qp:
        parser.error(f"--min_qp {options.min_qp} is above --max_qp {options.max_qp}")


def _check_output(options: argparse.Namespace) -> None:
    """Check INPUT and OUTPUT before any work; resolves an INPUT below /dev.

    Raises:
        UserError: OUTPUT cannot be written, or is INPUT; or INPUT is not a video.
    """
    from ..data.kinds import PICTURE, kind
    from ..encoding.containers import find_container

    if not options.input.exists():
        raise UserError(f"{options.input}: no such file")
    check_regular(options.input)
    if options.input.is_relative_to("/dev"):
        # /dev/stdin (a shell's `<`): programs that we start have another standard input.
        options.input = options.input.resolve()
    if kind(options.input) == PICTURE:
        raise UserError(f"{options.input}: is a still picture; encode takes videos")
    find_container(options.output)
    if not options.dry_run:
        check_writable(options.output, overwrite=options.overwrite, inputs=[options.input])


def add_predict(commands: argparse._SubParsersAction, description: Description) -> None:
    """Give `commands` the command predict."""
    what, level = _what(description)
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
    _add_seeing(command, description)
    add_backbone_option(command, description, help=backbones_in_testing(description))
    unit = "what levels are, where the weights do not tell, as the published ones"
    add("--unit", choices=UNITS, help=unit)
    add("--json", action="store_true", help="print a JSON document, and nothing else")
    add("--csv", type=path, metavar="FILE", help="write a table, too")
    add_options(command, "overwrite")
    cluster = "of a Dask cluster, as tcp://HOST:PORT, whose workers predict"
    add("--scheduler", metavar="ADDRESS", help=cluster)


def add_encode(commands: argparse._SubParsersAction, description: Description) -> None:
    """Give `commands` the command encode."""
    _, level = _what(description)
    command = commands.add_parser(
        "encode",
        help="encode a video, each scene at its predicted level",
        description="Encode a video so that each scene has the QP of its predicted level. Sound,\n"
        "subtitles, metadata, frame times and colour tags stay as they are.",
        epilog=f"example:\n  {program(description.name, 'encode')} {level}clip.mp4 smaller.mp4",
    )
    command.set_defaults(run=encode, check=check_qps)
    add = command.add_argument
    add("input", type=path, metavar="INPUT", help="a video")
    add(
        "output", type=path, metavar="OUTPUT", help="the video to write, such as out.mp4 or out.mkv"
    )
    if description.multitask:
        level_option = {"default": LEVELS[0], "help": "the level that scenes are encoded at"}
        _add_seeing(command, description, level_option)
    else:
        _add_seeing(command, description)
    add("--encoder", choices=ENCODERS, default="x264", help="of the video")
    finest = "finest QP that a scene may get"
    add("--min_qp", type=positive, default=1, metavar="N", help=finest)
    coarsest = "coarsest QP that a scene may get (default: the encoder's)"
    add("--max_qp", type=positive, metavar="N", help=coarsest)
    trials = "take the predictions as they are, without a trial encode of each scene's middle"
    add("--no_verify", action="store_true", help=trials)
    dry = "print the plan and the expected size, and encode nothing but trials"
    add("--dry_run", action="store_true", help=dry)
    add("--json", action="store_true", help="print a JSON document, and nothing else")
    add("--overwrite", action="store_true", help="replace OUTPUT where it is there; never INPUT")


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


def _what(description: Description) -> tuple[str, str]:
    """What is predicted, and the option that an example needs."""
    if description.multitask:
        return "the three JND levels", ""
    return "one JND level", "--jnd_value JND1 "


def _add_seeing(
    command: argparse.ArgumentParser, description: Description, level: dict | None = None
) -> None:
    """The weights, and what the model sees."""
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
