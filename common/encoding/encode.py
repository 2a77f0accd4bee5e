"""Encoding of a video scene by scene at predicted levels."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..base.constants import LEVELS, QUALITY
from ..base.errors import UserError
from ..inference.predictor import Predictor
from ..inference.video import predict_scenes
from ..models.labels import Labels
from ..video.ffmpeg import check_encoder
from ..video.probe import probe
from .containers import check_container
from .delivery import deliver
from .encoders import ENCODERS
from .planning import ScenePlan, is_measurable, plan_scenes
from .raw import RawVideo, choose_raw

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """Options of `encode_video`."""

    level: str = LEVELS[0]  # "JND1", "JND2" or "JND3"
    encoder: str = "x264"  # a key of `ENCODERS`
    min_qp: int = 1  # of the encoder
    max_qp: int | None = None  # None: the encoder's coarsest
    view: str = "centre"  # a key of `VIEWS`
    frames_per_scene: int = 3  # that the model sees
    verify: bool = True  # adjust QPs by trial encodes, and measure the output
    dry_run: bool = False  # only make trial encodes
    overwrite: bool = False  # replace an existing file


@dataclass(frozen=True, kw_only=True)
class EncodedVideo:
    """The result of `encode_video`."""

    labels: Labels  # of the levels
    target_vmaf: float | None  # that defines the level; None for viewers' labels
    notes: list[str]  # on what was changed or lost
    scenes: list[ScenePlan]
    input_bytes: int
    output_bytes: int | None = None  # None after a dry run
    scene_vmaf: list[float] | None = None  # mean of each scene; None: not measured

    @property
    def expected_bytes(self) -> float | None:
        """Size of the video stream as predicted by the trials; None: no trials."""
        sizes = [each.expected_bytes for each in self.scenes if each.expected_bytes is not None]
        return sum(sizes) if len(sizes) == len(self.scenes) else None

    @property
    def vmaf(self) -> float | None:
        """Mean VMAF of all frames; None: not measured."""
        lengths = [each.scene.frames for each in self.scenes]
        return float(np.average(self.scene_vmaf, weights=lengths)) if self.scene_vmaf else None


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
        UserError: the video cannot be read or encoded, `target` does not support its streams, or
            levels are not QPs.
    """
    path, target, options = Path(path), Path(target), options or EncodeOptions()
    check_encoder(ENCODERS[options.encoder].library)
    predictor = predictor or Predictor()
    if predictor.labels.codec == QUALITY:
        raise UserError(f"{predictor.weights}: predicts JPEG qualities; videos need QPs")
    video = probe(path)
    raw = choose_raw(video, options.encoder)
    notes = _collect_notes(raw, target, options)
    predicted = predict_scenes(predictor, video, options.view, options.frames_per_scene)
    target_vmaf = find_target(predictor.labels, options.level)
    scenes = plan_scenes(
        raw,
        [each.scene for each in predicted],
        [each.levels[options.level] for each in predicted],
        encoder=options.encoder,
        allowed=range(options.min_qp, (options.max_qp or ENCODERS[options.encoder].coarsest) + 1),
        target_vmaf=target_vmaf,
        verify=options.verify,
    )
    size, scene_vmaf = None, None
    if not options.dry_run:
        measure = options.verify and is_measurable(raw)
        size, scene_vmaf = deliver(raw, target, scenes, options.encoder, measure, options.overwrite)
    return EncodedVideo(
        labels=predictor.labels,
        target_vmaf=target_vmaf,
        notes=notes,
        scenes=scenes,
        input_bytes=path.stat().st_size,
        output_bytes=size,
        scene_vmaf=scene_vmaf,
    )


def _collect_notes(raw: RawVideo, target: Path, options: EncodeOptions) -> list[str]:
    """Collect and log notes on what encoding changes or loses."""
    notes = [*raw.notes, *check_container(raw, target, options.encoder)]
    if options.verify and not is_measurable(raw):
        notes.append(f"frames of {raw.width}x{raw.height} are too small for VMAF: no trial encodes")
    for note in notes:
        _log.warning("note: %s", note)
    return notes
