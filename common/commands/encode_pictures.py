"""The command encode, for pictures: each becomes a JPEG, WebP or AVIF file at its level."""

import argparse
import contextlib
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import UserError, printable, say
from ..base.temporary import lock
from ..data.text import readable
from ..encoding.picture_formats import FORMATS, SUBSAMPLINGS, find_format
from ..models.labels import JPEG_THRESHOLDS, PROXY, UNKNOWN, Labels
from .model_options import find_jpeg_weights, load_predictor

if TYPE_CHECKING:
    from ..encoding.pictures import EncodedPicture
    from ..inference.predictor import Predictor

_OPTIONS = ("format", "subsampling")  # of pictures only
_OF_CODING = ("encoder", "rate_control", "preset", "aq", "min_qp", "max_qp")
_OF_VIDEOS = (*_OF_CODING, "aim", "vmaf_neg", "frames_per_scene")
_log = logging.getLogger(__name__)


def add_picture_options(command: argparse.ArgumentParser) -> None:
    """Add the options of encode that only pictures have."""
    add, names = command.add_argument, [suffix[1:] for suffix in FORMATS]
    where = "format of pictures that are written into a folder"
    add("--format", choices=names, default=names[0], help=where)
    chroma = "chroma of pictures; 4:4:4 keeps the edges of saturated colours, in more bytes"
    add("--subsampling", choices=SUBSAMPLINGS, default=SUBSAMPLINGS[0], help=chroma)


def refuse_options(options: argparse.Namespace, pictures: bool) -> None:
    """Exit with code 2 if an option is given that only the other kind of input has."""
    for name in _OF_VIDEOS if pictures else _OPTIONS:
        if getattr(options, name) != options.parser.get_default(name):
            this, other = ("pictures", "videos") if pictures else ("videos", "pictures")
            options.parser.error(f"--{name}: an option for {other}; the input is of {this}")


def run(options: argparse.Namespace) -> int:
    """Encode a picture or a folder of pictures; return 1 if some of them cannot be."""
    from ..encoding.pictures import PictureOptions, encode_pictures, find_pictures, find_wanted

    refuse_options(options, pictures=True)
    suffix = f".{options.format}"
    pairs = find_pictures(options.input, options.output, suffix)
    for form in {target.suffix.lower(): find_format(target) for _, target in pairs}.values():
        if options.subsampling not in form.subsamplings:
            options.parser.error(f"--subsampling: {form.name} has only {form.subsamplings[0]}")
    weights = find_jpeg_weights(options)
    predictor = load_predictor(options, weights) if weights else None
    how = PictureOptions(
        level=options.jnd_value,
        vmaf=options.vmaf,
        subsampling=options.subsampling,
        view=options.view,
        verify=not options.no_verify,
        dry_run=options.dry_run,
        overwrite=options.overwrite,
    )
    with contextlib.nullcontext() if options.dry_run else lock(options.output):
        results = encode_pictures(pairs, how, predictor)
    made = [each for each in results if not isinstance(each, UserError)]
    errors = {pair[0]: each for pair, each in zip(pairs, results) if isinstance(each, UserError)}
    if len(pairs) == len(errors) == 1:
        raise next(iter(errors.values()))
    for each in made:
        for note in each.notes:
            _log.warning("%s: %s", each.path, note)
    wanted = find_wanted(how, predictor)
    document = _make_document(made, errors, options, predictor, wanted)
    if options.json:
        print(json.dumps(document, indent=2))
    elif made:
        print(_make_text(made, document))
    else:
        say(f"none of the {len(pairs)} pictures could be encoded", file=sys.stderr)
    return 1 if errors else 0


def _make_document(
    made: Sequence["EncodedPicture"],
    errors: dict[Path, UserError],
    options: argparse.Namespace,
    predictor: "Predictor | None",
    wanted: float | None,
) -> dict[str, Any]:
    """Make the JSON document, which docs/pictures.md describes."""
    labels = predictor.labels if predictor else Labels(kind=PROXY, thresholds=JPEG_THRESHOLDS)
    return {
        "model": predictor and predictor.description.title,
        "weights": predictor and readable(predictor.weights),
        "labels": labels.describe() or UNKNOWN,
        "level": options.jnd_value,
        "vmaf_wanted": wanted,
        "subsampling": options.subsampling,
        "input_bytes": sum(each.input_bytes for each in made),
        "output_bytes": sum(each.output_bytes for each in made),
        "pictures": [_make_row(each) for each in made],
        "errors": [{"file": readable(path), "error": str(each)} for path, each in errors.items()],
    }


def _make_row(each: "EncodedPicture") -> dict[str, Any]:
    return {
        "input": readable(each.path),
        "output": readable(each.target),
        "level": each.level and round(each.level, 3),
        "quality": each.quality,
        "vmaf": each.vmaf and round(each.vmaf, 2),
        "trials": each.trials,
        "input_bytes": each.input_bytes,
        "output_bytes": each.output_bytes,
        "notes": each.notes,
    }


def _make_text(made: Sequence["EncodedPicture"], document: dict[str, Any]) -> str:
    """Make a table of the pictures, followed by the sizes."""
    lines = [f"{'quality':>7} {'VMAF':>6} {'trials':>6} {'kB':>9} {'saved':>6}  picture"]
    for each in made:
        quality = "copied" if each.quality is None else each.quality
        vmaf = "" if each.vmaf is None else f"{each.vmaf:.1f}"
        saved = _saved(each.input_bytes, each.output_bytes)
        size = f"{each.output_bytes / 1e3:.1f}"
        line = f"{quality:>7} {vmaf:>6} {each.trials:>6} {size:>9} {saved:>6}  {each.target}"
        lines.append(printable(line))
    before, after = document["input_bytes"], document["output_bytes"]
    count = f"{len(made)} picture{'' if len(made) == 1 else 's'}"
    sizes = f"{count}: {after / 1e6:.2f} MB instead of {before / 1e6:.2f}"
    lines.append(f"{sizes}, saved {_saved(before, after)}.")
    wanted = document["vmaf_wanted"]
    target = f"VMAF {wanted:g}" if wanted else "that of JPEG at the level"
    weights = (
        document["weights"] or "no model of JPEG qualities, so the search begins in the middle"
    )
    lines.append(printable(f"Target: {target}. Labels: {document['labels']}. Weights: {weights}."))
    return "\n".join(lines)


def _saved(before: int, after: int) -> str:
    return f"{1 - after / before:.0%}" if before else "0%"
