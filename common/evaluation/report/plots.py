"""The plots: predicted against true levels, the distribution of errors, errors by complexity."""

import itertools
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...base.constants import LEVELS, SOFTWARE
from ...base.files import OUR_PNG, atomic_write
from ...data.split import Split
from ...models.descriptions import MODELS
from .predictions import Predictions, select_level

# Colour of text and axes, which the page replaces by its own, for light and dark backgrounds.
INK = "#1d2126"
# Similar to the colour-blind-safe palette of Okabe and Ito, 2008; visible on light and dark
# backgrounds.
_PALETTE = itertools.cycle(("#2f86c8", "#dd6a2c", "#1fa57c", "#c06c9c", "#c99000", "#5bb2dd"))
COLOURS = dict(zip((model.title for model in MODELS.values()), _PALETTE))
STYLE: Any = {
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "text.color"), INK),
    **dict.fromkeys(("legend.labelcolor", "xtick.color", "ytick.color"), INK),
    "axes.labelsize": 10,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "font.size": 9.5,
    "legend.frameon": False,
    "savefig.dpi": 200,
    "svg.hashsalt": "tables",  # the same plot gives the same file
}
LINE: dict[str, Any] = {"color": INK, "linewidth": 0.8, "alpha": 0.5}
PANEL = 3.4  # inches per side
_METADATA = {".png": {"Software": SOFTWARE}, ".svg": {"Creator": SOFTWARE, "Date": None}}
_OURS = {
    ".png": OUR_PNG,
    ".svg": re.compile(b"<\\?xml.{0,2000}?<dc:title>" + SOFTWARE.encode(), re.DOTALL),
}


class Level(NamedTuple):
    """The data of one level for the plots."""

    true: np.ndarray  # [images]
    models: dict[str, np.ndarray]  # predicted levels [images] by model title
    bits_per_pixel: np.ndarray  # [images], of all frames coded at the same level
    unit: str


class Plot(NamedTuple):
    """A kind of plot, drawn for each level."""

    draw: Callable[[Level], Figure]
    title: str
    caption: str  # on the page


def write_plots(
    folder: Path, split: Split, predictions: Predictions, bits_per_pixel: np.ndarray
) -> dict[str, dict[str, Path]]:
    """Draw each of `PLOTS` for each predicted level, as PNG and as SVG.

    Args:
        bits_per_pixel: float [images], of all frames coded at the same level.

    Returns:
        The SVG files by plot name and level.
    """
    written: dict[str, dict[str, Path]] = {name: {} for name in PLOTS}
    levels = [level for level in LEVELS if select_level(predictions, level)]
    for (name, plot), level in itertools.product(PLOTS.items(), levels):
        path = folder / f"{name}_{level}.svg"
        models = select_level(predictions, level)
        with matplotlib.rc_context(STYLE):
            figure = plot.draw(Level(split.true(level), models, bits_per_pixel, split.codec.unit))
            figure.suptitle(level, x=0.02, ha="left", fontsize=11, fontweight="bold")
            if split.proxy_labels:
                caption = textwrap.fill(f"Levels: {split.proxy_labels}", 56)
                figure.supxlabel(caption, x=0.02, ha="left", fontsize=7)
            for suffix, metadata in _METADATA.items():
                with atomic_write(path.with_suffix(suffix)) as temporary:
                    figure.savefig(temporary, metadata=metadata, transparent=suffix == ".svg")
        written[name][level] = path
    return written


def _draw_predicted_against_true(level: Level) -> Figure:
    figure = _draw_points(level.true, level.models, f"true {level.unit}", f"predicted {level.unit}")
    for axes, predicted in zip(figure.axes, level.models.values()):
        both = np.concatenate([level.true, predicted])
        ends = both.min() - 1, both.max() + 1
        axes.plot(ends, ends, **LINE)
        axes.set(xlim=ends, ylim=ends, aspect="equal")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5, integer=True))
    return figure


def _draw_error_distribution(level: Level) -> Figure:
    figure = Figure((PANEL, PANEL), layout="constrained")
    axes = figure.subplots()
    median_errors = np.abs(level.true - np.median(level.true))
    axes.ecdf(median_errors, color=INK, linestyle="--", linewidth=1, label="median label")
    for title, predicted in level.models.items():
        errors = np.abs(predicted - level.true)
        axes.ecdf(errors, color=COLOURS[title], linewidth=1.8, label=title)
    axes.set(xlabel=f"absolute error, {level.unit}", ylabel="share of frames")
    axes.set(xlim=(0, None), ylim=(0, 1.02))
    axes.legend(loc="lower right")
    return figure


def _draw_error_against_complexity(level: Level) -> Figure:
    errors = {title: predicted - level.true for title, predicted in level.models.items()}
    label = f"predicted - true {level.unit}"
    figure = _draw_points(level.bits_per_pixel, errors, "bits per pixel", label)
    for axes in figure.axes:
        axes.axhline(0, **LINE)
        axes.set(xlim=(0, None))
    return figure


def _draw_points(x: np.ndarray, models: dict[str, np.ndarray], xlabel: str, ylabel: str) -> Figure:
    """Draw a panel of points per model, one below the other."""
    figure = Figure((PANEL, PANEL * len(models)), layout="constrained")
    panels = figure.subplots(len(models), squeeze=False)[:, 0]
    for axes, (title, y) in zip(panels, models.items()):
        axes.scatter(x, y, 20, COLOURS[title], alpha=0.75, linewidths=0)
        axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    return figure


# By the beginning of their file names.
PLOTS = {
    "predicted_against_true": Plot(
        _draw_predicted_against_true,
        "Predicted against true levels",
        "Each point is a frame; points on the line are predicted exactly.",
    ),
    "error_distribution": Plot(
        _draw_error_distribution,
        "Distribution of errors",
        "The share of frames with at most that absolute error. Dashed: always answering the "
        "median label.",
    ),
    "error_against_complexity": Plot(
        _draw_error_against_complexity,
        "Error against content complexity",
        "Signed error over the bits per pixel that a frame takes at the median JND1 label, the "
        "same level for all frames.",
    ),
}
FILES = {
    f"{plot}_{level}{suffix}": ours
    for plot in PLOTS
    for level in LEVELS
    for suffix, ours in _OURS.items()
}
