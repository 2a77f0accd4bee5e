"""Records of predictions."""

from dataclasses import dataclass, field
from pathlib import Path

from ..base.errors import UserError
from ..video.scenes import Scene

Levels = dict[str, float]  # by "JND1" to "JND3", in the unit of the labels


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The levels of a picture, averaged over the frames of its view.

    Attributes:
        path: its file, or the video that it belongs to; None for pixels.
        width, height: its original size in pixels.
        view: how it was fitted to 640x352, possibly when it was compressed.
        notes: remarks if the file was interpreted in a way that may be unexpected.
    """

    path: Path | None
    width: int
    height: int
    view: str
    levels: Levels
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ScenePrediction:
    """The levels of a scene, averaged over its sampled frames."""

    scene: Scene
    sampled_frames: list[int]  # frame numbers, from 0
    levels: Levels


@dataclass(frozen=True, kw_only=True)
class VideoPrediction:
    """The levels of a video: each is that of its most sensitive scene.

    This is because one visibly degraded scene is enough to notice.
    """

    path: Path
    width: int
    height: int
    frames: int
    levels: Levels
    scenes: list[ScenePrediction]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A file whose levels cannot be predicted, and the reason."""

    path: Path
    error: UserError
