"""The command encode, for whatever its inputs are: one file, or several into a folder."""

import argparse
import contextlib
import logging
import sys
from collections.abc import Sequence

from ..base.errors import say
from ..base.files import check_writable, make_writable
from ..base.temporary import lock
from ..data.text import readable
from ..encoding.encoders import ENCODERS
from ..encoding.outputs import Outputs, Pair, find_outputs, is_file, leave_out_existing
from . import encode_pictures, encode_videos
from .encode_reports import Report, describe_sizes, list_errors

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
    _refuse_options(options, outputs)
    if is_file(options.inputs):
        if outputs.videos:
            return encode_videos.run(options, outputs.videos[0])
        target, path = outputs.pictures[0].target, outputs.pictures[0].path
        if not options.dry_run:
            check_writable(target, overwrite=options.overwrite, inputs=[path])
        with contextlib.nullcontext() if options.dry_run else lock(target):
            return encode_pictures.run(options, outputs, [])
    existing: list[Pair] = []
    if not options.overwrite:
        outputs, existing = leave_out_existing(outputs)
    if existing:
        files = "1 output exists" if len(existing) == 1 else f"{len(existing)} outputs exist"
        _log.warning("left out: %s already; --overwrite replaces them", files)
    if not options.dry_run:
        # Before the lock, which is in the folder if there is one and else beside it.
        make_writable(options.output)
    with contextlib.nullcontext() if options.dry_run else lock(options.output):
        if not outputs.videos and (outputs.pictures or not existing):
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
    total = "" if options.dry_run else f"All: {describe_sizes(*sizes)}."
    texts = [each.text for each in reports if each.text]
    if texts or options.json or not errors:
        total = total if texts else "Nothing is left to encode."
        Report(document, "\n\n".join([*texts, total]).strip()).print(options)
    else:
        say(f"none of the {len(errors)} files could be encoded", file=sys.stderr)
    return 1 if errors else 0
