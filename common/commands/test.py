"""The command test: predict the levels of a test split, and measure their errors."""

import argparse

from ..base.constants import PRECISIONS
from ..base.files import make_writable
from ..base.program import program
from ..base.temporary import lock
from ..models.descriptions import Description
from ..models.weight_paths import find_weights
from .model_options import add_unused_backbone_option, describe_levels
from .options import add_options, bundled_path


def add_parser(commands: argparse._SubParsersAction, description: Description) -> None:
    """Add the command test to `commands`."""
    levels, level_option = describe_levels(description)
    command = commands.add_parser(
        "test",
        help="predict the levels of a folder of images",
        description=f"Predict {levels} of each image in DIR/test/, in natural order (img2 before\n"
        "img10), each stretched to 640x352 as for the published models. If there is a\n"
        "DIR/test/JND-Levels.txt, also measure the errors. The levels of up to 10 images are\n"
        "printed; if DIR/manifest.csv records the codec of the levels, these images are also\n"
        "shown side by side with their encodes at the first predicted level.",
        epilog=f"example:\n  {program(description.name, 'test')} {level_option}--data_dir data/ "
        "--model_weights_path weights/ --result_path results/",
    )
    level = None if description.multitask else "JNDk"
    weights = f"weight file, or folder with {' or '.join(description.weight_files(level))}"
    add_options(
        command,
        f"data_dir {'jnd_value ' if level else ''}model_weights_path result_path batch_size "
        "limit skip_bad overwrite precision runtime no_model_cache",
        jnd_value={"required": True},
        data_dir={"required": False, "default": bundled_path("samples")},
        model_weights_path={"default": bundled_path("weights"), "help": weights},
        batch_size={
            "default": description.test_batch,
            "help": "frames at a time; bounds memory, changes results only by rounding errors",
        },
        precision={"choices": PRECISIONS},
    )
    add_unused_backbone_option(command, description)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Write and print the levels of the test split and, if true levels are known, the errors."""
    from ..data.split import read_split
    from ..evaluation.predictor import evaluate_predictor
    from ..inference.predictor import Predictor

    description = options.description
    level = None if description.multitask else options.jnd_value
    split = read_split(options.data_dir, "test", coded=description.sees == "latent")
    split = split.first(options.limit)
    weights = find_weights(options.model_weights_path, description.weight_files(level))
    make_writable(options.result_path)
    with lock(options.result_path / f"{level or ''}test_results.csv"):
        predictor = Predictor(
            description.name,
            weights,
            level,
            options.precision,
            getattr(options, description.backbone_option),
            options.runtime,
            not options.no_model_cache,
        )
        evaluate_predictor(
            predictor,
            split,
            options.result_path,
            batch_size=options.batch_size,
            skip_bad=options.skip_bad,
            overwrite=options.overwrite,
        )
