"""Encoding of a video scene by scene at predicted levels."""

import contextlib
import logging
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..base.constants import FRAMES_PER_SCENE, LEVELS, QUALITY
from ..base.errors import UserError
from ..base.files import check_writable
from ..base.parallel import read_ahead
from ..base.temporary import temporary_folder
from ..inference.predictor import Predictor
from ..inference.video import predict_scenes
from ..models.labels import Labels
from ..video.ffmpeg import check_encoder
from ..video.probe import probe
from ..video.quality import VMAF, VMAF_NEG, check_metric
from ..video.scenes import Scene, find_scenes
from .clips import report_failure
from .containers import check_container
from .delivery import deliver
from .encoders import CRF, ENCODERS, MEAN, Coding
from .planning import ScenePlan, choose_windows, is_measurable, needs_trials, plan_scenes
from .raw import RawVideo, choose_raw
from .scores import Measure, Score
from .windows import read_scenes

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """Options of `encode_video`."""

    level: str = LEVELS[0]  # "JND1", "JND2" or "JND3"
    encoder: str = "x264"  # a key of `ENCODERS`
    rate_control: str = CRF  # or CONSTANT_QP
    preset: str = ""  # of the encoder; empty: the one in `ENCODERS`
    adaptive: bool = False  # adapt quantization to the parts of a picture
    vmaf: float | None = None  # VMAF of each scene; None: that of the level
    aim: str = MEAN  # what is to reach it: "mean" or "p5", the 5th percentile of a scene's frames
    vmaf_neg: bool = False  # measure VMAF by its NEG model, which does not reward enhancement
    min_qp: int = 1  # CRF or QP of the encoder
    max_qp: int | None = None  # None: the encoder's coarsest
    view: str = "centre"  # a key of `VIEWS`
    frames_per_scene: int | None = None  # None: 1 if trials search for a VMAF, else 3
    verify: bool = True  # find CRFs or QPs by trial encodes, and measure the output
    dry_run: bool = False  # only make trial encodes
    overwrite: bool = False  # replace an existing file

    @property
    def measure(self) -> Measure:
        """How encodes are measured."""
        return Measure(VMAF_NEG if self.vmaf_neg else VMAF, self.aim)

    @property
    def coding(self) -> Coding:
        """How scenes are encoded."""
        return Coding(
            encoder=ENCODERS[self.encoder],
            rate_control=self.rate_control,
            preset=self.preset,
            adaptive=self.adaptive,
            finest=self.min_qp,
            coarsest=self.max_qp,
        )


@dataclass(frozen=True, kw_only=True)
class EncodedVideo:
    """The result of `encode_video`."""

    labels: Labels  # of the levels
    target_vmaf: float | None  # of each scene; None: that of x264 at the level, or not verified
    notes: list[str]  # on what was changed or lost
    scenes: list[ScenePlan]
    input_bytes: int
    expected_bytes: float | None  # of the video stream, by the trials; None: no trials
    output_bytes: int | None = None  # None after a dry run
    scene_bytes: list[int] | None = None  # of the video stream
    scene_vmaf: list[Score] | None = None  # None: not measured

    @property
    def vmaf(self) -> float | None:
        """Mean VMAF of all frames; None: not measured."""
        if not self.scene_vmaf:
            return None
        lengths = [each.scene.frames for each in self.scenes]
        return float(np.average([each.mean for each in self.scene_vmaf], weights=lengths))


def find_target(labels: Labels, level: str) -> float | None:
    """Find the VMAF that defines `level` in proxy labels; None for viewers' labels."""
    return labels.thresholds[LEVELS.index(level)] if labels.thresholds else None


def encode_video(
    path: str | Path,
    target: str | Path,
    predictor: Predictor | None = None,
    options: EncodeOptions | None = None,
) -> EncodedVideo:
    """Encode each scene of the video at `path` at its predicted level, into the file `target`.

    Args:
        predictor: None: the default model, `Predictor()`.

    Raises:
        UserError: the video cannot be read or encoded, `target` already exists or does not support
            its streams, or levels are not QPs.
    """
    path, target, options = Path(path), Path(target), options or EncodeOptions()
    if not options.dry_run:
        check_writable(target, overwrite=options.overwrite, inputs=[path])
    check_encoder(options.coding.encoder.library)
    if options.vmaf_neg:
        check_metric(options.measure.metric)
    predictor = predictor or Predictor()
    if predictor.labels.codec == QUALITY:
        raise UserError(f"{predictor.weights}: predicts JPEG qualities; videos need QPs")
    raw = choose_raw(probe(path), options.encoder)
    notes = _collect_notes(raw, target, options)
    planned = _plan(raw, predictor, options, notes)
    if options.dry_run:
        return planned
    measure = options.measure if options.verify and is_measurable(raw) else None
    done = deliver(raw, target, planned.scenes, options.coding, measure, options.overwrite)
    return replace(
        planned,
        scenes=done.plans,
        output_bytes=done.bytes,
        scene_bytes=done.scene_bytes,
        scene_vmaf=done.vmaf,
    )


def _plan(
    raw: RawVideo, predictor: Predictor, options: EncodeOptions, notes: list[str]
) -> EncodedVideo:
    """Choose the CRF or QP of each scene."""
    scenes = find_scenes(raw.video)
    level_vmaf = find_target(predictor.labels, options.level)
    # No labels are defined by the NEG model, which rates lower.
    target_vmaf = options.vmaf or (None if options.vmaf_neg else level_vmaf)
    has_target = options.verify and target_vmaf is not None
    with (
        temporary_folder() as folder,
        report_failure(f"{raw.video.path}: trial encodes", folder),
        contextlib.closing(
            read_ahead(_read_levels(raw, scenes, predictor, options, folder, has_target))
        ) as rows,
    ):
        plans = plan_scenes(
            raw,
            scenes,
            rows,
            options.coding,
            target_vmaf=target_vmaf,
            level_vmaf=level_vmaf,
            verify=options.verify,
            measure=options.measure,
        )
    sizes = [each.expected_bytes for each in plans if each.expected_bytes is not None]
    return EncodedVideo(
        labels=predictor.labels,
        target_vmaf=target_vmaf if options.verify else None,
        notes=notes,
        scenes=plans,
        input_bytes=raw.video.path.stat().st_size,
        expected_bytes=sum(sizes) if len(sizes) == len(plans) else None,
    )


def _read_levels(
    raw: RawVideo,
    scenes: Sequence[Scene],
    predictor: Predictor,
    options: EncodeOptions,
    folder: Path,
    has_target: bool,
) -> Generator[tuple[float, list[Path]], None, None]:
    """Yield the predicted level of each scene, and files with its windows if trials are needed."""
    if not needs_trials(raw, options.coding, options.verify):
        count = options.frames_per_scene or FRAMES_PER_SCENE
        given = predictor, raw.video, options.view, count
        yield from ((each.levels[options.level], []) for each in predict_scenes(*given))
        return
    # Where trials search for a VMAF, the level is only their start.
    count = options.frames_per_scene or (1 if has_target else FRAMES_PER_SCENE)
    windows = choose_windows(scenes, options.coding)
    sampled = [scene.sample(count) for scene in scenes]
    with contextlib.closing(read_scenes(raw, sampled, windows, folder)) as read:
        for frames, clips in read:
            yield _predict(predictor, [*frames], options, raw.video.path), clips


def _predict(
    predictor: Predictor, frames: Sequence[np.ndarray], options: EncodeOptions, path: Path
) -> float:
    """Predict the mean level of frames of the video at `path`."""
    number = predictor.names.index(options.level)
    try:
        levels = [predictor.levels(frame, options.view)[number] for frame in frames]
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return float(np.mean(levels, dtype=np.float32))


def _collect_notes(raw: RawVideo, target: Path, options: EncodeOptions) -> list[str]:
    """Collect and log notes on what encoding changes or loses.

    Raises:
        UserError: a VMAF is requested of frames that are too small for it.
    """
    notes = [*raw.notes, *check_container(raw, target, options.coding)]
    if options.verify and not is_measurable(raw):
        small = f"frames of {raw.width}x{raw.height} are too small for VMAF"
        if options.vmaf is not None:
            raise UserError(f"{raw.video.path}: {small}; leave --vmaf out")
        notes.append(f"{small}: no trial encodes")
    for note in notes:
        _log.warning("%s: %s", raw.video.path, note)
    return notes
