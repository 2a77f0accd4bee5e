"""Shared parts of command lines: the parser, argument types and common options."""

import argparse
import contextlib
import logging
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NoReturn

from ..base.constants import LEVELS, OLD_VIEWS, PRECISIONS, RUNTIMES
from ..base.errors import printable
from ..base.files import find_bundled

# The largest seed that both NumPy and TensorFlow accept, and the range of float32.
_LARGEST_SEED = 2**32 - 1
_LEAST_FLOAT, _LARGEST_FLOAT = 1e-37, 3e38


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """A formatter that shows defaults, if there are any, and keeps the layout of examples."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        none = action.default is None or action.default is False
        return action.help if none else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An argparse parser with defaults and examples in its help, and with errors of one line.

    Parsed options have the attributes `parser`, so that checks can call its `error`, and
    `log_level` if --quiet is given.
    """

    def __init__(self, **options: Any):
        super().__init__(formatter_class=_Formatter, **options)
        self.set_defaults(parser=self)
        self.add_argument(
            "--quiet",
            action="store_const",
            dest="log_level",
            const=logging.ERROR,
            default=argparse.SUPPRESS,  # so that it works both before and after a subcommand
            help="print only results and errors",
        )

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {printable(message)} (see --help)\n")


def bundled_path(folder: str) -> Path:
    """Return the path of a folder that comes with the project, relative to the current folder."""
    found = find_bundled(folder)
    try:
        return Path(os.path.relpath(found))
    except OSError:  # the current folder was removed
        return found


def path(text: str) -> Path:
    """Convert an argument to a path; empty text is an error."""
    if not text:
        raise argparse.ArgumentTypeError("empty name; use '.' for the current folder")
    return Path(text)


def positive(text: str) -> int:
    """Convert an argument to a whole number above 0."""
    return _whole(text, 1, 2**31 - 1)


def seed(text: str) -> int:
    """Convert an argument to a seed: a whole number from 0 to 2^32 - 1."""
    return _whole(text, 0, _LARGEST_SEED)


def _whole(text: str, least: int, largest: int) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if number < least:
        raise argparse.ArgumentTypeError(f"{number} is less than {least}")
    if number > largest:
        raise argparse.ArgumentTypeError(f"{number} is above {largest}")
    return number


def positive_real(text: str) -> float:
    """Convert an argument to a number above 0, within float32's range."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not number > 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    if not _LEAST_FLOAT <= number <= _LARGEST_FLOAT:
        raise argparse.ArgumentTypeError(f"{text} is out of float32's range")
    return number


def rate(text: str) -> float:
    """Convert an argument to a number of at least 0 and below 1."""
    number = fraction(text)
    if number == 1:
        raise argparse.ArgumentTypeError(f"{text} is not below 1")
    return number


def fraction(text: str) -> float:
    """Convert an argument to a number from 0 to 1."""
    with contextlib.suppress(ValueError):  # which `positive_real` reports
        if float(text) == 0:
            return 0.0
    number = positive_real(text)
    if number > 1:
        raise argparse.ArgumentTypeError(f"{text} is above 1")
    return number


def _folder(help_text: str, **more: Any) -> dict[str, Any]:
    return {"type": path, "metavar": "DIR", "help": help_text, **more}


def _number(kind: Callable, help_text: str, **more: Any) -> dict[str, Any]:
    metavar = "N" if kind in (positive, seed) else "X"
    return {"type": kind, "metavar": metavar, "help": help_text, **more}


def _choice(choices: Collection[str], help_text: str, **more: Any) -> dict[str, Any]:
    return {"choices": choices, "help": help_text, **more}


def _flag(help_text: str) -> dict[str, Any]:
    return {"action": "store_true", "help": help_text}


# Options that several commands share; `add_options` may change their settings.
OPTIONS = {
    "batch_size": _number(positive, "number of frames per step", default=8),
    "cache_dir": _folder(
        "folder for cached backbone features (default: features/ in --checkpoint_path)"
    ),
    "cache_precision": _choice(
        ("float32", "float16"),
        "precision of the cached features; float16 takes half the space",
        default="float32",
    ),
    "checkpoint_path": _folder("folder for the best epoch's weights and the state for --resume"),
    "csv_log_path": _folder("folder for the log, one line per epoch; created if missing"),
    "data_dir": _folder("dataset root (layout: docs/data.md)", required=True),
    "epochs": _number(positive, "number of epochs"),
    "jnd_value": _choice(LEVELS, "JND level to predict"),
    "json": _flag("print a JSON document and nothing else"),
    "learning_rate": _number(positive_real, "learning rate of the optimizer, Adam"),
    "limit": _number(positive, "number of inputs to use: only the first N"),
    "model_weights_path": _folder("weight file, or folder with weight files", metavar="PATH"),
    "no_cache": _flag("run the backbones in every epoch instead of caching their features"),
    "no_model_cache": _flag(
        "do not cache converted models (TensorFlow is then loaded in every run)"
    ),
    "overwrite": _flag("also replace files that were not written by this program"),
    "precision": _choice(
        PRECISIONS[1:],
        "arithmetic of the model; bfloat16 is faster where the processor has it",
        default="float32",
    ),
    "result_path": _folder("folder for the results; created if missing", default=Path("results")),
    "resume": _flag("continue an interrupted training"),
    "runtime": _choice(
        RUNTIMES,
        "library that runs the model; auto: Keras on a CUDA GPU, OpenVINO on a CPU",
        default="auto",
    ),
    "scheduler": {
        "metavar": "ADDRESS",
        "help": "address of a Dask scheduler, tcp://HOST:PORT, whose workers do the work",
    },
    "seed": _number(seed, "random seed", default=0),
    "skip_bad": _flag("skip images that cannot be read"),
    "tensorboard": _folder("folder for TensorBoard's logs"),
}


def add_options(command: argparse.ArgumentParser, names: str, **changes: dict[str, Any]) -> None:
    """Add options to `command`.

    Args:
        names: keys of OPTIONS, separated by blanks.
        changes: by name of an option, arguments of `add_argument` that replace those in OPTIONS.
    """
    for name in names.split():
        command.add_argument(f"--{name}", **{**OPTIONS[name], **changes.get(name, {})})


# Descriptions of the views in `data.frames`, and of "own".
_VIEWS = {
    "centre": "the largest centred crop with the model's aspect ratio (20:11)",
    "stretched": "all of it, resized to 640x352 as for the published models",
    "crops": "the mean over crops at their own scale",
    "own": "all of it, at its own size",
}


def add_view(command: argparse.ArgumentParser, *views: str) -> None:
    """Add the option --view to `command`; its default is the first of `views`."""
    help_text = "; ".join(f"{view}: {_VIEWS[view]}" for view in views)
    command.add_argument(
        "--view",
        choices=views,
        type=lambda text: OLD_VIEWS.get(text, text),
        default=views[0],
        help=f"part of a picture or frame that the model sees; {help_text}",
    )
