"""The page to look at: one HTML file with tables, plots and gallery, which needs no network."""

import base64
import io
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup
from PIL import Image

from ...base.constants import HEIGHT, LEVELS, WIDTH
from ...base.errors import printable
from ...base.files import atomic_write
from ...base.parallel import parallel_map
from ...data.split import Split
from .coding import encoded, read_even
from .plots import INK
from .predictions import Predictions
from .table import Table

# Frames in the gallery; each takes about a megabyte and a half of the page.
SHOWN = 12


def write_page(
    path: Path,
    split: Split,
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
        plots: SVG files by level, by the plot's name.
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
        plots=plots,
        drawing=_drawing,
        frames=frames,
        facts=facts,
    )
    with atomic_write(path) as beside:
        beside.write_text(page, encoding="utf-8", errors="backslashreplace")


def _drawing(file: Path) -> Markup:
    """The SVG element of a file, its ink in the page's colour of text."""
    text = file.read_text(encoding="utf-8")
    return Markup(text[text.index("<svg") :].replace(INK, "currentColor"))


def best_model(errors: pd.DataFrame) -> str:
    """The model to show: of those with the most levels, the one with the least mean error.

    Args:
        errors: the values of the table of prediction errors.
    """
    of_models = errors.groupby("model", sort=False).mean_absolute_error
    levels, error = of_models.count(), of_models.mean()
    return error[levels == levels.max()].idxmin()


def gallery(split: Split, predictions: Predictions, title: str, cache: Path) -> list[dict]:
    """What the page shows of the `SHOWN` frames whose levels the model `title` misses by most.

    A dict a frame, for JSON: name, miss (mean over levels), source (a lossless picture as a data
    URI) and levels: per level name, predicted, true, coded, bits, psnr, vmaf, picture. Of frames
    larger than 640x352 the pictures show the middle, pixel for pixel.
    """
    levels = [level for level in LEVELS if (title, level) in predictions]
    errors = [np.abs(predictions[title, level] - split.true(level)) for level in levels]
    misses = np.mean(errors, axis=0)

    def at_level(number: int, level: str) -> dict:
        predicted = float(predictions[title, level][number])
        coded = split.codec.nearest(predicted)
        encode = encoded(split.images[number], coded, split.codec, cache)
        return {
            "name": level,
            "predicted": predicted,
            "true": float(split.true(level)[number]),
            "coded": coded,
            "bits": encode.bits,
            "psnr": encode.psnr,
            "vmaf": encode.vmaf,
            "picture": _picture(split.codec.decode(encode.stream)),
        }

    def shown(number: int) -> dict:
        return {
            "name": printable(Path(split.names[number]).with_suffix("")),
            "miss": float(misses[number]),
            "source": _picture(read_even(split.images[number])),
            "levels": [at_level(number, level) for level in levels],
        }

    return parallel_map(shown, np.argsort(-misses, kind="stable")[:SHOWN], "gallery")


def _picture(rgb: np.ndarray) -> str:
    """The middle of a frame, without loss, as a data URI."""
    top, left = (max(0, (side - most) // 2) for side, most in zip(rgb.shape, (HEIGHT, WIDTH)))
    file = io.BytesIO()
    middle = Image.fromarray(rgb[top : top + HEIGHT, left : left + WIDTH])
    middle.save(file, "WEBP", lossless=True, quality=20, method=2)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
