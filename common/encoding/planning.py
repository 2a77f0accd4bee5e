"""Planning of the QP of each scene of a video, adjusted by trial encodes.

predicted level ─ first QP ─ trial encodes of the scene's middle ─ VMAF ─ QP
                                                                    │
           target: the VMAF that defines the level, or x264's at it ┘
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..base.constants import QP, SCALES
from ..base.progress import Progress
from ..base.temporary import temporary_folder
from ..video.frame_codecs import round_half_up
from ..video.quality import score_video
from ..video.scenes import Scene
from .clips import WINDOW, encode_clip, packet_bytes, windows
from .encoders import ENCODERS, Encoder
from .raw import RawVideo

X264 = ENCODERS["x264"]  # whose QPs the levels are
# libvmaf crashes on some pictures with a shorter side (in pixels).
_LEAST_MEASURED = 32
# If a trial misses the target VMAF by more than the effect of one QP, the QP is adjusted, at most
# _ADJUSTMENTS times and by at most _FARTHEST QPs at a time.
_ADJUSTMENTS, _FARTHEST = 2, 8
# If a trial is this far from its target, the prediction was wrong, and more trials are needed.
FAR_BELOW, _MOST_ADJUSTMENTS = 10, 8
# The rise per H.264 QP of log(100 - VMAF), which is nearly linear in the QP, until two trials give
# the slope.
_RISE = 0.09
# Frames from one intra frame to the next within a scene: x264's and x265's default.
_KEYFRAME_INTERVAL = 250


@dataclass(frozen=True, kw_only=True)
class ScenePlan:
    """A scene, and the QP to encode it at."""

    scene: Scene
    level: float  # predicted, H.264 QP
    qp: int  # of the encoder
    adjusted: bool = False  # whether trials changed the QP
    trial_vmaf: float | None = None  # of the trial at that QP; None: not tried
    promised_vmaf: float | None = None  # that the scene should reach; None: unknown
    expected_bytes: float | None = None


class Trial(NamedTuple):
    """The middle of a scene, encoded at a QP."""

    qp: int
    vmaf: float  # mean
    bytes: float  # expected size of the whole scene


class Window(NamedTuple):
    """The middle of a scene, for trial encodes."""

    clip: Path
    scene: Scene
    raw: RawVideo

    def encode(self, encoder: Encoder, qp: int) -> Trial:
        """Encode the window at a QP, and measure it."""
        coded, length = self.clip.with_suffix(".coded.nut"), self.scene.frames
        # Without colour tags, like the clip: frames tagged full range would be converted for VMAF.
        encode_clip(self.clip, coded, encoder, qp, self.raw, "null")
        intra, *inter = packet_bytes(coded)
        intras = -(-length // _KEYFRAME_INTERVAL)
        size = intras * intra + (length - intras) * float(np.mean(inter or [intra]))
        scores = score_video(coded, self.clip, min(WINDOW, length))
        return Trial(qp, float(np.mean(scores)), size)


def is_measurable(raw: RawVideo) -> bool:
    """Check whether the frames are large enough for VMAF."""
    return min(raw.width, raw.height) >= _LEAST_MEASURED


def plan_scenes(
    raw: RawVideo,
    scenes: Sequence[Scene],
    levels: Sequence[float],
    *,
    encoder: str,
    allowed: range,
    target_vmaf: float | None,
    verify: bool,
) -> list[ScenePlan]:
    """Choose the QP of each scene of a video.

    Without trials, a scene's QP is its rounded level. That is enough for x264; for other encoders,
    trial encodes find the QP at which the scene's VMAF equals that of x264 at the level. With a
    `target_vmaf`, `verify` adjusts the QPs of scenes that miss it. If frames are too small for
    VMAF, there are no trials.

    Args:
        levels: H.264 QPs, one per scene.
        encoder: a key of `ENCODERS`.
        allowed: the encoder's QPs to choose from.
        target_vmaf: the VMAF that defines the level, if any.

    Raises:
        UserError: the video cannot be read.
    """
    used = ENCODERS[encoder]
    plans = [
        ScenePlan(scene=scene, level=level, qp=_clamp(used.first_qp(level), allowed))
        for scene, level in zip(scenes, levels)
    ]
    if not is_measurable(raw) or (used == X264 and not verify):
        return plans
    target = target_vmaf if verify else None
    with temporary_folder() as folder:
        rows = zip(plans, windows(raw, scenes, folder))
        return [
            _adjust(plan, Window(clip, plan.scene, raw), used, allowed, target)
            for plan, clip in Progress(rows, "trials", len(scenes), unit="scene")
        ]


def _adjust(
    plan: ScenePlan, window: Window, encoder: Encoder, allowed: range, target: float | None
) -> ScenePlan:
    """Adjust the QP of a scene by trial encodes of its window."""
    trials = [window.encode(encoder, plan.qp)]
    if target is None and encoder != X264:
        target = window.encode(X264, _clamp(plan.level, SCALES[QP][1:])).vmaf
    if target is None:
        nearest = trials[0]
    else:
        trials += _approach(target, trials[0], window, encoder, allowed)
        nearest = min(trials, key=lambda trial: abs(trial.vmaf - target))
    # If even the finest QP that the user allows is too coarse, its VMAF is the promise.
    bound = nearest.qp == allowed[0] > 1
    return ScenePlan(
        scene=plan.scene,
        level=plan.level,
        qp=nearest.qp,
        adjusted=nearest.qp != plan.qp,
        trial_vmaf=nearest.vmaf,
        promised_vmaf=nearest.vmaf if bound or target is None else target,
        expected_bytes=nearest.bytes,
    )


def _approach(
    target: float, first: Trial, window: Window, encoder: Encoder, allowed: range
) -> list[Trial]:
    """Try QPs closer to the target VMAF, each chosen by the slope measured so far."""
    trials, rise = [first], _RISE / encoder.steps
    for _ in range(_MOST_ADJUSTMENTS):
        nearest = min(abs(trial.vmaf - target) for trial in trials)
        if len(trials) > _ADJUSTMENTS and nearest < FAR_BELOW:
            break
        qps = [trial.qp for trial in trials]
        losses = [np.log(max(100 - trial.vmaf, 0.01)) for trial in trials]
        if len(trials) > 1:
            measured = (losses[-1] - losses[-2]) / (qps[-1] - qps[-2])
            rise = measured if measured > rise / 3 else rise
        step = (np.log(100 - target) - losses[-1]) / rise
        qp = _clamp(qps[-1] + float(np.clip(step, -_FARTHEST, _FARTHEST)), allowed)
        if qp in qps:
            break
        trials.append(window.encode(encoder, qp))
    return trials[1:]


def _clamp(qp: float, allowed: range) -> int:
    """Round a QP, and limit it to the allowed ones."""
    return min(max(round_half_up(qp), allowed[0]), allowed[-1])
