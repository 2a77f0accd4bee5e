"""`encode`: from a video to another one, and what is told of it."""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..base.constants import QP, QUALITY
from ..base.errors import UserError, printable
from ..data.text import readable
from ..inference.answers import NOT_TOLD, of_video
from ..inference.predictor import Predictor
from ..video.probe import probe
from ..video.scenes import Scene
from .containers import check_container
from .delivery import deliver
from .encoders import ENCODERS, check_available
from .planning import Planned, is_measurable, plan, threshold_of
from .raw import RawVideo, choose_raw

_log = logging.getLogger(__name__)


class Wish(NamedTuple):
    """How a video is to be encoded."""

    level: str  # "JND1", "JND2" or "JND3"
    encoder: str  # a key of `ENCODERS`
    min_qp: int  # of the encoder
    max_qp: int | None  # None: its coarsest
    view: str  # a key of `VIEWS`
    frames_per_scene: int
    verify: bool  # try scenes first, correct what misses the level's VMAF, and measure the whole
    dry_run: bool  # encode nothing but trials
    overwrite: bool  # replace an existing file


def encode(predictor: Predictor, path: Path, target: Path, wish: Wish) -> dict:
    """Encode each scene of the video at `path` at its predicted level, into the file `target`.

    Returns:
        A JSON document: sizes in bytes, and the level, QP and VMAF of each scene.

    Raises:
        UserError: the video cannot be read or encoded, `target` cannot hold it, or levels are no
            QPs.
    """
    check_available(wish.encoder)
    if predictor.labels.codec == QUALITY:
        raise UserError(f"{predictor.weights}: predicts JPEG qualities; videos need QPs")
    video = probe(path)
    raw = choose_raw(video, wish.encoder)
    notes = [*raw.notes, *check_container(raw, target, wish.encoder)]
    if wish.verify and not is_measurable(raw):
        notes.append(f"frames of {raw.width}x{raw.height} are too small for VMAF: no trial encodes")
    for note in notes:
        _log.warning("note: %s", note)
    rows = of_video(predictor, video, wish.view, wish.frames_per_scene, QP)["scenes"]
    scenes = [
        Scene(row["first_frame"], row["last_frame"] + 1, row["start"], row["end"]) for row in rows
    ]
    levels = [row["levels"][wish.level] for row in rows]
    wanted = threshold_of(predictor.labels, wish.level)
    allowed = range(wish.min_qp, (wish.max_qp or ENCODERS[wish.encoder].coarsest) + 1)
    planned = plan(raw, scenes, levels, wish.encoder, allowed, wanted, wish.verify)
    rows = [_told(each) for each in planned]
    document = {
        "model": predictor.description.title,
        "weights": readable(predictor.weights),
        "labels": predictor.labels.describe() or NOT_TOLD,
        "input": readable(path),
        "output": readable(target),
        "level": wish.level,
        "encoder": wish.encoder,
        "vmaf_wanted": wanted,
        "input_bytes": path.stat().st_size,
        "expected_picture_bytes": _expected(planned),
        "notes": notes,
        "scenes": rows,
    }
    if wish.dry_run:
        return document
    return {**document, **_delivered(raw, target, planned, wish, rows)}


def _delivered(
    raw: RawVideo, target: Path, planned: list[Planned], wish: Wish, rows: list[dict]
) -> dict:
    """Encode as planned; sizes and VMAF, the scenes' in their `rows`."""
    measure = wish.verify and is_measurable(raw)
    size, vmaf = deliver(raw, target, planned, wish.encoder, measure, wish.overwrite)
    sizes: dict[str, float] = {"output_bytes": size}
    if vmaf:
        for row, each in zip(rows, vmaf):
            row["vmaf"] = round(each, 2)
        lengths = [each.scene.end - each.scene.first for each in planned]
        sizes["vmaf"] = round(float(np.average(vmaf, weights=lengths)), 2)
    return sizes


def _expected(planned: list[Planned]) -> int | None:
    sizes = [each.bytes for each in planned if each.bytes is not None]
    return round(sum(sizes)) if len(sizes) == len(planned) else None


def _told(each: Planned) -> dict:
    return {
        "first_frame": each.scene.first,
        "last_frame": each.scene.end - 1,
        "start": each.scene.start_seconds,
        "end": each.scene.end_seconds,
        "level": each.level,
        "qp": each.qp,
        "corrected": each.corrected,
        "trial_vmaf": None if each.vmaf is None else round(each.vmaf, 2),
    }


def as_lines(told: dict) -> str:
    """What a person reads: a line per scene, then sizes."""
    lines = [f"{'seconds':>15} {told['level']:>7} {'QP':>4} {'VMAF':>7}"]
    for row in told["scenes"]:
        vmaf = row.get("vmaf", row["trial_vmaf"])
        shown = f"{'':7}" if vmaf is None else f"{vmaf:7.1f}"
        note = "  corrected by trials" if row["corrected"] else ""
        times = f"{row['start']:.1f} to {row['end']:.1f}"
        lines.append(f"{times:>15} {row['level']:7.1f} {row['qp']:4d} {shown}{note}")
    expected = told["expected_picture_bytes"]
    if "output_bytes" not in told:
        lines += [f"Pictures: about {expected / 1e6:.1f} MB expected."] if expected else []
        return "\n".join(lines)
    before, after = told["input_bytes"], told["output_bytes"]
    less = f", pictures expected {expected / 1e6:.2f}" if expected else ""
    lines.append(
        f"{printable(told['output'])}: {after / 1e6:.2f} MB{less}; the input has "
        f"{before / 1e6:.2f} ({after / before - 1:+.0%})"
    )
    if "vmaf" in told:
        wanted = f", the level stands for {told['vmaf_wanted']:g}" if told["vmaf_wanted"] else ""
        lines.append(f"VMAF {told['vmaf']:.1f}{wanted}.")
    lines.append(printable(f"Labels: {told['labels']}. Weights: {told['weights']}."))
    return "\n".join(lines)
