"""Stage 2: training of a predictor on frames with known JND levels.

    LAT, REC, MJ   frames ─ frozen backbones ─ cached features ─ augmentation ─ head ─ levels
    E2E            frames ─ trained backbone ─┬─ head ─ level
                                              └─ JND frame

The loss is the mean absolute error of the level (multitask: the sum of three); end to end, it is
0.01 x mean squared error of the JND frame + 0.99 x mean absolute error of the level.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..base.constants import LEVELS
from ..base.device import choose_device, choose_strategy, use_precision, writes_files
from ..base.errors import UserError
from ..base.framework import tf
from ..base.progress import Progress
from ..base.temporary import temporary_folder
from ..models.backbone import build_backbone
from ..models.build import JND_FRAME, Parts, build_model, count_most_frames, start_from
from ..models.descriptions import MODELS, Description
from ..models.weights import read_weights, write_weights
from .augmentation import add_mirrored_copies, draw_moves
from .checkpoint import identity
from .features import cache_split
from .inputs import check_readable, training_batches
from .loop import EpochCheck, run_epochs
from .quantization import copy_entropy_models, entropy_files, quantization_offsets
from .recomputation import training_form
from .regularisation import add_dropout, set_batch_norm_momentum, start_with_single_branches
from .settings import PredictorSettings, TrainingData, TrainingFiles, TrainingSplit
from .targets import blend_targets

FRAME_WEIGHT, LEVEL_WEIGHT = 0.01, 0.99


@dataclass(frozen=True, kw_only=True)
class _Training:
    """A model under training, and its data."""

    settings: PredictorSettings
    data: TrainingData  # as it was given
    model: Parts
    trained: tf.keras.Model  # the model or, on cached features, its head, in its training form
    offsets: list[np.ndarray] | None  # of each backbone's quantized latents
    train: TrainingSplit  # with mirrored copies, cached features and blended targets, if any
    valid: TrainingSplit
    median_errors: np.ndarray  # of train's median label on valid, per level
    best: Path  # weight file of the best epoch
    callbacks: list[tf.keras.callbacks.Callback]

    @property
    def outputs(self) -> list[str]:
        """The names of the outputs that are levels."""
        return self.model.predicting.output_names

    @property
    def monitor(self) -> str:
        """The measure that is least in the best epoch."""
        if len(self.outputs) > 1 and self.settings.level:
            return f"val_{self.outputs[LEVELS.index(self.settings.level)]}_loss"
        return "val_loss"

    @property
    def baseline(self) -> float | None:
        """The validation loss of the median label; unknown end to end, for its JND frames."""
        end_to_end = self.model.description.end_to_end
        return None if end_to_end else float(self.median_errors.sum())

    @property
    def variables(self) -> list[tf.Variable]:
        """The weights and the state of the optimizer."""
        return [*self.trained.variables, *self.trained.optimizer.variables]

    def train_epoch(self, number: int, title: str) -> dict[str, float]:
        """Train on each frame once and validate; return losses and metrics by Keras's names."""
        settings, train, valid = self.settings, self.train, self.valid
        # Order and moves depend only on seed and epoch, so they are the same in a resumed run.
        random = np.random.default_rng((settings.seed, number - 1))
        order = random.permutation(len(train.images))
        moves = draw_moves(random, len(order), settings.roll, settings.mirror)
        all_valid = np.arange(len(valid.images))
        size, outputs, offsets = settings.batch_size, self.outputs, self.offsets
        with Progress(desc=title, total=len(order) + len(all_valid), unit="frame") as progress:
            images = [train.images[index] for index in order]
            check = EpochCheck(self.trained, images, size, self.best, progress)
            validation = training_batches(valid, all_valid, size, outputs, offsets=offsets)
            try:
                history = self.trained.fit(
                    training_batches(train, order, size, outputs, moves, offsets),
                    validation_data=validation,
                    initial_epoch=number - 1,
                    epochs=number,
                    verbose=0,
                    callbacks=[check, *self.callbacks],
                )
            except tf.errors.InvalidArgumentError:
                check_readable(train)
                check_readable(valid)
                raise
        return {name: values[0] for name, values in history.history.items()}

    def describe(self, measures: dict[str, float]) -> str:
        """Describe the loss, and each level's validation error and that of the median label."""
        levels = [*LEVELS] if len(self.outputs) > 1 else [self.settings.level or LEVELS[0]]
        errors = ", ".join(
            f"{level} {measures.get(f'val_{output}_loss', measures['val_loss']):.2f} "
            f"(median {median:.2f})"
            for level, output, median in zip(levels, self.outputs, self.median_errors)
        )
        return f"loss {measures['loss']:.3f}; error on valid: {errors}"

    def write_best(self, path: Path) -> None:
        """Write the weights to `path`, and the backbones' entropy models beside them."""
        write_weights(self.model.whole, path, self.data.labels, self.offsets)
        copy_entropy_models(self.model, self.data.backbones, path)


def train_predictor(
    settings: PredictorSettings,
    data: TrainingData,
    files: TrainingFiles,
    *,
    epochs: int,
    resume: bool,
    tensorboard: Path | None,
    report: Callable[[str], None],
) -> None:
    """Train a model up to `epochs`, keep the weights of its best epoch, and log every epoch.

    The best epoch has the least validation loss or, if multitask, the least of `settings.level`.

    Args:
        tensorboard: a folder for TensorBoard's logs, if wanted.
        report: receives a line per epoch.

    Raises:
        UserError: a file cannot be read or has another model's weights, or as `run_epochs`.
    """
    run = _identify(settings, data)
    with contextlib.ExitStack() as stack:
        if not writes_files():
            # All workers must take part in reading a weight, so all write; the first one's count.
            folder = stack.enter_context(temporary_folder())
            files, tensorboard = TrainingFiles(*(folder / path.name for path in files)), None
        training = _set_up(settings, data, files.best, tensorboard)
        run_epochs(training, run, files, epochs=epochs, resume=resume, report=report)


def _identify(settings: PredictorSettings, data: TrainingData) -> dict[str, object]:
    splits = data.train, data.valid
    images = [path for split in splits for column in split.frames for path in column]
    entropy_models = entropy_files(data.backbones) if settings.quantized else []
    levels = [split.levels.tobytes() for split in splits]
    return identity(settings.to_state(), images, levels, [*data.backbones, *entropy_models])


def _set_up(
    settings: PredictorSettings, data: TrainingData, best: Path, tensorboard: Path | None
) -> _Training:
    """Build the model from its backbones' weights, prepare its inputs, and compile it."""
    tf.keras.utils.set_random_seed(settings.seed)
    device, precision = choose_device(settings.precision)
    use_precision(precision)
    train = add_mirrored_copies(data.train) if settings.flip else data.train
    valid = data.valid
    medians = np.median(train.levels, axis=0)
    median_errors = np.abs(valid.levels - medians).mean(axis=0)
    strategy = choose_strategy()
    with strategy.scope():
        model, offsets = _build(settings, data.backbones, medians)
        cache_dir = None if model.description.end_to_end else data.cache_dir
        trained = model.head if cache_dir else model.whole
        if device == "GPU":
            of_each = settings.batch_size // strategy.num_replicas_in_sync
            check_batch(model.description, trained, of_each)
        if cache_dir:
            how = cache_dir, settings.cache_precision
            train, valid = (cache_split(model.features, split, *how) for split in (train, valid))
            if settings.soft_targets:
                train = blend_targets(train, settings.soft_targets)
        else:
            check_readable(train)
            check_readable(valid)
        if device == "CPU" and strategy.num_replicas_in_sync == 1:
            trained = training_form(trained, model.blocks)
        optimizer = _build_optimizer(settings, -(-len(train.images) // settings.batch_size))
        if settings.dropout:
            trained = add_dropout(trained, settings.dropout, settings.seed, optimizer.iterations)
        _compile(trained, optimizer)
    return _Training(
        settings=settings,
        data=data,
        model=model,
        trained=trained,
        offsets=offsets,
        train=train,
        valid=valid,
        median_errors=median_errors,
        best=best,
        callbacks=[tf.keras.callbacks.TensorBoard(tensorboard)] if tensorboard else [],
    )


def check_batch(description: Description, trained: tf.keras.Model, frames: int) -> None:
    """Raise a UserError if a GPU cannot take that many frames per step."""
    most = count_most_frames(trained)
    if frames > most:
        raise UserError(
            f"--batch_size: a GPU takes at most {most} frames of {description.title} per step, "
            "since TensorFlow counts the values of a layer there in 32 bits"
        )


def _build(
    settings: PredictorSettings, backbone_files: list[Path], medians: np.ndarray
) -> tuple[Parts, list[np.ndarray] | None]:
    """Build the model from its backbones' weights; return it, and the offsets of `quantized`."""
    model = build_model(MODELS[settings.model])
    backbones = []
    for file in backbone_files:
        backbones.append(build_backbone())
        read_weights(backbones[-1].whole, file)
    start_from(model, backbones)
    offsets = quantization_offsets(backbones, backbone_files) if settings.quantized else None
    for name, median in zip(model.predicting.output_names, medians):
        # If the last ReLU started below zero for all frames, it would never learn.
        model.predicting.get_layer(name).bias.assign([median])
    if settings.single_branches:
        start_with_single_branches(model.blocks)
    set_batch_norm_momentum(model.whole, settings.batch_norm_momentum)
    return model, offsets


def _build_optimizer(settings: PredictorSettings, steps: int) -> tf.keras.optimizers.Adam:
    """Build Adam for epochs of `steps` steps."""
    rate = settings.learning_rate
    if settings.cosine:
        rate = tf.keras.optimizers.schedules.CosineDecay(rate, settings.cosine * steps)
    decay = settings.weight_decay or None
    # XLA would compile a program for each variable, and need CUDA's assembler.
    optimizer = tf.keras.optimizers.Adam(rate, weight_decay=decay, jit_compile=False)
    if settings.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer


def _compile(model: tf.keras.Model, optimizer: tf.keras.optimizers.Adam) -> None:
    losses = dict.fromkeys(model.output_names, "mae")
    weights, metrics = dict.fromkeys(losses, 1.0), None
    if JND_FRAME in losses:
        losses[JND_FRAME] = "mse"
        weights = dict.fromkeys(losses, LEVEL_WEIGHT) | {JND_FRAME: FRAME_WEIGHT}
        metrics = {JND_FRAME: [psnr, ssim, "mae"]}
    model.compile(optimizer, losses, loss_weights=weights, metrics=metrics)
    optimizer.build(model.trainable_variables)
    if len(model.outputs) > 1:
        # Otherwise Keras builds each output's means in the first step, and traces that step again.
        model.compiled_loss.build(model.outputs)
        model.compiled_metrics.build(model.outputs, model.outputs)


def psnr(true: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
    """Compute the peak signal-to-noise ratio in dB of frames [batch, height, width, 3]."""
    return tf.image.psnr(true, predicted, 255)


def ssim(true: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
    """Compute the structural similarity of frames [batch, height, width, 3], 0 to 255."""
    return tf.image.ssim(true, predicted, 255)
