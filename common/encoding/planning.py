"""Planning of the CRF or QP of each scene of a video, found by trial encodes.

predicted level ─ first CRF ─ trial encodes of the scene's windows ─ VMAF ─ CRF
                                                                      │
             target: the VMAF that defines the level, or x264's at it ┘
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..base.progress import Progress
from ..video.quality import LEAST_SIDE, score_video
from ..video.scenes import Scene
from .clips import encode_clip, packet_bytes
from .encoders import CONSTANT_QP, CRF, MEAN, OF_LEVELS, Coding
from .raw import RawVideo
from .scores import Measure, Score, log_loss

# Frames of a window. With a CRF, an encoder spends bits on what later frames copy, so trials are
# worse than the scene (`Encoder.trial_loss`), the more so the shorter they are. Of pans over
# photographs, the scene's VMAF is missed by 0.12 with 32 frames and by 0.26 with 24 (standard
# deviation, x264).
_WINDOWS = {CRF: 32, CONSTANT_QP: 12}
# The whole loss applies to scenes with at least this many frames beyond those of the trial.
_COPYING = 16
# Of a window's frames, every third is measured for the mean, which costs half as much and misses it
# by 0.05 with these pans and by 0.11 with videos (root mean square).
_EVERY = 3
# A trial this close to the target VMAF gives a scene's CRF without another trial. A QP is a whole
# number, and always tried.
_NEAR = {CRF: 1.5, CONSTANT_QP: 0.0}
# Otherwise there are at most _ADJUSTMENTS more trials, each at most _FARTHEST from the one before.
_ADJUSTMENTS, _FARTHEST = 2, 8
# If a trial is this far from its target, the prediction was wrong, and more trials are needed.
FAR_BELOW, _MOST_ADJUSTMENTS = 10, 8
# A scene is encoded again if its VMAF is this far from the promised one.
_TOLERANCE = 0.5
# The rise per H.264 QP of log(100 - VMAF), which is nearly linear in the QP, until two trials give
# the slope; and the fall of the logarithm of the size.
_RISE, _FALL = 0.09, math.log(2) / 6
# Frames from one intra frame to the next within a scene: x264's and x265's default.
_KEYFRAME_INTERVAL = 250


class Trial(NamedTuple):
    """A scene or its windows, encoded at a CRF or QP."""

    quantizer: float
    score: Score
    loss: float  # log(100 - VMAF) of the scene; an estimate if only its windows were encoded
    bytes: float  # size of the scene, likewise
    frames: int

    @property
    def vmaf(self) -> float:
        """The VMAF of the scene that is compared with the target."""
        return 100 - math.exp(self.loss)


@dataclass(frozen=True, kw_only=True)
class ScenePlan:
    """A scene, and the CRF or QP to encode it at."""

    scene: Scene
    level: float  # predicted, H.264 QP
    quantizer: float  # CRF or QP of the encoder
    trials: tuple[Trial, ...] = ()  # in order
    expected_vmaf: float | None = None  # that is aimed at; None: not tried
    promised_vmaf: float | None = None  # that the scene should reach; None: unknown
    expected_bytes: float | None = None

    def revise(self, score: Score, size: int, coding: Coding) -> "ScenePlan | None":
        """Change the CRF after the whole scene was encoded; None if it is as promised.

        Args:
            size: of the encoded scene, in bytes.
        """
        if self.promised_vmaf is None or abs(score.aimed - self.promised_vmaf) <= _TOLERANCE:
            return None
        loss, frames = log_loss(score.aimed), self.scene.frames
        encoded = Trial(self.quantizer, score, loss, size, frames)
        # Windows tell less of the scene than the scene itself; the last trial at a CRF counts.
        trials = *self.trials, encoded
        whole = {each.quantizer: each for each in trials if each.frames == frames}
        revised = _choose(self, [*whole.values()], self.promised_vmaf, coding)
        return None if revised.quantizer in whole else replace(revised, trials=trials)


class Windows(NamedTuple):
    """Parts of a scene, for trial encodes."""

    clips: Sequence[Path]
    lengths: Sequence[int]  # frames of each clip
    scene: Scene
    raw: RawVideo
    measure: Measure

    def encode(self, coding: Coding, quantizer: float) -> Trial:
        """Encode the windows at a CRF or QP, and measure them."""
        intra, inter, vmaf = [], [], []
        for clip, frames in zip(self.clips, self.lengths):
            coded = clip.with_suffix(".coded.nut")
            # Without colour tags, like the clip: frames tagged full range would be converted for
            # VMAF.
            encode_clip(clip, coded, coding, quantizer, self.raw, "null")
            first, *others = packet_bytes(coded)
            intra.append(first)
            inter += others
            every = _EVERY if (self.measure.aim, frames) == (MEAN, _WINDOWS[CRF]) else 1
            graph, count = f"select='not(mod(n,{every}))'", -(-frames // every)
            vmaf += score_video(coded, clip, count, (graph, graph), self.measure.metric)
        total, length = sum(self.lengths), self.scene.frames
        intras = -(-length // _KEYFRAME_INTERVAL)
        size = intras * np.mean(intra) + (length - intras) * np.mean(inter or intra)
        score = self.measure.summarise(vmaf)
        later = (length - total) / _COPYING if coding.rate_control == CRF else 0
        # In bits, too, a trial is like the scene at a slightly coarser CRF.
        more = coding.encoder.trial_loss * min(later, 1)
        size *= math.exp(more / _RISE * _FALL)
        return Trial(quantizer, score, log_loss(score.aimed) - more, float(size), total)


def choose_windows(scenes: Iterable[Scene], coding: Coding) -> list[list[range]]:
    """Choose the frames of each scene for trial encodes."""
    return [scene.middles(_WINDOWS[coding.rate_control]) for scene in scenes]


def is_measurable(raw: RawVideo) -> bool:
    """Check whether the frames are large enough for VMAF."""
    return min(raw.width, raw.height) >= LEAST_SIDE


def needs_trials(raw: RawVideo, coding: Coding, verify: bool) -> bool:
    """Check whether trial encodes are needed to choose the CRF or QP of a scene.

    A level alone suffices for x264, unless the user wants to `verify` it. If frames are too small
    for VMAF, there are no trials.
    """
    return is_measurable(raw) and (verify or coding.encoder != OF_LEVELS.encoder)


def plan_scenes(
    raw: RawVideo,
    scenes: Sequence[Scene],
    rows: Iterable[tuple[float, Sequence[Path]]],
    coding: Coding,
    *,
    target_vmaf: float | None,
    measure: Measure,
    level_vmaf: float | None = None,
    verify: bool = True,
) -> list[ScenePlan]:
    """Choose the CRF or QP of each scene of a video.

    Without trials, it is predicted from the scene's level. Trial encodes find the one at which the
    scene has the target VMAF or, without `verify`, that of x264 at the level. They begin at the
    prediction plus the median correction of the scenes before, since scenes of one video tend to
    need similar ones: motion and noise change the CRF of a level. No correction counts as one more
    of them, so that a first scene unlike all others does little harm.

    Args:
        rows: for each scene, its level, an H.264 QP, and files with the raw frames of its windows,
            or none if there are no trials. They need not exist any more when the next row but one
            is read.
        target_vmaf: the VMAF to reach; None: that of x264 at the level.
        level_vmaf: the VMAF that defines the levels, from which the search for another one starts.
    """
    shift = 0.0
    if target_vmaf is not None and level_vmaf is not None:
        shift = (log_loss(target_vmaf) - log_loss(level_vmaf)) / _RISE
    target, plans = target_vmaf if verify else None, []
    corrections = [0.0]  # of the predicted CRFs or QPs
    for scene, (level, clips) in zip(scenes, Progress(rows, "scenes", len(scenes), unit="scene")):
        predicted = coding.predict(level + shift)
        plan = ScenePlan(scene=scene, level=level, quantizer=predicted)
        if clips:
            first = coding.fit(predicted + float(np.median(corrections)))
            (ranges,) = choose_windows([scene], coding)
            windows = Windows(clips, [*map(len, ranges)], scene, raw, measure)
            plan = _try(replace(plan, quantizer=first), windows, coding, target)
            corrections.append(plan.quantizer - predicted)
        plans.append(plan)
    return plans


def _try(plan: ScenePlan, windows: Windows, coding: Coding, target: float | None) -> ScenePlan:
    """Choose the CRF or QP of a scene by trial encodes of its windows."""
    first = windows.encode(coding, plan.quantizer)
    if target is None and (coding.encoder, coding.rate_control) == OF_LEVELS[:2]:
        return replace(plan, trials=(first,), expected_vmaf=first.vmaf, expected_bytes=first.bytes)
    if target is None:
        target = windows.encode(OF_LEVELS, OF_LEVELS.fit(plan.level)).score.mean
    trials = [first]
    for _ in range(_MOST_ADJUSTMENTS):
        miss = min(abs(trial.vmaf - target) for trial in trials)
        enough = len(trials) > _ADJUSTMENTS and miss < FAR_BELOW
        quantizer = _aim(trials, target, coding)
        repeated = quantizer in {trial.quantizer for trial in trials}
        if repeated or enough or miss <= _NEAR[coding.rate_control]:
            break
        trials.append(windows.encode(coding, quantizer))
    return _choose(plan, trials, target, coding)


def _choose(plan: ScenePlan, trials: Sequence[Trial], target: float, coding: Coding) -> ScenePlan:
    """Choose the CRF that trials suggest, or the QP whose trial was best."""
    nearest = _sort(trials, target)[0]
    quantizer = _aim(trials, target, coding) if coding.rate_control == CRF else nearest.quantizer
    steps = quantizer - nearest.quantizer
    vmaf = 100 - math.exp(nearest.loss + steps * _rise(trials, target, coding))
    # If even the finest CRF that the user allows is too coarse, its VMAF is the promise.
    bound = quantizer == coding.finest > 1
    return replace(
        plan,
        quantizer=quantizer,
        trials=tuple(trials),
        expected_vmaf=vmaf if steps else nearest.vmaf,
        promised_vmaf=min(vmaf, target) if bound else target,
        expected_bytes=nearest.bytes * math.exp(-steps * _FALL / coding.encoder.steps),
    )


def _aim(trials: Sequence[Trial], target: float, coding: Coding) -> float:
    """Choose the CRF or QP that should reach the target VMAF, by the trials so far."""
    nearest = _sort(trials, target)[0]
    step = (log_loss(target) - nearest.loss) / _rise(trials, target, coding)
    return coding.fit(nearest.quantizer + min(max(step, -_FARTHEST), _FARTHEST))


def _rise(trials: Sequence[Trial], target: float, coding: Coding) -> float:
    """Compute the rise of the loss per step, if possible between trials around the target."""
    usual = _RISE / coding.encoder.steps
    if len(trials) < 2:
        return usual
    nearest, *others = _sort(trials, target)
    beyond = [each for each in others if (each.vmaf < target) != (nearest.vmaf < target)]
    other = (beyond or others)[0]
    measured = (nearest.loss - other.loss) / (nearest.quantizer - other.quantizer)
    return measured if measured > usual / 3 else usual


def _sort(trials: Sequence[Trial], target: float) -> list[Trial]:
    return sorted(trials, key=lambda trial: abs(trial.vmaf - target))
