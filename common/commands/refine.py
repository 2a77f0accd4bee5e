"""The command refine: add a regression on picture statistics to a trained model."""

import argparse

from ..base.errors import say
from ..base.files import atomic_write, check_writable
from ..base.program import program
from ..base.temporary import lock
from ..models.descriptions import Description
from ..models.weight_paths import find_entropy_files, name_copy
from .model_options import describe_levels, find_model_weights, load_predictor
from .options import add_options, path


def add_parser(commands: argparse._SubParsersAction, description: Description) -> None:
    """Add the command refine to `commands`."""
    level_option = describe_levels(description)[1]
    start = program(description.name, "refine")
    command = commands.add_parser(
        "refine",
        help="add a regression on statistics of whole pictures to a trained model",
        description="Fit a regression on statistics of the pictures in DIR/train. Its levels are\n"
        "averaged with the model's own, with the weight that gives the least error on\n"
        "DIR/valid; if the model's own gain no more there than chance may, they are left\n"
        "out. Fit it again on both, and write a copy of the weight file that has it.\n"
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
        overwrite={"help": "replace FILE and its entropy models"},
    )
    help_text = "the weight file to write"
    command.add_argument("--out", type=path, required=True, metavar="FILE", help=help_text)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Write a copy of a weight file with a regression, and print the errors on valid.

    The entropy models next to it are copied, too; the copy's backbones are the same.
    """
    from ..training import regression

    weights = find_model_weights(options)
    copies = {file: name_copy(file, weights, options.out) for file in find_entropy_files(weights)}
    for written in (options.out, *copies.values()):
        check_writable(written, overwrite=options.overwrite, inputs=[weights, *copies])
    with lock(options.out):
        predictor = load_predictor(options, weights)
        refined = regression.refine(predictor, options.data_dir, options.out, options.overwrite)
        for file, copy in copies.items():
            with atomic_write(copy, overwrite=options.overwrite) as temporary:
                temporary.write_bytes(file.read_bytes())
    for title, errors in refined.errors.items():
        numbers = " ".join(f"{error:.2f}" for error in errors)
        say(f"mean error on valid, {title}: {numbers}")
    share = refined.share
    say(f"{options.out}: the regression counts {share:.2f}, the model {1 - share:.2f}")
