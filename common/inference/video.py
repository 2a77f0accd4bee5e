"""Prediction of the levels of videos and their scenes."""

from pathlib import Path

import numpy as np

from ..base.constants import FRAMES_PER_SCENE, QUALITY
from ..base.errors import UserError
from ..base.files import check_regular
from ..data.kinds import BITSTREAM, PICTURE, VIDEO, kind
from ..video.frame_codecs import CODECS
from ..video.frames import read_frames
from ..video.probe import Video, probe
from ..video.scenes import find_scenes
from .predictor import Predictor
from .records import ScenePrediction, VideoPrediction


def predict_video(
    path: str | Path,
    predictor: Predictor | None = None,
    *,
    view: str = "centre",
    frames_per_scene: int = FRAMES_PER_SCENE,
    unit: str | None = None,
) -> VideoPrediction:
    """Predict the levels of a video and of each of its scenes.

    Args:
        predictor: by default, `Predictor()`.
        view: as in `Predictor`.
        frames_per_scene: number of frames to predict from in each scene.
        unit: "QP" or "quality", the unit of the levels, if the weight file does not record it (the
            published files do not); it decides which scene is the most sensitive one.

    Raises:
        UserError: the file is not a video, or cannot be read to its end.
    """
    path = Path(path)
    _check_video(path)
    predictor = predictor or Predictor()
    video = probe(path)
    scenes = predict_scenes(predictor, video, view, frames_per_scene)
    quality = CODECS[QUALITY].unit
    unit = CODECS[predictor.labels.codec].unit if predictor.labels.codec else unit
    most_sensitive = max if unit == quality else min
    return VideoPrediction(
        path=path,
        width=video.format.width,
        height=video.format.height,
        frames=video.frames,
        levels={
            name: most_sensitive(scene.levels[name] for scene in scenes) for name in predictor.names
        },
        scenes=scenes,
    )


def predict_scenes(
    predictor: Predictor, video: Video, view: str, frames_per_scene: int
) -> list[ScenePrediction]:
    """Predict the levels of each scene of a video.

    Raises:
        UserError: the video cannot be read to its end.
    """
    scenes = find_scenes(video)
    samples = [scene.sample(frames_per_scene) for scene in scenes]
    frames = read_frames(video, [number for numbers in samples for number in numbers])
    predictions = predictor.predict_frames(frames, view, video.path)
    predicted = []
    for scene, numbers in zip(scenes, samples):
        levels = [[*next(predictions).levels.values()] for _ in numbers]
        mean = map(float, np.mean(levels, axis=0, dtype=np.float32))
        named = dict(zip(predictor.names, mean))
        predicted.append(ScenePrediction(scene=scene, sampled_frames=numbers, levels=named))
    return predicted


def _check_video(path: Path) -> None:
    """Check that a file is a video.

    Raises:
        UserError: it is not one by its content or, if that is inconclusive, by its name.
    """
    try:
        check_regular(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    found = kind(path)
    if found in (PICTURE, BITSTREAM):
        raise UserError(f"{path}: is a {found}, not a video; Predictor.predict reads it")
    if path.is_dir():
        raise UserError(f"{path}: is a folder, not a video")
    if found != VIDEO:
        heic = path.suffix.lower() in (".heic", ".heif")
        remedy = "pip install pillow-heif reads it" if heic else "convert it to PNG or MP4"
        raise UserError(f"{path}: neither a picture nor a video that can be read; {remedy}")
