"""The command encode, for whatever its inputs are: one file, or several into a folder."""

import argparse
import contextlib
import logging
from collections.abc import Sequence

from ..base.errors import UserError
from ..base.files import check_writable, make_writable
from ..base.temporary import lock
from ..data.text import readable
from ..encoding.encoders import ENCODERS
from ..encoding.outputs import Outputs, Pair, find_outputs, is_file, leave_out_existing
from . import encode_pictures, encode_videos
from .encode_reports import Report, describe_sizes, list_errors, print_all

_log = logging.getLogger(__name__)

# Options of one kind of input only.
_OF_PICTURES = ("format", "subsampling")
_OF_CODING = ("encoder", "rate_control", "preset", "aq", "min_qp", "max_qp")
_OF_VIDEOS = (*_OF_CODING, "aim", "vmaf_neg", "frames_per_scene")


def _refuse_options(options: argparse.Namespace, outputs: Outputs) -> None:
    """Exit with code 2 if an option is given that only another kind of input has."""
    for names, used, this, other in (
        (_OF_VIDEOS, outputs.videos, "pictures", "videos"),
        (_OF_PICTURES, outputs.pictures, "videos", "pictures"),
    ):
        for name in () if used else names:
            if getattr(options, name) != options.parser.get_default(name):
                options.parser.error(f"--{name}: an option for {other}; all inputs are {this}")
    default = options.parser.get_default("format")
    if is_file(options.inputs) and not options.output.is_dir() and options.format != default:
        options.parser.error("--format: for pictures in a folder; OUTPUT's suffix names the format")


def encode_files(options: argparse.Namespace) -> int:
    """Encode videos and pictures at their predicted levels; return 1 if some cannot be."""
    codec = ENCODERS[options.encoder].codec
    outputs = find_outputs(options.inputs, options.output, f".{options.format}", codec)
    if not (outputs.pictures or outputs.videos):  # each error was reported
        raise UserError("none of the inputs can be encoded")
    _refuse_options(options, outputs)
    if is_file(options.inputs):
        if outputs.videos:
            return encode_videos.run(options, outputs.videos[0])
        target, path = outputs.pictures[0].target, outputs.pictures[0].path
        if not options.dry_run:
            check_writable(target, overwrite=options.overwrite, inputs=[path])
        with contextlib.nullcontext() if options.dry_run else lock(target):
            return encode_pictures.run(options, outputs, [])
    only_pictures = not outputs.videos
    if not options.dry_run:
        # A folder must exist before it is locked: its lock is inside it, where a second run looks.
        make_writable(options.output)
    with contextlib.nullcontext() if options.dry_run else lock(options.output):
        existing: list[Pair] = []
        if not options.overwrite:
            outputs, existing = leave_out_existing(outputs)
        if existing:
            files = "1 output exists" if len(existing) == 1 else f"{len(existing)} outputs exist"
            _log.warning("left out: %s already; --overwrite replaces them", files)
        if only_pictures:
            return encode_pictures.run(options, outputs, existing)
        return _encode_all(options, outputs, existing)


def _encode_all(options: argparse.Namespace, outputs: Outputs, existing: Sequence[Pair]) -> int:
    """Encode videos, and perhaps pictures, into a folder; return 1 if some cannot be."""
    pictures, errors = None, dict(outputs.errors)
    if outputs.pictures:
        pictures, wrong = encode_pictures.encode(options, outputs.pictures)
        errors |= wrong
    videos: list[Report] = []
    if outputs.videos:
        videos, wrong = encode_videos.encode(options, outputs.videos)
        errors |= wrong
    reports = [*videos, *([pictures] if pictures else [])]
    names = ("input_bytes",) if options.dry_run else ("input_bytes", "output_bytes")
    sizes = [sum(each.document[name] for each in reports) for name in names]
    document = {
        **dict(zip(names, sizes)),
        "videos": [each.document for each in videos],
        "pictures": pictures and pictures.document,
        "existing": [readable(each.target) for each in existing],
        "errors": list_errors(errors),
    }
    texts = [each.text for each in reports if each.text]
    if texts and not options.dry_run:
        texts.append(f"All: {describe_sizes(*sizes)}.")
    return print_all(Report(document, "\n\n".join(texts)), errors, options)
