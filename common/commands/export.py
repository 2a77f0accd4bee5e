"""Hand a trained model on to programs that know nothing of this one."""

import argparse
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.constants import HEIGHT, LEVELS, WIDTH
from ..base.errors import UserError, say
from ..base.files import atomic_write, check_regular, check_writable
from ..base.temporary import lock, temporary_folder
from ..models.descriptions import MODELS, Description
from .options import path, program

if TYPE_CHECKING:
    from ..base.framework import tf


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Give `commands` the command export."""
    start = program("export")
    parser = commands.add_parser(
        "export",
        prog=start,
        help="write a model as a SavedModel or for TensorFlow Lite",
        description="Write a model as a SavedModel folder or, if OUT ends in .tflite, as a\n"
        "TensorFlow Lite file. It takes a picture as it is, RGB uint8 [height, width, 3] of any\n"
        "size, and gives its levels by name, as float32: resizing and the order of colours are\n"
        "inside.",
        epilog=f"examples:\n  {start} weights/MJLAT.h5 exported/\n"
        f"  {start} weights/MJLAT.h5 MJLAT.tflite",
    )
    parser.add_argument("weights", type=path, metavar="WEIGHTS", help="a model's weight file")
    parser.add_argument("out", type=path, metavar="OUT", help="folder, or file.tflite, to write")
    named = "whose weights these are, where the file's name does not tell, as BestModel.h5"
    parser.add_argument("--model", choices=MODELS, help=named)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Write the exported model."""
    description, level = _told_by_name(options.weights)
    if options.model:
        description = MODELS[options.model]
    if not description:
        options.parser.error(f"{options.weights.name} does not tell the model: --model does")
    if os.path.lexists(options.out):
        raise UserError(f"{options.out}: already exists; remove it, or name another OUT")
    if not options.weights.exists():
        raise UserError(f"{options.weights}: no such file")
    check_regular(options.weights)
    check_writable(options.out)
    names = list(LEVELS) if description.multitask else [level or "JND"]
    with lock(options.out):
        export(description, options.weights, names, options.out)
    say(f"{options.out}: {description.title}, RGB uint8 to {', '.join(names)}")


def _told_by_name(weights: Path) -> tuple[Description | None, str | None]:
    """The model and, if it is of one, the level that a file is named after."""
    for description in MODELS.values():
        for level in (None,) if description.multitask else LEVELS:
            if weights.name == description.weight_files(level)[0]:
                return description, level
    return None, next((level for level in LEVELS if weights.stem.endswith(level)), None)


def export(description: Description, weights: Path, names: list[str], out: Path) -> None:
    """Write the model as `out`, whole or not at all; its outputs are called `names`.

    Raises:
        UserError: the weights are damaged, or another model's.
    """
    from ..base.framework import tf
    from ..codec.entropy_model import rounded_to
    from ..models.build import build_model
    from ..models.weights import offsets_of, read_weights

    tf.get_logger().setLevel("ERROR")
    parts = build_model(description)
    read_weights(parts.whole, weights)
    offsets = offsets_of(weights)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.uint8, "rgb")])
    def levels(rgb: tf.Tensor) -> dict[str, tf.Tensor]:
        frame = tf.reverse(resize(rgb), axis=[2])[tf.newaxis]
        seen = tf.nest.flatten(parts.features(tf.cast(frame, tf.float32), training=False))
        if offsets:
            seen = [rounded_to(latent, offset) for latent, offset in zip(seen, offsets)]
        outputs = tf.nest.flatten(parts.head(seen, training=False))
        return {name: tf.reshape(level, []) for name, level in zip(names, outputs)}

    module = tf.Module()
    module.model, module.levels = parts.predicting, levels
    with temporary_folder(out.absolute().parent) as folder:
        whole = folder / "whole"
        try:
            tf.saved_model.save(module, str(whole), {"serving_default": levels})
            if out.suffix == ".tflite":
                converted = tf.lite.TFLiteConverter.from_saved_model(str(whole)).convert()
                with atomic_write(out, overwrite=None) as temporary:
                    temporary.write_bytes(converted)
            else:
                whole.rename(out)
        except OSError as error:
            error.filename = str(out)
            raise
        except tf.errors.ResourceExhaustedError as error:
            # TensorFlow reports a full disk this way, too.
            if os.strerror(errno.ENOSPC) in str(error):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out)) from None
            raise


def resize(rgb: "tf.Tensor") -> "tf.Tensor":
    """As `common.data.frames.resize`, in a graph: int32 [352, 640, 3] of uint8 [any, any, 3]."""
    from ..base.framework import tf

    rgb = tf.cast(rgb, tf.int32)
    shape = tf.shape(rgb)
    top, bottom, above, below = _neighbours(shape[0], HEIGHT)
    left, right, before, after = _neighbours(shape[1], WIDTH)

    def sampled(rows: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        rows = tf.gather(rgb, rows)
        of_left, of_right = (tf.gather(rows, columns, axis=1) for columns in (left, right))
        taken = of_left * before[:, tf.newaxis] + of_right * after[:, tf.newaxis]
        return taken // 16 * weights[:, tf.newaxis, tf.newaxis] // 65536

    return (sampled(top, above) + sampled(bottom, below) + 2) // 4


def _neighbours(old: "tf.Tensor", new: int) -> "tuple[tf.Tensor, ...]":
    from ..base.framework import tf

    share = tf.cast(old, tf.float32) / new
    at = (tf.range(new, dtype=tf.float32) + 0.5) * share - 0.5
    first = tf.floor(at)
    after = tf.cast(tf.round((at - first) * 2048), tf.int32)
    before = tf.cast(tf.round((1 - (at - first)) * 2048), tf.int32)
    first = tf.cast(first, tf.int32)
    last = old - 1
    return (
        tf.clip_by_value(first, 0, last),
        tf.clip_by_value(first + 1, 0, last),
        before,
        after,
    )
