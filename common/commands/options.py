"""Command lines: the parser, types of arguments, and the options that several commands share."""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from ..base.constants import LEVELS
from ..base.errors import printable
from ..models.descriptions import DEFAULT_MODEL, MODELS

# As large as NumPy's and TensorFlow's seeds may be, and a float32.
_LARGEST_SEED = 2**32 - 1
_LEAST_FLOAT, _LARGEST_FLOAT = 1e-37, 3e38
# Commands that `python3 -m common.NAME` starts under another name.
_DOORS = {"backbone": "reconstruct"} | {
    name: f"reconstruct {name}" for name in ("compress", "decompress", "entropy")
}


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults where there are any, and leaves examples as they are written."""

    def _get_help_string(self, action: argparse.Action) -> str:
        none = action.default is None or action.default is False
        return action.help if none else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An argparse parser whose help shows defaults and examples, and whose errors are one line.

    Parsed options tell their parser, so that checks can call its `error`, and the `log_level`.
    """

    def __init__(self, **options: Any):
        super().__init__(formatter_class=_Formatter, **options)
        self.set_defaults(parser=self)
        volume = self.add_mutually_exclusive_group()
        # Without defaults, they may stand before a subcommand's name as well as after it.
        level: dict[str, Any] = {"action": "store_const", "dest": "log_level"}
        for name, const, help_text in (
            ("quiet", logging.ERROR, "print nothing but results and errors"),
            ("verbose", logging.DEBUG, "report details of what is done on stderr"),
        ):
            volume.add_argument(
                f"--{name}", const=const, default=argparse.SUPPRESS, help=help_text, **level
            )

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {printable(message)} (--help tells more)\n")


def program(*words: str) -> str:
    """Write a command of this project as the user who started this process would type it.

    Args:
        words: a command of `laser-jnd`, or the name of a model, and what follows it.
    """
    package = Path(__file__).parents[1]
    started = Path(sys.argv[0])
    if started.name == "__main__.py" and started.absolute().parent == package:
        start = f"python3 -m {package.name}"
    elif started.stem == "laser-jnd" or package.name != "common":  # installed, without scripts
        start = "laser-jnd"
    elif words and words[0] in MODELS:
        return " ".join((f"python3 {words[0]}.py", *words[1:]))
    elif words:
        return " ".join((f"python3 -m common.{_DOORS.get(words[0], words[0])}", *words[1:]))
    else:
        return "python3 -m common"
    if words[:1] == (DEFAULT_MODEL,) and len(words) > 1:
        words = words[1:]
    return " ".join((start, *words))


def bundled(folder: str) -> Path:
    """A folder that comes with the project, as seen from where the user is."""
    package = Path(__file__).parents[1]
    # Beside the package in a clone, in it where that is installed.
    place = package / folder if (package / folder).is_dir() else package.parent / folder
    return Path(os.path.relpath(place))


def path(text: str) -> Path:
    """Convert an argument to a path; empty text is an error."""
    if not text:
        raise argparse.ArgumentTypeError("an empty name; '.' is the folder you are in")
    return Path(text)


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


def share(text: str) -> float:
    """The number from 0 to below 1 that `text` says: a type for an argument."""
    number = 0.0 if text.strip() in ("0", "0.0") else positive_real(text)
    if number >= 1:
        raise argparse.ArgumentTypeError(f"{text} is not below 1")
    return number


def part(text: str) -> float:
    """The number from 0 to 1 that `text` says: a type for an argument."""
    return 1.0 if text.strip() in ("1", "1.0") else share(text)


def _folder(told: str, **more: Any) -> dict[str, Any]:
    return {"type": path, "metavar": "DIR", "help": told, **more}


def _number(kind: Callable, told: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "metavar": "N" if kind in (positive, seed) else "X", "help": told, **more}


def _flag(told: str) -> dict[str, Any]:
    return {"action": "store_true", "help": told}


# The options that several commands take, and all that train models take.
OPTIONS = {
    "batch_norm_momentum": _number(
        share, "share of the batch normalisations' statistics that a step leaves", default=0.99
    ),
    "batch_size": _number(positive, "frames per step", default=8),
    "cache_dir": _folder(
        "for what the frozen backbones give (default: features/ in --checkpoint_path)"
    ),
    "cache_precision": {
        "choices": ("float32", "float16"),
        "default": "float32",
        "help": "of what is kept there; float16 takes half the space",
    },
    "checkpoint_path": _folder("folder for the best epoch's weights, and for what --resume needs"),
    "cosine": _flag("let the learning rate fall to 0 over --epochs, along half a cosine"),
    "csv_log_path": _folder("folder for the log, a line per epoch; made if missing"),
    "data_dir": _folder("folder that holds the above", required=True),
    "dropout": _number(share, "share of the values before the dense layers left out", default=0.0),
    "epochs": _number(positive, "how often each frame is seen"),
    "flip": _flag("see each frame mirrored, too"),
    "limit": _number(positive, "use only the first N inputs"),
    "jnd_value": {"choices": LEVELS, "help": "which level; no default"},
    "learning_rate": _number(positive_real, "of the optimizer, Adam"),
    "mirror": _flag("mirror half of what the backbones give, another half in every epoch"),
    "model_weights_path": _folder("weight file, or folder with ", metavar="PATH"),
    "no_model_cache": _flag(
        "do not cache converted models (TensorFlow is then loaded in every run)"
    ),
    "no_cache": _flag("run the backbones in every epoch instead"),
    "overwrite": _flag("also replace files that this program did not make"),
    "precision": {
        "choices": ("float32", "bfloat16"),
        "default": "float32",
        "help": "bfloat16 is faster where the processor has it",
    },
    "quantized": _flag("round latents as a decoder has them, to predict from coded pictures"),
    "result_path": _folder("folder for the results; made if missing", default=Path("results")),
    "resume": _flag("go on with an interrupted training"),
    "roll": _flag(
        "roll what the backbones give round, by another distance in every epoch, so that the "
        "head learns no places by heart"
    ),
    "runtime": {
        "choices": ("auto", "openvino", "keras"),
        "default": "auto",
        "help": "what runs the model; auto: Keras on a CUDA GPU, OpenVINO on a CPU",
    },
    "seed": _number(seed, "same seed, same weights", default=0),
    "single_branches": _flag(
        "start with a head whose every channel comes from one branch alone: the product of three "
        "is deaf to faint contrasts"
    ),
    "soft_targets": _number(
        part,
        "part of the targets that regressions fitted on other contents give, in place of the "
        "labels, so that the head learns fewer pictures by heart",
        default=0.0,
    ),
    "skip_bad": _flag("go on without images that cannot be read"),
    "tensorboard": _folder("folder for TensorBoard's logs"),
    "weight_decay": _number(share, "by which kernels shrink, times the rate (AdamW)", default=0.0),
}


def add_options(command: argparse.ArgumentParser, names: str, **changes: dict[str, Any]) -> None:
    """Give `command` the options with these `names`, separated by blanks, as OPTIONS has them.

    `changes` to what it says of an option go by the option's name.
    """
    for name in names.split():
        command.add_argument(f"--{name}", **{**OPTIONS[name], **changes.get(name, {})})


# What the model sees of a picture or frame of another size than 640x352: `data.frames.VIEWS`.
_VIEWS = {
    "centre": "the largest centred crop with the model's aspect ratio (20:11)",
    "stretched": "all of it, resized to 640x352 as for the published models",
    "cutouts": "the mean over crops at their own scale",
    "own": "all of it, at its own size",
}


def add_view(command: argparse.ArgumentParser, *views: str) -> None:
    """Give `command` the option --view, with these choices, of which the first is the default."""
    help_text = "; ".join(f"{view}: {_VIEWS[view]}" for view in views)
    command.add_argument(
        "--view",
        choices=views,
        type=lambda text: "stretched" if text == "squashed" else text,  # as up to version 0.9
        default=views[0],
        help=f"part of a picture or frame that the model sees; {help_text}",
    )
