"""The command encode: encode a video, each scene at its predicted level, or pictures."""

import argparse
import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.constants import LEVELS
from ..base.errors import UserError, printable
from ..base.files import check_regular, check_writable
from ..base.program import program
from ..base.temporary import lock
from ..data.text import readable
from ..encoding.encoders import ENCODERS
from ..models.descriptions import Description
from ..models.labels import UNKNOWN
from .encode_pictures import add_picture_options, refuse_options
from .encode_pictures import run as run_on_pictures
from .model_options import add_model_options, describe_levels, find_model_weights, load_predictor
from .options import path, positive

if TYPE_CHECKING:
    from ..encoding.encode import EncodedVideo
    from ..encoding.planning import ScenePlan


def add_parser(commands: argparse._SubParsersAction, description: Description) -> None:
    """Add the command encode to `commands`."""
    _, level = describe_levels(description)
    start = program(description.name, "encode")
    command = commands.add_parser(
        "encode",
        help="encode a video, each scene at its predicted level, or pictures",
        description="Encode a video so that each scene has the QP of its predicted level. Sound,\n"
        "subtitles, metadata, frame times and colour tags stay unchanged. Or encode a picture,\n"
        "or those in a folder, as JPEG, WebP or AVIF of the VMAF that defines their level.",
        epilog=f"examples:\n  {start} {level}clip.mp4 smaller.mp4\n"
        f"  {start} {level}photo.png photo.jpg\n  {start} {level}photos/ smaller/",
    )
    command.set_defaults(run=run, check=check_qps)
    add = command.add_argument
    add("input", type=path, metavar="INPUT", help="a video, a picture, or a folder of pictures")
    output = "the file to write, such as out.mp4 or out.jpg, or a folder"
    add("output", type=path, metavar="OUTPUT", help=output)
    encoded_level = {"default": LEVELS[0], "help": "the level to encode at"}
    add_model_options(command, description, encoded_level if description.multitask else None)
    add("--encoder", choices=tuple(ENCODERS), default="x264", help="video encoder")
    finest = "finest QP that a scene may get"
    add("--min_qp", type=positive, default=1, metavar="N", help=finest)
    coarsest = "coarsest QP that a scene may get (default: the encoder's)"
    add("--max_qp", type=positive, metavar="N", help=coarsest)
    unverified = "do not check the predicted QPs by a trial encode of each scene's middle"
    add("--no_verify", action="store_true", help=unverified)
    dry = "only print the plan and the expected size, after the trial encodes"
    add("--dry_run", action="store_true", help=dry)
    add_picture_options(command)
    add("--json", action="store_true", help="print a JSON document, and nothing else")
    add("--overwrite", action="store_true", help="replace OUTPUT if it exists; never INPUT")


def check_qps(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Exit with code 2 if --min_qp and --max_qp leave no QP to choose from."""
    coarsest = ENCODERS[options.encoder].coarsest
    for name in ("min_qp", "max_qp"):
        value = getattr(options, name)
        if value is not None and value > coarsest:
            parser.error(f"--{name} {value} is beyond {options.encoder}'s coarsest QP, {coarsest}")
    if options.max_qp is not None and options.min_qp > options.max_qp:
        parser.error(f"--min_qp {options.min_qp} is above --max_qp {options.max_qp}")


def run(options: argparse.Namespace) -> int:
    """Encode a video or pictures at their predicted levels; return 1 if some pictures fail."""
    from ..encoding import containers, encode, pictures

    _check_input(options)
    if pictures.are_pictures(options.input):
        return run_on_pictures(options)
    refuse_options(options, pictures=False)
    containers.find_container(options.output)
    if not options.dry_run:
        check_writable(options.output, overwrite=options.overwrite, inputs=[options.input])
    weights = find_model_weights(options)
    predictor = load_predictor(options, weights)
    how = encode.EncodeOptions(
        level=options.jnd_value,
        encoder=options.encoder,
        min_qp=options.min_qp,
        max_qp=options.max_qp,
        view=options.view,
        frames_per_scene=options.frames_per_scene,
        verify=not options.no_verify,
        dry_run=options.dry_run,
        overwrite=options.overwrite,
    )
    # If two runs share an OUTPUT, the lock makes the second one fail before its work.
    with contextlib.nullcontext() if options.dry_run else lock(options.output):
        encoded = encode.encode_video(options.input, options.output, predictor, how)
    document = _make_document(encoded, options, weights)
    print(json.dumps(document, indent=2) if options.json else _make_text(encoded, document))
    return 0


def _check_input(options: argparse.Namespace) -> None:
    """Check INPUT before any work, and resolve it below /dev.

    Raises:
        UserError: there is none, or it is neither a regular file nor a folder.
    """
    if not options.input.exists():
        raise UserError(f"{options.input}: no such file")
    check_regular(options.input)
    if options.input.is_relative_to("/dev"):
        # /dev/stdin (a shell's `<`) would be another file in the programs that we start.
        options.input = options.input.resolve()


def _make_document(
    encoded: "EncodedVideo", options: argparse.Namespace, weights: Path
) -> dict[str, Any]:
    """Make the JSON document, which docs/encode.md describes."""
    measured: Sequence[float | None] = encoded.scene_vmaf or [None] * len(encoded.scenes)
    document = {
        "model": options.description.title,
        "weights": readable(weights),
        "labels": encoded.labels.describe() or UNKNOWN,
        "input": readable(options.input),
        "output": readable(options.output),
        "level": options.jnd_value,
        "encoder": options.encoder,
        "vmaf_wanted": encoded.target_vmaf,
        "input_bytes": encoded.input_bytes,
        "expected_picture_bytes": encoded.expected_bytes and round(encoded.expected_bytes),
        "notes": encoded.notes,
        "scenes": [_make_row(*each) for each in zip(encoded.scenes, measured)],
    }
    if encoded.output_bytes is not None:
        document["output_bytes"] = encoded.output_bytes
    if encoded.vmaf is not None:
        document["vmaf"] = round(encoded.vmaf, 2)
    return document


def _make_row(plan: "ScenePlan", vmaf: float | None) -> dict[str, Any]:
    row = {
        "first_frame": plan.scene.first,
        "last_frame": plan.scene.end - 1,
        "start": round(plan.scene.start_seconds, 6),
        "end": round(plan.scene.end_seconds, 6),
        "level": round(plan.level, 3),
        "qp": plan.qp,
        "corrected": plan.adjusted,
        "trial_vmaf": plan.trial_vmaf and round(plan.trial_vmaf, 2),
    }
    return row if vmaf is None else {**row, "vmaf": round(vmaf, 2)}


def _make_text(encoded: "EncodedVideo", document: dict[str, Any]) -> str:
    """Make a table of the scenes, followed by the sizes and the VMAF."""
    lines = [f"{'seconds':>15} {document['level']:>7} {'QP':>4} {'VMAF':>7}"]
    for number, each in enumerate(encoded.scenes):
        vmaf = encoded.scene_vmaf[number] if encoded.scene_vmaf else each.trial_vmaf
        times = f"{each.scene.start_seconds:.1f} to {each.scene.end_seconds:.1f}"
        shown = " " * 7 if vmaf is None else f"{vmaf:7.1f}"
        note = "  QP adjusted after a trial encode" if each.adjusted else ""
        lines.append(f"{times:>15} {each.level:7.1f} {each.qp:4d} {shown}{note}")
    sizes = f"input {encoded.input_bytes / 1e6:.2f} MB"
    if encoded.expected_bytes:
        sizes += f", estimated video stream {encoded.expected_bytes / 1e6:.2f} MB"
    if encoded.output_bytes is None:
        return "\n".join([*lines, f"Dry run: {sizes}."])
    saved = 1 - encoded.output_bytes / encoded.input_bytes
    lines.append(
        f"{printable(document['output'])}: {encoded.output_bytes / 1e6:.2f} MB, "
        f"saved {saved:.0%}; {sizes}."
    )
    if encoded.vmaf is not None:
        target = f" (target {encoded.target_vmaf:g})" if encoded.target_vmaf else ""
        lines.append(f"VMAF {encoded.vmaf:.1f}{target}.")
    lines.append(printable(f"Labels: {document['labels']}. Weights: {document['weights']}."))
    return "\n".join(lines)
