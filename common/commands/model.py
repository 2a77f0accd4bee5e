"""The command line of the six models."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.constants import LEVELS, SPLITS
from ..base.errors import RESUME_HINT, say
from ..base.files import make_writable
from ..models.descriptions import Description
from . import encode, predict, test
from .model_options import add_backbone_option
from .options import Parser, add_options, program

if TYPE_CHECKING:
    import numpy as np

    from ..models.labels import Labels

_SPLITS = SPLITS[:2]


def _train(options: argparse.Namespace) -> None:
    description = options.description
    from ..models.weight_paths import find_weights
    from ..training.checkpoint import check_outputs, reserve

    level = options.jnd_value
    backbones = getattr(options, description.backbone_option)
    files = [find_weights(backbones, [name]) for name in description.backbone_files(level)]
    predicted = LEVELS if description.multitask else [level]
    splits = [_training_split(description, options.data_dir, name, predicted) for name in _SPLITS]
    suffix = "" if description.multitask else level
    checkpoints = options.checkpoint_path
    best, state = checkpoints / f"BestModel{suffix}.h5", checkpoints / f"state{suffix}.npz"
    outputs = best, state, options.csv_log_path / f"logs{suffix}.csv"
    check_outputs(*outputs, options.resume)
    cache_dir = None if options.no_cache else options.cache_dir or checkpoints / "features"
    for folder in filter(None, (cache_dir, options.tensorboard)):
        make_writable(folder)
    from ..training.inputs import TrainingSplit
    from ..training.loop import TrainingFiles
    from ..training.predictor import PredictorSettings, train_predictor

    as_given = {*PredictorSettings._fields} - {"model", "level", "cosine"}
    settings = PredictorSettings(
        model=description.name,
        level=level,
        cosine=options.epochs if options.cosine else None,
        **{name: value for name, value in vars(options).items() if name in as_given},
    )
    train, valid = (TrainingSplit(*split) for split in splits)
    if options.soft_targets:
        from ..data.split import read_split

        train = train._replace(contents=read_split(options.data_dir, "train").contents)
    with reserve(*outputs):
        what = settings, train, valid, files, TrainingFiles(*outputs)
        train_predictor(
            *what,
            epochs=options.epochs,
            resume=options.resume,
            cache_dir=cache_dir,
            tensorboard=options.tensorboard,
            labels=_labels(options.data_dir),
        )
    value = f"--jnd_value {suffix} " if suffix else ""
    say(f"best epoch: {best}")
    say(
        f"next: {program(description.name, 'test')} {value}--data_dir {options.data_dir} "
        f"--model_weights_path {checkpoints} --result_path results/"
    )


def _training_split(
    description: Description, root: Path, name: str, predicted: Sequence[str]
) -> "tuple[list[Path], np.ndarray, list[Path] | None]":
    """Images, predicted levels and JND frames: the fields of TrainingSplit."""
    from ..data.split import read_jnd_frames, read_split

    split = read_split(root, name, levels_needed=True, with_manifest=False)
    jnd_frames = None
    if description.end_to_end:
        jnd_frames = read_jnd_frames(root, name, predicted[0], split.images)
    levels = split.known_levels[:, [LEVELS.index(level) for level in predicted]]
    return split.images, levels, jnd_frames


def _labels(root: Path) -> "Labels":
    """Find out what the levels are: by the manifest or, without one, only their codec."""
    from ..data.manifest import read_labels
    from ..data.split import read_split
    from ..models.labels import Labels

    labels = read_labels(root)
    return labels or Labels(codec=read_split(root, "train", levels_needed=True).codec_name)


def add_parser(commands: argparse._SubParsersAction, description: Description) -> None:
    """Give `commands` a model's name as a command, with the four that it has itself."""
    parser = commands.add_parser(
        description.name,
        prog=program(description.name),
        help=f"train, test, predict or encode with {description.title}",
        description=f"{description.title} predicts {_predicted(description)} of an image: "
        "at which compression viewers first notice a difference.",
        epilog=f"'{program(description.name, 'test')} --help' tells more and shows an example.",
    )
    add_commands(parser.add_subparsers(required=True, metavar="COMMAND"), description)


def add_commands(commands: argparse._SubParsersAction, description: Description) -> None:
    """Give `commands` the four commands of a model."""
    for add in (_add_train, test.add_parser, predict.add_parser, encode.add_parser):
        add(commands, description)
    for name in ("train", "test", "predict", "encode"):
        commands.choices[name].set_defaults(description=description)


def _predicted(description: Description) -> str:
    return "the three JND levels" if description.multitask else "one JND level"


def _add_train(commands: argparse._SubParsersAction, description: Description) -> None:
    level = "" if description.multitask else "--jnd_value JND1 "
    train = commands.add_parser(
        "train",
        help="train on your own dataset",
        description=f"Train {description.title} to predict {_predicted(description)} of the\n"
        "images in DIR/train/ and pick the best epoch by those in DIR/valid/; both hold a\n"
        "JND-Levels.txt.",
        epilog=f"example:\n  {program(description.name, 'train')} {level}--data_dir data/ "
        f"--checkpoint_path checkpoints/ --csv_log_path logs/ --{description.backbone_option} "
        "backbones/",
    )
    _add_train_options(train, description)
    train.set_defaults(run=_train, check=_check_train, hint=RESUME_HINT)


def _check_train(options: argparse.Namespace, parser: Parser) -> None:
    for name in ("roll", "mirror", "soft_targets", "quantized"):
        if options.no_cache and getattr(options, name):
            parser.error(f"--{name} needs the features that --no_cache does without")


def _add_train_options(train: Parser, description: Description) -> None:
    best = "level whose validation error picks the best epoch, in place of the sum of the three"
    needed = {"required": True}
    add_options(
        train,
        "data_dir jnd_value checkpoint_path csv_log_path epochs batch_size learning_rate cosine "
        "flip weight_decay dropout batch_norm_momentum seed resume tensorboard precision",
        jnd_value={"help": best} if description.multitask else {"required": True},
        checkpoint_path=needed,
        csv_log_path=needed,
        epochs={"default": 300},
        learning_rate={"default": 1e-5},
    )
    if description.end_to_end:
        unused = {"roll": False, "mirror": False, "cache_precision": "float32", "soft_targets": 0}
        train.set_defaults(cache_dir=None, no_cache=True, **unused)
    else:
        add_options(train, "roll mirror soft_targets cache_dir cache_precision no_cache")
    if description.sees == "latent" and not description.end_to_end:
        add_options(train, "quantized")
    else:
        train.set_defaults(quantized=False)
    if description.multitask:
        add_options(train, "single_branches")
    else:
        train.set_defaults(single_branches=False)
    help_text = f"folder of {', '.join(description.backbone_files('JNDk'))}"
    add_backbone_option(train, description, help=help_text, required=True)
