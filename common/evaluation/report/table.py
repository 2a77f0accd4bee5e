"""Tables with captions and formatted values."""

from string import Formatter
from typing import Any, NamedTuple

import pandas as pd

ABSENT = "\u2013"  # a dash


class Table(NamedTuple):
    """A table: its values, and the formats to show them in."""

    name: str
    """Name of its CSV file, without suffix."""
    title: str
    caption: str
    values: pd.DataFrame
    shown: dict[str, str]
    """Format of a row's values by heading, as `{"Error, QP": "{error:.2f}"}`."""

    @property
    def cells(self) -> list[list[str]]:
        """The rows as formatted text; unknown values are dashes."""
        rows = self.values.to_dict("records")
        return [[_format(template, row) for template in self.shown.values()] for row in rows]

    @property
    def kinds(self) -> list[str]:
        """The kind of each column: "text" or "number"."""
        names = [template.strip("{}") for template in self.shown.values()]
        is_number = pd.api.types.is_numeric_dtype
        words = [name in self.values and not is_number(self.values[name]) for name in names]
        return ["text" if word else "number" for word in words]


def _format(template: str, row: dict[str, Any]) -> str:
    names = [name for _, name, _, _ in Formatter().parse(template) if name]
    known = all(pd.notna(row[name]) for name in names)
    return template.format_map(row) if known else ABSENT


def markdown(table: Table) -> str:
    """Format a table as Markdown: title, caption, and a pipe table."""
    cells = pd.DataFrame(table.cells, columns=list(table.shown)).replace(r"\|", r"\\|", regex=True)
    sides = ["left" if kind == "text" else "right" for kind in table.kinds]
    # Numbers are formatted already: tabulate would drop their last zeros.
    body = cells.to_markdown(index=False, colalign=sides, disable_numparse=True)
    return f"## {table.title}\n\n{table.caption}\n\n{body}\n"
