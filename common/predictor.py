"""The heart: a trained model, and the levels it predicts. Also the Python interface.

from common.predictor import Predictor

predictor = Predictor("MJLAT", "weights/")
predictor.levels(np.asarray(Image.open("photo.jpg").convert("RGB")))  # JND1, JND2, JND3
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common.data.frames import errors_in, frame_batches, resized
from common.device import choose_device, use_precision
from common.errors import UserError
from common.facts import LEVELS
from common.fast.striped import fast_form
from common.framework import tf
from common.models.build import build_model
from common.models.descriptions import MODELS
from common.models.weights import find_weights, read_weights


class Predictor:
    """One of the six models with its weights, read and made fast once.

    Args:
        model: a key of `MODELS`, such as "MJLAT".
        weights: weight file, or folder in which the model looks for its own; None leaves the
            weights random, as for measuring speed.
        level: "JND1", "JND2" or "JND3", which a model of one level needs to find its weights.
        precision: "float32" or "bfloat16"; the latter where the processor has it.

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
    ):
        self.description = MODELS[model]
        self.names = list(LEVELS) if self.description.multitask else [level or LEVELS[0]]
        self.weights = weights and find_weights(weights, self.description.weight_files(level))
        device, precision = choose_device(precision)
        # On a CPU the model is a float32 one, of which `fast_form` makes one that is rounded.
        use_precision(precision if device == "GPU" else "float32")
        parts = build_model(self.description)
        if self.weights:
            read_weights(parts.whole, self.weights)
        # Larger batches gain nothing on a CPU and only take memory.
        fast = fast_form(parts, precision) if device == "CPU" else parts.predicting

        def of_batch(frames: tf.Tensor) -> tf.Tensor:
            return tf.concat(tf.nest.flatten(fast(frames, training=False)), axis=1)

        @tf.function(reduce_retracing=True)
        def levels(frames: tf.Tensor) -> tf.Tensor:
            frames = tf.cast(frames, tf.float32)
            if device == "GPU":
                return of_batch(frames)
            return tf.map_fn(
                lambda frame: of_batch(frame[tf.newaxis])[0],
                frames,
                fn_output_signature=tf.TensorSpec([len(self.names)], tf.float32),
            )

        self._run = levels

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
        if rgb.dtype != np.uint8 or rgb.ndim not in (3, 4) or rgb.shape[-1] != 3 or not rgb.size:
            raise ValueError(
                f"frames are uint8 [..., height, width, 3], not {rgb.dtype} {rgb.shape}"
            )
        batch = rgb.reshape(-1, *rgb.shape[-3:])
        levels = self._checked(np.stack([resized(frame)[..., ::-1] for frame in batch]))
        return levels.reshape(*rgb.shape[:-3], -1)

    def predict(
        self, images: list[Path], batch_size: int | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, list[UserError]]]:
        """The levels of image files, in their order, batch by batch.

        Args:
            batch_size: frames at a time (None: `test_batch`); bounds memory, changes no result.

        Yields:
            places in `images` [frames], levels float32 [frames, levels], and the errors of the
            images of this batch that cannot be read, whose levels are left out.

        Raises:
            UserError: the weights give levels that are NaN or infinite.
        """
        batches = frame_batches(images, batch_size or self.description.test_batch)
        for numbers, errors, frames in batches:
            whole = errors.numpy() == b""
            yield numbers.numpy()[whole], self._checked(frames.numpy())[whole], errors_in(errors)

    def _checked(self, frames: np.ndarray) -> np.ndarray:
        levels = self._run(frames).numpy()
        if not np.isfinite(levels).all():
            raise UserError(f"{self.weights}: gives levels that are NaN or infinite")
        return levels
