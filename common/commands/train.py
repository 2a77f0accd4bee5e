"""The command train: train a model."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..base.constants import LEVELS
from ..base.errors import RESUME_HINT, say
from ..base.files import make_writable
from ..base.program import program
from ..models.descriptions import Description
from ..models.labels import Labels
from ..models.weight_paths import find_weights
from ..training.settings import PredictorSettings, TrainingData, TrainingFiles, TrainingSplit
from .model_options import add_backbone_option, describe_levels
from .options import Parser, add_options, fraction, rate


class _Option(NamedTuple):
    """An option with a default value per recipe."""

    plain: Any
    robust: Any
    help: str
    type: Callable | None = None  # None: a flag


# The recipe plain was used for the published models; robust, for the default model (see
# weights/make.sh).
REGULARISATION = {
    "cosine": _Option(
        False, True, "decay the learning rate to 0 over --epochs along half a cosine"
    ),
    "flip": _Option(False, False, "also train on the mirror image of each frame"),
    "roll": _Option(
        False, True, "shift the backbone features cyclically by a random distance in each epoch"
    ),
    "mirror": _Option(
        False, True, "mirror the backbone features with probability 0.5 in each epoch"
    ),
    "dropout": _Option(0.0, 0.4, "dropout rate before the dense layers", rate),
    "weight_decay": _Option(0.0, 0.02, "decoupled weight decay (AdamW), of kernels only", rate),
    "batch_norm_momentum": _Option(0.99, 0.9, "momentum of the batch-norm moving averages", rate),
    "soft_targets": _Option(
        0.0, 0.5, "weight of out-of-fold regression targets (0: labels only)", fraction
    ),
    "single_branches": _Option(
        False, True, "initialize each channel of the product of branches from a single branch"
    ),
    "quantized": _Option(
        False, True, "train the head on quantized latents, to predict from bitstream files"
    ),
}
_NEED_CACHE = ("roll", "mirror", "soft_targets", "quantized")


def add_parser(commands: argparse._SubParsersAction, description: Description) -> None:
    """Add the command train to `commands`."""
    what, level = describe_levels(description)
    start = (
        f"{program(description.name, 'train')} {level}--data_dir data/ --checkpoint_path "
        f"checkpoints/ --csv_log_path logs/ --{description.backbone_option} backbones/"
    )
    batch = 32 if description.sees == "latent" else 16
    train: Parser = commands.add_parser(
        "train",
        help="train on your own dataset",
        description=f"Train {description.title} to predict {what} of the images in DIR/train/,\n"
        "and keep the epoch that is best on those in DIR/valid/. Both contain a JND-Levels.txt.",
        epilog=f"examples:\n  {start}\n  {start} \\\n"
        f"      --recipe robust --epochs 16 --batch_size {batch} --learning_rate 1e-3",
    )
    best = "level whose validation error selects the best epoch (default: sum of all three)"
    add_options(
        train,
        "data_dir jnd_value checkpoint_path csv_log_path epochs batch_size learning_rate "
        "seed resume tensorboard precision",
        jnd_value={"help": best} if description.multitask else {"required": True},
        checkpoint_path={"required": True},
        csv_log_path={"required": True},
        epochs={"default": 300},
        learning_rate={"default": 1e-5},
    )
    if description.end_to_end:
        train.set_defaults(cache_dir=None, cache_precision="float32", no_cache=True)
    else:
        add_options(train, "cache_dir cache_precision no_cache")
    help_text = f"folder of {', '.join(description.backbone_files('JNDk'))}"
    add_backbone_option(train, description, help=help_text, required=True)
    _add_regularisation(train, description)
    train.set_defaults(run=run, check=check, hint=RESUME_HINT)


def _add_regularisation(train: Parser, description: Description) -> None:
    missing = set(_NEED_CACHE) if description.end_to_end else set()
    missing |= {"quantized"} if description.sees != "latent" else set()
    missing |= {"single_branches"} if not description.multitask else set()
    group = train.add_argument_group("regularization and augmentation (set by --recipe robust)")
    recipes = "defaults of the options below: plain, as for the published models; or robust"
    group.add_argument("--recipe", choices=("plain", "robust"), default="plain", help=recipes)
    for name, option in REGULARISATION.items():
        if name in missing:
            train.set_defaults(**{name: option.plain})
        elif option.type:
            values = f"(plain: {option.plain}, robust: {option.robust})"
            text = f"{option.help} {values}"
            group.add_argument(f"--{name}", type=option.type, metavar="X", help=text)
        else:
            text = f"{option.help}{' (robust)' if option.robust else ''}"
            on_off = argparse.BooleanOptionalAction
            group.add_argument(f"--{name}", action=on_off, help=text)


def check(options: argparse.Namespace, parser: Parser) -> None:
    """Set missing options to the recipe's values; exit with code 2 if options are contradictory."""
    for name, option in REGULARISATION.items():
        if getattr(options, name) is None:
            setattr(options, name, getattr(option, options.recipe))
    for name in _NEED_CACHE if options.no_cache else ():
        if getattr(options, name):
            parser.error(f"--{name} needs cached features: leave out --no_cache")


def run(options: argparse.Namespace) -> None:
    """Train a model; print the file of its best epoch, and the command to test it."""
    from ..training.checkpoint import check_outputs, reserve

    description, level = options.description, options.jnd_value
    folder = getattr(options, description.backbone_option)
    backbones = [find_weights(folder, [name]) for name in description.backbone_files(level)]
    suffix = "" if description.multitask else level
    cache_dir = options.cache_dir or options.checkpoint_path / "features"
    data = _read_data(options, backbones, None if options.no_cache else cache_dir)
    files = TrainingFiles(
        best=options.checkpoint_path / f"BestModel{suffix}.h5",
        state=options.checkpoint_path / f"state{suffix}.npz",
        log=options.csv_log_path / f"logs{suffix}.csv",
    )
    check_outputs(*files, options.resume)
    for written in filter(None, (data.cache_dir, options.tensorboard)):
        make_writable(written)
    from ..training.predictor import train_predictor

    with reserve(*files):
        train_predictor(
            _settings(options),
            data,
            files,
            epochs=options.epochs,
            resume=options.resume,
            tensorboard=options.tensorboard,
            report=partial(say, flush=True),
        )
    value = f"--jnd_value {suffix} " if suffix else ""
    say(f"best epoch: {files.best}")
    say(
        f"next: {program(description.name, 'test')} {value}--data_dir {options.data_dir} "
        f"--model_weights_path {options.checkpoint_path} --result_path results/"
    )


def _settings(options: argparse.Namespace) -> PredictorSettings:
    return PredictorSettings(
        model=options.description.name,
        level=options.jnd_value,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        cosine=options.epochs if options.cosine else None,
        seed=options.seed,
        precision=options.precision,
        flip=options.flip,
        roll=options.roll,
        mirror=options.mirror,
        weight_decay=options.weight_decay,
        dropout=options.dropout,
        batch_norm_momentum=options.batch_norm_momentum,
        single_branches=options.single_branches,
        cache_precision=options.cache_precision,
        soft_targets=options.soft_targets,
        quantized=options.quantized,
    )


def _read_data(
    options: argparse.Namespace, backbones: list[Path], cache_dir: Path | None
) -> TrainingData:
    """Read the training data, except for the frames."""

    from ..data import manifest, split

    root, description = options.data_dir, options.description
    predicted = LEVELS if description.multitask else [options.jnd_value]
    columns = [LEVELS.index(level) for level in predicted]
    splits: list[TrainingSplit] = []
    codec = ""
    for name in ("train", "valid"):
        # Only out-of-fold targets need contents.
        contents_needed = bool(options.soft_targets) and name == "train"
        own = split.read_split(root, name, levels_needed=True, with_manifest=contents_needed)
        codec = codec or split.infer_codec(own.known_levels)
        splits.append(
            TrainingSplit(
                images=own.images,
                levels=own.known_levels[:, columns],
                jnd_frames=split.read_jnd_frames(root, name, predicted[0], own.images)
                if description.end_to_end
                else None,
                contents=own.contents if contents_needed else None,
            )
        )
    train, valid = splits
    labels = manifest.read_labels(root) or Labels(codec=codec)
    return TrainingData(train, valid, backbones, labels, cache_dir)
