"""Frames beside what becomes of them at predicted levels, the worst misses first."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from common.data.split import TestSplit
from common.evaluation.report.coding import encoded, read_even
from common.evaluation.report.predictions import Predictions
from common.facts import HEIGHT, LEVELS, WIDTH
from common.parallel import in_parallel

# Each frame takes about a megabyte and a half of the page.
SHOWN = 12


def best_model(split: TestSplit, predictions: Predictions) -> str:
    """The model to show: the title of the one with the most levels, then the least mean error."""

    def rank(title: str) -> tuple[int, float]:
        levels = [level for name, level in predictions if name == title]
        misses = [_miss(split, predictions, title, level).mean() for level in levels]
        return -len(levels), float(np.mean(misses))

    return min(dict.fromkeys(title for title, _ in predictions), key=rank)


def gallery(split: TestSplit, predictions: Predictions, title: str, cache: Path) -> list[dict]:
    """What the page shows of the `SHOWN` frames whose levels the model `title` misses by most.

    A dict a frame, for JSON: name, miss (mean over levels), source (a lossless picture as a data
    URI) and levels: per level name, predicted, true, coded, bits, psnr, vmaf, picture. Of frames
    larger than 640x352 the pictures show the middle, pixel for pixel.
    """
    levels = [level for level in LEVELS if (title, level) in predictions]
    misses = np.mean([_miss(split, predictions, title, level) for level in levels], axis=0)
    worst = np.argsort(-misses, kind="stable")[:SHOWN]

    def shown(number: int) -> dict:
        source = read_even(split.images[number])

        def at_level(level: str) -> dict:
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

        return {
            "name": str(Path(split.names[number]).with_suffix("")),
            "miss": float(misses[number]),
            "source": _picture(source),
            "levels": [at_level(level) for level in levels],
        }

    return in_parallel(shown, worst, "gallery")


def _miss(split: TestSplit, predictions: Predictions, title: str, level: str) -> np.ndarray:
    return np.abs(predictions[title, level] - split.true(level))


def _picture(rgb: np.ndarray) -> str:
    """The middle of a frame, without loss, as a data URI."""
    top, left = (max(0, (side - most) // 2) for side, most in zip(rgb.shape, (HEIGHT, WIDTH)))
    file = io.BytesIO()
    middle = Image.fromarray(rgb[top : top + HEIGHT, left : left + WIDTH])
    middle.save(file, "WEBP", lossless=True, quality=20, method=2)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
