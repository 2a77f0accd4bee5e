"""Entry point of `laser-jnd COMMAND`, of the six scripts, and of the modules for one command.

To show help fast, the modules of commands import slow libraries only in their `run`.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator, Sequence

from .. import __version__
from ..base.constants import DEFAULT_MODEL
from ..base.errors import exit_on_error, printable
from ..base.program import program
from ..models.descriptions import MODELS
from . import backbone, compact, compress, decompress, entropy, export, model, prepare, tables
from .options import Parser

_ADDERS = (
    prepare.add_parser,
    backbone.add_parser,
    entropy.add_parser,
    compress.add_parser,
    decompress.add_parser,
    tables.add_parser,
    compact.add_parser,
    export.add_parser,
)


def main(command: str | None = None, arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    The exit code is 0 after success, 1 after an error, and 2 if the arguments are wrong.

    Args:
        command: the command to run, if it is not the first of `arguments`.
        arguments: by default, the arguments of this process.
    """
    words = [*filter(None, [command]), *(sys.argv[1:] if arguments is None else arguments)]
    options, excess = _parser().parse_known_args(words)
    if excess:
        # argparse accepts the files of `inputs` only if they stand together.
        split = hasattr(options, "inputs") and not excess[0].startswith("-")
        remedy = "; put options before or after all files" if split else ""
        options.parser.error(f"unrecognized arguments: {' '.join(excess)}{remedy}")
    options.words = words
    if check := getattr(options, "check", None):
        check(options, options.parser)
    level = getattr(options, "log_level", logging.INFO)
    with exit_on_error(options.parser.prog, getattr(options, "hint", "")), log_to_stderr(level):
        return options.run(options) or 0


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(record.getMessage())


@contextlib.contextmanager
def log_to_stderr(level: int = logging.INFO) -> Iterator[None]:
    """Print this package's log messages of at least `level` to stderr, as plain lines."""
    logger, handler = logging.getLogger(__package__.split(".")[0]), logging.StreamHandler()
    handler.setFormatter(_Line())
    logger.addHandler(handler)
    level_before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(level_before)
        logger.removeHandler(handler)


def _parser() -> Parser:
    parser = Parser(
        prog=program(),
        description="Predict the levels at which people first notice compression.",
        epilog=f"example:\n  {program()} predict photo.jpg",
    )
    version = f"LASeR-JND {__version__}"
    parser.add_argument("--version", action="version", version=version, help="print the version")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    model.add_commands(commands, MODELS[DEFAULT_MODEL])
    for add in _ADDERS:
        add(commands)
    for description in MODELS.values():
        model.add_parser(commands, description)
    return parser
