"""The levels of pictures and videos, as a document, as lines to read, and as a table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from common.codecs import h264
from common.codecs.codec import CODECS
from common.data.frames import SUFFIXES, read_rgb
from common.data.text import readable
from common.data.views import VIEWS
from common.errors import UserError
from common.facts import QUALITY
from common.models.bitstream import is_coded, read_coded
from common.models.weights import labels_of
from common.prediction.scenes import find_scenes
from common.predictor import Predictor

NOT_TOLD = "not told by the weights"


def answer(
    predictor: Predictor, inputs: list[Path], view: str, frames_per_scene: int, unit: str | None
) -> dict:
    """The levels of `inputs`, and what they are, for JSON: see docs/prediction.schema.json.

    A picture's levels are the mean over the parts that the `view` shows of it. A scene's are the
    mean over its sampled frames; a video's are those of its strictest scene, level by level, since
    whoever sees one scene spoiled has noticed. Inputs that cannot be read are told on stderr and
    under `errors`.

    Args:
        view: a key of `VIEWS`.
        unit: what the levels are, where the weights do not tell; None: nobody tells.
    """
    labels = labels_of(predictor.weights)
    codec = labels.get("codec")
    document: dict[str, Any] = {
        "model": predictor.description.title,
        "weights": readable(predictor.weights),
        "codec": codec or NOT_TOLD,
        "unit": CODECS[codec].unit if codec in CODECS else unit or NOT_TOLD,
        "labels": labels.get("level_kind", NOT_TOLD),
        "view": view,
        "inputs": [],
        "errors": [],
    }
    for path in tqdm(inputs, unit="file", disable=None, leave=False):
        try:
            if is_coded(path):
                entry = _of_coded(predictor, path)
            elif path.suffix.lower() in SUFFIXES:
                entry = _of_picture(predictor, path, view)
            else:
                entry = of_video(predictor, path, view, frames_per_scene, document["unit"])
            document["inputs"].append({"file": readable(path), **entry})
        except UserError as error:
            print(f"left out: {error}", file=sys.stderr)
            document["errors"].append({"file": readable(path), "error": str(error)})
    return document


def _of_picture(predictor: Predictor, path: Path, view: str) -> dict:
    rgb = read_rgb(path)
    about = {"kind": "picture", "width": rgb.shape[1], "height": rgb.shape[0]}
    return {**about, "levels": _named(predictor, _seen(predictor, rgb, view))}


def _of_coded(predictor: Predictor, path: Path) -> dict:
    """Of the picture as it was fitted when it was coded, whatever the view is now."""
    if not predictor.sees_latents:
        raise UserError(f"{path}: {predictor.description.title} sees pictures, not coded ones")
    picture = read_coded(path)
    about = {"kind": "coded picture", "width": picture.width, "height": picture.height}
    levels = predictor.levels_of_latents(predictor.latents(path))
    return {**about, "view": picture.view, "levels": _named(predictor, levels)}


def of_video(predictor: Predictor, path: Path, view: str, frames_per_scene: int, unit: str) -> dict:
    """A video's levels, size and scenes: what `answer` tells of it.

    Raises:
        UserError: it cannot be read to its end.
    """
    scenes = find_scenes(path)
    numbers = [scene.sampled(frames_per_scene) for scene in scenes]
    frames = h264.frames(path, [number for each in numbers for number in each])
    levels, rows, size = [], [], None
    for scene, sampled in zip(scenes, numbers):
        of_frames = []
        for _ in sampled:
            rgb = next(frames)
            size = rgb.shape
            of_frames.append(_seen(predictor, rgb, view))
        levels.append(np.mean(of_frames, axis=0))
        rows.append(
            {
                "first_frame": scene.first,
                "last_frame": scene.end - 1,
                "start": round(scene.start_seconds, 6),
                "end": round(scene.end_seconds, 6),
                "sampled_frames": sampled,
                "levels": _named(predictor, levels[-1]),
            }
        )
    finest = np.max if unit == CODECS[QUALITY].unit else np.min
    return {
        "kind": "video",
        "width": size[1],
        "height": size[0],
        "frames": scenes[-1].end,
        "seconds": round(scenes[-1].end_seconds, 3),
        "levels": _named(predictor, finest(levels, axis=0)),
        "scenes": rows,
    }


def _seen(predictor: Predictor, rgb: np.ndarray, view: str) -> np.ndarray:
    """The mean levels of the parts that the `view` shows of a picture."""
    return predictor.levels(np.stack(VIEWS[view](rgb))).mean(axis=0)


def _named(predictor: Predictor, levels: np.ndarray) -> dict[str, float]:
    return {name: round(float(level), 3) for name, level in zip(predictor.names, levels)}


def as_table(document: dict) -> pd.DataFrame:
    """A row per picture, per video and per scene of it."""
    rows = []
    for each in document["inputs"]:
        size = {"width": each["width"], "height": each["height"]}
        about = {name: document[name] for name in ("unit", "codec", "labels", "weights")}
        about = {"file": each["file"], "kind": each["kind"], **size, **about}
        rows.append({**about, "scene": "", **each["levels"]})
        for number, scene in enumerate(each.get("scenes", []), 1):
            times = {"start": scene["start"], "end": scene["end"]}
            rows.append({**about, "kind": "scene", "scene": number, **times, **scene["levels"]})
    return pd.DataFrame(rows)


def as_lines(document: dict) -> str:
    """What a person reads: levels, scenes below their video, and what levels are."""
    lines: list[tuple[str, dict[str, float]]] = []
    for each in document["inputs"]:
        lines.append((each["file"], each["levels"]))
        scenes = each.get("scenes", [])
        if len(scenes) > 1:
            lines += [
                (f"  {row['start']:.1f} to {row['end']:.1f} s", row["levels"]) for row in scenes
            ]
    width = max([4, *(len(name) for name, _ in lines)])
    names = lines[0][1] if lines else ()
    shown = ["file".ljust(width) + "".join(f"{name:>7}" for name in names)]
    for name, levels in lines:
        shown.append(name.ljust(width) + "".join(f"{level:7.1f}" for level in levels.values()))
    codec = document["codec"] if document["codec"] != NOT_TOLD else document["unit"]
    shown.append(f"Levels: {codec}. Labels: {document['labels']}. Weights: {document['weights']}.")
    return "\n".join(shown)
