"""Records of what was predicted."""

from dataclasses import dataclass, field
from pathlib import Path

from ..base.errors import UserError
from ..video.scenes import Scene

Levels = dict[str, float]  # by "JND1" to "JND3", in the unit of the labels


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The levels of a picture, the mean over the frames that its view shows of it.

    Attributes:
        path: its file; None for pixels.
        width, height: in pixels, before it was fitted to the model.
        view: how it was fitted; for a bitstream file, when it was compressed.
        notes: how the file was interpreted, if that may be unexpected.
    """

    path: Path | None
    width: int
    height: int
    view: str
    levels: Levels
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ScenePrediction:
    """The levels of a scene, the mean over its sampled frames."""

    scene: Scene
    sampled_frames: list[int]  # numbers of frames, from 0
    levels: Levels


@dataclass(frozen=True, kw_only=True)
class VideoPrediction:
    """The levels of a video: for each level those of its most sensitive scene.

    One visibly degraded scene is enough to notice.
    """

    path: Path
    width: int
    height: int
    frames: int
    levels: Levels
    scenes: list[ScenePrediction]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A file whose levels cannot be predicted, and why."""

    path: Path
    error: UserError
