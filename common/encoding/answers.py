"""`encode`: from a video to another one, and what is told of it."""

import logging
import shlex
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..base.constants import QP, QUALITY
from ..base.errors import UserError, printable
from ..data.text import readable
from ..inference.answers import NOT_TOLD, of_video
from ..inference.predictor import Predictor
from ..models.labels import Labels
from ..models.weights import labels_of
from ..video.ffmpeg import binary
from ..video.probe import probe
from ..video.scenes import Scene
from .containers import check_container
from .delivery import constant_of_equal_vmaf, deliver
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
    compare: bool  # also find the one constant QP of equal VMAF
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
    labels = labels_of(predictor.weights)
    if labels.get("codec") == QUALITY:
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
    wanted = threshold_of(labels, wish.level)
    allowed = range(wish.min_qp, (wish.max_qp or ENCODERS[wish.encoder].coarsest) + 1)
    planned = plan(raw, scenes, levels, wish.encoder, allowed, wanted, wish.verify)
    rows = [_told(each) for each in planned]
    document = {
        "model": predictor.description.title,
        "weights": readable(predictor.weights),
        "labels": Labels.from_fields(labels).describe() or NOT_TOLD,
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
        return {**document, "commands": _commands(raw, target, planned, wish.encoder)}
    return {**document, **_delivered(raw, target, planned, wish, rows)}


def _delivered(
    raw: RawVideo, target: Path, planned: list[Planned], wish: Wish, rows: list[dict]
) -> dict:
    """Encode as planned; sizes and VMAF, the scenes' in their `rows`."""
    measure = (wish.verify or wish.compare) and is_measurable(raw)
    size, vmaf = deliver(raw, target, planned, wish.encoder, measure, wish.overwrite)
    sizes: dict[str, float] = {"output_bytes": size}
    if vmaf:
        for row, each in zip(rows, vmaf):
            row["vmaf"] = round(each, 2)
        lengths = [each.scene.end - each.scene.first for each in planned]
        sizes["vmaf"] = round(float(np.average(vmaf, weights=lengths)), 2)
        if wish.compare:
            qp, taken = constant_of_equal_vmaf(raw, planned, wish.encoder, sizes["vmaf"])
            sizes |= {"constant_qp": round(qp, 2), "constant_qp_picture_bytes": round(taken)}
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


def _commands(raw: RawVideo, target: Path, planned: list[Planned], encoder: str) -> list[str]:
    """What does the same by hand: a command per scene, and one that joins them."""
    commands, program, path = [], binary("libvmaf"), raw.video.path
    for number, each in enumerate(planned):
        options = ENCODERS[encoder].options(each.qp, raw.pixel_format.depth, raw.mastering).items()
        words = [program, "-ss", each.scene.start_seconds, "-i", path, "-map", "0:V:0"]
        words += ["-frames:v", each.scene.end - each.scene.first, "-vf", f"{raw.graph},{raw.tags}"]
        words += ["-fps_mode", "passthrough", "-enc_time_base", "demux"]
        words += ["-pix_fmt", raw.pixel_format.name, "-c:v", ENCODERS[encoder].library]
        words += [word for name, value in options for word in (f"-{name}", value)]
        commands.append(shlex.join(map(str, [*words, f"scene{number:05d}.nut"])))
    files = " ".join(f"scene{number:05d}.nut" for number in range(len(planned)))
    commands.append(f"printf 'file %s\\n' {files} > scenes.txt")
    joined = [program, "-f", "concat", "-i", "scenes.txt", "-i", path, "-map", "0:v:0"]
    joined += ["-map", "1", "-map", "-1:V:0", "-c", "copy", target]
    return [*commands, shlex.join(map(str, joined))]


def as_lines(told: dict) -> str:
    """What a person reads: a line per scene, then sizes."""
    lines = [f"{'seconds':>15} {told['level']:>7} {'QP':>4} {'VMAF':>7}"]
    for row in told["scenes"]:
        vmaf = row.get("vmaf", row["trial_vmaf"])
        shown = f"{'':7}" if vmaf is None else f"{vmaf:7.1f}"
        note = "  corrected by trials" if row["corrected"] else ""
        times = f"{row['start']:.1f} to {row['end']:.1f}"
        lines.append(f"{times:>15} {row['level']:7.1f} {row['qp']:4d} {shown}{note}")
    if "commands" in told:
        size = told["expected_picture_bytes"]
        lines += [f"Pictures: about {size / 1e6:.1f} MB expected."] if size else []
        return "\n".join([*lines, "By hand:", *told["commands"]])
    before, after = told["input_bytes"], told["output_bytes"]
    expected = told["expected_picture_bytes"]
    less = f", pictures expected {expected / 1e6:.2f}" if expected else ""
    lines.append(
        f"{printable(told['output'])}: {after / 1e6:.2f} MB{less}; the input has "
        f"{before / 1e6:.2f} ({after / before - 1:+.0%})"
    )
    if "vmaf" in told:
        wanted = f", the level stands for {told['vmaf_wanted']:g}" if told["vmaf_wanted"] else ""
        lines.append(f"VMAF {told['vmaf']:.1f}{wanted}.")
    if "constant_qp" in told:
        taken = told["constant_qp_picture_bytes"]
        lines.append(f"One QP of equal VMAF, {told['constant_qp']:.1f}: {taken / 1e6:.2f} MB.")
    lines.append(printable(f"Labels: {told['labels']}. Weights: {told['weights']}."))
    return "\n".join(lines)
