"""The command line of the six models. TensorFlow is imported only once the request makes sense."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from common.data.layout import read_split
from common.errors import Parser, UserError, positive, reported
from common.models.descriptions import LEVELS, MODELS, Description
from common.models.weights import find_weights


def main(name: str, arguments: list[str] | None = None) -> int:
    """Do what `arguments` (of the process, if None) ask of the model `name`; the exit code.

    0: done; 1: could not be done, said in one line on stderr; 2: the arguments are wrong.
    """
    description = MODELS[name]
    parser = _parser(description)
    options = parser.parse_args(arguments)
    if not description.multitask and options.jnd_value is None:
        parser.error(f"--jnd_value is missing: choose {', '.join(LEVELS)}")
    with reported(parser.prog):
        _test(description, options)
    return 0


def _test(description: Description, options: argparse.Namespace) -> None:
    level = None if description.multitask else options.jnd_value
    images, true_levels = read_split(options.data_dir, "test")
    weights_file = find_weights(options.model_weights_path, description.weight_files(level))
    _make_writable(options.result_path)
    quiet_tensorflow()
    from common.loops.testing import test

    test(
        description,
        level,
        options.data_dir / "test",
        images,
        true_levels,
        weights_file,
        options.result_path,
        options.batch_size,
        options.precision,
        options.skip_bad,
    )


def _make_writable(folder: Path) -> None:
    """Make `folder`; better to fail now than after hours of work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made as a folder ({error.strerror})") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{folder}: no permission to write into it")


def quiet_tensorflow() -> None:
    """Keep TensorFlow's start-up notices away: no user can act on them, and errors are raised."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _parser(description: Description) -> Parser:
    script = f"{description.name}.py"
    what = "the three JND levels" if description.multitask else "one JND level"
    level = "" if description.multitask else "--jnd_value JND1 "
    parser = Parser(
        prog=script,
        description=f"{description.title} predicts {what} of an image: "
        "at which compression viewers first notice a difference.",
        epilog=f"'python3 {script} test --help' tells more and shows an example.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    test = commands.add_parser(
        "test",
        help="predict the levels of a folder of images",
        description=f"Predict {what} of each image in DIR/test/, in natural order (img2 before\n"
        "img10). With a DIR/test/JND-Levels.txt, measure the error too.",
        epilog=f"example:\n  python3 {script} test {level}--data_dir data/ "
        "--model_weights_path weights/ --result_path results/",
    )
    if not description.multitask:
        test.add_argument("--jnd_value", choices=LEVELS, help="which level; no default")
    test.add_argument(
        "--data_dir", type=Path, required=True, metavar="DIR", help="folder that holds test/"
    )
    test.add_argument(
        "--model_weights_path",
        type=Path,
        required=True,
        metavar="PATH",
        help="weight file, or folder with "
        + " or ".join(description.weight_files(None if description.multitask else "JNDk")),
    )
    test.add_argument(
        "--result_path",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="folder for the results; made if missing",
    )
    test.add_argument(
        "--batch_size",
        type=positive,
        default=description.test_batch,
        metavar="N",
        help="frames at a time; bounds memory, changes no result",
    )
    test.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="bfloat16 is faster where the processor has it",
    )
    test.add_argument(
        "--skip_bad", action="store_true", help="go on without images that cannot be read"
    )
    test.add_argument(
        f"--{description.backbone_option}",
        type=Path,
        metavar="DIR",
        help="not needed: the weight file holds the backbone; accepted for older scripts",
    )
    return parser
