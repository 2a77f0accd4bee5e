"""The commands named after the six models, and the commands that each of them has."""

import argparse

from ..base.program import program
from ..models.descriptions import Description
from . import encode, predict, refine, test, train
from .model_options import describe_levels


def add_parser(commands: argparse._SubParsersAction, description: Description) -> None:
    """Add a command named after a model, with its subcommands, to `commands`."""
    parser = commands.add_parser(
        description.name,
        prog=program(description.name),
        help=f"train, test, predict or encode with {description.title}",
        description=f"{description.title} predicts {describe_levels(description)[0]} of an image: "
        "the compression at which viewers first notice a difference.",
        epilog=f"example:\n  {program(description.name, 'predict')} "
        f"{describe_levels(description)[1]}photo.jpg",
    )
    add_commands(parser.add_subparsers(required=True, metavar="COMMAND"), description)


def add_commands(commands: argparse._SubParsersAction, description: Description) -> None:
    """Add the commands of a model to `commands`."""
    for add in (each.add_parser for each in (train, refine, test, predict, encode)):
        add(commands, description)
    for name in ("train", "refine", "test", "predict", "encode"):
        commands.choices[name].set_defaults(description=description)
