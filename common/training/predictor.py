"""Stage 2: training a predictor on frames whose levels are known."""

import atexit
import contextlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ..base.constants import LEVELS
from ..base.device import choose_device, choose_strategy, use_precision, writes_files
from ..base.framework import tf
from ..base.temporary import temporary_folder
from ..models.backbone import build_backbone
from ..models.build import JND_FRAME, Parts, build_model, start_from
from ..models.descriptions import MODELS
from ..models.labels import Labels
from ..models.weights import read_weights, write_weights
from .checkpoint import identity
from .inputs import (
    Features,
    TrainingSplit,
    check_readable,
    features_of,
    training_batches,
    with_mirrored,
)
from .loop import TrainingFiles, check_finite, run_epochs
from .quantization import copy_entropy_models, entropy_files, quantization_offsets
from .recomputation import training_form
from .regularisation import set_batch_norm_momentum, start_with_single_branches, with_dropout
from .targets import soft_targets

# Of an end-to-end model's loss: squared error of the JND frame, absolute error of the level.
FRAME_WEIGHT, LEVEL_WEIGHT = 0.01, 0.99


class PredictorSettings(NamedTuple):
    """What a training run is made of; a run is only resumed with the same."""

    model: str
    level: str | None  # that is predicted; if multitask, that picks the best epoch, or the sum
    batch_size: int
    learning_rate: float
    seed: int
    precision: str
    flip: bool  # each image is also seen mirrored
    roll: bool  # features are rolled round, anew in every epoch
    cosine: int | None  # the learning rate falls to 0 over so many epochs; None: it stays
    mirror: bool = False  # half of the features are mirrored, others in every epoch
    weight_decay: float = 0.0  # of kernels, decoupled
    dropout: float = 0.0  # before the head's dense layers
    batch_norm_momentum: float = 0.99
    single_branches: bool = False  # that a multitask head starts with
    cache_precision: str = "float32"  # of features on disk
    soft_targets: float = 0.0  # the share of what regressions on other contents say in the target
    quantized: bool = False  # the head sees latents as a decoder does


class _Training(NamedTuple):
    """A model under training, and what it is trained on."""

    settings: PredictorSettings
    model: Parts
    trained: tf.keras.Model  # all of the model, or its head where features are cached
    train: TrainingSplit
    valid: TrainingSplit
    features: tuple[Features | None, ...]  # of train and of valid
    offsets: list[np.ndarray] | None  # what each backbone's latents are rounded to integers plus

    @property
    def outputs(self) -> list[str]:
        """The names of those that are levels."""
        return self.model.predicting.output_names

    @property
    def levels(self) -> list[str]:
        """The levels that they predict."""
        return list(LEVELS) if len(self.outputs) > 1 else [self.settings.level]

    @property
    def monitor(self) -> str:
        """What the best epoch has the least of."""
        if len(self.outputs) > 1 and self.settings.level:
            return f"val_{self.outputs[LEVELS.index(self.settings.level)]}_loss"
        return "val_loss"


def train_predictor(
    settings: PredictorSettings,
    train: TrainingSplit,
    valid: TrainingSplit,
    backbone_files: list[Path],
    files: TrainingFiles,
    *,
    epochs: int,
    resume: bool,
    cache_dir: Path | None,
    tensorboard: Path | None,
    labels: Labels,
) -> None:
    """Train the model up to `epochs`, keep the weights of its best epoch, and log every epoch.

    Losses: the mean absolute error of the level, the sum of the three if multitask; if end to end,
    0.01 x mean squared error of the JND frame + 0.99 x that of the level. The best epoch is that
    of the least validation loss, or of `settings.level`'s alone if multitask.

    Args:
        cache_dir: for features of frozen backbones; None: computed in every epoch.
        tensorboard: for TensorBoard's logs; None: there are none.
        labels: what the levels are, for the weight file to say.

    Raises:
        UserError: a file that cannot be read, another model's weights, or as `run_epochs`.
    """
    images = [path for split in (train, valid) for column in split.frames for path in column]
    levels = [split.levels.tobytes() for split in (train, valid)]
    priors = entropy_files(backbone_files) if settings.quantized else []
    run = identity(settings, images, levels, [*backbone_files, *priors])
    training = _set_up(settings, train, valid, backbone_files, cache_dir)
    if not writes_files():
        files, tensorboard = _files_elsewhere(files), None
    board = [tf.keras.callbacks.TensorBoard(tensorboard)] if tensorboard else []
    run_epochs(
        files,
        run,
        [*training.trained.variables, *training.trained.optimizer.variables],
        epochs=epochs,
        resume=resume,
        train_epoch=lambda number: _train_epoch(training, number, epochs, board, files.best),
        described=lambda row: _described(training, row),
        write_best=lambda path: _write_best(training, path, labels, backbone_files),
        monitor=training.monitor,
        baseline=None if train.jnd_frames else float(_median_errors(training).sum()),
    )


def _files_elsewhere(files: TrainingFiles) -> TrainingFiles:
    """Make temporary files of the same names, which are deleted when the process ends.

    Reading a weight takes all workers, so all of them write; only the first worker's files count.
    """
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    folder = stack.enter_context(temporary_folder())
    return TrainingFiles(*(folder / path.name for path in files))


def _write_best(
    training: _Training, path: Path, labels: Labels, backbone_files: list[Path]
) -> None:
    write_weights(training.model.whole, path, labels, training.offsets)
    copy_entropy_models(training.model, backbone_files, path)


def _set_up(
    settings: PredictorSettings,
    train: TrainingSplit,
    valid: TrainingSplit,
    backbone_files: list[Path],
    cache_dir: Path | None,
) -> _Training:
    """The model, with its backbones' weights, compiled; and its inputs."""
    tf.keras.utils.set_random_seed(settings.seed)
    device, precision = choose_device(settings.precision)
    use_precision(precision)
    strategy = choose_strategy()
    if settings.flip:
        train = with_mirrored(train)
    with strategy.scope():
        model = build_model(MODELS[settings.model])
        backbones = []
        for file in backbone_files:
            backbones.append(build_backbone())
            read_weights(backbones[-1].whole, file)
        start_from(model, backbones)
        offsets = quantization_offsets(backbones, backbone_files) if settings.quantized else None
        for name, median in zip(model.predicting.output_names, np.median(train.levels, axis=0)):
            # A last ReLU that starts below zero for all frames would never learn.
            model.predicting.get_layer(name).bias.assign([median])
        if settings.single_branches:
            start_with_single_branches(model.blocks)
        trained = model.whole
        features: tuple[Features | None, ...] = (None, None)
        if cache_dir and not model.description.end_to_end:
            trained = model.head
            splits = train, valid
            how = cache_dir, settings.cache_precision
            features = tuple(features_of(model.features, split, *how) for split in splits)
            if settings.soft_targets:
                train = _softened(train, features[0], settings.soft_targets)
        else:
            check_readable(train)
            check_readable(valid)
        set_batch_norm_momentum(model.whole, settings.batch_norm_momentum)
        if device == "CPU" and strategy.num_replicas_in_sync == 1:
            trained = training_form(trained, model.blocks)
        optimizer = _optimizer(settings, -(-len(train.images) // settings.batch_size))
        if settings.dropout:
            step = optimizer.iterations
            trained = with_dropout(trained, settings.dropout, settings.seed, step)
        _compile(trained, optimizer)
    return _Training(settings, model, trained, train, valid, features, offsets)


def _softened(train: TrainingSplit, features: Features, share: float) -> TrainingSplit:
    """`train` with that `share` of soft targets in its levels."""
    straight = len(train.images) - train.mirrored
    softened = soft_targets(
        train.images[:straight],
        [paths[0] for paths in features],
        train.levels[:straight],
        train.contents[:straight],
    )
    softened = np.resize(softened, train.levels.shape)  # mirrored ones follow in the same order
    return train._replace(levels=share * softened + (1 - share) * train.levels)


def _optimizer(settings: PredictorSettings, steps: int) -> tf.keras.optimizers.Adam:
    """Adam as `settings` say; an epoch has `steps`."""
    rate = settings.learning_rate
    if settings.cosine:
        rate = tf.keras.optimizers.schedules.CosineDecay(rate, settings.cosine * steps)
    optimizer = tf.keras.optimizers.Adam(rate, weight_decay=settings.weight_decay or None)
    if settings.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer


def _compile(model: tf.keras.Model, optimizer: tf.keras.optimizers.Adam) -> None:
    """Give `model` its losses and its optimizer."""
    losses = {name: "mse" if name == JND_FRAME else "mae" for name in model.output_names}
    end_to_end = JND_FRAME in losses
    weights = {
        name: (FRAME_WEIGHT if name == JND_FRAME else LEVEL_WEIGHT) if end_to_end else 1.0
        for name in losses
    }
    metrics = {JND_FRAME: [psnr, ssim, "mae"]} if end_to_end else None
    model.compile(optimizer, losses, loss_weights=weights, metrics=metrics)
    optimizer.build(model.trainable_variables)
    if len(model.outputs) > 1:
        # Keras would make the means of each output in the first step, and trace that step again.
        model.compiled_loss.build(model.outputs)
        model.compiled_metrics.build(model.outputs, model.outputs)


def psnr(true: tf.Tensor, made: tf.Tensor) -> tf.Tensor:
    """Peak signal-to-noise ratio in dB of each frame [batch, height, width, 3], 0 to 255."""
    return tf.image.psnr(true, made, 255)


def ssim(true: tf.Tensor, made: tf.Tensor) -> tf.Tensor:
    """Structural similarity of each frame [batch, height, width, 3], 0 to 255."""
    return tf.image.ssim(true, made, 255)


def _train_epoch(
    training: _Training,
    number: int,
    epochs: int,
    callbacks: list[tf.keras.callbacks.Callback],
    best: Path,
) -> dict[str, float]:
    """Train on each frame once and validate; losses and metrics by Keras's names."""
    settings, train, valid = training.settings, training.train, training.valid
    count, size, outputs = len(train.images), settings.batch_size, training.outputs
    # The order depends on seed and epoch alone, so a resumed run sees the same.
    random = np.random.default_rng((settings.seed, number - 1))
    order = random.permutation(count)
    moves = np.zeros((count, 3))
    if settings.roll:
        moves[:, :2] = random.random((count, 2))
    if settings.mirror:
        moves[:, 2] = random.random(count) < 0.5
    of_train, of_valid = training.features
    in_order = np.arange(len(valid.images))
    title = f"epoch {number}/{epochs}"
    with tqdm(total=count, desc=title, disable=None, leave=False) as bar:
        watched = _watched(training, bar, [train.images[place] for place in order], best)
        try:
            history = training.trained.fit(
                training_batches(train, order, size, outputs, of_train, moves, training.offsets),
                validation_data=training_batches(
                    valid, in_order, size, outputs, of_valid, offsets=training.offsets
                ),
                initial_epoch=number - 1,
                epochs=number,
                verbose=0,
                callbacks=[watched, *callbacks],
            )
        except tf.errors.InvalidArgumentError:
            check_readable(train)
            check_readable(valid)
            raise
    return {name: values[0] for name, values in history.history.items()}


def _watched(
    training: _Training, bar: tqdm, images: list[Path], best: Path
) -> tf.keras.callbacks.Callback:
    """Moves the bar on, and stops where the loss or weights are NaN or infinite."""
    size = training.settings.batch_size
    # Of each layer, what takes no time to look at: it all goes wrong together.
    vectors = [each for each in training.trained.trainable_weights if len(each.shape) == 1]

    def after_batch(step: int, logs: dict[str, float]) -> None:
        seen = images[step * size : (step + 1) * size]
        when = f"step {step + 1} of this epoch, of {', '.join(map(str, seen))}"
        check_finite(when, {"loss": logs["loss"]}, vectors, best)
        bar.update(len(seen))
        bar.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)

    return tf.keras.callbacks.LambdaCallback(on_batch_end=after_batch)


def _median_errors(training: _Training) -> np.ndarray:
    """Of always answering train's median, on valid: one per level."""
    medians = np.median(training.train.levels, axis=0)
    return np.abs(training.valid.levels - medians).mean(axis=0)


def _described(training: _Training, row: dict) -> str:
    """The loss, and validation errors beside the median label's."""
    errors = ", ".join(
        f"{level} {row.get(f'val_{output}_loss', row['val_loss']):.2f} (median {baseline:.2f})"
        for output, level, baseline in zip(
            training.outputs, training.levels, _median_errors(training)
        )
    )
    return f"loss {row['loss']:.3f}; error on valid: {errors}"
