"""The command encode: encode videos, each scene at its predicted level, and pictures."""

import argparse
import contextlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..base.constants import LEVELS
from ..base.errors import say
from ..base.program import program
from ..base.temporary import lock
from ..encoding.encoders import AIMS, CRF, ENCODERS, MEAN, RATE_CONTROLS
from ..models.descriptions import Description
from . import encode_pictures, encode_videos
from .encode_reports import Report, describe_sizes, list_errors
from .model_options import add_model_options, describe_levels
from .options import path, positive, positive_real

if TYPE_CHECKING:
    from ..encoding.outputs import Outputs

# Options of one kind of input only.
_OF_PICTURES = ("format", "subsampling")
_OF_CODING = ("encoder", "rate_control", "preset", "aq", "min_qp", "max_qp")
_OF_VIDEOS = (*_OF_CODING, "aim", "vmaf_neg", "frames_per_scene")


def add_parser(commands: argparse._SubParsersAction, description: Description) -> None:
    """Add the command encode to `commands`."""
    _, level = describe_levels(description)
    start = program(description.name, "encode")
    command = commands.add_parser(
        "encode",
        help="encode videos, each scene at its predicted level, and pictures",
        description="Encode videos so that each scene has the VMAF of its level. Sound,\n"
        "subtitles, metadata, frame times and colour tags stay unchanged. Encode pictures as\n"
        "JPEG, WebP or AVIF of the VMAF that defines their level. Several inputs are written\n"
        "into a folder; those that cannot be encoded are reported on stderr, and the exit code\n"
        "is 1.",
        epilog=f"examples:\n  {start} {level}clip.mp4 smaller.mp4\n"
        f"  {start} {level}photo.png photo.jpg\n  {start} {level}clips/ photos/ smaller/",
    )
    command.set_defaults(run=run, check=check_options)
    add = command.add_argument
    add("inputs", type=path, nargs="+", metavar="INPUT", help="video, picture, or folder of these")
    output = "file to write, such as out.mp4 or out.jpg; for several inputs or a folder, a folder"
    add("output", type=path, metavar="OUTPUT", help=output)
    encoded_level = {"default": LEVELS[0], "help": "the level to encode at"}
    add_model_options(command, description, encoded_level if description.multitask else None)
    add("--encoder", choices=tuple(ENCODERS), default="x264", help="video encoder")
    _add_coding(add)
    vmaf = "VMAF of each scene or picture in place of the level's, where the search then starts"
    add("--vmaf", type=_vmaf, metavar="X", help=vmaf)
    aim = "what reaches that VMAF: the mean of a scene's frames, or their 5th percentile, so that\n"
    aim += "95%% of the frames of each scene are at least as good"
    add("--aim", choices=AIMS, default=MEAN, help=aim)
    negative = "measure VMAF by its NEG model, which does not reward sharpening; without --vmaf,\n"
    negative += "scenes get the value that x264 has at the predicted QP"
    add("--vmaf_neg", action="store_true", help=negative)
    unverified = "make no trial encodes and no measurement: the CRF or QP is the predicted one"
    add("--no_verify", action="store_true", help=unverified)
    dry = "only print the plan and the expected size, after the trial encodes"
    add("--dry_run", action="store_true", help=dry)
    encode_pictures.add_picture_options(command)
    add("--json", action="store_true", help="print a JSON document, and nothing else")
    add("--overwrite", action="store_true", help="replace OUTPUT if it exists; never INPUT")


def _add_coding(add: Callable[..., object]) -> None:
    """Add the options of the encoder."""
    control = "crf: what encoders do by default, with the fewest bits; qp: constant QP"
    add("--rate_control", choices=RATE_CONTROLS, default=CRF, help=control)
    presets = ", ".join(f"{each.preset} for {name}" for name, each in ENCODERS.items())
    preset = f"the encoder's preset, passed on as it is (default: {presets})"
    add("--preset", default="", metavar="NAME", help=preset)
    aq = "adaptive quantization, by the encoder's default method; costs bits at equal VMAF"
    add("--aq", action="store_true", help=aq)
    add("--min_qp", type=positive, default=1, metavar="N", help="finest CRF or QP of a scene")
    coarsest = "coarsest CRF or QP of a scene (default: the encoder's)"
    add("--max_qp", type=positive, metavar="N", help=coarsest)


def _vmaf(text: str) -> float:
    """Convert an argument to a VMAF above 0 and below 100."""
    value = positive_real(text)
    if value >= 100:
        raise argparse.ArgumentTypeError(f"{text} is not below 100, which only copies reach")
    return value


def check_options(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Exit with code 2 if options contradict each other."""
    if options.no_verify and (options.vmaf or options.vmaf_neg or options.aim != MEAN):
        parser.error("--vmaf, --aim and --vmaf_neg need trial encodes; leave --no_verify out")
    if options.aq and options.rate_control != CRF:
        parser.error("--aq needs --rate_control crf: a constant QP does not adapt")
    coarsest = ENCODERS[options.encoder].coarsest
    for name in ("min_qp", "max_qp"):
        value = getattr(options, name)
        if value is not None and value > coarsest:
            parser.error(f"--{name} {value} is beyond {options.encoder}'s coarsest QP, {coarsest}")
    if options.max_qp is not None and options.min_qp > options.max_qp:
        parser.error(f"--min_qp {options.min_qp} is above --max_qp {options.max_qp}")


def _refuse_options(options: argparse.Namespace, outputs: "Outputs") -> None:
    """Exit with code 2 if an option is given that only another kind of input has."""
    for names, used, this, other in (
        (_OF_VIDEOS, outputs.videos, "pictures", "videos"),
        (_OF_PICTURES, outputs.pictures, "videos", "pictures"),
    ):
        for name in () if used else names:
            if getattr(options, name) != options.parser.get_default(name):
                options.parser.error(f"--{name}: an option for {other}; the input is of {this}")


def run(options: argparse.Namespace) -> int:
    """Encode videos and pictures at their predicted levels; return 1 if some cannot be."""
    from ..encoding.outputs import find_outputs, is_file

    outputs = find_outputs(options.inputs, options.output, f".{options.format}")
    _refuse_options(options, outputs)
    if not outputs.videos:
        return encode_pictures.run(options, outputs)
    if is_file(options.inputs):
        return encode_videos.run(options, outputs.videos[0])
    with contextlib.nullcontext() if options.dry_run else lock(options.output):
        return _encode_all(options, outputs)


def _encode_all(options: argparse.Namespace, outputs: "Outputs") -> int:
    """Encode videos, and perhaps pictures, into a folder; return 1 if some cannot be."""
    pictures, errors = None, dict(outputs.errors)
    if outputs.pictures:
        pictures, wrong = encode_pictures.encode(options, outputs.pictures)
        errors |= wrong
    videos, wrong = encode_videos.encode(options, outputs.videos)
    errors |= wrong
    reports = [*videos, *([pictures] if pictures else [])]
    names = ("input_bytes",) if options.dry_run else ("input_bytes", "output_bytes")
    sizes = [sum(each.document[name] for each in reports) for name in names]
    document = {
        **dict(zip(names, sizes)),
        "videos": [each.document for each in videos],
        "pictures": pictures and pictures.document,
        "errors": list_errors(errors),
    }
    total = "" if options.dry_run else f"All: {describe_sizes(*sizes)}."
    texts = [each.text for each in reports if each.text]
    if texts or options.json:
        Report(document, "\n\n".join([*texts, total]).strip()).print(options)
    else:
        say(f"none of the {len(errors)} files could be encoded", file=sys.stderr)
    return 1 if errors else 0
