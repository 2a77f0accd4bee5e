"""The command encode: encode a video, each scene at its predicted level, or pictures."""

import argparse
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.constants import LEVELS
from ..base.errors import UserError, printable
from ..base.files import check_regular, check_writable
from ..base.program import program
from ..base.temporary import lock
from ..data.text import readable
from ..encoding.encoders import AIMS, CRF, ENCODERS, MEAN, P5, RATE_CONTROLS
from ..models.descriptions import Description
from ..models.labels import UNKNOWN
from .encode_pictures import add_picture_options, refuse_options
from .encode_pictures import run as run_on_pictures
from .model_options import add_model_options, describe_levels, find_model_weights, load_predictor
from .options import path, positive, positive_real

if TYPE_CHECKING:
    from ..encoding.encode import EncodedVideo
    from ..encoding.scores import Score


def add_parser(commands: argparse._SubParsersAction, description: Description) -> None:
    """Add the command encode to `commands`."""
    _, level = describe_levels(description)
    start = program(description.name, "encode")
    command = commands.add_parser(
        "encode",
        help="encode a video, each scene at its predicted level, or pictures",
        description="Encode a video so that each scene has the VMAF of its level. Sound,\n"
        "subtitles, metadata, frame times and colour tags stay unchanged. Or encode a picture,\n"
        "or those in a folder, as JPEG, WebP or AVIF of the VMAF that defines their level.",
        epilog=f"examples:\n  {start} {level}clip.mp4 smaller.mp4\n"
        f"  {start} {level}photo.png photo.jpg\n  {start} {level}photos/ smaller/",
    )
    command.set_defaults(run=run, check=check_options)
    add = command.add_argument
    add("input", type=path, metavar="INPUT", help="a video, a picture, or a folder of pictures")
    output = "the file to write, such as out.mp4 or out.jpg, or a folder"
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
    add_picture_options(command)
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
        rate_control=options.rate_control,
        preset=options.preset,
        adaptive=options.aq,
        vmaf=options.vmaf,
        aim=options.aim,
        vmaf_neg=options.vmaf_neg,
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
    document = {
        "model": options.description.title,
        "weights": readable(weights),
        "labels": encoded.labels.describe() or UNKNOWN,
        "input": readable(options.input),
        "output": readable(options.output),
        "level": options.jnd_value,
        "encoder": options.encoder,
        "rate_control": options.rate_control,
        "vmaf_model": "vmaf_v0.6.1neg" if options.vmaf_neg else "vmaf_v0.6.1",
        "vmaf_wanted": encoded.target_vmaf,
        "aim": options.aim,
        "input_bytes": encoded.input_bytes,
        "expected_picture_bytes": encoded.expected_bytes and round(encoded.expected_bytes),
        "notes": encoded.notes,
        "scenes": [_make_row(encoded, number, options) for number in range(len(encoded.scenes))],
    }
    if encoded.output_bytes is not None:
        document["output_bytes"] = encoded.output_bytes
        document["picture_bytes"] = sum(encoded.scene_bytes or [])
    if encoded.vmaf is not None:
        document["vmaf"] = round(encoded.vmaf, 2)
    return document


def _make_row(encoded: "EncodedVideo", number: int, options: argparse.Namespace) -> dict[str, Any]:
    plan, control = encoded.scenes[number], options.rate_control
    row = {
        "first_frame": plan.scene.first,
        "last_frame": plan.scene.end - 1,
        "start": round(plan.scene.start_seconds, 6),
        "end": round(plan.scene.end_seconds, 6),
        "level": round(plan.level, 3),
        control: plan.quantizer,
        "trials": [
            {control: each.quantizer, **_round(each.score), "frames": each.frames}
            for each in plan.trials
        ],
        "vmaf_promised": plan.promised_vmaf and round(plan.promised_vmaf, 2),
    }
    if encoded.scene_bytes:
        row["bytes"] = encoded.scene_bytes[number]
    if encoded.scene_vmaf:
        row |= _round(encoded.scene_vmaf[number])
    return row


def _round(score: "Score") -> dict[str, float]:
    return {"vmaf": round(score.mean, 2), "vmaf_p5": round(score.p5, 2)}


def _make_text(encoded: "EncodedVideo", document: dict[str, Any]) -> str:
    """Make a table of the scenes, followed by the sizes and the VMAF."""
    control, level = document["rate_control"].upper(), document["level"]
    lines = [f"{'seconds':>15} {level:>7} {control:>5} {'trials':>6} {'kbit/s':>7}"]
    lines[0] += f" {'VMAF':>6} {'p5':>6}"
    for number, each in enumerate(encoded.scenes):
        vmaf = {MEAN: None, P5: None, document["aim"]: each.expected_vmaf}
        if encoded.scene_vmaf:
            vmaf = encoded.scene_vmaf[number]._asdict()
        size = encoded.scene_bytes[number] if encoded.scene_bytes else each.expected_bytes
        seconds = each.scene.end_seconds - each.scene.start_seconds
        times = f"{each.scene.start_seconds:.1f} to {each.scene.end_seconds:.1f}"
        rate = "" if size is None else f"{size * 8 / 1000 / seconds:.0f}"
        figures = ("" if vmaf[aim] is None else f"{vmaf[aim]:.1f}" for aim in AIMS)
        line = f"{times:>15} {each.level:7.1f} {each.quantizer:5g} {len(each.trials):6d}"
        lines.append(" ".join([line, f"{rate:>7}", *(f"{each:>6}" for each in figures)]))
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
        of_what = "" if document["aim"] == MEAN else " for the 5th percentile of each scene"
        target = f" (target {encoded.target_vmaf:g}{of_what})" if encoded.target_vmaf else ""
        lines.append(f"VMAF {encoded.vmaf:.1f}{target}.")
    lines.append(printable(f"Labels: {document['labels']}. Weights: {document['weights']}."))
    return "\n".join(lines)
