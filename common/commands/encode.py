"""The command encode: encode videos, each scene at its predicted level, and pictures."""

import argparse
from collections.abc import Callable

from ..base.constants import FRAMES_PER_SCENE, LEVELS
from ..base.program import program
from ..encoding.encoders import AIMS, CRF, ENCODERS, MEAN, RATE_CONTROLS
from ..encoding.picture_formats import FORMATS, SUBSAMPLINGS
from ..models.descriptions import Description
from .model_options import add_model_options, describe_levels
from .options import add_options, path, positive, positive_real


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
    usual = f"(default: 1 if trials search for a VMAF, else {FRAMES_PER_SCENE})"
    frames = f"number of frames to predict from in each scene {usual}"
    add("--frames_per_scene", type=positive, metavar="N", help=frames)
    add("--encoder", choices=tuple(ENCODERS), default="x264", help="video encoder")
    _add_coding(add)
    vmaf = "VMAF of each scene or picture in place of the level's; the search starts at the level"
    add("--vmaf", type=_vmaf, metavar="X", help=vmaf)
    aim = "what reaches that VMAF: the mean of a scene's frames, or their 5th percentile, so that\n"
    aim += "95%% of the frames of each scene are at least as good"
    add("--aim", choices=AIMS, default=MEAN, help=aim)
    negative = "measure VMAF by its NEG model, which does not reward sharpening; without --vmaf,\n"
    negative += "scenes get the value that x264 has at the predicted QP"
    add("--vmaf_neg", action="store_true", help=negative)
    unverified = (
        "do not measure the result; x264 and pictures then make no trials either, while x265\n"
    )
    unverified += "and svtav1 still need them to match x264 at the predicted level"
    add("--no_verify", action="store_true", help=unverified)
    dry = "only print the plan and the expected size, after the trial encodes"
    add("--dry_run", action="store_true", help=dry)
    _add_picture_options(add)
    overwrite = "replace OUTPUT if it exists; never INPUT"
    add_options(command, "json overwrite", overwrite={"help": overwrite})


def _add_coding(add: Callable[..., object]) -> None:
    """Add the options of the encoder."""
    control = "crf: what encoders do by default, with the fewest bits; qp: constant QP"
    add("--rate_control", choices=RATE_CONTROLS, default=CRF, help=control)
    presets = ", ".join(f"{each.preset} for {name}" for name, each in ENCODERS.items())
    preset = f"the encoder's preset, passed on as it is (default: {presets})"
    add("--preset", metavar="NAME", help=preset)
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


def _add_picture_options(add: Callable[..., object]) -> None:
    """Add the options that only pictures have."""
    names = [suffix[1:] for suffix in FORMATS]
    where = "format of pictures that are written into a folder"
    add("--format", choices=names, default=names[0], help=where)
    chroma = "chroma of pictures; 4:4:4 keeps the edges of saturated colours, in more bytes"
    add("--subsampling", choices=SUBSAMPLINGS, default=SUBSAMPLINGS[0], help=chroma)


def run(options: argparse.Namespace) -> int:
    """Encode videos and pictures at their predicted levels; return 1 if some cannot be."""
    from .encode_files import encode_files

    return encode_files(options)
