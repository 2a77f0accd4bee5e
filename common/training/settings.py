"""Records that describe the training of a predictor: settings, data, and files to write."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..models.labels import Labels

if TYPE_CHECKING:
    import numpy as np

# Settings that older state files lack, with the values that training used then.
_LATER = {
    "mirror": False,
    "weight_decay": 0.0,
    "dropout": 0.0,
    "batch_norm_momentum": 0.99,
    "single_branches": False,
    "cache_precision": "float32",
    "soft_targets": 0.0,
    "quantized": False,
}


@dataclass(frozen=True, kw_only=True)
class PredictorSettings:
    """All that the weights depend on besides the data; resuming a run needs the same."""

    model: str  # a name in MODELS
    level: str | None  # the predicted one; if multitask, the one that decides the best epoch
    batch_size: int
    learning_rate: float
    cosine: int | None  # epochs over which the learning rate decays to 0; None: it is constant
    seed: int
    precision: str  # 'float32' or 'bfloat16'
    flip: bool  # add a mirrored copy of each frame
    roll: bool  # shift features cyclically by a random distance in each epoch
    mirror: bool  # mirror features with probability 0.5 in each epoch
    weight_decay: float  # decoupled, of kernels
    dropout: float  # rate before the dense layers
    batch_norm_momentum: float
    single_branches: bool  # see `start_with_single_branches`
    cache_precision: str  # of cached features: 'float32' or 'float16'
    soft_targets: float  # weight of out-of-fold regression targets against the labels
    quantized: bool  # train the head on quantized latents

    def to_state(self) -> dict[str, Any]:
        """Return the fields for a state file, without the `_LATER` ones at their old values."""
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in _LATER or value != _LATER[name]
        }


class TrainingSplit(NamedTuple):
    """The frames of train or valid, and their targets."""

    images: list[Path]
    levels: "np.ndarray"  # float32 [images, predicted levels]
    jnd_frames: list[Path] | None  # of each image, if trained end to end
    contents: "np.ndarray | None"  # str [images], shared by frames of one picture or clip
    mirrored: int = 0  # how many images, at the end, are mirrored copies
    features: list[list[Path]] | None = None  # cached, per backbone: of images, of mirrored copies

    @property
    def originals(self) -> int:
        """The number of images that are not mirrored copies; these come first."""
        return len(self.images) - self.mirrored

    @property
    def frames(self) -> list[list[Path]]:
        """The columns of files for `decode_frames`."""
        return [self.images, *([self.jnd_frames] if self.jnd_frames else [])]


class TrainingData(NamedTuple):
    """The data that a predictor is trained on."""

    train: TrainingSplit
    valid: TrainingSplit
    backbones: list[Path]  # weight files, in the order of the levels
    labels: Labels  # for the weight file to record
    cache_dir: Path | None  # for features of frozen backbones; None: no cache


class TrainingFiles(NamedTuple):
    """The files that a training writes; the losses are also plotted beside the log."""

    best: Path  # weights of the best epoch
    state: Path  # for --resume
    log: Path  # a row per epoch
