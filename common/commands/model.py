"""The command line of the six models."""

import argparse

from ..base.program import program
from ..models.descriptions import Description
from . import encode, predict, test, train
from .model_options import describe_levels


def add_parser(commands: argparse._SubParsersAction, description: Description) -> None:
    """Give `commands` a model's name as a command, with the four that it has itself."""
    parser = commands.add_parser(
        description.name,
        prog=program(description.name),
        help=f"train, test, predict or encode with {description.title}",
        description=f"{description.title} predicts {describe_levels(description)[0]} of an image: "
        "at which compression viewers first notice a difference.",
        epilog=f"'{program(description.name, 'test')} --help' tells more and shows an example.",
    )
    add_commands(parser.add_subparsers(required=True, metavar="COMMAND"), description)


def add_commands(commands: argparse._SubParsersAction, description: Description) -> None:
    """Give `commands` the four commands of a model."""
    for add in (train.add_parser, test.add_parser, predict.add_parser, encode.add_parser):
        add(commands, description)
    for name in ("train", "test", "predict", "encode"):
        commands.choices[name].set_defaults(description=description)
