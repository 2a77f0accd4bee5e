"""Export of trained models to SavedModel and TensorFlow Lite, for use without this program."""

import contextlib
import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from ..base.constants import HEIGHT, WIDTH
from ..base.files import atomic_write
from ..base.framework import tf
from ..base.temporary import temporary_folder
from ..models.descriptions import Description
from .keras import build_graph

_log = logging.getLogger(__name__)


def export(description: Description, weights: Path, names: list[str], view: str, out: Path) -> None:
    """Write a model as a SavedModel folder or, if `out` ends in .tflite, for TensorFlow Lite.

    A regression beside the model's head is left out, with a warning.

    The signature "serving_default" takes a picture `rgb`, uint8 [height, width, 3], red-green-blue,
    and returns each level by name, float32 []. A SavedModel has a second one, "batch", for
    pictures of one size: `rgb` uint8 [batch, height, width, 3], and float32 [batch] per level.

    Args:
        names: names of the levels, in the order of the model's outputs.
        view: "centre" or "stretched", as in `Predictor.levels`.
        out: path that does not exist; it is written completely or not at all.

    Raises:
        UserError: the weights are damaged, or another model's.
    """
    tf.get_logger().setLevel("ERROR")
    graph = build_graph(description, weights, "float32")
    if graph.regression:
        _log.warning("%s: only its head is exported, not its regression: levels differ", weights)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "rgb")])
    def batch(rgb: tf.Tensor) -> dict[str, tf.Tensor]:
        frames = tf.reverse(resize(crop_centre(rgb) if view == "centre" else rgb), axis=[3])
        levels = graph.head(graph.features(frames))
        return {name: tf.reshape(level, [-1]) for name, level in zip(names, levels)}

    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.uint8, "rgb")])
    def single(rgb: tf.Tensor) -> dict[str, tf.Tensor]:
        return {name: tf.reshape(level, []) for name, level in batch(rgb[tf.newaxis]).items()}

    module = tf.Module()
    module.variables_of_model, module.single, module.batch = graph.model, single, batch
    with temporary_folder(out.absolute().parent) as folder, _blame(out):
        saved = folder / "saved"
        signatures = {"serving_default": single}
        if out.suffix == ".tflite":
            tf.saved_model.save(module, str(saved), signatures)
            converted = tf.lite.TFLiteConverter.from_saved_model(str(saved)).convert()
            with atomic_write(out, overwrite=None) as temporary:
                temporary.write_bytes(converted)
        else:
            tf.saved_model.save(module, str(saved), signatures | {"batch": batch})
            saved.rename(out)


@contextlib.contextmanager
def _blame(out: Path) -> Iterator[None]:
    """Name `out` in errors of writing, rather than the temporary files."""
    try:
        yield
    except OSError as error:
        error.filename = str(out)
        raise
    except tf.errors.ResourceExhaustedError as error:
        # TensorFlow also reports a full disk by this error.
        if os.strerror(errno.ENOSPC) in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out)) from None
        raise


def crop_centre(rgb: tf.Tensor) -> tf.Tensor:
    """Crop [batch, height, width, 3] to the part that `common.data.frames.crop_centre` resizes."""
    height, width = tf.shape(rgb)[1], tf.shape(rgb)[2]
    rows = tf.round(tf.cast(width * HEIGHT, tf.float32) / WIDTH)
    columns = tf.round(tf.cast(height * WIDTH, tf.float32) / HEIGHT)
    rows = tf.clip_by_value(tf.cast(rows, tf.int32), 1, height)
    columns = tf.clip_by_value(tf.cast(columns, tf.int32), 1, width)
    top, left = (height - rows) // 2, (width - columns) // 2
    return rgb[:, top : top + rows, left : left + columns]


def resize(rgb: tf.Tensor) -> tf.Tensor:
    """Resize [batch, height, width, 3] to uint8 [batch, 352, 640, 3].

    `common.data.frames.resize` computes in fixed point, so its values may differ by 1.
    """
    frames = tf.image.resize(tf.cast(rgb, tf.float32), (HEIGHT, WIDTH))
    return tf.cast(tf.round(frames), tf.uint8)
