"""The command encode, for videos: each scene at its predicted level."""

import argparse
import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..base.errors import UserError, as_result, printable, report_skipped
from ..base.files import check_writable
from ..base.progress import Progress
from ..base.temporary import lock
from ..data.text import readable
from ..encoding.containers import find_container
from ..encoding.encode import EncodedVideo, EncodeOptions, encode_video
from ..encoding.encoders import AIMS, MEAN, P5
from ..encoding.outputs import Pair
from ..encoding.scores import Score
from ..inference.predictor import Predictor
from ..models.labels import UNKNOWN
from ..video.quality import VMAF, VMAF_NEG
from .encode_reports import Report
from .model_options import find_model_weights, load_predictor

_log = logging.getLogger(__name__)


def run(options: argparse.Namespace, pair: Pair) -> int:
    """Encode one video."""
    find_container(pair.target)
    if not options.dry_run:  # before the model is loaded
        check_writable(pair.target, overwrite=options.overwrite, inputs=[pair.path])
    _encode(options, pair, *_load(options)).print(options)
    return 0


def encode(
    options: argparse.Namespace, pairs: Sequence[Pair]
) -> tuple[list[Report], dict[Path, UserError]]:
    """Encode videos one after the other, and return those that cannot be with their errors.

    These are also reported on stderr at once.

    Raises:
        UserError: there are no weights.
    """
    loaded = _load(options)
    reports, errors = [], {}
    for pair in Progress(pairs, "videos", unit="video"):
        result = as_result(_encode, options, pair, *loaded)
        if isinstance(result, UserError):
            report_skipped(result)
            errors[pair.path] = result
        else:
            reports.append(result)
    return reports, errors


def _load(options: argparse.Namespace) -> tuple[Predictor, Path]:
    weights = find_model_weights(options)
    return load_predictor(options, weights), weights


def _encode(options: argparse.Namespace, pair: Pair, predictor: Predictor, weights: Path) -> Report:
    if pair.note:
        _log.warning("%s: %s", pair.path, pair.note)
    how = EncodeOptions(
        level=options.jnd_value,
        encoder=options.encoder,
        rate_control=options.rate_control,
        preset=options.preset or "",
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
    with contextlib.nullcontext() if options.dry_run else lock(pair.target):
        encoded = encode_video(pair.path, pair.target, predictor, how)
    document = _make_document(encoded, options, pair, weights)
    return Report(document, _make_text(encoded, document))


def _make_document(
    encoded: EncodedVideo, options: argparse.Namespace, pair: Pair, weights: Path
) -> dict[str, Any]:
    """Make the JSON document of a video, which docs/encode.md describes."""
    document = {
        "model": options.description.title,
        "weights": readable(weights),
        "labels": encoded.labels.describe() or UNKNOWN,
        "input": readable(pair.path),
        "output": readable(pair.target),
        "level": options.jnd_value,
        "encoder": options.encoder,
        "rate_control": options.rate_control,
        "vmaf_model": VMAF_NEG if options.vmaf_neg else VMAF,
        "vmaf_wanted": encoded.target_vmaf,
        "aim": options.aim,
        "input_bytes": encoded.input_bytes,
        "expected_picture_bytes": encoded.expected_bytes and round(encoded.expected_bytes),
        "notes": [*([pair.note] if pair.note else []), *encoded.notes],
        "scenes": [_make_row(encoded, number, options) for number in range(len(encoded.scenes))],
    }
    if encoded.output_bytes is not None:
        document["output_bytes"] = encoded.output_bytes
        document["picture_bytes"] = sum(encoded.scene_bytes or [])
    if encoded.vmaf is not None:
        document["vmaf"] = round(encoded.vmaf, 2)
    return document


def _make_row(encoded: EncodedVideo, number: int, options: argparse.Namespace) -> dict[str, Any]:
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


def _round(score: Score) -> dict[str, float]:
    return {"vmaf": round(score.mean, 2), "vmaf_p5": round(score.p5, 2)}


def _make_text(encoded: EncodedVideo, document: dict[str, Any]) -> str:
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
