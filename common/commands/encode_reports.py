"""What the command encode prints: a text for people, or a JSON document."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..base.errors import UserError
from ..data.text import readable


class Report(NamedTuple):
    """A video, or several files, as they were encoded."""

    document: dict[str, Any]
    text: str

    def print(self, options: argparse.Namespace) -> None:
        """Print it in the form that the options choose."""
        print(json.dumps(self.document, indent=2) if options.json else self.text)


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
