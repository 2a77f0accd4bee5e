"""Prediction of JND levels from pictures, bitstream files and pixels."""

from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from ..base.constants import DEFAULT_MODEL, LEVELS
from ..base.errors import UserError
from ..base.files import find_bundled
from ..codec.bitstream import is_bitstream, read_bitstream
from ..data.frames import fit, to_bgr
from ..data.pictures import Picture, read_picture
from ..data.statistics import COUNT, measure_statistics
from ..models.descriptions import MODELS, Description
from ..models.regression import Regression
from ..models.weight_paths import find_weights
from ..video.ffmpeg import binary
from .cache import default_folder
from .pipeline import PreparedPicture, predict_ahead
from .records import Failure, Levels, Prediction
from .runtime import choose_runtime, load_runtime

UNFAMILIAR = "unlike the pictures that the model learned from; its levels may be far off"


class Predictor:
    """One of the six models with its weights; any number of threads may predict at once.

    A model sees 640x352 pixels. The view says how pictures are fitted to them: "centre" takes the
    largest centred crop with that aspect ratio, "stretched" the whole picture, as for the published
    models, and "crops" up to four crops at their own scale, whose levels are averaged.

        predictor = Predictor()
        predictor.levels(np.asarray(Image.open("photo.jpg").convert("RGB")))  # JND1, JND2, JND3

    Args:
        model: a key of `MODELS`.
        weights: weight file, or folder with the model's weight file; by default, the weights that
            come with the project.
        level: "JND1", "JND2" or "JND3"; models that predict one level need it to find their file.
        precision: "float32", "bfloat16" if the processor has it, or "auto".
        entropy_models: folder in which to look for the entropy models of bitstream files, before
            the folder of the weights.
        runtime: "openvino", "keras", or "auto": Keras on a CUDA GPU, OpenVINO on a CPU.
        model_cache: whether to keep models converted for OpenVINO in the user's cache folder.

    Attributes:
        description: the model's entry in `MODELS`.
        names: the levels that it predicts, in the order of its output.
        weights: the weight file.
        labels: the labels on which the model was trained.
        regression: a regression on statistics of the whole picture, whose levels are averaged with
            the model's own; None if the weight file has none.
        choice: the runtime and the precision.
        arguments: arguments that make the same predictor in any process and working directory.

    Raises:
        UserError: there are no weights, they are damaged, or another model's.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        weights: str | Path | None = None,
        level: str | None = None,
        precision: str = "float32",
        entropy_models: Path | None = None,
        runtime: str = "auto",
        model_cache: bool = True,
    ):
        if weights == "":  # Path("") would be the current folder
            raise UserError("the name of the weight file is empty")
        path = find_bundled("weights") if weights is None else Path(weights)
        self.description = _find_description(model, path, level)
        self.names = list(LEVELS) if self.description.multitask else [level or LEVELS[0]]
        self.weights = find_weights(path, self.description.weight_files(level))
        self.choice = choose_runtime(runtime, precision)
        cache = default_folder() if model_cache else None
        self._runtime = load_runtime(self.choice, self.description, self.weights, cache)
        self.labels, self.regression = self._runtime.labels, self._runtime.regression
        if self.regression:
            self._check_regression(self.regression)
        self._folders = [*([entropy_models] if entropy_models else []), self.weights.parent]
        self.arguments = (
            model,
            self.weights.absolute(),
            level,
            self.choice.precision,
            entropy_models and entropy_models.absolute(),
            self.choice.runtime,
            model_cache,
        )

    def levels(self, rgb: np.ndarray, view: str = "centre") -> np.ndarray:
        """Predict the levels of a picture or a batch, in the unit of the labels.

        Args:
            rgb: uint8 [height, width, 3] or [batch, height, width, 3], red-green-blue, any size.
            view: "centre", "stretched" or "crops".

        Returns:
            float32 [levels] or [batch, levels], in the order of `names`.

        Raises:
            ValueError: `rgb` has the wrong dtype or shape.
            UserError: there is no such view, the levels are NaN or infinite, or the model has a
                regression, and its statistics cannot be measured: there is no ffmpeg with VMAF.
        """
        rgb = _check_frames(rgb, (3, 4))
        pictures = [fit(picture, view) for picture in rgb.reshape(-1, *rgb.shape[-3:])]
        if not pictures:
            return np.zeros((0, len(self.names)), np.float32)
        frames = to_bgr(np.stack([frame for frames in pictures for frame in frames]))
        ends = np.cumsum([len(frames) for frames in pictures])
        parts = np.split(self._predict(frames), ends[:-1])
        levels = np.stack([part.mean(axis=0) for part in parts])
        if self.regression:
            codec, each = self.labels.codec, rgb.reshape(-1, *rgb.shape[-3:])
            whole = [measure_statistics(picture, codec) for picture in each]
            levels = self.regression.blend(levels, np.stack(whole))
        return levels.reshape(*rgb.shape[:-3], -1)

    def predict(
        self, files: Iterable[str | Path], view: str = "centre", batch_size: int | None = None
    ) -> Iterator[Prediction | Failure]:
        """Yield the prediction for each picture or bitstream file, or its failure.

        Args:
            files: paths, of which some are read ahead.
            view: "centre", "stretched" or "crops"; bitstream files record their own.
            batch_size: frames at a time (None: `Description.test_batch`); it bounds memory, and
                changes results only by rounding errors.

        Raises:
            UserError: as `levels`.
        """

        def prepare(path: Path) -> PreparedPicture | Failure:
            try:
                return self._prepare(read_picture(path), view, path)
            except UserError as error:
                return Failure(path=path, error=error)

        for coded, group in groupby(map(Path, files), is_bitstream):
            if coded:
                yield from map(self._predict_bitstream, group)
            else:
                yield from self._predict_ahead(group, prepare, view, batch_size)

    def predict_frames(
        self, frames: Iterable[np.ndarray], view: str = "centre", path: Path | None = None
    ) -> Iterator[Prediction]:
        """Yield the prediction for each frame.

        Args:
            frames: uint8 [height, width, 3], red-green-blue.
            view: "centre", "stretched" or "crops".
            path: the video that the frames belong to; errors and predictions name it.

        Raises:
            ValueError, UserError: as `levels`.
        """

        def prepare(rgb: np.ndarray) -> PreparedPicture:
            return self._prepare(Picture(_check_frames(rgb, (3,)), []), view, path)

        predictions = self._predict_ahead(frames, prepare, view)
        return (each for each in predictions if isinstance(each, Prediction))  # all are

    def _predict_ahead(self, items, prepare, view, size=None) -> Iterator[Prediction | Failure]:
        if self.regression:
            binary("libvmaf")  # for its statistics
        size = size or self.description.test_batch
        for each in predict_ahead(items, prepare, lambda frames: self._predict(frames, size), size):
            if isinstance(each, Failure):
                yield each
            else:
                yield self._blend(*each, view)

    def _prepare(self, picture: Picture, view: str, path: Path | None = None) -> PreparedPicture:
        height, width, _ = picture.rgb.shape
        frames = np.stack([to_bgr(frame) for frame in fit(picture.rgb, view)])
        statistics = None
        if self.regression:
            try:
                statistics = measure_statistics(picture.rgb, self.labels.codec)
            except UserError as error:
                raise UserError(f"{path}: {error}" if path else str(error)) from None
        return PreparedPicture(path, height, width, frames, picture.notes, statistics)

    def _blend(self, prepared: PreparedPicture, levels: np.ndarray, view: str) -> Prediction:
        """Average the head's levels with those of the regression, if there is one."""
        notes, statistics = prepared.notes, prepared.statistics
        if self.regression and statistics is not None:
            levels = self.regression.blend(levels[np.newaxis], statistics[np.newaxis])[0]
            if not self.regression.is_familiar(statistics):
                notes = [*notes, UNFAMILIAR]
        return Prediction(
            path=prepared.path,
            width=prepared.width,
            height=prepared.height,
            view=view,
            levels=self._name(levels),
            notes=notes,
        )

    def _predict_bitstream(self, path: Path) -> Prediction | Failure:
        try:
            latents, picture = self.latents(path), read_bitstream(path)
        except UserError as error:
            return Failure(path=path, error=error)
        return Prediction(
            path=path,
            width=picture.width,
            height=picture.height,
            view=picture.view,
            levels=self._name(self.levels_of_latents(latents)),
        )

    def latents(self, path: Path) -> list[np.ndarray]:
        """Decode the latents in a bitstream file: float32 [22, 40, 192] per backbone.

        Raises:
            UserError: this model's head takes no latents, the file cannot be read, or as
                `codec.decoding.latents_for_head`.
        """
        if self.description.sees != "latent":
            raise UserError(f"{path}: {self.description.title} takes pictures, not bitstream files")
        picture = read_bitstream(path)
        from ..codec.decoding import latents_for_head

        try:
            return latents_for_head(self._runtime.analyses, picture, self._folders, self.weights)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    def levels_of_latents(self, latents: list[np.ndarray]) -> np.ndarray:
        """Predict the levels, float32 [levels], from the latents that `latents` returns.

        Raises:
            UserError: as `levels`.
        """
        return self._check_finite(self._runtime.levels_of_latents(latents))

    def _predict(self, frames: np.ndarray, batch_size: int | None = None) -> np.ndarray:
        if self.regression and self.regression.share == 1:  # then the head does not count
            return np.zeros((len(frames), len(self.names)), np.float32)
        size = batch_size or self.description.test_batch
        batches = [frames[start : start + size] for start in range(0, len(frames), size)]
        return self._check_finite(
            np.concatenate([self._runtime.levels(batch) for batch in batches])
        )

    def _check_regression(self, regression: Regression) -> None:
        """Raise a UserError unless the regression fits the statistics and levels of this model."""
        expected = ((COUNT,), (len(self.names),))
        if (regression.mean.shape, regression.offset.shape) != expected:
            raise UserError(
                f"{self.weights}: its regression is of another model or version of this program; "
                "refine the model again"
            )

    def _check_finite(self, levels: np.ndarray) -> np.ndarray:
        if not np.isfinite(levels).all():
            raise UserError(f"{self.weights}: gives levels that are NaN or infinite")
        return levels

    def _name(self, levels: np.ndarray) -> Levels:
        return dict(zip(self.names, map(float, levels)))


def _find_description(model: str, weights: Path, level: str | None) -> Description:
    """Look up the description of a model, and check that its weights can be found.

    Raises:
        UserError: there is no such model or level, or the model needs a level to find its weights.
    """
    if model not in MODELS:
        raise UserError(f"{model}: no such model; there are {', '.join(MODELS)}")
    levels = ", ".join(LEVELS)
    if level is not None and level not in LEVELS:
        raise UserError(f"{level}: no such level; there are {levels}")
    if level is None and not MODELS[model].multitask and weights.is_dir():
        raise UserError(f"{weights}: {model} predicts one level; say which of {levels}")
    return MODELS[model]


def _check_frames(rgb: np.ndarray, dimensions: Collection[int]) -> np.ndarray:
    """Convert `rgb` to an array, and check its dtype and shape.

    Raises:
        ValueError: they are wrong.
    """
    rgb = np.asarray(rgb)
    frames = rgb.dtype == np.uint8 and rgb.ndim in dimensions and rgb.shape[-1] == 3
    if not frames or 0 in rgb.shape[-3:]:
        raise ValueError(f"frames are uint8 [..., height, width, 3], not {rgb.dtype} {rgb.shape}")
    return rgb
