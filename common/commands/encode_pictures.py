"""The command encode, for pictures: each becomes a JPEG, WebP or AVIF file at its level."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..base.constants import QP
from ..base.errors import UserError, printable
from ..data.text import readable
from ..encoding.outputs import Outputs, Pair
from ..encoding.picture_formats import find_format
from ..encoding.pictures import EncodedPicture, PictureOptions, encode_pictures, find_wanted
from ..inference.predictor import Predictor
from ..models.labels import JPEG_THRESHOLDS, PROXY, UNKNOWN, Labels
from .encode_reports import Report, describe_saved, describe_sizes, list_errors, print_all
from .model_options import find_jpeg_weights, load_predictor

_log = logging.getLogger(__name__)


def run(options: argparse.Namespace, outputs: Outputs, existing: Sequence[Pair]) -> int:
    """Encode a picture or several; return 1 if some of them cannot be.

    Args:
        existing: the pictures that are left out because their output exists.
    """
    alone = len(outputs.pictures) == 1 and not outputs.errors and not existing
    report, errors = encode(options, outputs.pictures, alone)
    if alone and errors:
        raise errors[outputs.pictures[0].path]
    errors = outputs.errors | errors
    report.document["existing"] = [readable(each.target) for each in existing]
    report.document["errors"] = list_errors(errors)
    return print_all(report, errors, options)


def encode(
    options: argparse.Namespace, pairs: Sequence[Pair], alone: bool = False
) -> tuple[Report, dict[Path, UserError]]:
    """Encode pictures, and return those that cannot be with their errors.

    These are also reported on stderr in order, unless a picture is `alone`.

    Raises:
        UserError: there are no weights, or Pillow lacks an encoder.
    """
    for form in {each.target.suffix.lower(): find_format(each.target) for each in pairs}.values():
        if options.subsampling not in form.subsamplings:
            options.parser.error(f"--subsampling: {form.name} has only {form.subsamplings[0]}")
    weights = find_jpeg_weights(options)
    predictor = load_predictor(options, weights) if weights else None
    if predictor and predictor.labels.codec == QP and options.model_weights_path.is_dir():
        predictor = None  # the folder's model is for videos
    how = PictureOptions(
        level=options.jnd_value,
        vmaf=options.vmaf,
        subsampling=options.subsampling,
        view=options.view,
        verify=not options.no_verify,
        dry_run=options.dry_run,
        overwrite=options.overwrite,
    )
    results = encode_pictures([each[:2] for each in pairs], how, predictor, alone)
    made = [each for each in results if not isinstance(each, UserError)]
    errors = {pair.path: each for pair, each in zip(pairs, results) if isinstance(each, UserError)}
    for each in made:
        for note in each.notes:
            _log.warning("%s: %s", each.path, note)
    wanted = find_wanted(how, predictor) if how.verify else None
    document = _make_document(made, options, predictor, wanted)
    return Report(document, _make_text(made, document, how.verify) if made else ""), errors


def _make_document(
    made: Sequence[EncodedPicture],
    options: argparse.Namespace,
    predictor: Predictor | None,
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
    }


def _make_row(each: EncodedPicture) -> dict[str, Any]:
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


def _make_text(made: Sequence[EncodedPicture], document: dict[str, Any], verified: bool) -> str:
    """Make a table of the pictures, followed by the sizes."""
    lines = [f"{'quality':>7} {'VMAF':>6} {'trials':>6} {'kB':>9} {'saved':>6}  picture"]
    for each in made:
        quality = "copied" if each.quality is None else each.quality
        vmaf = "" if each.vmaf is None else f"{each.vmaf:.1f}"
        saved = describe_saved(each.input_bytes, each.output_bytes)
        size = f"{each.output_bytes / 1e3:.1f}"
        line = f"{quality:>7} {vmaf:>6} {each.trials:>6} {size:>9} {saved:>6}  {each.target}"
        lines.append(printable(line))
    before, after = document["input_bytes"], document["output_bytes"]
    count = f"{len(made)} picture{'' if len(made) == 1 else 's'}"
    lines.append(f"{count}: {describe_sizes(before, after)}.")
    wanted = document["vmaf_wanted"]
    target = f"VMAF {wanted:g}" if wanted else "the VMAF of JPEG at the level"
    weights = document["weights"] or "no model of JPEG qualities"
    aim = f"Target: {target}. " if verified else ""
    lines.append(printable(f"{aim}Labels: {document['labels']}. Weights: {weights}."))
    return "\n".join(lines)
