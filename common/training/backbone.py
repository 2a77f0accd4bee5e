"""Stage 1: training the backbone as a learned-compression autoencoder.

    frame ─ analysis ─ latent ─ + noise ─ synthesis ─ reconstruction
                                   │                        │
                         prior: bits per pixel   +   lambda x mean squared error ─ target
                                               =
                                             loss

Sources: Ballé et al., "End-to-end Optimized Image Compression", ICLR 2017; the loop is that of
tensorflow/compression's bls2017.py.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ..base.constants import LATENT_FILTERS
from ..base.device import choose_device, use_precision
from ..base.errors import say
from ..base.framework import tf
from ..codec.entropy_model import (
    Prior,
    build_prior,
    entropy_file,
    noisy,
    quantization_offset,
    quantized,
    read_prior,
    write_prior,
)
from ..data.frames import decode_frames, raise_first
from ..models.backbone import Backbone, build_backbone
from ..models.wavelets import initialise_as_wavelets
from ..models.weights import read_weights, write_weights
from .checkpoint import identity
from .loop import TrainingFiles, check_finite, run_epochs

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


class _Trained(NamedTuple):
    """Weights, and what trains them."""

    weights: list[tf.Variable]
    optimizer: tf.keras.optimizers.Optimizer


class _Training(NamedTuple):
    """A backbone and its prior under training."""

    settings: BackboneSettings
    backbone: Backbone
    prior: Prior
    trained: list[_Trained]

    @property
    def variables(self) -> list[tf.Variable]:
        """All that changes."""
        return [each for part in self.trained for each in part.weights + part.optimizer.variables]


def train_backbone(
    settings: BackboneSettings,
    train: Pairs,
    valid: Pairs,
    initial_weights: Path | None,
    files: TrainingFiles,
    *,
    epochs: int,
    resume: bool,
) -> None:
    """Train a backbone up to `epochs`, keep the epoch of the least validation loss, log them all.

    An epoch sees one random crop, flipped or not, of each frame; validation rounds the latents of
    whole frames. Crops and noise depend on seed, epoch and step alone, so a resumed run ends with
    the weights of an undisturbed one. The entropy model of the best epoch lies beside it.

    Raises:
        UserError: a file that cannot be read, another model's weights, or as `run_epochs`.
    """
    initial = [initial_weights] if initial_weights else []
    images = [path for pairs in (train, valid) for column in pairs for path in column]
    run = identity(settings, images, [], initial)
    training = _set_up(settings, initial_weights)
    train_step, validate_frame = _steps(training)

    def train_epoch(number: int) -> dict[str, float]:
        title = f"epoch {number}/{epochs}"
        measured = _train_epoch(settings, train, train_step, number, title, files.best)
        validated = _validate(training, valid, validate_frame)
        return {**measured, **{f"val_{name}": value for name, value in validated.items()}}

    rows = run_epochs(
        files,
        run,
        training.variables,
        epochs=epochs,
        resume=resume,
        train_epoch=train_epoch,
        described=lambda row: f"{_described(row)}; validation: {_described(row, 'val_')}",
        write_best=lambda path: _write_best(training, path),
    )
    best = min(rows, key=lambda row: row["val_loss"])
    say(f"Best epoch: {best['epoch']}, validation loss {best['val_loss']:.4g}: {files.best}")


def _set_up(settings: BackboneSettings, initial_weights: Path | None) -> _Training:
    """A backbone and a prior, with their initial weights, and their optimizers."""
    _, precision = choose_device(settings.precision)
    use_precision(precision)
    tf.keras.utils.set_random_seed(settings.seed)
    backbone, prior = build_backbone((None, None, 3)), build_prior()
    if initial_weights is None:
        initialise_as_wavelets(backbone, settings.seed)
    else:
        read_weights(backbone.whole, initial_weights)
        if settings.distortion_weight and entropy_file(initial_weights).exists():
            read_prior(prior, backbone.whole, entropy_file(initial_weights))
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


def _steps(training: _Training) -> tuple[Callable, Callable]:
    """One step of training and of validation: MEASURES float32 [4] of a batch."""
    settings, backbone, prior, trained = training
    analysis, synthesis = backbone.analysis, backbone.synthesis

    def measures(
        frames: tf.Tensor, targets: tf.Tensor, quantize: Callable, training: bool
    ) -> tf.Tensor:
        latents = tf.cast(analysis(tf.cast(frames, tf.float32), training=training), tf.float32)
        bits_per_pixel = tf.constant(np.nan, tf.float32)
        if settings.distortion_weight:
            latents, bits = quantize(prior, latents)
            height, width = frames.shape[1:3]
            bits_per_pixel = tf.reduce_mean(bits) / (height * width)
        difference = synthesis(latents, training=training) - tf.cast(targets, tf.float32)
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
            measured = measures(frames, targets, lambda *of: noisy(of[0], of[1], seed), True)
            loss = measured[0]
        gradients = tape.gradient(loss, [weights for weights, _ in trained])
        for (weights, optimizer), gradient in zip(trained, gradients):
            optimizer.apply_gradients(zip(gradient, weights))
        return measured

    @tf.function
    def validate_frame(frames: tf.Tensor, targets: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
        return measures(frames, targets, lambda *of: quantized(of[0], of[1], offset), False)

    return train_step, validate_frame


def _train_epoch(
    settings: BackboneSettings, pairs: Pairs, step: Callable, epoch: int, title: str, best: Path
) -> dict[str, float]:
    """The mean MEASURES of an epoch's steps."""
    steps = -(-len(pairs.images) // settings.batch_size)
    total = np.zeros(len(MEASURES))
    batches = _crops(settings, pairs, epoch)
    with tqdm(batches, title, steps, leave=False, unit="step", disable=None) as progress:
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
    """Batches of one random crop per pair: places and errors [batch], and frames and targets
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

    crops = decode_frames(list(pairs), order).map(crop, tf.data.AUTOTUNE)
    return crops.batch(min(settings.batch_size, len(order))).prefetch(tf.data.AUTOTUNE)


def _validate(training: _Training, pairs: Pairs, step: Callable) -> dict[str, float]:
    """The mean MEASURES of whole frames, with rounded latents."""
    offset = np.zeros(LATENT_FILTERS, np.float32)
    if training.settings.distortion_weight:
        offset = quantization_offset(training.prior)
    frames = decode_frames(list(pairs), np.arange(len(pairs.images)))
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


def _described(row: dict[str, float], prefix: str = "") -> str:
    """Those of the MEASURES in a row of the log that begin with `prefix`."""
    loss, bits, _, psnr = (row[prefix + name] for name in MEASURES)
    rate = "" if np.isnan(bits) else f"{bits:.3f} bits per pixel, "
    return f"loss {loss:.4g}, {rate}PSNR {psnr:.2f} dB"
