"""Text files and CSV tables, written by hand or saved by a spreadsheet."""

import csv
import io
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import UserError
from ..base.files import check_regular

if TYPE_CHECKING:
    import pandas as pd


def readable(path: os.PathLike | str) -> str:
    r"""Decode a file name as UTF-8, whatever the locale, with \xNN for invalid bytes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def guard_cells(table: "pd.DataFrame") -> "pd.DataFrame":
    """Copy `table`, with each cell as `guard_cell` returns it."""
    guarded = table.copy()
    for name in guarded.select_dtypes(exclude="number"):
        guarded[name] = guarded[name].map(guard_cell)
    return guarded


def guard_cell(cell: Any) -> Any:
    """Put an apostrophe before text that a spreadsheet would take for a formula."""
    if not isinstance(cell, str) or not cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def read_text(path: Path, holding: str) -> str:
    """Read a UTF-8 text file, without the byte order mark that Excel writes.

    Raises:
        UserError: it cannot be read or is not UTF-8; the message ends with `holding`.
    """
    try:
        check_regular(path)
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        reason = str(error.strerror).lower()
        raise UserError(f"{path}: {reason}; it should hold {holding}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file in UTF-8; it should hold {holding}") from None


def read_table(
    path: Path, columns: Collection[str], remedy: str = ""
) -> list[tuple[int, dict[str, str]]]:
    """Read the rows of a CSV file by the names in its first line, each with its line number.

    Cells are separated by commas or, as spreadsheets write them in some countries, by semicolons
    or tabs.

    Raises:
        UserError: it cannot be read, has no rows, lacks one of `columns` (the message ends with
            `remedy`), or has a row of another length.
    """
    text = read_text(path, f"a table (CSV) with columns {', '.join(columns)}")
    separator = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.DictReader(io.StringIO(text), delimiter=separator)
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: not a CSV file ({error})") from None
    fields = reader.fieldnames or ()
    missing = [name for name in columns if name not in fields]
    if missing:
        raise UserError(f"{path}: no column {', '.join(missing)} in its first line{remedy}")
    if not rows:
        raise UserError(f"{path}: no rows in it")
    for line, row in rows:
        if None in row or None in row.values():
            raise UserError(f"{path}, line {line}: not {len(fields)} cells as in line 1")
    return rows
