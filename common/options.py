"""Options that several commands take, worded once."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from common.errors import positive


def positive_real(text: str) -> float:
    """The number above 0 that `text` says: a type for an argument."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
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
    "seed": {"type": int, "default": 0, "metavar": "N", "help": "same seed, same weights"},
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
