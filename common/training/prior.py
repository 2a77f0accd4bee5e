"""The entropy model alone, for a backbone that has none: as of an E2E model, or a published one."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..base.framework import tf
from ..base.parallel import parallel_map
from ..codec.entropy_model import (
    Prior,
    build_prior,
    noisy,
    quantization_offset,
    quantized,
    write_prior,
)
from ..data.frames import read_frame
from ..models.backbone import Backbone

# Frames that are looked at, steps, and places of latents in a step: 192 densities need no more.
FRAMES, STEPS, PLACES = 256, 1000, 2048
LEARNING_RATE = 0.02


def train_prior(backbone: Backbone, images: list[Path], seed: int, path: Path) -> float:
    """Train an entropy model of the latents of `backbone`, and write it to `path`.

    Of more than `FRAMES` images, so many are looked at, evenly spread.

    Returns:
        Bits per pixel of the frames looked at.

    Raises:
        UserError: an image cannot be read.
    """
    tf.keras.utils.set_random_seed(seed)
    chosen = np.unique(np.linspace(0, len(images) - 1, FRAMES).astype(int))
    frames = parallel_map(read_frame, [images[place] for place in chosen], "reading frames")
    analyse = tf.function(backbone.analysis)
    latents = [analyse(tf.constant(frame[np.newaxis], tf.float32)).numpy() for frame in frames]
    places = np.concatenate(latents).reshape(-1, 1, 1, latents[0].shape[-1])
    prior = build_prior()
    _fit(prior, places, seed)
    write_prior(prior, backbone.whole, path, overwrite=False)
    _, bits = quantized(prior, tf.constant(places), quantization_offset(prior))
    return float(tf.reduce_sum(bits)) / (len(frames) * np.prod(frames[0].shape[:2]))


def _fit(prior: Prior, places: np.ndarray, seed: int) -> None:
    """Train `prior` on latents [places, 1, 1, channels]."""
    rate = tf.keras.optimizers.schedules.CosineDecay(LEARNING_RATE, STEPS)
    optimizer = tf.keras.optimizers.Adam(rate, jit_compile=False)
    weights = list(prior.trainable_variables)
    optimizer.build(weights)

    @tf.function
    def step(latents: tf.Tensor, number: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            _, bits = noisy(prior, latents, tf.stack([seed, number]))
            loss = tf.reduce_mean(bits)
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))

    random = np.random.default_rng(seed)
    for number in tqdm(range(STEPS), "entropy model", unit="step", disable=None, leave=False):
        step(tf.constant(places[random.integers(len(places), size=PLACES)]), tf.constant(number))
