"""Trained models in TensorFlow, run by Keras or converted for OpenVINO."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..base.constants import HEIGHT, WIDTH
from ..base.device import use_precision
from ..base.framework import tf
from ..codec.entropy_model import rounded_to, weights_checksum
from ..models.build import build_model
from ..models.descriptions import Description
from ..models.rounding import rounded
from ..models.weights import offsets_of, read_weights
from .runtime import Runtime


class Graph(NamedTuple):
    """A trained model, split where its head begins."""

    see: Callable[[tf.Tensor], list[tf.Tensor]]
    """Maps frames, uint8 [frames, 352, 640, 3], to the input of the head, a tensor per backbone."""
    judge: Callable[[Sequence[tf.Tensor]], tf.Tensor]
    """Maps the input of the head to levels, float32 [frames, levels]."""
    analyses: list[str]
    """Checksum of the weights of each backbone's analysis transform."""


def build_graph(description: Description, weights: Path | None, precision: str) -> Graph:
    """Build a model with the weights in a file, or with random ones, for a precision.

    In bfloat16 any runtime rounds the kernels; those of the backbones are rounded here beforehand
    so that their errors cancel. In the default model this removes two thirds of the levels' error,
    and the large outliers.

    Raises:
        UserError: the weights are damaged, or another model's.
    """
    parts = build_model(description)
    offsets = None
    if weights:
        read_weights(parts.whole, weights)
        offsets = offsets_of(weights)
    analyses = [weights_checksum(backbone.analysis)[:32] for backbone in parts.backbones]
    if precision == "bfloat16":
        for layer in (layer for backbone in parts.backbones for layer in backbone.whole.layers):
            layer.set_weights([_on_grid(weight) for weight in layer.get_weights()])

    def see(frames: tf.Tensor) -> list[tf.Tensor]:
        seen = tf.nest.flatten(parts.features(tf.cast(frames, tf.float32), training=False))
        return [rounded_to(*each) for each in zip(seen, offsets)] if offsets else seen

    def judge(seen: Sequence[tf.Tensor]) -> tf.Tensor:
        return tf.concat(tf.nest.flatten(parts.head(list(seen), training=False)), axis=1)

    return Graph(see, judge, analyses)


def _on_grid(weight: np.ndarray) -> np.ndarray:
    """Round a kernel to bfloat16 values; a bias, which stays in float32, is returned unchanged."""
    if weight.ndim != 4:
        return weight
    kind = tf.bfloat16.as_numpy_dtype
    taps = weight.reshape(-1, *weight.shape[2:])
    return rounded(taps, lambda tap: tap.astype(kind)).reshape(weight.shape)


def load_with_keras(description: Description, weights: Path | None, precision: str) -> Runtime:
    """Load a model for Keras, on whatever device TensorFlow has."""
    use_precision(precision)
    graph = build_graph(description, weights, precision)
    signature = [tf.TensorSpec([None, HEIGHT, WIDTH, 3], tf.uint8)]
    levels = tf.function(lambda frames: graph.judge(graph.see(frames)), signature)
    judge = tf.function(graph.judge)

    def levels_of_latents(latents: Sequence[np.ndarray]) -> np.ndarray:
        return judge([tf.constant(latent[np.newaxis]) for latent in latents]).numpy()[0]

    return Runtime(
        lambda frames: levels(tf.constant(frames)).numpy(), levels_of_latents, graph.analyses
    )


def load_analysis_with_keras(analysis: tf.keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """Load an analysis transform for Keras."""
    run = tf.function(analysis, reduce_retracing=True)
    return lambda frame: run(tf.constant(frame[np.newaxis].astype(np.float32))).numpy()[0]
