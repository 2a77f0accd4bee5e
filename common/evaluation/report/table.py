"""A table with its caption: as Markdown, as CSV, as HTML."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Formatter
from typing import NamedTuple

import pandas as pd

from common.files import replaced

ABSENT = "\u2013"  # a dash


class Table(NamedTuple):
    """Values, and how they are shown."""

    name: str
    """Of its CSV file, without suffix."""
    title: str
    caption: str
    values: pd.DataFrame
    shown: dict[str, str]
    """Format of a row's values by heading, as `{"Error, QP": "{error:.2f}"}`."""

    def cells(self) -> list[list[str]]:
        """The rows as they are shown; what is not known is a dash."""
        rows = self.values.to_dict("records")
        return [[_cell(template, row) for template in self.shown.values()] for row in rows]


def _cell(template: str, row: dict[str, object]) -> str:
    names = [name for _, name, _, _ in Formatter().parse(template) if name]
    known = all(pd.notna(row[name]) for name in names)
    return template.format_map(row) if known else ABSENT


def write_csv(table: Table, path: Path) -> None:
    """The values in full, a line a row below a line of their names."""
    with replaced(path) as beside:
        table.values.to_csv(beside, index=False, float_format="%.6g")


def markdown(table: Table) -> str:
    """Title, caption, and a pipe table with words to the left and numbers to the right."""
    lines = [list(table.shown), *table.cells()]
    lines = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines)]
    sides = [_is_text(table, heading) for heading in table.shown]
    lines.insert(
        1, ["-" * width if text else "-" * (width - 1) + ":" for width, text in zip(widths, sides)]
    )
    body = "\n".join(
        "| "
        + " | ".join(
            cell.ljust(width) if text else cell.rjust(width)
            for cell, width, text in zip(line, widths, sides)
        )
        + " |"
        for line in lines
    )
    return f"## {table.title}\n\n{table.caption}\n\n{body}\n"


def html(table: Table) -> str:
    """A table element. Each cell also bears its heading, for screens too narrow for columns."""
    kinds = ["text" if _is_text(table, heading) else "number" for heading in table.shown]
    heads = [
        f'<th scope="col" class="{kind}">{escape(heading)}</th>'
        for heading, kind in zip(table.shown, kinds)
    ]
    rows = [
        "<tr>"
        + "".join(
            f'<td class="{kind}" data-heading="{escape(heading)}">{escape(cell)}</td>'
            for heading, kind, cell in zip(table.shown, kinds, line)
        )
        + "</tr>"
        for line in table.cells()
    ]
    return (
        f"<table><caption>{escape(table.caption)}</caption>"
        f"<thead><tr>{''.join(heads)}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _is_text(table: Table, heading: str) -> bool:
    name = table.shown[heading].strip("{}")
    return name in table.values and not pd.api.types.is_numeric_dtype(table.values[name])
