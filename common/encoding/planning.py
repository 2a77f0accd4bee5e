"""Which QP each scene of a video is encoded at, and how that is checked.

predicted level ─ start ─ trial encodes of the scene's middle ─ VMAF ─ QP
                                                                 │
               what the level stands for, or x264's at the level ┘
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ..base.constants import LEVELS
from ..base.temporary import temporary_folder
from ..models.labels import Labels
from ..video.frame_codecs import whole
from ..video.quality import score_video
from ..video.scenes import Scene
from .clips import WINDOW, encode_clip, packet_bytes, windows
from .encoders import ENCODERS, Encoder
from .raw import RawVideo

# A scene whose trial misses its VMAF by more than what one QP changes is corrected, at most so
# often, and by so many QPs at a time.
_CORRECTIONS, _FARTHEST = 2, 8
# A trial is this far from the wanted VMAF only after a wrong prediction, which takes more trials.
FAR_BELOW, _MOST_CORRECTIONS = 10, 8
# By how much log(100 - VMAF), which is nearly linear in the QP, rises per QP of H.264, until two
# trials tell.
_RISE = 0.09
# libvmaf crashes on some pictures with a side of fewer pixels.
_LEAST_MEASURED = 32
# Frames from one intra frame to the next, unless a scene ends: x264's and x265's default.
KEYFRAMES_APART = 250


class Planned(NamedTuple):
    """A scene, and how it is to be encoded."""

    scene: Scene
    level: float  # predicted, H.264 QP
    qp: int  # of the encoder
    vmaf: float | None  # of the trial at that QP, or as expected there; None: not tried
    corrected: bool  # the prediction missed the quality that its level stands for
    bytes: float | None  # expected
    promised: float | None = None  # VMAF that the scene should reach; None: not known


class Trial(NamedTuple):
    """The middle of a scene, encoded at a QP."""

    qp: int
    vmaf: float  # mean
    bytes: float  # expected of the whole scene


def threshold_of(labels: Labels, level: str) -> float | None:
    """Look up the VMAF that `level` stands for in proxy labels; None for viewers' labels."""
    return labels.thresholds[LEVELS.index(level)] if labels.thresholds else None


def plan(
    raw: RawVideo,
    scenes: Sequence[Scene],
    levels: Sequence[float],
    name: str,
    allowed: range,
    threshold: float | None,
    verify: bool,
) -> list[Planned]:
    """Choose the QP of each scene of a video for the encoder `name`.

    Without trials, a scene's QP is its level, rounded. That is enough for x264; for other encoders,
    trial encodes find the QP at which the scene's VMAF equals that of x264 at the level. If the
    levels stand for a VMAF, `verify` corrects scenes that miss it. Frames too small for VMAF get no
    trials.

    Args:
        levels: H.264 QPs, one per scene.
        allowed: the encoder's QPs to choose from.
        threshold: the VMAF that the level stands for; None: no VMAF.

    Raises:
        UserError: the video cannot be read.
    """
    encoder, x264 = ENCODERS[name], ENCODERS["x264"]
    starts = [_within(allowed, encoder.first_qp(level)) for level in levels]
    if (not verify and encoder is x264) or not is_measurable(raw):
        return [
            Planned(scene, level, qp, None, False, None)
            for scene, level, qp in zip(scenes, levels, starts)
        ]
    wanted = threshold if verify else None
    with temporary_folder() as folder:
        rows = zip(windows(raw, scenes, folder), scenes, levels, starts)
        bar = tqdm(rows, "trials", len(scenes), unit="scene", disable=None)
        return [
            _plan_scene(part, scene, level, qp, encoder, allowed, wanted, raw)
            for part, scene, level, qp in bar
        ]


def _plan_scene(
    part: Path,
    scene: Scene,
    level: float,
    qp: int,
    encoder: Encoder,
    allowed: range,
    wanted: float | None,
    raw: RawVideo,
) -> Planned:
    """Choose the QP of a scene by trials of `part`, its middle, beginning at `qp`."""
    x264, length = ENCODERS["x264"], scene.end - scene.first
    trials = [_try(part, encoder, qp, length, raw)]
    if wanted is None and encoder is not x264:
        wanted = _try(part, x264, _within(range(1, 52), level), length, raw).vmaf
    if wanted is not None:
        trials += _corrections(part, encoder, trials[0], wanted, allowed, length, raw)
    nearest = min(trials, key=lambda trial: abs(trial.vmaf - (wanted or trial.vmaf)))
    # If even the finest QP that the user allows is too coarse, only its own VMAF is promised.
    bound = nearest.qp == allowed[0] > 1
    return Planned(
        scene=scene,
        level=level,
        qp=nearest.qp,
        vmaf=nearest.vmaf,
        corrected=nearest.qp != qp,
        bytes=nearest.bytes,
        promised=wanted if wanted and not bound else nearest.vmaf,
    )


def is_measurable(raw: RawVideo) -> bool:
    """Whether the frames are large enough for VMAF."""
    return min(raw.width, raw.height) >= _LEAST_MEASURED


def _try(part: Path, encoder: Encoder, qp: int, length: int, raw: RawVideo) -> Trial:
    coded = part.with_suffix(".coded.nut")
    # Without tags, as the part is: what says full range would be converted to be measured.
    encode_clip(part, coded, encoder, qp, raw, "null")
    intra, *inter = packet_bytes(coded)
    intras = -(-length // KEYFRAMES_APART)
    size = intras * intra + (length - intras) * float(np.mean(inter or [intra]))
    scores = score_video(coded, part, min(WINDOW, length))
    return Trial(qp, float(np.mean(scores)), size)


def _corrections(
    part: Path,
    encoder: Encoder,
    first: Trial,
    wanted: float,
    allowed: range,
    length: int,
    raw: RawVideo,
) -> list[Trial]:
    """Trials at QPs that come nearer to the VMAF that is wanted, each by the slope measured."""
    trials, rise = [first], _RISE / encoder.steps
    for _ in range(_MOST_CORRECTIONS):
        nearest = min(abs(trial.vmaf - wanted) for trial in trials)
        if len(trials) > _CORRECTIONS and nearest < FAR_BELOW:
            break
        qps = [trial.qp for trial in trials]
        losses = [np.log(max(100 - trial.vmaf, 0.01)) for trial in trials]
        if len(trials) > 1:
            measured = (losses[-1] - losses[-2]) / (qps[-1] - qps[-2])
            rise = measured if measured > rise / 3 else rise
        by = (np.log(100 - wanted) - losses[-1]) / rise
        qp = _within(allowed, qps[-1] + float(np.clip(by, -_FARTHEST, _FARTHEST)))
        if qp in qps:
            break
        trials.append(_try(part, encoder, qp, length, raw))
    return trials[1:]


def _within(allowed: range, qp: float) -> int:
    return min(max(whole(qp), allowed[0]), allowed[-1])
