"""The report's page: one HTML file with tables, plots and gallery, which needs no network."""

import base64
import io
from collections.abc import Collection
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
from .encodes import encode_image, read_even
from .plots import INK, PLOTS
from .predictions import Predictions
from .table import Table

# Number of frames in the gallery; each takes about 1.5 MB of the page.
SHOWN = 12


def write_page(
    path: Path,
    split: Split,
    model: str,
    tables: list[Table],
    plots: dict[str, dict[str, Path]],
    gallery: list[dict],
    facts: dict[str, str],
) -> None:
    """Write the page.

    Args:
        model: title of the model whose mean errors are at the top.
        tables: the tables, with the prediction errors first.
        plots: SVG files by plot name and level.
        gallery: the model's frames, from `make_gallery`.
        facts: the circumstances of the run, by name.
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
        plots=PLOTS,
        files=plots,
        read_drawing=_read_drawing,
        frames=gallery,
        facts=facts,
    )
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")


def _read_drawing(file: Path) -> Markup:
    """Read the SVG element of a file, with its ink replaced by the page's text colour."""
    text = file.read_text(encoding="utf-8")
    return Markup(text[text.index("<svg") :].replace(INK, "currentColor"))


def choose_model(errors: pd.DataFrame, titles: Collection[str]) -> str:
    """Choose the model to show: the one with the least mean error of those with most levels.

    Args:
        errors: the values of the table of prediction errors.
        titles: the models to choose from.
    """
    of_models = errors[errors.model.isin(titles)].groupby("model", sort=False).mean_absolute_error
    levels, error = of_models.count(), of_models.mean()
    return error[levels == levels.max()].idxmin()


def make_gallery(split: Split, predictions: Predictions, title: str, cache: Path) -> list[dict]:
    """Describe the `SHOWN` frames with the largest errors of model `title` for the page's JSON.

    A frame has a name, its error (the mean over levels), its source as a lossless data URI, and for
    each level: name, true, coded, bits, psnr, vmaf and picture. Pictures show the middle 640x352
    pixels of larger frames, unscaled.
    """
    levels = [level for level in LEVELS if (title, level) in predictions]
    errors = [np.abs(predictions[title, level] - split.true(level)) for level in levels]
    means = np.mean(errors, axis=0)

    def describe_level(index: int, level: str) -> dict:
        coded = split.codec.nearest(predictions[title, level][index])
        encode = encode_image(split.images[index], coded, split.codec, cache)
        return {
            "name": level,
            "true": float(split.true(level)[index]),
            "coded": coded,
            "bits": encode.bits,
            "psnr": encode.psnr,
            "vmaf": encode.vmaf,
            "picture": _data_uri(split.codec.decode(encode.stream)),
        }

    def describe(index: int) -> dict:
        return {
            "name": printable(Path(split.names[index]).with_suffix("")),
            "error": float(means[index]),
            "source": _data_uri(read_even(split.images[index])),
            "levels": [describe_level(index, level) for level in levels],
        }

    return parallel_map(describe, np.argsort(-means, kind="stable")[:SHOWN], "gallery")


def _data_uri(rgb: np.ndarray) -> str:
    """Encode the middle of a frame losslessly as a data URI."""
    top, left = (max(0, (side - most) // 2) for side, most in zip(rgb.shape, (HEIGHT, WIDTH)))
    file = io.BytesIO()
    middle = Image.fromarray(rgb[top : top + HEIGHT, left : left + WIDTH])
    middle.save(file, "WEBP", lossless=True, quality=20, method=2)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
