"""Stage 1: training the backbone as a learned-compression autoencoder.

    frame ─ analysis ─ latent ─ + noise ─ synthesis ─ reconstruction
                                   │                        │
                         prior: bits a pixel   +   lambda x mean squared error ─ target
                                               =
                                             loss

Sources: Ballé et al., "End-to-end Optimized Image Compression", ICLR 2017; the loop is that of
tensorflow/compression's bls2017.py.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf
import tensorflow_compression as tfc
from tqdm import tqdm

from common.data.frames import decoded_frames, raise_first
from common.device import choose_device, use_precision
from common.files import replaced
from common.models.backbone import Backbone, build_backbone
from common.models.entropy import (
    build_prior,
    entropy_file,
    noisy,
    quantized,
    read_prior,
    write_prior,
)
from common.models.wavelets import initialise_as_wavelets
from common.models.weights import read_weights, write_weights
from common.training.finite import check_finite
from common.training.state import identity, read_state, write_state

# Adam's first steps are as long as any, whatever the gradient: at once, they would undo the initial
# weights (measured: 28.1 dB to 21.4 dB in one step).
WARM_UP_STEPS = 100
# The prior's weights have far to go. With the backbone's learning rate, 1e-4, bits per pixel were
# at 3.9 after 400 steps, with a hundred times that at 1.6 after 100.
PRIOR_SPEED = 100

MEASURES = ("loss", "bits_per_pixel", "mse", "psnr")


class BackboneSettings(NamedTuple):
    """What the weights depend on beside the frames; a run is only resumed with the same."""

    target: str  # 'Img', 'JND1', 'JND2' or 'JND3'
    distortion_weight: float | None  # lambda; None: no rate, no noise, squared error alone
    crop: int  # side of the square crops, in pixels
    batch_size: int
    learning_rate: float
    seed: int
    precision: str  # 'float32' or 'bfloat16'


class Pairs(NamedTuple):
    """Images, and the frames they are to become."""

    images: list[Path]
    targets: list[Path]


class BackboneFiles(NamedTuple):
    """What a training run writes."""

    best: Path  # weights of the best epoch; the entropy model lies beside
    state: Path  # all that resuming needs
    log: Path  # a line an epoch


class _Trained(NamedTuple):
    """Weights, and what trains them."""

    weights: list[tf.Variable]
    optimizer: tf.keras.optimizers.Optimizer


class _Training(NamedTuple):
    """A backbone and its prior under training."""

    settings: BackboneSettings
    backbone: Backbone
    prior: tfc.NoisyDeepFactorized
    trained: list[_Trained]

    @property
    def weights(self) -> list[tf.Variable]:
        """All that is trained."""
        return [weight for part in self.trained for weight in part.weights]

    @property
    def variables(self) -> list[tf.Variable]:
        """All that changes."""
        return [each for part in self.trained for each in part.weights + part.optimizer.variables]


def train_backbone(
    settings: BackboneSettings,
    train: Pairs,
    valid: Pairs,
    initial_weights: Path | None,
    files: BackboneFiles,
    *,
    epochs: int,
    resume: bool,
) -> None:
    """Train a backbone up to `epochs`, keep the epoch of the least validation loss, log them all.

    An epoch sees one random crop, flipped or not, of each frame; validation rounds the latents of
    whole frames. Crops and noise depend on seed, epoch and step alone, so a resumed run ends with
    the weights of an undisturbed one.

    Raises:
        UserError: a file that cannot be read, another model's weights, a loss or weights that are
            NaN or infinite, or a state of other settings or data.
    """
    initial = [initial_weights] if initial_weights else []
    run = identity(settings, [*train.images, *train.targets, *valid.images], [], initial)
    training = _set_up(settings)
    rows = read_state(files.state, run, training.variables) if resume else []

    def write() -> None:
        write_state(files.state, run, rows, training.variables)
        if _best(rows) is rows[-1]:
            _write_best(training, files.best)
        with replaced(files.log) as beside:
            pd.DataFrame(rows).to_csv(beside, sep=";", index=False, float_format="%.6g")

    if rows:
        write()  # what a kill after the state came before
    else:
        _initialise(training, initial_weights)
    train_step, validate_frame = _steps(training)
    for epoch in range(len(rows) + 1, epochs + 1):
        start = time.perf_counter()
        measured = _train_epoch(settings, train, train_step, epoch, epochs, files.best)
        validated = _validate(training, valid, validate_frame)
        row = {"epoch": epoch, **measured, **{f"val_{k}": v for k, v in validated.items()}}
        check_finite(f"epoch {epoch}", row, training.weights, files.best)
        rows.append(row)
        write()
        print(
            f"epoch {epoch}/{epochs}: {_described(measured)}; validation: {_described(validated)}"
            f"{', the best so far' if _best(rows) is row else ''}; "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )
    best = _best(rows)
    print(f"Best epoch: {best['epoch']}, validation loss {best['val_loss']:.4g}: {files.best}")


def _set_up(settings: BackboneSettings) -> _Training:
    """A backbone and a prior, freshly initialised, and their optimizers."""
    precision = settings.precision
    if choose_device(precision) == "CPU" and precision == "bfloat16":
        # Measured: a step of 1.2 s in float32 takes 15 s.
        print("A CPU's transposed convolutions are slow in bfloat16: float32.", file=sys.stderr)
        precision = "float32"
    use_precision(precision)
    tf.keras.utils.set_random_seed(settings.seed)
    backbone, prior = build_backbone((None, None, 3)), build_prior()
    rate = settings.learning_rate
    warm_up = tf.keras.optimizers.schedules.PolynomialDecay(
        rate / WARM_UP_STEPS, WARM_UP_STEPS, end_learning_rate=rate
    )
    trained = [_Trained(backbone.whole.trainable_weights, _adam(warm_up))]
    if settings.distortion_weight:
        trained.append(_Trained(list(prior.trainable_variables), _adam(PRIOR_SPEED * rate)))
    for weights, optimizer in trained:
        optimizer.build(weights)
    return _Training(settings, backbone, prior, trained)


def _adam(learning_rate) -> tf.keras.optimizers.Adam:
    # XLA, the default on a GPU, would need CUDA's assembler.
    return tf.keras.optimizers.Adam(learning_rate, jit_compile=False)


def _initialise(training: _Training, initial_weights: Path | None) -> None:
    settings, backbone, prior, _ = training
    if initial_weights is None:
        initialise_as_wavelets(backbone, settings.seed)
        return
    read_weights(backbone.whole, initial_weights)
    if settings.distortion_weight and entropy_file(initial_weights).exists():
        read_prior(prior, backbone.whole, entropy_file(initial_weights))


def _steps(training: _Training) -> tuple[Callable, Callable]:
    """One step of training and of validation: MEASURES float32 [4] of a batch."""
    settings, backbone, prior, trained = training
    analysis, synthesis = backbone.analysis, backbone.synthesis

    def measures(frames: tf.Tensor, targets: tf.Tensor, quantize: Callable) -> tf.Tensor:
        latents = tf.cast(analysis(tf.cast(frames, tf.float32)), tf.float32)
        bits_per_pixel = tf.constant(np.nan, tf.float32)
        if settings.distortion_weight:
            latents, bits = quantize(prior, latents)
            height, width = frames.shape[1:3]
            bits_per_pixel = tf.reduce_mean(bits) / (height * width)
        difference = synthesis(latents) - tf.cast(targets, tf.float32)
        errors = tf.reduce_mean(tf.square(difference), axis=(1, 2, 3))
        mse = tf.reduce_mean(errors)
        psnr = tf.reduce_mean(10 * tf.math.log(255**2 / errors)) / np.log(10)
        weight = settings.distortion_weight
        loss = bits_per_pixel + weight * mse if weight else mse
        return tf.stack([loss, bits_per_pixel, mse, psnr])

    @tf.function
    def train_step(frames: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        # The count of steps is part of an optimizer's state, so resuming goes on with its noise.
        steps = trained[0].optimizer.iterations
        seed = tf.stack([tf.constant(settings.seed, tf.int64), steps])
        with tf.GradientTape() as tape:
            measured = measures(frames, targets, lambda *latents: noisy(*latents, seed))
            loss = measured[0]
        gradients = tape.gradient(loss, [weights for weights, _ in trained])
        for (weights, optimizer), gradient in zip(trained, gradients):
            optimizer.apply_gradients(zip(gradient, weights))
        return measured

    @tf.function
    def validate_frame(frames: tf.Tensor, targets: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
        return measures(frames, targets, lambda *latents: quantized(*latents, offset))

    return train_step, validate_frame


def _train_epoch(
    settings: BackboneSettings, pairs: Pairs, step: Callable, epoch: int, epochs: int, best: Path
) -> dict[str, float]:
    """The mean MEASURES of an epoch's steps."""
    steps = -(-len(pairs.images) // settings.batch_size)
    total = np.zeros(len(MEASURES))
    with tqdm(
        _crops(settings, pairs, epoch),
        f"epoch {epoch}/{epochs}",
        steps,
        leave=False,
        unit="step",
        disable=None,
    ) as progress:
        for number, (places, errors, frames, targets) in enumerate(progress, 1):
            raise_first(errors)
            measured = step(frames, targets).numpy()
            names = ", ".join(str(pairs.images[place]) for place in places)
            where = f"epoch {epoch}, step {number}, of {names}"
            check_finite(where, {"loss": measured[0]}, [], best)
            total += measured
            progress.set_postfix(loss=f"{total[0] / number:.4g}")
    return dict(zip(MEASURES, (total / steps).tolist()))


def _crops(settings: BackboneSettings, pairs: Pairs, epoch: int) -> tf.data.Dataset:
    """Batches of one random crop a pair: places and errors [batch], and frames and targets
    [batch, crop, crop, 3].

    The order follows from seed and epoch, a crop from these and the pair's place.
    """
    order = np.random.default_rng((settings.seed, epoch)).permutation(len(pairs.images))

    def crop(place: tf.Tensor, error: tf.Tensor, frame: tf.Tensor, target: tf.Tensor):
        seed = tf.random.experimental.stateless_fold_in([settings.seed, epoch], place)
        both = tf.concat([frame, target], axis=2)
        both = tf.image.stateless_random_crop(both, (settings.crop, settings.crop, 6), seed)
        both = tf.image.stateless_random_flip_left_right(both, seed + 1)
        return place, error, both[..., :3], both[..., 3:]

    crops = decoded_frames(list(pairs), order).map(crop, tf.data.AUTOTUNE)
    return crops.batch(settings.batch_size).prefetch(tf.data.AUTOTUNE)


def _validate(training: _Training, pairs: Pairs, step: Callable) -> dict[str, float]:
    """The mean MEASURES of whole frames, with rounded latents."""
    offset = 0.0
    if training.settings.distortion_weight:
        offset = tf.function(tfc.quantization_offset)(training.prior)
    frames = decoded_frames(list(pairs), np.arange(len(pairs.images)))
    measured = []
    for _, errors, *pair in frames.batch(1).prefetch(tf.data.AUTOTUNE):
        raise_first(errors)
        measured.append(step(*pair, tf.constant(offset)).numpy())
    return dict(zip(MEASURES, np.mean(measured, axis=0, dtype=np.float64).tolist()))


def _write_best(training: _Training, path: Path) -> None:
    write_weights(training.backbone.whole, path)
    if training.settings.distortion_weight:
        write_prior(training.prior, training.backbone.whole, entropy_file(path))
    else:
        entropy_file(path).unlink(missing_ok=True)


def _best(rows: list[dict]) -> dict:
    return min(rows, key=lambda row: row["val_loss"])


def _described(measured: dict[str, float]) -> str:
    bits = measured["bits_per_pixel"]
    rate = "" if np.isnan(bits) else f"{bits:.3f} bits per pixel, "
    return f"loss {measured['loss']:.4g}, {rate}PSNR {measured['psnr']:.2f} dB"
