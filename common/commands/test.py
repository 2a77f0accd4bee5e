"""The command test: predict the levels of a test split, and measure their errors."""

import argparse
from typing import TYPE_CHECKING

from ..base.constants import PRECISIONS
from ..base.errors import printable, say
from ..base.files import make_writable
from ..base.program import program
from ..base.temporary import lock
from ..models.descriptions import Description
from .model_options import (
    add_unused_backbone_option,
    describe_levels,
    find_model_weights,
    load_predictor,
)
from .options import add_options, bundled_path

if TYPE_CHECKING:
    import pandas as pd

    from ..data.split import Split
    from ..evaluation.predictor import PredictorResults


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

    description = options.description
    level = None if description.multitask else options.jnd_value
    split = read_split(options.data_dir, "test", coded=description.sees == "latent")
    split = split.first(options.limit)
    weights = find_model_weights(options)
    make_writable(options.result_path)
    with lock(options.result_path / f"{level or ''}test_results.csv"):
        predictor = load_predictor(options, weights)
        results = evaluate_predictor(
            predictor,
            split,
            options.result_path,
            batch_size=options.batch_size,
            skip_bad=options.skip_bad,
            overwrite=options.overwrite,
        )
    _print(results, split, predictor.names)


def _print(results: "PredictorResults", split: "Split", names: list[str]) -> None:
    table, few, errors = results.table, results.few, results.errors
    say(f"{len(table)} images, {len(split.images) - len(table)} skipped: {results.predictions}")
    print(_format_images(few, names))
    if len(few) < len(table):
        which = f"first {len(few)}" if errors is None else f"{len(few)} with the largest errors"
        say(f"(the {which}; all are in {results.predictions})")
    if errors is not None:
        print(_format_errors(errors, "contents" if split.labels else "images"))
        if split.proxy_labels:
            say(f"Labels: {split.proxy_labels}.")
    if results.frames:
        say(f"each image next to its encode at the predicted {names[0]}: {results.frames}")


def _format_images(table: "pd.DataFrame", names: list[str]) -> str:
    """Format the levels of each image and, if known, the true levels and errors."""
    shown = table.image.map(printable)
    width = max(len("image"), *shown.str.len())
    known = f"{names[0]}_label" in table
    lines = ["image".ljust(width) + "".join(f"{n:>7}{'   true  error' * known}" for n in names)]
    for index, row in table.iterrows():
        lines.append(shown[index].ljust(width))
        for name in names:
            lines[-1] += f"{row[name]:7.1f}"
            if known:
                label = row[f"{name}_label"]
                lines[-1] += f"{label:7.1f}{row[name] - label:+7.1f}"
    return "\n".join(lines)


def _format_errors(errors: "pd.DataFrame", drawn: str) -> str:
    """Format the errors of each level, and their mean; the bootstrap drew `drawn`."""
    count = errors.contents.iloc[0]
    heading = f"mean error (95 % interval, over {count:.0f} {drawn})"
    lines = [f"level  {heading}  error of always answering the median of these labels"]
    for level, row in errors.iterrows():
        interval = f"({row.mean_absolute_error_low:.2f} to {row.mean_absolute_error_high:.2f})"
        error = f"{row.mean_absolute_error:5.2f}  {interval if count > 1 else '(unknown)'}"
        baseline = f"{row.median_label_error:5.2f}  (median {row.median_label:g})"
        lines.append(f"{level:7}{error:{len(heading)}}  {baseline}")
    if len(errors) > 1:
        error, baseline = errors.mean()[["mean_absolute_error", "median_label_error"]]
        ratio = f"(ratio {error / baseline:.2f})" if baseline else ""
        lines.append(
            f"mean   {error:5.2f}{'':{len(heading) - 5}}  {baseline:5.2f}  {ratio}".rstrip()
        )
    return "\n".join(lines)
