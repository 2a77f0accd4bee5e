"""The page to look at: one HTML file with tables, plots and gallery, which needs no network."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from string import Template

from common.evaluation.report.plots import INK, PLOTS, Plot
from common.evaluation.report.table import Table, html
from common.files import replaced

TEMPLATE = Path(__file__).with_name("page.html")


def write_page(
    path: Path,
    about: dict[str, str],
    figures: list[tuple[str, str, str]],
    tables: list[Table],
    plots: dict[str, dict[str, Path]],
    frames: list[dict],
    facts: dict[str, str],
) -> None:
    """Write the page.

    Args:
        about: plain texts for the template: root, caption, stand_in (a warning, or empty), model,
            note (on the gallery) and unit.
        figures: what stands large at the top: number, its unit, what it is.
        plots: SVG files by level, by the name of each of `PLOTS`.
        frames: as `gallery` gives them.
        facts: what was run where, by name.
    """
    texts = {name: escape(text) for name, text in about.items()}
    if texts["stand_in"]:
        texts["stand_in"] = f'<p class="stand-in" role="note">{texts["stand_in"]}</p>'
    sections = [(table.name, table.title) for table in tables]
    sections += [(plot.name, plot.title) for plot in PLOTS]
    sections += [("gallery", "Gallery"), ("made", "How this was made")]
    page = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        texts,
        figures="".join(map(_figure, figures)),
        links="".join(f'<a href="#{name}">{escape(title)}</a>' for name, title in sections),
        tables="".join(map(_table_section, tables)),
        plots="".join(_plot_section(plot, plots[plot.name]) for plot in PLOTS),
        facts="".join(
            f"<dt>{escape(name)}</dt><dd>{escape(fact)}</dd>" for name, fact in facts.items()
        ),
        # A script element ends at the first "</", wherever it stands.
        frames=json.dumps(frames).replace("<", "\\u003c"),
    )
    with replaced(path) as beside:
        beside.write_text(page, encoding="utf-8")


def _figure(figure: tuple[str, str, str]) -> str:
    number, unit, what = map(escape, figure)
    return f"<p><strong>{number} <small>{unit}</small></strong>{what}</p>"


def _table_section(table: Table) -> str:
    return (
        f'<section id="{table.name}" class="tables"><h2>{escape(table.title)}</h2>'
        f"{html(table)}</section>"
    )


def _plot_section(plot: Plot, files: dict[str, Path]) -> str:
    drawings = "".join(
        f'<div role="img" aria-label="{escape(plot.title)}, {level}">{_drawing(file)}</div>'
        for level, file in files.items()
    )
    return (
        f'<section id="{plot.name}"><h2>{escape(plot.title)}</h2><figure>'
        f'<figcaption>{escape(plot.caption)}</figcaption><div class="plots">{drawings}</div>'
        "</figure></section>"
    )


def _drawing(file: Path) -> str:
    """The SVG element of a file, its ink in the page's colour of text."""
    text = file.read_text(encoding="utf-8")
    return text[text.index("<svg") :].replace(INK, "currentColor")
