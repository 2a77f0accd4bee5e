"""The command line of the six models.

Help needs the standard library alone, and TensorFlow is imported only once the request makes sense:
NumPy takes a few tenths of a second to load, TensorFlow several seconds.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from common.console import Parser, add_option
from common.errors import reported
from common.facts import LEVELS
from common.files import make_writable
from common.models.descriptions import MODELS, Description

if TYPE_CHECKING:
    import numpy as np

_SPLITS = ("train", "valid")


def main(name: str, arguments: list[str] | None = None) -> int:
    """Do what `arguments` (of the process, if None) ask of the model `name`; the exit code.

    0: done; 1: could not be done, said in one line on stderr; 2: the arguments are wrong.
    """
    description = MODELS[name]
    parser = _parser(description)
    options = parser.parse_args(arguments)
    if not description.multitask and options.jnd_value is None:
        parser.error(f"--jnd_value is missing: choose {', '.join(LEVELS)}")
    if options.command == "train" and options.roll and options.no_cache:
        parser.error("--roll rolls the features that --no_cache does without")
    with reported(parser.prog):
        {"train": _train, "test": _test}[options.command](description, options)
    return 0


def _test(description: Description, options: argparse.Namespace) -> None:
    from common.data.split import read_test_split
    from common.models.weights import find_weights

    level = None if description.multitask else options.jnd_value
    split = read_test_split(options.data_dir, levels_needed=False)
    weights = find_weights(options.model_weights_path, description.weight_files(level))
    make_writable(options.result_path)
    from common.evaluation.predictor import evaluate_predictor
    from common.predictor import Predictor

    evaluate_predictor(
        Predictor(description.name, weights, level, options.precision),
        split,
        options.result_path,
        batch_size=options.batch_size,
        skip_bad=options.skip_bad,
    )


def _train(description: Description, options: argparse.Namespace) -> None:
    from common.models.weights import find_weights
    from common.training.state import check_resumable

    level = options.jnd_value
    backbones = getattr(options, description.backbone_option)
    files = [find_weights(backbones, [name]) for name in description.backbone_files(level)]
    predicted = LEVELS if description.multitask else [level]
    splits = [_training_split(description, options.data_dir, name, predicted) for name in _SPLITS]
    suffix = "" if description.multitask else level
    checkpoints, logs = options.checkpoint_path, options.csv_log_path
    best, state = checkpoints / f"BestModel{suffix}.h5", checkpoints / f"state{suffix}.npz"
    check_resumable(best, state, options.resume)
    cache_dir = None if options.no_cache else options.cache_dir or checkpoints / "features"
    for folder in filter(None, (checkpoints, logs, cache_dir, options.tensorboard)):
        make_writable(folder)
    from common.training.batches import TrainingSplit
    from common.training.predictor import PredictorFiles, PredictorSettings, train_predictor

    train_predictor(
        PredictorSettings(
            model=description.name,
            level=level,
            batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            seed=options.seed,
            precision=options.precision,
            flip=options.flip,
            roll=options.roll,
            cosine=options.epochs if options.cosine else None,
        ),
        *(TrainingSplit(*split) for split in splits),
        files,
        PredictorFiles(
            best=best,
            state=state,
            log=logs / f"logs{suffix}.csv",
            curve=logs / f"logs{suffix}.png",
            tensorboard=options.tensorboard,
            cache_dir=cache_dir,
        ),
        epochs=options.epochs,
        resume=options.resume,
    )
    value = f"--jnd_value {suffix} " if suffix else ""
    print(f"best epoch: {best}")
    print(
        f"next: python3 {description.name}.py test {value}--data_dir {options.data_dir} "
        f"--model_weights_path {checkpoints} --result_path results/"
    )


def _training_split(
    description: Description, root: Path, name: str, predicted: Sequence[str]
) -> tuple[list[Path], np.ndarray, list[Path] | None]:
    """Images, predicted levels and JND frames: the fields of TrainingSplit."""
    from common.data.layout import read_jnd_frames, read_split

    images, levels = read_split(root, name, levels_needed=True)
    jnd_frames = None
    if description.end_to_end:
        jnd_frames = read_jnd_frames(root, name, predicted[0], images)
    return images, levels[:, [LEVELS.index(level) for level in predicted]], jnd_frames


def _bundled(folder: str) -> Path:
    """A folder that comes with the project, as seen from where the user is."""
    return Path(os.path.relpath(Path(__file__).parents[1] / folder))


def _parser(description: Description) -> Parser:
    script = f"{description.name}.py"
    what = "the three JND levels" if description.multitask else "one JND level"
    level = "" if description.multitask else "--jnd_value JND1 "
    backbone = f"--{description.backbone_option}"
    parser = Parser(
        prog=script,
        description=f"{description.title} predicts {what} of an image: "
        "at which compression viewers first notice a difference.",
        epilog=f"'python3 {script} test --help' tells more and shows an example; so for train.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    train = commands.add_parser(
        "train",
        help="train on your own dataset",
        description=f"Train {description.title} to predict {what} of the images in DIR/train/\n"
        "and pick the best epoch by those in DIR/valid/; both hold a JND-Levels.txt.",
        epilog=f"example:\n  python3 {script} train {level}--data_dir data/ "
        f"--checkpoint_path checkpoints/ --csv_log_path logs/ {backbone} backbones/",
    )
    test = commands.add_parser(
        "test",
        help="predict the levels of a folder of images",
        description=f"Predict {what} of each image in DIR/test/, in natural order (img2 before\n"
        "img10). With a DIR/test/JND-Levels.txt, measure the error too. Of up to 10 images, each\n"
        "one's levels are printed; if DIR/manifest.csv says what a level is, they are also shown\n"
        "beside themselves encoded at the first predicted level.",
        epilog=f"example:\n  python3 {script} test {level}--data_dir data/ "
        "--model_weights_path weights/ --result_path results/",
    )
    add_option(train, "data_dir")
    add_option(
        test,
        "data_dir",
        required=False,
        default=_bundled("samples"),
        help="folder that holds the above",
    )
    _train_options(train, description)
    _test_options(test, description)
    for command, backbone_help in (
        (train, f"folder of {', '.join(description.backbone_files('JNDk'))}"),
        (test, "not needed: the weight file holds the backbone; accepted for older scripts"),
    ):
        add_option(command, "precision")
        command.add_argument(
            backbone, type=Path, required=command is train, metavar="DIR", help=backbone_help
        )
    return parser


def _test_options(test: Parser, description: Description) -> None:
    level = None
    if not description.multitask:
        level = "JNDk"
        test.add_argument("--jnd_value", choices=LEVELS, help="which level; no default")
    test.add_argument(
        "--model_weights_path",
        type=Path,
        default=_bundled("weights"),
        metavar="PATH",
        help=f"weight file, or folder with {' or '.join(description.weight_files(level))}",
    )
    add_option(test, "result_path")
    add_option(
        test,
        "batch_size",
        default=description.test_batch,
        help="frames at a time; bounds memory, changes no result",
    )
    test.add_argument(
        "--skip_bad", action="store_true", help="go on without images that cannot be read"
    )


def _train_options(train: Parser, description: Description) -> None:
    train.add_argument(
        "--jnd_value",
        choices=LEVELS,
        help="level whose validation error picks the best epoch, in place of the sum of the three"
        if description.multitask
        else "which level; no default",
    )
    add_option(train, "checkpoint_path", required=True)
    add_option(train, "csv_log_path", required=True)
    add_option(train, "epochs", default=300)
    add_option(train, "batch_size")
    add_option(train, "learning_rate", default=1e-5)
    train.add_argument(
        "--cosine",
        action="store_true",
        help="let the learning rate fall to 0 over --epochs, along half a cosine",
    )
    train.add_argument("--flip", action="store_true", help="see each frame mirrored, too")
    add_option(train, "seed")
    add_option(train, "resume")
    train.add_argument(
        "--tensorboard", type=Path, metavar="DIR", help="folder for TensorBoard's logs"
    )
    if description.end_to_end:
        train.set_defaults(cache_dir=None, no_cache=True, roll=False)
        return
    train.add_argument(
        "--roll",
        action="store_true",
        help="roll what the backbones give round, by another distance in every epoch, so that the "
        "head learns no places by heart",
    )
    train.add_argument(
        "--cache_dir",
        type=Path,
        metavar="DIR",
        help="for what the frozen backbones give (default: features/ in --checkpoint_path)",
    )
    train.add_argument(
        "--no_cache", action="store_true", help="run the backbones in every epoch instead"
    )
