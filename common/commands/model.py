"""The command line of the six models.

Help needs the standard library alone, and TensorFlow is imported only once the request makes sense:
NumPy takes a few tenths of a second to load, TensorFlow several seconds.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.constants import LEVELS
from ..base.errors import RESUME_HINT, exit_on_error, say
from ..base.files import locked, make_writable
from ..models.descriptions import MODELS, Description
from .options import Parser, add_options, bundled
from .videos import (
    add_backbone_option,
    add_encode,
    add_predict,
    backbones_in_testing,
    check_qps,
    encode,
    predict,
)

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
    if options.command == "train" and options.no_cache:
        for name in ("roll", "mirror", "soft_targets", "quantized"):
            if getattr(options, name):
                parser.error(f"--{name} needs the features that --no_cache does without")
    if options.command == "encode":
        check_qps(options, parser)
    with exit_on_error(parser.prog, RESUME_HINT if options.command == "train" else ""):
        commands = {"train": _train, "test": _test, "predict": predict, "encode": encode}
        return commands[options.command](description, options) or 0


def console() -> int:
    """`laser-jnd MODEL COMMAND ...`: what the six scripts do, for where they are not at hand."""
    parser = Parser(
        prog="laser-jnd",
        description="Predict the levels at which people first notice compression.",
        epilog="example:\n  laser-jnd MJLAT predict photo.jpg",
    )
    parser.add_argument("model", choices=MODELS, help="one of the six models")
    rest = "its command and options; 'laser-jnd MJLAT --help' tells more"
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=rest)
    options = parser.parse_args()
    return main(options.model, options.arguments)


def _test(description: Description, options: argparse.Namespace) -> None:
    from ..data.split import read_test_split
    from ..models.weights import find_weights

    level = None if description.multitask else options.jnd_value
    latent = description.sees == "latent"
    split = read_test_split(options.data_dir, levels_needed=False, coded=latent)
    weights = find_weights(options.model_weights_path, description.weight_files(level))
    backbones = getattr(options, description.backbone_option)
    make_writable(options.result_path)
    results = options.result_path / f"{level or ''}test_results.csv"
    from ..evaluation.predictor import evaluate_predictor
    from ..inference.predictor import Predictor

    with locked(results, wait=False):
        evaluate_predictor(
            Predictor(
                *(description.name, weights, level, options.precision, backbones),
                runtime=options.runtime,
                model_cache=not options.no_model_cache,
            ),
            split,
            options.result_path,
            batch_size=options.batch_size,
            skip_bad=options.skip_bad,
            overwrite=options.overwrite,
        )


def _train(description: Description, options: argparse.Namespace) -> None:
    from ..models.weights import find_weights
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
        from ..data.split import read_train_split

        train = train._replace(contents=read_train_split(options.data_dir).contents)
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
        f"next: python3 {description.name}.py test {value}--data_dir {options.data_dir} "
        f"--model_weights_path {checkpoints} --result_path results/"
    )


def _training_split(
    description: Description, root: Path, name: str, predicted: Sequence[str]
) -> "tuple[list[Path], np.ndarray, list[Path] | None]":
    """Images, predicted levels and JND frames: the fields of TrainingSplit."""
    from ..data.layout import read_jnd_frames, read_split

    images, levels = read_split(root, name, levels_needed=True)
    jnd_frames = None
    if description.end_to_end:
        jnd_frames = read_jnd_frames(root, name, predicted[0], images)
    return images, levels[:, [LEVELS.index(level) for level in predicted]], jnd_frames


def _labels(root: Path) -> dict[str, str]:
    """What the levels are, and who gave them if a manifest tells."""
    from ..data.layout import read_split
    from ..data.manifest import codec_by_order, provenance

    if help_text := provenance(root):
        return help_text._asdict()
    return {"codec": codec_by_order(read_split(root, "train", levels_needed=True)[1])}


def _parser(description: Description) -> Parser:
    script = f"{description.name}.py"
    what = "the three JND levels" if description.multitask else "one JND level"
    level = "" if description.multitask else "--jnd_value JND1 "
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
        epilog=f"example:\n  python3 {script} train {level}--data_dir data/ --checkpoint_path "
        f"checkpoints/ --csv_log_path logs/ --{description.backbone_option} backbones/",
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
    add_predict(commands, description)
    add_encode(commands, description)
    _add_train_options(train, description)
    _add_test_options(test, description)
    return parser


def _add_train_options(train: Parser, description: Description) -> None:
    best = "level whose validation error picks the best epoch, in place of the sum of the three"
    needed = {"required": True}
    add_options(
        train,
        "data_dir jnd_value checkpoint_path csv_log_path epochs batch_size learning_rate cosine "
        "flip weight_decay dropout batch_norm_momentum seed resume tensorboard precision",
        jnd_value={"help": best} if description.multitask else {},
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


def _add_test_options(test: Parser, description: Description) -> None:
    level = None if description.multitask else "JNDk"
    weights = f"weight file, or folder with {' or '.join(description.weight_files(level))}"
    add_options(
        test,
        f"data_dir {'jnd_value ' if level else ''}model_weights_path result_path batch_size "
        "skip_bad overwrite precision runtime no_model_cache",
        data_dir={"required": False, "default": bundled("samples")},
        model_weights_path={"default": bundled("weights"), "help": weights},
        batch_size={
            "default": description.test_batch,
            "help": "frames at a time; bounds memory, changes no result beyond rounding",
        },
        precision={"choices": ("auto", "float32", "bfloat16")},
    )
    add_backbone_option(test, description, help=backbones_in_testing(description))
