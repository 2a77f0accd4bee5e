"""Command lines: parsers that teach, types that refuse, and the options that several take."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

# As large as NumPy's and TensorFlow's seeds may be, and a float32.
_LARGEST_SEED = 2**32 - 1
_LEAST_FLOAT, _LARGEST_FLOAT = 1e-37, 3e38


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults where there are any, and leaves examples as they are written."""

    def _get_help_string(self, action: argparse.Action) -> str:
        none = action.default is None or action.default is False
        return action.help if none else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An argparse parser whose help shows defaults and examples, and whose errors are one line."""

    def __init__(self, **options):
        super().__init__(formatter_class=_Formatter, **options)

    def error(self, message: str) -> NoReturn:
        message = " ".join(message.split())
        self.exit(2, f"{self.prog}: error: {message} (--help tells more)\n")


def positive(text: str) -> int:
    """The whole number above 0 that `text` says: a type for an argument."""
    return _whole(text, 1, 2**31 - 1)


def seed(text: str) -> int:
    """The whole number from 0 to 2^32 - 1 that `text` says: a type for an argument."""
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
    """The number above 0 that `text` says, within what float32 holds: a type for an argument."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not number > 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    if not _LEAST_FLOAT <= number <= _LARGEST_FLOAT:
        raise argparse.ArgumentTypeError(f"{text} is beyond what float32 holds")
    return number


OPTIONS = {
    "data_dir": {
        "type": Path,
        "required": True,
        "metavar": "DIR",
        "help": "folder that holds the above",
    },
    "result_path": {
        "type": Path,
        "default": Path("results"),
        "metavar": "DIR",
        "help": "folder for the results; made if missing",
    },
    "checkpoint_path": {
        "type": Path,
        "metavar": "DIR",
        "help": "folder for the best epoch's weights, and for what --resume needs",
    },
    "csv_log_path": {
        "type": Path,
        "metavar": "DIR",
        "help": "folder for the log, a line an epoch; made if missing",
    },
    "epochs": {"type": positive, "metavar": "N", "help": "how often each frame is seen"},
    "batch_size": {"type": positive, "default": 8, "metavar": "N", "help": "frames a step"},
    "learning_rate": {"type": positive_real, "metavar": "X", "help": "of the optimizer, Adam"},
    "seed": {"type": seed, "default": 0, "metavar": "N", "help": "same seed, same weights"},
    "resume": {"action": "store_true", "help": "go on with an interrupted training"},
    "precision": {
        "choices": ("float32", "bfloat16"),
        "default": "float32",
        "help": "bfloat16 is faster where the processor has it",
    },
}


def add_option(command: argparse.ArgumentParser, name: str, **changes: object) -> None:
    """Give `command` the option --`name`, with `changes` to what OPTIONS says of it."""
    command.add_argument(f"--{name}", **{**OPTIONS[name], **changes})
