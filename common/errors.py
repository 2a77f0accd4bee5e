"""What a user can mend, and how a command says so."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import NoReturn


class UserError(Exception):
    """One line: what is wrong, where, and what to do about it."""


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
        self.exit(2, f"{self.prog}: error: {message} (--help tells more)\n")


def positive(text: str) -> int:
    """The whole number above 0 that `text` says: a type for an argument."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not above 0")
    return number


@contextlib.contextmanager
def reported(command: str) -> Iterator[None]:
    """Turn what a user can mend into one line on stderr and exit code 1, Ctrl-C into 130."""
    try:
        yield
    except UserError as error:
        sys.exit(_said(command, str(error)))
    except KeyboardInterrupt:
        print(f"{command}: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output went away (`... | head`): nothing left to say, nor to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        sys.exit(_said(command, f"{error.filename or 'writing'}: {error.strerror}"))


def _said(command: str, message: str) -> int:
    print(f"{command}: error: " + " ".join(message.split()), file=sys.stderr)
    return 1
