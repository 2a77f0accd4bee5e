"""Training of only an entropy model, for a backbone without one, such as an E2E model's."""

from pathlib import Path

import numpy as np

from ..base.framework import tf
from ..base.parallel import parallel_map
from ..base.progress import Progress
from ..codec.entropy_model import EntropyModel, add_noise, quantize
from ..codec.latent_codec import LatentCodec
from ..data.frames import read_frame

# Number of frames, of steps, and of positions per step; 192 distributions need no more.
FRAMES, STEPS, POSITIONS = 256, 1000, 2048
LEARNING_RATE = 0.02


def train_entropy_model(codec: LatentCodec, images: list[Path], seed: int) -> float:
    """Train an entropy model on the latents of `codec`, and write it to `codec.entropy_file`.

    At most `FRAMES` images are used, evenly spread.

    Returns:
        Bits per pixel of these frames.

    Raises:
        UserError: an image cannot be read.
    """
    tf.keras.utils.set_random_seed(seed)
    chosen = np.unique(np.linspace(0, len(images) - 1, FRAMES).astype(int))
    frames = parallel_map(read_frame, [images[index] for index in chosen], "reading frames")
    latents = np.concatenate([codec.latents(frame) for frame in frames])
    positions = latents.reshape(-1, 1, 1, latents.shape[-1])
    model = EntropyModel()
    _fit(model, positions, seed)
    model.write(codec.entropy_file, codec.backbone.whole, overwrite=False)
    quantized = quantize(tf.constant(positions), model.quantization_offset())
    pixels = len(frames) * np.prod(frames[0].shape[:2])
    return float(tf.reduce_sum(model.bits(quantized))) / pixels


def _fit(model: EntropyModel, positions: np.ndarray, seed: int) -> None:
    """Train on latents [positions, 1, 1, channels]."""
    rate = tf.keras.optimizers.schedules.CosineDecay(LEARNING_RATE, STEPS)
    optimizer = tf.keras.optimizers.Adam(rate, jit_compile=False)
    weights = model.trainable_variables
    optimizer.build(weights)

    @tf.function
    def train_step(latents: tf.Tensor, number: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            bits = model.bits(add_noise(latents, tf.stack([seed, number])))
            loss = tf.reduce_mean(bits)
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))

    random = np.random.default_rng(seed)
    for number in Progress(range(STEPS), "entropy model", unit="step"):
        batch = positions[random.integers(len(positions), size=POSITIONS)]
        train_step(tf.constant(batch), tf.constant(number))
