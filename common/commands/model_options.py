"""Options that the commands of the six models share."""

import argparse
from typing import Any

from ..base.constants import PRECISIONS
from ..models.descriptions import Description
from .options import add_options, add_view, bundled, path, positive


def describe_levels(description: Description) -> tuple[str, str]:
    """Describe what a model predicts, and name the option that an example needs for it."""
    if description.multitask:
        return "the three JND levels", ""
    return "one JND level", "--jnd_value JND1 "


def add_model_options(
    command: argparse.ArgumentParser, description: Description, level: dict | None = None
) -> None:
    """Give `command` the options of a model that predicts pictures and videos.

    Args:
        level: changes to the option --jnd_value; None: one that is required, if a model has only
            one level.
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
            "default": bundled("weights"),
            "help": f"weight file, or folder with {' or '.join(weights)}",
        },
    )
    add_view(command, "centre", "stretched", "crops")
    frames = "frames of each scene to predict from"
    command.add_argument("--frames_per_scene", type=positive, default=3, metavar="N", help=frames)


def add_backbone_option(
    command: argparse.ArgumentParser, description: Description, **settings: Any
) -> None:
    """Give `command` the option for the folder of the backbones, by its published name."""
    published = f"--{description.backbone_option}"
    # One published name is misspelled: either spelling is accepted.
    names = dict.fromkeys((published, published.replace("trution", "truction")))
    command.add_argument(*names, type=path, metavar="DIR", **settings)


def add_unused_backbone_option(command: argparse.ArgumentParser, description: Description) -> None:
    """Give `command` the same option where nothing is trained."""
    help_text = "not needed: the weight file holds the backbone; accepted for older scripts"
    if description.sees == "latent":
        help_text = "folder of the entropy models of bitstream files, if not beside the weights"
    add_backbone_option(command, description, help=help_text)
