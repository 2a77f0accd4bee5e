"""Stage 1: training a backbone as a learned image codec.

    frame ─ analysis ─ latent ─ + noise ─ synthesis ─ reconstruction
                                   │                        │
                  entropy model: bits per pixel  +  lambda x mean squared error ─ target
                                                 =
                                               loss

Sources: Ballé et al., "End-to-end Optimized Image Compression", ICLR 2017; the training loop
follows bls2017.py of tensorflow/compression.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..base.constants import LATENT_FILTERS
from ..base.device import choose_device, use_precision
from ..base.framework import tf
from ..base.progress import Progress
from ..codec.entropy_model import add_noise, quantize
from ..codec.latent_codec import LatentCodec
from ..data.frames import decode_frames, raise_first
from ..models.wavelets import initialise_as_wavelets
from ..models.weight_paths import entropy_file
from ..models.weights import read_weights, write_weights
from .checkpoint import identity
from .loop import check_finite, run_epochs
from .settings import TrainingFiles

# Adam's first steps are as long as others, however small the gradient: at the full learning rate
# they would spoil the initial weights (measured: from 28.1 dB to 21.4 dB in one step).
WARM_UP_STEPS = 100
# Factor of the entropy model's learning rate: its weights have to change much more than the
# backbone's. Bits per pixel were 3.9 after 400 steps at 1e-4, but 1.6 after 100 steps at 1e-2.
ENTROPY_MODEL_SPEED = 100

MEASURES = ("loss", "bits_per_pixel", "mse", "psnr")


class BackboneSettings(NamedTuple):
    """All that the weights depend on besides the frames; resuming a run needs the same."""

    target: str  # 'Img', 'JND1', 'JND2' or 'JND3'
    distortion_weight: float | None  # lambda; None: the loss is the squared error alone
    crop: int  # side of the square crops, in pixels
    batch_size: int
    learning_rate: float
    seed: int
    precision: str  # 'float32' or 'bfloat16'
    random_weights: bool = False  # without a weight file, start from these instead of wavelets

    def to_state(self) -> dict[str, Any]:
        """Return the fields for a state file; older files lack `random_weights`."""
        return {key: value for key, value in self._asdict().items() if value is not False}


class Pairs(NamedTuple):
    """Images, and the target frame of each."""

    images: list[Path]
    targets: list[Path]


def train_backbone(
    settings: BackboneSettings,
    train: Pairs,
    valid: Pairs,
    files: TrainingFiles,
    *,
    initial_weights: Path | None,
    epochs: int,
    resume: bool,
    report: Callable[[str], None],
) -> dict[str, float]:
    """Train a backbone up to `epochs`, and keep the epoch with the least validation loss.

    An epoch uses one random crop of each frame, flipped with probability 0.5; validation quantizes
    the latents of whole frames. Crops and noise depend only on seed, epoch and step, so a resumed
    run ends with the same weights as an uninterrupted one. The entropy model of the best epoch is
    written beside its weights.

    Args:
        initial_weights: weight file to start from.

    Returns:
        The log's row of the best epoch.

    Raises:
        UserError: a file cannot be read or has another model's weights, or as `run_epochs`.
    """
    initial = [initial_weights] if initial_weights else []
    images = [path for pairs in (train, valid) for column in pairs for path in column]
    run = identity(settings.to_state(), images, [], initial)
    training = _Training(settings, train, valid, files.best, initial_weights)
    rows = run_epochs(training, run, files, epochs=epochs, resume=resume, report=report)
    return min(rows, key=lambda row: row[training.monitor])


class _Training:
    """A codec under training: its initial weights, its loss, its steps and epochs."""

    monitor = "val_loss"
    baseline = None

    def __init__(
        self,
        settings: BackboneSettings,
        train: Pairs,
        valid: Pairs,
        best: Path,
        initial_weights: Path | None,
    ):
        _, precision = choose_device(settings.precision)
        use_precision(precision)
        tf.keras.utils.set_random_seed(settings.seed)
        self.settings, self.train, self.valid = settings, train, valid
        self.codec = LatentCodec.initialise(settings.target, best)
        backbone, entropy_model = self.codec.backbone, self.codec.entropy_model
        if initial_weights:
            read_weights(backbone.whole, initial_weights)
            if settings.distortion_weight and entropy_file(initial_weights).exists():
                entropy_model.read(entropy_file(initial_weights), backbone.whole)
        elif not settings.random_weights:
            initialise_as_wavelets(backbone, settings.seed)
        rate = settings.learning_rate
        warm_up = tf.keras.optimizers.schedules.PolynomialDecay(
            rate / WARM_UP_STEPS, WARM_UP_STEPS, end_learning_rate=rate
        )
        self.trained = [(backbone.whole.trainable_weights, _adam(warm_up))]
        if settings.distortion_weight:
            optimizer = _adam(ENTROPY_MODEL_SPEED * rate)
            self.trained.append((entropy_model.trainable_variables, optimizer))
        for weights, optimizer in self.trained:
            optimizer.build(weights)

    @property
    def variables(self) -> list[tf.Variable]:
        """The weights and the state of the optimizers."""
        return [each for weights, optimizer in self.trained for each in
                (*weights, *optimizer.variables)]  # fmt: skip

    def measure(
        self,
        frames: tf.Tensor,
        targets: tf.Tensor,
        approximate: Callable[[tf.Tensor], tf.Tensor],
        training: bool,
    ) -> tf.Tensor:
        """Compute the MEASURES of a batch, float32 [4]; `approximate` adds noise or quantizes."""
        analysis, synthesis = self.codec.backbone.analysis, self.codec.synthesis
        weight = self.settings.distortion_weight
        latents = tf.cast(analysis(tf.cast(frames, tf.float32), training=training), tf.float32)
        bits_per_pixel = tf.constant(np.nan, tf.float32)
        if weight:
            latents = approximate(latents)
            height, width = frames.shape[1:3]
            bits = self.codec.entropy_model.bits(latents)
            bits_per_pixel = tf.reduce_mean(bits) / (height * width)
        difference = synthesis(latents, training=training) - tf.cast(targets, tf.float32)
        errors = tf.reduce_mean(tf.square(difference), axis=(1, 2, 3))
        mse = tf.reduce_mean(errors)
        psnr = tf.reduce_mean(10 * tf.math.log(255**2 / errors)) / np.log(10)
        loss = bits_per_pixel + weight * mse if weight else mse
        return tf.stack([loss, bits_per_pixel, mse, psnr])

    @tf.function
    def train_step(self, frames: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Train on a batch of crops; return its MEASURES."""
        # The number of steps is in the optimizer's state, so a resumed run has the same noise.
        steps = self.trained[0][1].iterations
        seed = tf.stack([tf.constant(self.settings.seed, tf.int64), steps])
        with tf.GradientTape() as tape:
            measured = self.measure(frames, targets, lambda each: add_noise(each, seed), True)
            loss = measured[0]
        gradients = tape.gradient(loss, [weights for weights, _ in self.trained])
        for (weights, optimizer), gradient in zip(self.trained, gradients):
            optimizer.apply_gradients(zip(gradient, weights))
        return measured

    @tf.function
    def validation_step(
        self, frames: tf.Tensor, targets: tf.Tensor, offset: tf.Tensor
    ) -> tf.Tensor:
        """Return the MEASURES of whole frames with quantized latents."""
        return self.measure(frames, targets, lambda latents: quantize(latents, offset), False)

    def train_epoch(self, number: int, title: str) -> dict[str, float]:
        """Train on each pair once and validate; return the mean MEASURES of both."""
        measured, validated = self._train_once(number, title), self._validate()
        return {**measured, **{f"val_{name}": value for name, value in validated.items()}}

    def _train_once(self, epoch: int, title: str) -> dict[str, float]:
        """Train on each pair once; return the mean MEASURES of the steps."""
        images = self.train.images
        steps = -(-len(images) // self.settings.batch_size)
        total = np.zeros(len(MEASURES))
        batches = _make_batches(self.settings, self.train, epoch)
        with Progress(batches, title, steps, "step") as progress:
            for number, (indices, errors, frames, targets) in enumerate(progress, 1):
                raise_first(errors)
                measured = self.train_step(frames, targets).numpy()
                names = ", ".join(str(images[index]) for index in indices)
                where = f"epoch {epoch}, step {number}, on {names}"
                check_finite(where, {"loss": measured[0]}, [], self.codec.weights)
                total += measured
                progress.set_postfix(loss=f"{total[0] / number:.4g}")
        return dict(zip(MEASURES, (total / steps).tolist()))

    def _validate(self) -> dict[str, float]:
        """Return the mean MEASURES of whole frames."""
        offset = tf.zeros(LATENT_FILTERS)
        if self.settings.distortion_weight:
            offset = tf.constant(self.codec.entropy_model.quantization_offset())
        frames = decode_frames(list(self.valid), np.arange(len(self.valid.images)))
        measured = []
        for _, errors, *pair in frames.batch(1).prefetch(tf.data.AUTOTUNE):
            raise_first(errors)
            measured.append(self.validation_step(*pair, offset).numpy())
        return dict(zip(MEASURES, np.mean(measured, axis=0, dtype=np.float64).tolist()))

    def describe(self, measures: dict[str, float]) -> str:
        """Describe loss, rate and quality on the training and the validation frames."""
        return f"{_describe(measures)}; validation: {_describe(measures, 'val_')}"

    def write_best(self, path: Path) -> None:
        """Write the weights to `path`, and the entropy model beside them."""
        backbone = self.codec.backbone.whole
        write_weights(backbone, path)
        if self.settings.distortion_weight:
            self.codec.entropy_model.write(entropy_file(path), backbone)
        else:
            entropy_file(path).unlink(missing_ok=True)


def _adam(learning_rate: object) -> tf.keras.optimizers.Adam:
    # XLA, the default on a GPU, would need CUDA's assembler.
    return tf.keras.optimizers.Adam(learning_rate, jit_compile=False)


def _make_batches(settings: BackboneSettings, pairs: Pairs, epoch: int) -> tf.data.Dataset:
    """Make batches of one random crop per pair: indices and errors [batch], and frames and targets
    [batch, crop, crop, 3].

    The order depends on seed and epoch, a crop on these and the index of the pair.
    """
    order = np.random.default_rng((settings.seed, epoch)).permutation(len(pairs.images))

    def crop(
        index: tf.Tensor, error: tf.Tensor, frame: tf.Tensor, target: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        seed = tf.random.experimental.stateless_fold_in([settings.seed, epoch], index)
        both = tf.concat([frame, target], axis=2)
        both = tf.image.stateless_random_crop(both, (settings.crop, settings.crop, 6), seed)
        both = tf.image.stateless_random_flip_left_right(both, seed + 1)
        return index, error, both[..., :3], both[..., 3:]

    crops = decode_frames(list(pairs), order).map(crop, tf.data.AUTOTUNE)
    return crops.batch(min(settings.batch_size, len(order))).prefetch(tf.data.AUTOTUNE)


def _describe(row: dict[str, float], prefix: str = "") -> str:
    """Format the MEASURES in a row of the log whose names begin with `prefix`."""
    loss, bits, _, psnr = (row[prefix + name] for name in MEASURES)
    rate = "" if np.isnan(bits) else f"{bits:.3f} bits per pixel, "
    return f"loss {loss:.4g}, {rate}PSNR {psnr:.2f} dB"
