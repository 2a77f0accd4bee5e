"""Options shared by the commands of the six models."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.constants import PRECISIONS
from ..base.errors import UserError
from ..models.descriptions import Description
from ..models.weight_paths import find_weights
from .options import add_options, add_view, bundled_path, path

if TYPE_CHECKING:
    from ..inference.predictor import Predictor


def describe_levels(description: Description) -> tuple[str, str]:
    """Describe what a model predicts; return this and the option that examples need for it."""
    if description.multitask:
        return "the three JND levels", ""
    return "one JND level", "--jnd_value JND1 "


def add_model_options(
    command: argparse.ArgumentParser, description: Description, level: dict | None = None
) -> None:
    """Add the options of predict and encode, which load a model, to `command`.

    Args:
        level: settings of --jnd_value. By default, models of one level require this option, and
            the others do not have it.
    """
    needs_level = level is not None or not description.multitask
    weights = description.weight_files(None if description.multitask else "JNDk")
    add_options(
        command,
        f"{'jnd_value ' if needs_level else ''}model_weights_path precision runtime no_model_cache",
        jnd_value=level or {"required": True},
        precision={
            "choices": PRECISIONS,
            "default": "auto",
            "help": "auto: bfloat16 if OpenVINO runs on a processor that has it",
        },
        model_weights_path={
            "default": bundled_path("weights"),
            "help": f"weight file, or folder with {' or '.join(weights)}",
        },
    )
    add_view(command, "centre", "stretched", "crops")


def add_backbone_option(
    command: argparse.ArgumentParser, description: Description, **settings: Any
) -> None:
    """Add the option for the folder of the backbones, by its published name, to `command`."""
    published = f"--{description.backbone_option}"
    # One published name is misspelled, so both spellings are accepted.
    names = dict.fromkeys((published, published.replace("trution", "truction")))
    command.add_argument(*names, type=path, metavar="DIR", **settings)


def add_unused_backbone_option(command: argparse.ArgumentParser, description: Description) -> None:
    """Add the same option to a command that does not train."""
    help_text = "ignored, since the weight file contains the backbone; accepted for older scripts"
    if description.sees == "latent":
        help_text = "folder of the entropy models of bitstream files, if not next to the weights"
    add_backbone_option(command, description, help=help_text)


def find_model_weights(options: argparse.Namespace) -> Path:
    """Find the weight file that the options of predict, test or encode name.

    Raises:
        UserError: there is none.
    """
    files = options.description.weight_files(_find_level(options))
    return find_weights(options.model_weights_path, files)


def find_codec_weights(options: argparse.Namespace) -> Path:
    """Find the weight file for --codec.

    Raises:
        UserError: there is none.
    """
    if options.codec == "h264":
        return find_model_weights(options)
    weights = find_jpeg_weights(options)
    if weights is None:
        folder = options.model_weights_path
        raise UserError(f"{folder}: has no model of JPEG qualities; --model_weights_path names one")
    return weights


def find_jpeg_weights(options: argparse.Namespace) -> Path | None:
    """Find the weight file of JPEG qualities; None if the default folder of weights has none.

    Raises:
        UserError: the options name another file or folder, and there is no weight file.
    """
    path = options.model_weights_path
    published = options.description.weight_files(_find_level(options), jpeg=True)[0]
    if (path / published).is_file():
        return path / published
    if path == options.parser.get_default("model_weights_path"):
        return None
    return find_model_weights(options)


def load_predictor(options: argparse.Namespace, weights: Path) -> "Predictor":
    """Load the weight file that `find_model_weights` found, as the options say.

    Raises:
        UserError: the weights are damaged, or another model's.
    """
    from ..inference.predictor import Predictor

    return Predictor(
        options.description.name,
        weights,
        _find_level(options),
        options.precision,
        getattr(options, options.description.backbone_option, None),  # encode has no such option
        options.runtime,
        not options.no_model_cache,
    )


def _find_level(options: argparse.Namespace) -> str | None:
    return None if options.description.multitask else options.jnd_value
