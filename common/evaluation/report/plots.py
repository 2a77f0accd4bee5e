"""The plots: predicted against true levels, how errors spread, and what they depend on."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from common.data.split import TestSplit
from common.evaluation.report.predictions import Predictions
from common.facts import LEVELS
from common.files import replaced
from common.models.descriptions import MODELS

# Text and axes. The page puts its own colour of text in its place, light or dark.
INK = "#1d2126"
# Near those of Okabe and Ito, 2008, told apart by colour-blind readers; seen on light and dark.
COLOURS = dict(
    zip(
        (model.title for model in MODELS.values()),
        ("#2f86c8", "#dd6a2c", "#1fa57c", "#c06c9c", "#c99000", "#5bb2dd"),
    )
)
STYLE = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "font.size": 9.5,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "savefig.dpi": 200,
    "svg.hashsalt": "tables",  # the same plot gives the same file
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
PANEL = 3.4  # inches a side
SUFFIXES = (".png", ".svg")


class Plot(NamedTuple):
    """A kind of plot: what its files' names begin with, what it shows, and how it is drawn.

    It is drawn level by level, from true levels [images], each model's levels [images] by its
    title, the bits per pixel [images] of all frames at one level, and the unit of levels.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[np.ndarray, dict[str, np.ndarray], np.ndarray, str], Figure]


def write_plots(
    folder: Path, split: TestSplit, predictions: Predictions, bits_per_pixel: np.ndarray
) -> dict[str, dict[str, Path]]:
    """Draw each of `PLOTS` for each level, as PNG and as SVG.

    Args:
        bits_per_pixel: float [images], of all frames coded at the same level.

    Returns:
        the SVG files by level, by the plot's name.
    """
    written: dict[str, dict[str, Path]] = {plot.name: {} for plot in PLOTS}
    titles = list(dict.fromkeys(title for title, _ in predictions))
    with matplotlib.rc_context(STYLE):
        for plot in PLOTS:
            for level in LEVELS:
                models = {t: predictions[t, level] for t in titles if (t, level) in predictions}
                if not models:
                    continue
                unit = split.codec.unit
                figure = plot.draw(split.true(level), models, bits_per_pixel, unit)
                figure.suptitle(level, x=0.02, ha="left", fontsize=11, fontweight="bold")
                if split.stand_in:
                    said = textwrap.fill(f"Levels: {split.stand_in}", 56)
                    figure.supxlabel(said, x=0.02, ha="left", fontsize=7)
                path = folder / f"{plot.name}_{level}"
                for suffix, metadata in ((".png", {}), (".svg", {"Date": None})):
                    with replaced(path.with_suffix(suffix)) as beside:
                        figure.savefig(beside, metadata=metadata, transparent=suffix == ".svg")
                written[plot.name][level] = path.with_suffix(".svg")
    return written


def _predicted_against_true(
    true: np.ndarray, models: dict[str, np.ndarray], _: np.ndarray, unit: str
) -> Figure:
    figure, panels = _panels(models)
    for (title, predicted), axes in zip(models.items(), panels):
        both = np.concatenate([true, predicted])
        ends = both.min() - 1, both.max() + 1
        axes.plot(ends, ends, color=INK, linewidth=0.8, alpha=0.5)
        axes.scatter(true, predicted, 20, COLOURS[title], alpha=0.75, linewidths=0)
        axes.set(xlim=ends, ylim=ends, aspect="equal", title=title)
        axes.set(xlabel=f"true {unit}", ylabel=f"predicted {unit}")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    return figure


def _error_distribution(
    true: np.ndarray, models: dict[str, np.ndarray], _: np.ndarray, unit: str
) -> Figure:
    figure, (axes,) = _panels([""])
    median = np.abs(true - np.median(true))
    axes.ecdf(median, color=INK, linestyle="--", linewidth=1, label="median label")
    for title, predicted in models.items():
        errors = np.abs(predicted - true)
        axes.ecdf(errors, color=COLOURS[title], linewidth=1.8, label=title)
    axes.set(xlabel=f"absolute error, {unit}", ylabel="share of frames")
    axes.set(xlim=(0, None), ylim=(0, 1.02))
    axes.legend(loc="lower right")
    return figure


def _error_against_complexity(
    true: np.ndarray, models: dict[str, np.ndarray], bits_per_pixel: np.ndarray, unit: str
) -> Figure:
    figure, panels = _panels(models)
    for (title, predicted), axes in zip(models.items(), panels):
        axes.axhline(0, color=INK, linewidth=0.8, alpha=0.5)
        error = predicted - true
        axes.scatter(bits_per_pixel, error, 20, COLOURS[title], alpha=0.75, linewidths=0)
        axes.set(xlim=(0, None), title=title)
        axes.set(xlabel="bits per pixel", ylabel=f"predicted - true {unit}")
    return figure


def _panels(models: Collection[str]) -> tuple[Figure, list[Axes]]:
    """A figure with a panel per model, one below the other."""
    figure = Figure((PANEL, PANEL * len(models)), layout="constrained")
    return figure, list(figure.subplots(len(models), squeeze=False)[:, 0])


PLOTS = (
    Plot(
        "predicted_against_true",
        "Predicted against true levels",
        "Each point is a frame; on the line the prediction is right.",
        _predicted_against_true,
    ),
    Plot(
        "error_distribution",
        "How errors spread",
        "The share of frames with at most that absolute error. Dashed: always answering the "
        "median label.",
        _error_distribution,
    ),
    Plot(
        "error_against_complexity",
        "Error against content complexity",
        "Signed error over the bits per pixel that a frame takes at the median JND1 label, the "
        "same level for all frames.",
        _error_against_complexity,
    ),
)
FILES = [
    f"{plot.name}_{level}{suffix}" for plot in PLOTS for level in LEVELS for suffix in SUFFIXES
]
