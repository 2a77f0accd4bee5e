"""What the command encode prints: a text for people, or a JSON document."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..base.errors import UserError, say
from ..data.text import readable


class Report(NamedTuple):
    """A video, or several files, as they were encoded."""

    document: dict[str, Any]
    text: str

    def print(self, options: argparse.Namespace) -> None:
        """Print it in the form that the options choose."""
        print(json.dumps(self.document, indent=2) if options.json else self.text)


def print_all(report: Report, errors: Mapping[Path, UserError], options: argparse.Namespace) -> int:
    """Print the report of several files, of which some may have failed; return the exit code."""
    if options.json or report.text or not errors:
        report._replace(text=report.text or "Nothing is left to encode.").print(options)
    else:
        say("nothing was encoded", file=sys.stderr)  # each error was reported
    return 1 if errors else 0


def list_errors(errors: Mapping[Path, UserError]) -> list[dict[str, str]]:
    """List the inputs that could not be encoded, and why, for a JSON document."""
    return [{"file": readable(path), "error": str(error)} for path, error in errors.items()]


def describe_sizes(before: int, after: int) -> str:
    """Describe the sizes in bytes of all inputs and of what they became."""
    scale, unit = (1e6, "MB") if before >= 1e6 else (1e3, "kB")
    sizes = f"{after / scale:.2f} {unit} instead of {before / scale:.2f}"
    return f"{sizes}, saved {describe_saved(before, after)}"


def describe_saved(before: int, after: int) -> str:
    """Describe the part of a size in bytes that was saved."""
    return f"{1 - after / before:.0%}" if before else "0%"
