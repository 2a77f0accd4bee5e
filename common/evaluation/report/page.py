"""The page to look at: one HTML file with tables, plots and gallery, which needs no network."""

from __future__ import annotations

from pathlib import Path

import jinja2
from markupsafe import Markup

from common.data.split import TestSplit
from common.evaluation.report.plots import INK, PLOTS
from common.evaluation.report.table import Table
from common.files import replaced


def write_page(
    path: Path,
    split: TestSplit,
    model: str,
    tables: list[Table],
    plots: dict[str, dict[str, Path]],
    frames: list[dict],
    facts: dict[str, str],
) -> None:
    """Write the page.

    Args:
        model: title of the one whose mean errors stand large at the top, and whose `frames`, as
            `gallery` gives them, are shown.
        tables: the prediction errors first.
        plots: SVG files by level, by the name of each of `PLOTS`.
        facts: what was run where, by name.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent, encoding="utf-8"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    errors = tables[0].values
    page = environment.get_template("page.html").render(
        split=split,
        model=model,
        errors=errors[errors.model == model].to_dict("records"),
        tables=tables,
        plots=[
            (plot, {level: _drawing(file) for level, file in plots[plot.name].items()})
            for plot in PLOTS
        ],
        frames=frames,
        facts=facts,
    )
    with replaced(path) as beside:
        beside.write_text(page, encoding="utf-8", errors="backslashreplace")


def _drawing(file: Path) -> Markup:
    """The SVG element of a file, its ink in the page's colour of text."""
    text = file.read_text(encoding="utf-8")
    return Markup(text[text.index("<svg") :].replace(INK, "currentColor"))
