"""The command refine: add a regression on picture statistics to a trained model."""

import argparse
from typing import TYPE_CHECKING

import numpy as np

from ..base.constants import LEVELS
from ..base.errors import UserError, say
from ..base.files import check_writable
from ..base.program import program
from ..base.progress import Progress
from ..base.temporary import lock
from ..models.descriptions import Description
from .model_options import describe_levels, find_model_weights, load_predictor
from .options import add_options, path

if TYPE_CHECKING:
    from ..data.split import Split
    from ..inference.predictor import Predictor


def add_parser(commands: argparse._SubParsersAction, description: Description) -> None:
    """Add the command refine to `commands`."""
    level_option = describe_levels(description)[1]
    start = program(description.name, "refine")
    command = commands.add_parser(
        "refine",
        help="add a regression on statistics of whole pictures to a trained model",
        description="Fit a regression on statistics of the pictures in DIR/train. Its levels are\n"
        "averaged with the model's own, with the weight that gives the least error on\n"
        "DIR/valid; fit it again on both, and write a copy of the weight file that has it.\n"
        "DIR is a root that `prepare photos` made. Let its valid have other collections of\n"
        "pictures than its train: otherwise the weight is that for familiar pictures.",
        epilog=f"example:\n  {start} {level_option}--data_dir data/ "
        "--model_weights_path checkpoints/BestModel.h5 --out refined.h5",
    )
    needs_level = not description.multitask
    add_options(
        command,
        f"data_dir {'jnd_value ' if needs_level else ''}model_weights_path overwrite precision "
        "runtime no_model_cache",
        jnd_value={"required": True},
        model_weights_path={"required": True},
        overwrite={"help": "replace FILE"},
    )
    help_text = "the weight file to write"
    command.add_argument("--out", type=path, required=True, metavar="FILE", help=help_text)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Write a copy of a weight file with a regression, and print the errors on valid."""
    from ..data.split import read_split
    from ..data.statistics import read_statistics
    from ..models.weights import add_regression
    from ..training.regression import choose_share, fit_regression

    weights = find_model_weights(options)
    check_writable(options.out, overwrite=options.overwrite, inputs=[weights])
    splits = [read_split(options.data_dir, name, levels_needed=True) for name in ("train", "valid")]
    statistics = [read_statistics(split) for split in splits]
    with lock(options.out):
        predictor = load_predictor(options, weights)
        if predictor.regression:
            raise UserError(f"{weights}: already refined; give the weight file that it was made of")
        columns = [LEVELS.index(name) for name in predictor.names]
        levels = [split.known_levels[:, columns] for split in splits]
        predicted = _predict(predictor, splits[1])
        fitted = fit_regression(statistics[0], levels[0], splits[0].contents)
        share = choose_share(fitted, statistics[1], levels[1], predicted)
        refined = fit_regression(
            np.concatenate(statistics),
            np.concatenate(levels),
            np.concatenate([split.contents for split in splits]),
            share,
        )
        add_regression(weights, options.out, refined, options.overwrite)
    of_regression = fitted.predict(statistics[1])
    both = share * of_regression + (1 - share) * predicted
    for title, each in (("model", predicted), ("regression", of_regression), ("both", both)):
        errors = " ".join(f"{error:.2f}" for error in np.abs(each - levels[1]).mean(axis=0))
        say(f"mean error on valid, {title}: {errors}")
    say(f"{options.out}: the regression counts {share:.2f}, the model {1 - share:.2f}")


def _predict(predictor: "Predictor", split: "Split") -> np.ndarray:
    """Predict the levels of a split's frames: float32 [images, levels]."""
    from ..inference.records import Failure

    rows = []
    predictions = predictor.predict(split.images, "stretched")
    for prediction in Progress(predictions, split.name, len(split.images), unit="frame"):
        if isinstance(prediction, Failure):
            raise prediction.error
        rows.append([*prediction.levels.values()])
    return np.array(rows, np.float32)
