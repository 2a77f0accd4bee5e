"""Keras runtime, and the TensorFlow graph that is also converted for OpenVINO."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..base.constants import HEIGHT, WIDTH
from ..base.device import precision_policy
from ..base.framework import tf
from ..codec.entropy_model import quantize, weights_checksum
from ..codec.latent_codec import load_analysis as load_analysis  # each runtime has one
from ..models.build import build_model, count_most_frames
from ..models.descriptions import Description
from ..models.labels import Labels
from ..models.regression import Regression
from ..models.rounding import round_taps
from ..models.weights import read_weights
from .runtime import Runtime


class Graph(NamedTuple):
    """A trained model, split into the head and all before it."""

    features: Callable[[tf.Tensor], list[tf.Tensor]]
    """Maps frames, uint8 [frames, 352, 640, 3], to the input of the head, a tensor per backbone."""
    head: Callable[[Sequence[tf.Tensor]], list[tf.Tensor]]
    """Maps the input of the head to levels, float32 [frames, 1] per output."""
    model: tf.keras.Model
    """Owner of the variables of both."""
    analyses: list[str]
    """Checksum of the weights of each backbone's analysis transform."""
    labels: Labels
    """Labels on which the model was trained."""
    regression: Regression | None
    """A regression beside the head, if the weight file has one."""


def build_graph(description: Description, weights: Path, precision: str) -> Graph:
    """Build a model with the weights in a file, for a precision.

    Runtimes round kernels to bfloat16 anyway. Those of the backbones are first rounded here, so
    that the errors cancel, which removes two thirds of the default model's bfloat16 error.

    Raises:
        UserError: the weights are damaged, or another model's.
    """
    parts = build_model(description)
    weight_file = read_weights(parts.whole, weights)
    offsets = weight_file.offsets
    analyses = [weights_checksum(backbone.analysis)[:32] for backbone in parts.backbones]
    if precision == "bfloat16":
        for layer in (layer for backbone in parts.backbones for layer in backbone.whole.layers):
            layer.set_weights([_round_kernel(weight) for weight in layer.get_weights()])

    def features(frames: tf.Tensor) -> list[tf.Tensor]:
        found = tf.nest.flatten(parts.features(tf.cast(frames, tf.float32), training=False))
        return [quantize(*each) for each in zip(found, offsets)] if offsets else found

    def head(inputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        return tf.nest.flatten(parts.head(list(inputs), training=False))

    return Graph(
        features, head, parts.predicting, analyses, weight_file.labels, weight_file.regression
    )


def _round_kernel(weight: np.ndarray) -> np.ndarray:
    """Round a kernel to bfloat16 values; return other weights, which stay float32, unchanged."""
    if weight.ndim != 4:
        return weight
    bfloat16 = tf.bfloat16.as_numpy_dtype
    taps = weight.reshape(-1, *weight.shape[2:])
    return round_taps(taps, lambda tap: tap.astype(bfloat16)).reshape(weight.shape)


def load(description: Description, weights: Path, precision: str, cache: Path | None) -> Runtime:
    """Load a model for Keras, on the GPU if TensorFlow finds one.

    Args:
        cache: not used, since nothing is converted.

    Raises:
        UserError: as `build_graph`.
    """
    with precision_policy(precision):
        graph = build_graph(description, weights, precision)
    signature = [tf.TensorSpec([None, HEIGHT, WIDTH, 3], tf.uint8)]
    levels = tf.function(lambda frames: tf.concat(graph.head(graph.features(frames)), 1), signature)
    head = tf.function(lambda latents: tf.concat(graph.head(latents), 1))

    most = count_most_frames(graph.model)

    def levels_of_frames(frames: np.ndarray) -> np.ndarray:
        starts = range(0, len(frames), most)
        return np.concatenate([levels(frames[start : start + most]).numpy() for start in starts])

    def levels_of_latents(latents: Sequence[np.ndarray]) -> np.ndarray:
        return head([tf.constant(latent[np.newaxis]) for latent in latents]).numpy()[0]

    return Runtime(
        levels_of_frames,
        levels_of_latents,
        graph.analyses,
        graph.labels,
        graph.regression,
    )
