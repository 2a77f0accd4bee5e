"""The heart: a trained model, and the levels it predicts. Also the Python interface.

A model that sees latents takes coded pictures, too: of those it runs its head alone.

from common.predictor import Predictor

predictor = Predictor("MJLAT", "weights/")
predictor.levels(np.asarray(Image.open("photo.jpg").convert("RGB")))  # JND1, JND2, JND3
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from common.data.frames import blue_first, errors_in, frame_batches, resized
from common.device import choose_device, use_precision
from common.errors import UserError
from common.facts import LEVELS
from common.fast.striped import fast_form, halves
from common.framework import tf
from common.models.bitstream import is_coded, read_coded
from common.models.build import Parts, build_model
from common.models.decoding import latents_for
from common.models.descriptions import MODELS, Description
from common.models.entropy import rounded_to, weights_checksum
from common.models.weights import find_weights, offsets_of, read_weights


class Predictor:
    """One of the six models with its weights, read and made fast once.

    Args:
        model: a key of `MODELS`, such as "MJLAT".
        weights: weight file, or folder in which the model looks for its own; None leaves the
            weights random, as for measuring speed.
        level: "JND1", "JND2" or "JND3", which a model of one level needs to find its weights.
        precision: "float32" or "bfloat16"; the latter where the processor has it.
        priors: folder where the entropy models of coded pictures may lie, other than that of
            `weights`.

    Attributes:
        names: the levels that it predicts, in the order it gives them in.
        weights: the weight file.

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
    ):
        self.description = _described(model, weights, level)
        self.names = list(LEVELS) if self.description.multitask else [level or LEVELS[0]]
        self.weights: Path | None = None
        if weights:
            self.weights = find_weights(Path(weights), self.description.weight_files(level))
        device, precision = choose_device(precision)
        # On a CPU the model is a float32 one, of which `fast_form` makes one that is rounded.
        use_precision(precision if device == "GPU" else "float32")
        parts = build_model(self.description)
        if self.weights:
            read_weights(parts.whole, self.weights)
        offsets = offsets_of(self.weights) if self.weights else None
        self._run, self._run_head = _functions(parts, device, precision, offsets)
        if self.weights and self.sees_latents:
            self._folders = [*([priors] if priors else []), self.weights.parent]
            self._analyses = [weights_checksum(each.analysis)[:32] for each in parts.backbones]

    @property
    def sees_latents(self) -> bool:
        """Whether it takes coded pictures."""
        return self.description.sees == "latent"

    def levels(self, rgb: np.ndarray) -> np.ndarray:
        """The levels of a frame or of a batch of frames, in the unit of the labels trained on.

        Args:
            rgb: uint8 [height, width, 3] or [batch, height, width, 3], red-green-blue, any size:
                resized to 640x352 as the published models saw frames.

        Returns:
            float32 [levels] or [batch, levels], in the order of `names`.

        Raises:
            ValueError: `rgb` is of another kind or shape.
            UserError: as `predict`.
        """
        rgb = np.asarray(rgb)
        frames = rgb.dtype == np.uint8 and rgb.ndim in (3, 4) and rgb.shape[-1] == 3
        if not frames or 0 in rgb.shape[-3:]:
            raise ValueError(
                f"frames are uint8 [..., height, width, 3], not {rgb.dtype} {rgb.shape}"
            )
        if not len(rgb):
            return np.zeros((0, len(self.names)), np.float32)
        batch = rgb.reshape(-1, *rgb.shape[-3:])
        levels = self._checked(blue_first(np.stack([resized(frame) for frame in batch])))
        return levels.reshape(*rgb.shape[:-3], -1)

    def predict(
        self, images: list[Path], batch_size: int | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, list[UserError]]]:
        """The levels of image files, or of coded pictures, in their order, batch by batch.

        Args:
            batch_size: frames at a time (None: `test_batch`); bounds memory, changes no result
                beyond rounding.

        Yields:
            places in `images` [frames], levels float32 [frames, levels], and the errors of the
            images of this batch that cannot be read, whose levels are left out.

        Raises:
            UserError: the weights give levels that are NaN or infinite.
        """
        if images and is_coded(images[0]):
            yield from self._predict_coded(images)
            return
        batches = frame_batches(images, batch_size or self.description.test_batch)
        for numbers, errors, frames in batches:
            whole = errors.numpy() == b""
            yield numbers.numpy()[whole], self._checked(frames.numpy())[whole], errors_in(errors)

    def _predict_coded(
        self, files: list[Path]
    ) -> Iterator[tuple[np.ndarray, np.ndarray, list[UserError]]]:
        """As `predict`, of coded pictures, one by one."""
        for place, path in enumerate(files):
            try:
                latents = self.latents(path)
            except UserError as error:
                yield np.zeros(0, int), np.zeros((0, len(self.names)), np.float32), [error]
            else:
                yield np.array([place]), self.levels_of_latents(latents)[np.newaxis], []

    def latents(self, path: Path) -> list[np.ndarray]:
        """What the head sees of the coded picture in a file: float32 [22, 40, 192] each.

        Raises:
            UserError: it cannot be read, or as `common.models.decoding.latents_for`.
        """
        picture = read_coded(path)
        try:
            return latents_for(self._analyses, picture, self._folders, self.weights)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    def levels_of_latents(self, latents: list[np.ndarray]) -> np.ndarray:
        """The levels, float32 [levels], of latents as `latents` gives them.

        Raises:
            UserError: as `predict`.
        """
        batches = [tf.constant(latent[np.newaxis]) for latent in latents]
        return self._finite(self._run_head(batches).numpy())

    def _checked(self, frames: np.ndarray) -> np.ndarray:
        return self._finite(self._run(frames).numpy())

    def _finite(self, levels: np.ndarray) -> np.ndarray:
        if not np.isfinite(levels).all():
            raise UserError(f"{self.weights}: gives levels that are NaN or infinite")
        return levels


def _described(model: str, weights: str | Path | None, level: str | None) -> Description:
    """The description of a model whose weights can be found.

    Raises:
        UserError: there is no such model or level, or it needs one to find its weights.
    """
    if model not in MODELS:
        raise UserError(f"{model}: no such model; there are {', '.join(MODELS)}")
    levels = ", ".join(LEVELS)
    if level is not None and level not in LEVELS:
        raise UserError(f"{level}: no such level; there are {levels}")
    if weights and level is None and not MODELS[model].multitask and Path(weights).is_dir():
        raise UserError(f"{weights}: {model} predicts one level; say which of {levels}")
    return MODELS[model]


def _functions(
    parts: Parts, device: str, precision: str, offsets: list[np.ndarray] | None
) -> tuple[Callable, Callable]:
    """From frames uint8 [batch, 352, 640, 3], and from latents of one frame, to levels."""
    fast = fast_form(parts, precision) if device == "CPU" else parts.predicting
    features, head = halves(fast, parts)
    levels_like = [tf.TensorSpec([1, len(parts.head.outputs)])]

    def seen_in(frames: tf.Tensor) -> list[tf.Tensor]:
        return tf.nest.flatten(features(frames, training=False))

    def rounded(seen: list[tf.Tensor]) -> list[tf.Tensor]:
        return [rounded_to(*each) for each in zip(seen, offsets)] if offsets else seen

    def of_seen(seen: list[tf.Tensor]) -> tf.Tensor:
        return tf.concat(tf.nest.flatten(head(seen, training=False)), axis=1)

    @tf.function(reduce_retracing=True)
    def levels(frames: tf.Tensor) -> tf.Tensor:
        frames = tf.cast(frames, tf.float32)
        if device == "GPU":
            return of_seen(rounded(seen_in(frames)))
        # On a CPU larger batches take more memory and gain nothing, but for a head on latents,
        # which are small and its weights many.
        if parts.description.sees == "latent":
            return of_seen(rounded(_one_by_one(seen_in, features.outputs, frames)))
        return _one_by_one(lambda frame: [of_seen(seen_in(frame))], levels_like, frames)[0]

    @tf.function
    def levels_of_latents(latents: list[tf.Tensor]) -> tf.Tensor:
        return of_seen(latents)[0]

    return levels, levels_of_latents


def _one_by_one(
    function: Callable[[tf.Tensor], list[tf.Tensor]], like: list[tf.TensorSpec], frames: tf.Tensor
) -> list[tf.Tensor]:
    """What `function` makes of a batch of one frame, `like` these, for each of `frames`."""
    return tf.map_fn(
        lambda frame: [each[0] for each in function(frame[tf.newaxis])],
        frames,
        fn_output_signature=[tf.TensorSpec(each.shape[1:], each.dtype) for each in like],
    )
