"""Python interface: a trained model, and the levels it predicts.

A model that sees latents also accepts coded pictures, on which it runs only its head.

from .predictor import Predictor

predictor = Predictor("MJLAT", "weights/")
predictor.levels(np.asarray(Image.open("photo.jpg").convert("RGB")))  # JND1, JND2, JND3
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from ..base.constants import LEVELS
from ..base.errors import UserError
from ..codec.bitstream import is_bitstream, read_bitstream
from ..data.frames import fit, resize, to_bgr
from ..data.pictures import Picture, read_picture
from ..models.descriptions import MODELS, Description
from ..models.weights import find_weights
from .cache import default_folder
from .pipeline import Prediction, Shown, predict_ahead
from .runtime import choose_runtime, load_runtime


class Predictor:
    """One of the six models with its weights; any number of threads may predict at once.

    Args:
        model: a key of `MODELS`, such as "MJLAT".
        weights: weight file, or folder in which the model looks for its own; None means random
            weights, to measure speed.
        level: "JND1", "JND2" or "JND3"; a model of one level needs it to find its weights.
        precision: "float32", "bfloat16" if the processor has it, or "auto".
        priors: another folder, besides that of `weights`, in which to look for the entropy models
            of coded pictures.
        runtime: "openvino", "keras", or "auto": Keras on a CUDA GPU, OpenVINO on a CPU.
        model_cache: whether to keep models converted for OpenVINO in the user's cache folder.

    Attributes:
        names: the levels that it predicts, in the order of its output.
        weights: the weight file.
        choice: the runtime and the precision.
        labels: what it was trained on.

    Raises:
        UserError: there are no weights, they are damaged, or another model's.
    """

    def __init__(
        self,
        model: str,
        weights: str | Path | None,
        level: str | None = None,
        precision: str = "float32",
        priors: Path | None = None,
        runtime: str = "auto",
        model_cache: bool = True,
    ):
        self.description = _find_description(model, weights, level)
        self.names = list(LEVELS) if self.description.multitask else [level or LEVELS[0]]
        self.weights: Path | None = None
        if weights is not None:
            if weights == "":  # which a path would take for the current folder
                raise UserError("the name of the weight file is empty")
            self.weights = find_weights(Path(weights), self.description.weight_files(level))
        self.choice = choose_runtime(runtime, precision)
        cache = default_folder() if model_cache else None
        self._runtime = load_runtime(self.choice, self.description, self.weights, cache)
        self.labels = self._runtime.labels
        if self.weights:
            self._folders = [*([priors] if priors else []), self.weights.parent]

    @property
    def sees_latents(self) -> bool:
        """Whether it takes coded pictures."""
        return self.description.sees == "latent"

    def levels(self, rgb: np.ndarray) -> np.ndarray:
        """Predict the levels of a frame or a batch, in the unit of the labels it was trained on.

        Args:
            rgb: uint8 [height, width, 3] or [batch, height, width, 3], red-green-blue, any size:
                resized to 640x352 as the published models saw frames.

        Returns:
            float32 [levels] or [batch, levels], in the order of `names`.

        Raises:
            ValueError: `rgb` has another dtype or shape.
            UserError: the weights give levels that are NaN or infinite.
        """
        rgb = _check_frames(rgb, (3, 4))
        if not len(rgb):
            return np.zeros((0, len(self.names)), np.float32)
        batch = rgb.reshape(-1, *rgb.shape[-3:])
        levels = self._levels(to_bgr(np.stack([resize(frame) for frame in batch])))
        return levels.reshape(*rgb.shape[:-3], -1)

    def predict(
        self, files: Iterable[Path], view: str = "centre", batch_size: int | None = None
    ) -> Iterator[Prediction | UserError]:
        """Yield the prediction for each image file or coded picture, or the error that prevents it.

        Args:
            files: image files or coded pictures; threads read ahead.
            view: a key of `VIEWS`: how pictures that are not coded are fitted to the model.
            batch_size: frames at a time (None: `test_batch`); bounds memory, changes no result
                beyond rounding.

        Raises:
            UserError: as `levels`.
        """
        size = batch_size or self.description.test_batch
        for coded, group in groupby(files, is_bitstream):
            if coded:
                yield from map(self._predict_coded, group)
            else:
                yield from predict_ahead(
                    group,
                    lambda path: _show(read_picture(path), view),
                    lambda frames: self._levels(frames, size),
                    size,
                )

    def predict_frames(
        self, frames: Iterable[np.ndarray], view: str = "centre"
    ) -> Iterator[Prediction]:
        """Call `predict` on pixels, uint8 [height, width, 3], red-green-blue, instead of files."""
        size = self.description.test_batch
        checked = (_check_frames(frame, (3,)) for frame in frames)
        found = predict_ahead(
            checked, lambda rgb: _show(Picture(rgb, []), view), self._levels, size
        )
        return (each for each in found if isinstance(each, Prediction))  # no file, no error

    def _predict_coded(self, path: Path) -> Prediction | UserError:
        try:
            latents, picture = self.latents(path), read_bitstream(path)
        except UserError as error:
            return error
        return Prediction(picture.height, picture.width, self.levels_of_latents(latents), [])

    def latents(self, path: Path) -> list[np.ndarray]:
        """Decode the latents of the coded picture in a file: float32 [22, 40, 192] per backbone.

        Raises:
            UserError: this model sees no latents, the file cannot be read, or as
                `common.codec.decoding.latents_for_head`.
        """
        if not self.sees_latents:
            raise UserError(f"{path}: {self.description.title} sees pictures, not coded ones")
        picture = read_bitstream(path)
        from ..codec.decoding import latents_for_head

        try:
            return latents_for_head(self._runtime.analyses, picture, self._folders, self.weights)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    def levels_of_latents(self, latents: list[np.ndarray]) -> np.ndarray:
        """Predict the levels, float32 [levels], of latents as `latents` returns them.

        Raises:
            UserError: as `levels`.
        """
        return self._finite(self._runtime.levels_of_latents(latents))

    def _levels(self, frames: np.ndarray, batch_size: int | None = None) -> np.ndarray:
        size = batch_size or self.description.test_batch
        batches = [frames[start : start + size] for start in range(0, len(frames), size)]
        return self._finite(np.concatenate([self._runtime.levels(batch) for batch in batches]))

    def _finite(self, levels: np.ndarray) -> np.ndarray:
        if not np.isfinite(levels).all():
            raise UserError(f"{self.weights}: gives levels that are NaN or infinite")
        return levels


def _find_description(model: str, weights: str | Path | None, level: str | None) -> Description:
    """Look up the description of a model, and check that its weights can be found.

    Raises:
        UserError: there is no such model or level, or the model needs a level to find its weights.
    """
    if model not in MODELS:
        raise UserError(f"{model}: no such model; there are {', '.join(MODELS)}")
    levels = ", ".join(LEVELS)
    if level is not None and level not in LEVELS:
        raise UserError(f"{level}: no such level; there are {levels}")
    if weights and level is None and not MODELS[model].multitask and Path(weights).is_dir():
        raise UserError(f"{weights}: {model} predicts one level; say which of {levels}")
    return MODELS[model]


def _check_frames(rgb: np.ndarray, dimensions: Collection[int]) -> np.ndarray:
    """Frames as an array.

    Raises:
        ValueError: they are of another kind or shape.
    """
    rgb = np.asarray(rgb)
    frames = rgb.dtype == np.uint8 and rgb.ndim in dimensions and rgb.shape[-1] == 3
    if not frames or 0 in rgb.shape[-3:]:
        raise ValueError(f"frames are uint8 [..., height, width, 3], not {rgb.dtype} {rgb.shape}")
    return rgb


def _show(picture: Picture, view: str) -> Shown:
    height, width, _ = picture.rgb.shape
    frames = np.stack([to_bgr(part) for part in fit(picture.rgb, view)])
    return Shown(height, width, frames, picture.notes)
