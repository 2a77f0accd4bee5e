"""Planning of the CRF or QP of each scene of a video, found by trial encodes.

predicted level ─ first CRF ─ trial encodes of the scene's middle ─ VMAF ─ CRF
                                                                     │
            target: the VMAF that defines the level, or x264's at it ┘
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..base.constants import QP, SCALES
from ..base.progress import Progress
from ..video.quality import score_video
from ..video.scenes import Scene
from .clips import encode_clip, packet_bytes
from .encoders import CONSTANT_QP, CRF, MEAN, OF_LEVELS, Coding
from .raw import RawVideo
from .scores import Measure, Score

# Frames of a scene's trial encode. With a CRF, an encoder spends bits on what later frames copy, so
# trials are worse than the scene (`Encoder.trial_loss`), the more so the shorter they are. Of pans
# over photographs, the scene's VMAF is missed by 0.12 with 32 frames and by 0.26 with 24 (standard
# deviation, x264).
WINDOWS = {CRF: 32, CONSTANT_QP: 12}
# Of these, every third is measured for the mean, which costs half as much and misses it by 0.05
# (root mean square). Every second one would be a B-frame, and miss it by 0.4.
_EVERY = 3
# libvmaf crashes on some pictures with a shorter side (in pixels).
_LEAST_MEASURED = 32
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
    """A scene or its middle, encoded at a CRF or QP."""

    quantizer: float
    score: Score
    loss: float  # logarithm of what the scene's VMAF lacks, expected if only its middle was encoded
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
        loss, frames = _loss(score.aimed), self.scene.frames
        encoded = Trial(self.quantizer, score, loss, size, frames)
        # The middle tells less of the scene than the scene itself.
        whole = [
            each
            for each in self.trials
            if each.frames == self.scene.frames and each.quantizer != self.quantizer
        ]
        revised = _choose(self, [*whole, encoded], self.promised_vmaf, coding)
        if revised.quantizer in {each.quantizer for each in (*whole, encoded)}:
            return None
        return replace(revised, trials=(*self.trials, encoded))


class Window(NamedTuple):
    """The middle of a scene, for trial encodes."""

    clip: Path
    scene: Scene
    frames: int
    raw: RawVideo
    measure: Measure

    def encode(self, coding: Coding, quantizer: float) -> Trial:
        """Encode the window at a CRF or QP, and measure it."""
        coded, length = self.clip.with_suffix(".coded.nut"), self.scene.frames
        # Without colour tags, like the clip: frames tagged full range would be converted for VMAF.
        encode_clip(self.clip, coded, coding, quantizer, self.raw, "null")
        intra, *inter = packet_bytes(coded)
        intras = -(-length // _KEYFRAME_INTERVAL)
        size = intras * intra + (length - intras) * float(np.mean(inter or [intra]))
        every = _EVERY if (self.measure.aim, self.frames) == (MEAN, WINDOWS[CRF]) else 1
        graph, count = f"select='not(mod(n,{every}))'", -(-self.frames // every)
        scores = score_video(coded, self.clip, count, (graph, graph), self.measure.metric)
        score = self.measure.summarise(scores)
        is_short = coding.rate_control == CRF and self.frames < length
        loss = _loss(score.aimed) - (coding.encoder.trial_loss if is_short else 0)
        return Trial(quantizer, score, loss, size, self.frames)


def is_measurable(raw: RawVideo) -> bool:
    """Check whether the frames are large enough for VMAF."""
    return min(raw.width, raw.height) >= _LEAST_MEASURED


def needs_trials(raw: RawVideo, coding: Coding, verify: bool) -> bool:
    """Check whether trial encodes are needed to choose the CRF or QP of a scene.

    A level alone suffices for x264, unless the user wants to `verify` it. If frames are too small
    for VMAF, there are no trials.
    """
    return is_measurable(raw) and (verify or coding.encoder != OF_LEVELS.encoder)


def plan_scenes(
    raw: RawVideo,
    scenes: Sequence[Scene],
    rows: Iterable[tuple[float, Path | None]],
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
        rows: for each scene, its level, an H.264 QP, and a file with raw frames of its middle for
            trials, or None. The file need not exist any more when the next but one is read.
        target_vmaf: the VMAF to reach; None: that of x264 at the level.
        level_vmaf: the VMAF that defines the levels, from which the search for another one starts.
    """
    shift = 0.0
    if target_vmaf is not None and level_vmaf is not None:
        shift = (_loss(target_vmaf) - _loss(level_vmaf)) / _RISE
    target, plans = target_vmaf if verify else None, []
    corrections = [0.0]  # of the predicted CRFs or QPs
    for scene, (level, clip) in zip(scenes, Progress(rows, "scenes", len(scenes), unit="scene")):
        predicted = coding.predict(level + shift)
        plan = ScenePlan(scene=scene, level=level, quantizer=predicted)
        if clip:
            first = coding.fit(predicted + float(np.median(corrections)))
            frames = min(WINDOWS[coding.rate_control], scene.frames)
            window = Window(clip, scene, frames, raw, measure)
            plan = _try(replace(plan, quantizer=first), window, coding, target)
            corrections.append(plan.quantizer - predicted)
        plans.append(plan)
    return plans


def _try(plan: ScenePlan, window: Window, coding: Coding, target: float | None) -> ScenePlan:
    """Choose the CRF or QP of a scene by trial encodes of its window."""
    first = window.encode(coding, plan.quantizer)
    if target is None and (coding.encoder, coding.rate_control) == OF_LEVELS[:2]:
        return replace(plan, trials=(first,), expected_vmaf=first.vmaf, expected_bytes=first.bytes)
    if target is None:
        finest, coarsest = SCALES[QP][1], SCALES[QP][-1]
        level = OF_LEVELS.fit(min(max(plan.level, finest), coarsest))
        target = window.encode(OF_LEVELS, level).score.mean
    trials = [first]
    for _ in range(_MOST_ADJUSTMENTS):
        miss = min(abs(trial.vmaf - target) for trial in trials)
        enough = len(trials) > _ADJUSTMENTS and miss < FAR_BELOW
        quantizer = _aim(trials, target, coding)
        tried = quantizer in {trial.quantizer for trial in trials}
        if tried or enough or miss <= _NEAR[coding.rate_control]:
            break
        trials.append(window.encode(coding, quantizer))
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
    step = (_loss(target) - nearest.loss) / _rise(trials, target, coding)
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


def _loss(vmaf: float) -> float:
    return math.log(max(100 - vmaf, 0.01))
